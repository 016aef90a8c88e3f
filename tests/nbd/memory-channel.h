#pragma once
/*
 * tests/nbd/memory-channel.h - a client that has said everything already
 */
#include "base/buf.h"
#include "nbd/channel.h"

/* Gives these bytes, then the end; a Buf that outlives it takes what is sent. data stays the caller's. */
NbdChannel *memory_channel_new(const void *data, size_t n, Buf *sent);
