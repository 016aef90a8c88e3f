#pragma once
/*
 * tests/img/memory-file.h - an ImageFile in memory that loses power on demand
 *
 * Every change is recorded in order. memory_file_after_crash() builds what a
 * disk could hold when the power went at some point: all that a finished flush
 * covers, and of what came later any subset, in any order, cut at sectors. A
 * call can be made to fail as a broken disk fails it.
 */
#include "img/file.h"

/* Starts with a copy of these bytes. What is never written takes no memory. */
ImageFile *memory_file_new(const void *data, size_t n);
/* Another file with the same content, and nothing else of it. */
ImageFile *memory_file_copy(const ImageFile *file);
/* All of its content as it is now, until this is asked again or the file closed. */
const uint8_t *memory_file_data(ImageFile *file, size_t *n);
/* When it is closed, *ret becomes a file with its content; owned. */
void memory_file_keep(ImageFile *file, ImageFile **ret);
/* From now on: forget what was recorded, take the content as what is safely on disk, and record. */
void memory_file_record(ImageFile *file);
/* Changes recorded: writes, flushes, truncations, zeroings. */
size_t memory_file_changes(const ImageFile *file);
/* A moment counts the changes of all files; how many of one file's recorded changes were before it. */
size_t memory_file_moment(void);
size_t memory_file_changes_before(const ImageFile *file, size_t moment);
/* What may be on the disk when the power goes before change number `cut`; seed picks one of the possibilities. */
ImageFile *memory_file_after_crash(const ImageFile *file, size_t cut, unsigned seed);
/* A disk that is full at this size; otherwise it takes 1 GiB. */
void memory_file_limit(ImageFile *file, uint64_t largest);
/* The change this many changes from now (0: the next) fails with EIO, once. */
void memory_file_fail_change(ImageFile *file, size_t in);
/* From then on every change fails, as on a full disk or a device that went away. */
void memory_file_fail_from(ImageFile *file, size_t in);
/* The same, but only what needs room fails, with ENOSPC, and of a write half is there all the same. */
void memory_file_full_from(ImageFile *file, size_t in);
/* There is room again, or the disk is whole again. */
void memory_file_heal(ImageFile *file);
/* Of all calls on all files, reads too, the one this many from now fails with EIO, or (on) it and all behind it. */
void memory_files_fail(size_t in, bool on);
/* No longer. Returns how many calls there were since. */
size_t memory_files_heal(void);
