#pragma once
/*
 * wire/error.h - an Error as its wire struct, and back
 *
 * Clients show the message, test the code, and some print the template and its
 * detail apart; so all are filled (framing of error payloads as stock servers
 * do it).
 */
#include "base/arena.h"
#include "wire/frame.h"
#include "wire/structs.h"

/* Which component speaks (virErrorDomain). */
enum {
        ERROR_FROM_RPC = VIR_FROM_RPC,
        ERROR_FROM_QEMU = VIR_FROM_QEMU,
        ERROR_FROM_TEST = VIR_FROM_TEST,
        ERROR_FROM_DOMAIN_API = VIR_FROM_DOMAIN,
};

/* Texts live in the arena. from: the component that speaks, unless the code has one of its own. */
void wire_error_fill(const Error *err, int from, Arena *arena, WireError *ret);
/* err_set() from what a server said: the detail where it can be told, else the whole message. Always -1. */
int wire_error_take(const WireError *wire, Error *err);
