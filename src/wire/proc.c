/*
 * wire/proc.c - finding rows of the tables of procedures and events
 */
#include "wire/proc.h"

#include "base/str.h"
#include "wire/constants.h"

#include <string.h>

typedef struct Key {
        uint32_t program;
        int32_t number;
} Key;

static int compare(uint32_t program, int32_t number, const Key *key)
{
        if (program != key->program)
                return program < key->program ? -1 : 1;
        return (number > key->number) - (number < key->number);
}

static int compare_proc(const void *key, const void *row)
{
        const WireProc *proc = row;

        return -compare(proc->program, proc->number, key);
}

static int compare_event(const void *key, const void *row)
{
        const WireEvent *event = row;

        return -compare(event->program, event->number, key);
}

const WireProc *wire_proc_find(uint32_t program, int32_t number)
{
        const Key key = { program, number };

        return bsearch(&key, wire_procs, N_WIRE_PROCS, sizeof(wire_procs[0]), compare_proc);
}

const WireProc *wire_proc_find_name(const char *name)
{
        for (size_t i = 0; i < N_WIRE_PROCS; i++) {
                if (str_eq(wire_procs[i].name, name))
                        return &wire_procs[i];
        }
        return NULL;
}

size_t wire_proc_index(const WireProc *proc)
{
        return (size_t)(proc - wire_procs);
}

static uint32_t word_at(const void *args, size_t at)
{
        uint32_t word;

        memcpy(&word, (const char *)args + at, sizeof(word));
        return word;
}

bool wire_access_applies(const WireAccess *access, const void *args)
{
        uint32_t word = access->when == ACCESS_ALWAYS ? 0 : word_at(args, access->at);

        switch (access->when) {
        case ACCESS_ALWAYS:
                return true;
        case ACCESS_ANY_SET:
                return (word & access->value) != 0;
        case ACCESS_ALL_CLEAR:
                return (word & access->value) == 0;
        case ACCESS_EQUAL:
                return word == access->value;
        }
        return true;
}

bool wire_proc_is_sparse(const WireProc *proc, const void *args)
{
        return proc->sparse_flag && (word_at(args, proc->flags_at) & proc->sparse_flag);
}

const WireEvent *wire_event_find(uint32_t program, int32_t number)
{
        const Key key = { program, number };

        return bsearch(&key, wire_events, N_WIRE_EVENTS, sizeof(wire_events[0]), compare_event);
}

const WireEvent *wire_event_find_id(WireClass class, int event_id, bool old_style)
{
        for (size_t i = 0; i < N_WIRE_EVENTS; i++) {
                const WireEvent *event = &wire_events[i];

                if (event->class == class && event->event_id == event_id && event->is_old_style == old_style)
                        return event;
        }
        return NULL;
}

bool wire_program_is_known(uint32_t program, uint32_t version)
{
        static const uint32_t known[][2] = {
                { WIRE_PROGRAM_REMOTE, WIRE_VERSION_REMOTE },
                { WIRE_PROGRAM_QEMU, WIRE_VERSION_QEMU },
                { WIRE_PROGRAM_LXC, WIRE_VERSION_LXC },
        };

        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
                if (known[i][0] == program && known[i][1] == version)
                        return true;
        }
        return false;
}
