#pragma once
/*
 * app/drover-img/about.h - what drover-img says about itself: the manual page and the completion script
 */
#include "app/drover-img/command.h"

/* The commands there are, in the order of their names; ends with NULL. */
extern const Command *const commands[];

void about_man_page(Buf *to);
void about_completion(Buf *to);
