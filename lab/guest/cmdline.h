#pragma once
/*
 * guest/cmdline.h - what the kernel command line asks of the test guest
 *
 * Every knob of the guest is a word "drover.NAME=VALUE" on the kernel command line, so that a test changes
 * the guest by changing its definition and never rebuilds the image.
 */
#include <stddef.h>

/* The value of drover.NAME, or NULL. It points into static memory and stays valid. */
const char *cmdline_find(const char *name);

/* The same; fallback where it is absent or empty. */
const char *cmdline_text(const char *name, const char *fallback);

/* The same as a number; fallback where it is absent or no number. */
long cmdline_number(const char *name, long fallback);
