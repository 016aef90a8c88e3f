#pragma once
/*
 * host/confine.h - what a server that drover starts may still do
 *
 * Called in a child between fork and exec: async-signal-safe calls only.
 */

/*
 * The file system is to be read only but for the directories in writable (ends with NULL), no new privileges are to be
 * had, and of those of root only the ones that a server of names and addresses needs stay. 0, or -1 with errno.
 */
int confine_server(const char *const *writable);
