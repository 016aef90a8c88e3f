#pragma once
/*
 * base/roff.h - text in a manual page
 */
#include "base/buf.h"

/* Text for troff: backslashes and dashes escaped, no line taken for a request. */
void roff_put_text(Buf *to, const char *s);
