#pragma once
/*
 * app/drover/common.h - what many commands share: arguments, flags, words
 */
#include "app/drover/session.h"
#include "wire/constants.h"
#include "wire/procs.h"
#include "wire/structs.h"

#define ARG_DOMAIN "DOMAIN  guest: name, ID or UUID\n"
#define ARGS_AFFECT                                                                                                  \
        "[--config]   affect the definition, in force from the next start\n"                                         \
        "[--live]     affect the running guest\n"                                                                    \
        "[--current]  affect the guest as it is: running or not\n"
#define ARGS_PERSISTENT "[--persistent]  affect the definition, and the running guest where there is one\n"

/* --config, --live, --current as VIR_DOMAIN_AFFECT_*; --current excludes the others. */
int affect_flags(const Args *args, uint32_t *flags, Error *err);
/* The same for commands that know --persistent too; asks whether the guest runs. */
int affect_flags_persistent(Session *s, const Args *args, const WireDomain *dom, uint32_t *flags, Error *err);
int refuse_both(const Args *args, const char *one, const char *other, Error *err);
/* What ^C and the like do instead of ending the program; NULL when it was told to ignore them (nohup). */
SignalWatch *watch_ending(Session *s, int signum, void (*fn)(void *arg), void *arg);
int need_other(const Args *args, const char *one, const char *other, Error *err);
/* Which flags the given switches stand for; the list ends with an empty entry. */
typedef struct SwitchFlag {
        const char *name;
        uint32_t flag;
} SwitchFlag;
uint32_t switch_flags(const Args *args, const SwitchFlag *list);

/* "Failed to do it", and below it what the daemon said. Always -1. */
int fail(Error *err, const char *fmt, ...) PRINTF(2, 3);

/* The guest that the option names: an ID, a UUID or a name (LIFE-01). */
int find_domain(Session *s, const Args *args, WireDomain *ret, Error *err);
int find_domain_named(Session *s, const char *text, WireDomain *ret, Error *err);
int domain_is_active(Session *s, const WireDomain *dom, bool *ret, Error *err);
/* Print XML, or of it what the --xpath of the command asks for (with --wrap). */
int print_xml(Session *s, const Args *args, const char *xml, Error *err);
/* Owned by the session's arena. */
const char *domain_xml(Session *s, const WireDomain *dom, uint32_t flags, Error *err);

/* A whole file, at most 10 MiB of text; owned. */
char *read_text_file(const char *path, Error *err);

/*
 * Title or description (VIR_DOMAIN_METADATA_*), "" when there is none; from the definition where the daemon has no call
 * for it. Owned by the session's arena.
 */
const char *domain_words(Session *s, const WireDomain *dom, int type, uint32_t flags, Error *err);

const char *domain_state_text(int state);
const char *domain_state_reason_text(int state, int reason);
/* 12345678 as 11.774 and "MiB". */
double pretty_size(uint64_t bytes, const char **unit);
/* A word of a list by its number, or "unknown". */
const char *word_of(const char *const *words, size_t n, int number);
#define WORD_OF(words, number) word_of((words), ARRAY_LEN(words), (number))

/* The value of a typed parameter as text, owned. */
char *param_text(const WireTypedParam *param);
struct json_object *param_json(const WireTypedParam *param);
/* NULL when it is not there. */
const WireTypedParam *param_find(const WireTypedParam *params, uint32_t n, const char *field);
/* 0 when it is not there. */
uint64_t param_u64(const WireTypedParam *params, uint32_t n, const char *field);
/* Lines "field          : value", and JSON "field": value. */
void print_params(Session *s, const WireTypedParam *params, uint32_t n);

typedef struct ParamList {
        WireTypedParam *items;
        uint32_t len;
        Arena *arena;
} ParamList;
void params_add_u32(ParamList *list, const char *field, uint32_t value);
void params_add_i32(ParamList *list, const char *field, int32_t value);
void params_add_u64(ParamList *list, const char *field, uint64_t value);
void params_add_i64(ParamList *list, const char *field, int64_t value);
void params_add_bool(ParamList *list, const char *field, bool value);
void params_add_text(ParamList *list, const char *field, const char *value);
