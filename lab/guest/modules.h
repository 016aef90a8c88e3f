#pragma once
/*
 * guest/modules.h - kernel modules, loaded for the hardware that is there
 *
 * /modules/aliases, made with the image, has a line "PATTERN FILE..." for each device alias of the modules
 * carried along; the files stand in the order they must be loaded.
 */

/* Load what the devices present at start need. */
void modules_load_all(void);

/* Load what a device with this modalias needs; nothing happens where no line matches. */
void modules_load_for(const char *modalias);
