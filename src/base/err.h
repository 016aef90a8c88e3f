#pragma once
/*
 * base/err.h - one error: a code the client knows, a sentence a person can use
 *
 * An Error is a value on the caller's stack, zeroed before use. A function that
 * can fail takes it last, returns -1 (or NULL) and fills it; on success it is
 * left alone. Passing NULL for err throws the sentence away.
 */
#include "base/auto.h"
#include "base/err-codes.h"

#include <stdbool.h>

typedef struct Error {
        ErrCode code; /* generated from facts/errors.toml; ERR_OK: none */
        char *text;   /* owned */
        int number;   /* the errno it came from; 0: from none */
} Error;

/* Set *err; a second set replaces the first. Always returns -1. */
int err_set(Error *err, ErrCode code, const char *fmt, ...) PRINTF(3, 4) COLD;
/* The same with ": strerror" behind it; the code is ERR_SYSTEM. Always -1. */
int err_errno(Error *err, int errnum, const char *fmt, ...) PRINTF(3, 4) COLD;
/* Put "prefix: " before the sentence that is there. Always -1. */
int err_prefix(Error *err, const char *fmt, ...) PRINTF(2, 3) COLD;
/* Copy, for an error that outlives the scope it was made in. */
void err_copy(Error *to, const Error *from);
/* Move: *from is empty afterwards. Always -1, so that it can end a function. */
int err_move(Error *to, Error *from);
void err_done(Error *err);

static inline bool err_is_set(const Error *err)
{
        return err && err->code != ERR_OK;
}

DEFINE_AUTO_VALUE(Error, err_done)
