#pragma once
/*
 * tests/nbd/talk.h - what a client says, built piece by piece, and what it gets
 */
#include "base/buf.h"
#include "nbd/session.h"

/* A disk of `size` bytes in memory, exported as "x". */
typedef struct Talk {
        Image *image;
        NbdExport export;
        NbdSession session;
        Buf said, sent;
        size_t read; /* how much of sent was looked at */
} Talk;

enum { TALK_DISK = 1 << 20 };

void talk_begin(Talk *talk, bool read_only);
void talk_end(Talk *talk);
void say16(Talk *talk, uint16_t v);
void say32(Talk *talk, uint32_t v);
void say64(Talk *talk, uint64_t v);
void say_text(Talk *talk, const char *text); /* with its length before it */
/* Flags, then options. */
void say_option(Talk *talk, uint32_t option, uint32_t length);
void say_request(Talk *talk, uint16_t flags, uint16_t type, uint64_t handle, uint64_t offset, uint32_t length);
/* Numbers of what was sent, in turn. */
uint64_t heard(Talk *talk, unsigned bytes);
