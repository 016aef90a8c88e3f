/*
 * base/err.c - fill, copy and release errors
 */
#include "base/err.h"

#include "base/str.h"

#include <stdarg.h>
#include <string.h>

static void replace(Error *err, ErrCode code, char *text, int number)
{
        if (!err) {
                free(text);
                return;
        }
        free(err->text);
        *err = (Error){ .code = code, .text = text, .number = number };
}

int err_set(Error *err, ErrCode code, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        replace(err, code, str_vformat(fmt, ap), 0);
        va_end(ap);
        return -1;
}

int err_errno(Error *err, int errnum, const char *fmt, ...)
{
        AUTOFREE char *what = NULL;
        va_list ap;

        va_start(ap, fmt);
        what = str_vformat(fmt, ap);
        va_end(ap);
        replace(err, ERR_SYSTEM, str_format("%s: %s", what, strerror(errnum)), errnum);
        return -1;
}

int err_prefix(Error *err, const char *fmt, ...)
{
        AUTOFREE char *prefix = NULL;
        va_list ap;

        if (!err)
                return -1;
        va_start(ap, fmt);
        prefix = str_vformat(fmt, ap);
        va_end(ap);
        replace(err, err->code, str_format("%s: %s", prefix, err->text ?: "unknown error"), err->number);
        return -1;
}

void err_copy(Error *to, const Error *from)
{
        replace(to, from->code, from->text ? str_dup(from->text) : NULL, from->number);
}

int err_move(Error *to, Error *from)
{
        replace(to, from->code, from->text, from->number);
        *from = (Error){ 0 };
        return -1;
}

void err_done(Error *err)
{
        free(err->text);
        *err = (Error){ 0 };
}
