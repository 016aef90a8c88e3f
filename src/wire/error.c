/*
 * wire/error.c - an Error as its wire struct, and back
 */
#include "wire/error.h"

#include "base/str.h"
#include "wire/constants.h"

enum { LEVEL_ERROR = 2, LONGEST_TEXT = 64 * 1024 };

/* Clients take the code of a missing filter for another one unless filters say so themselves. */
static int component_of(ErrCode code, int from)
{
        switch (code) {
        case ERR_RPC:
                return ERROR_FROM_RPC;
        case ERR_OPERATION_DENIED:
                return ERROR_FROM_DOMAIN_API;
        case ERR_NO_NETWORK:
                return VIR_FROM_NETWORK;
        case ERR_NO_STORAGE_POOL:
        case ERR_NO_STORAGE_VOL:
                return VIR_FROM_STORAGE;
        case ERR_NO_INTERFACE:
                return VIR_FROM_INTERFACE;
        case ERR_NO_NODE_DEVICE:
                return VIR_FROM_NODEDEV;
        case ERR_NO_SECRET:
        case ERR_INVALID_SECRET:
                return VIR_FROM_SECRET;
        case ERR_NO_NWFILTER:
        case ERR_NO_NWFILTER_BINDING:
                return VIR_FROM_NWFILTER;
        default:
                return from;
        }
}

/* The text with the template's one %s replaced by detail. */
static const char *expand(const char *template, const char *detail, Arena *arena)
{
        const char *gap = strstr(template, "%s");

        return arena_format(arena, "%.*s%s%s", (int)(gap - template), template, detail, gap + 2);
}

void wire_error_fill(const Error *err, int from, Arena *arena, WireError *ret)
{
        const char *template = err_code_template(err->code) ?: "%s";
        const char *detail = err->text ?: "unknown error";

        if (strlen(detail) > LONGEST_TEXT)
                detail = arena_dup_n(arena, detail, LONGEST_TEXT);
        if (!str_is_utf8(detail, strlen(detail)))
                detail = "an error whose text is not valid UTF-8";
        *ret = (WireError){ .code = (int32_t)err->code,
                            .domain = component_of(err->code, from),
                            .message = expand(template, detail, arena),
                            .level = LEVEL_ERROR,
                            .str1 = template,
                            .str2 = detail,
                            .int1 = -1,
                            .int2 = -1 };
}

int wire_error_take(const WireError *wire, Error *err)
{
        ErrCode code = (ErrCode)wire->code;
        const char *template = err_code_template(code);
        const char *message = wire->message ?: "the server gave no reason";

        if (template && wire->str2) {
                const char *gap = strstr(template, "%s");
                AUTOFREE char *ours = str_format("%.*s%s%s", (int)(gap - template), template, wire->str2, gap + 2);

                /* the same sentence that we would make: keep the detail, so that it is not wrapped twice */
                if (str_eq(message, ours))
                        return err_set(err, code, "%s", wire->str2);
        }
        return err_set(err, wire->code ? code : ERR_RPC, "%s", message);
}
