/*
 * app/drover/common.c - what many commands share
 */
#include "app/drover/common.h"

#include "app/drover/xml.h"
#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

enum { LARGEST_FILE = 10 << 20 };

int refuse_both(const Args *args, const char *one, const char *other, Error *err)
{
        if (arg_has(args, one) && arg_has(args, other))
                return err_set(err, ERR_INVALID_ARG, "Options --%s and --%s are mutually exclusive", one, other);
        return 0;
}

SignalWatch *watch_ending(Session *s, int signum, void (*fn)(void *arg), void *arg)
{
        struct sigaction now;

        if (sigaction(signum, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
                return NULL;
        return signal_watch_new(s->loop, signum, fn, arg, NULL);
}

int need_other(const Args *args, const char *one, const char *other, Error *err)
{
        if (arg_has(args, one) && !arg_has(args, other))
                return err_set(err, ERR_INVALID_ARG, "Option --%s is required by option --%s", other, one);
        return 0;
}

int affect_flags(const Args *args, uint32_t *flags, Error *err)
{
        if (refuse_both(args, "current", "live", err) < 0 || refuse_both(args, "current", "config", err) < 0)
                return -1;
        if (arg_has(args, "config"))
                *flags |= VIR_DOMAIN_AFFECT_CONFIG;
        if (arg_has(args, "live"))
                *flags |= VIR_DOMAIN_AFFECT_LIVE;
        return 0;
}

int affect_flags_persistent(Session *s, const Args *args, const WireDomain *dom, uint32_t *flags, Error *err)
{
        bool active = false;

        if (refuse_both(args, "persistent", "current", err) < 0 || affect_flags(args, flags, err) < 0)
                return -1;
        if (!arg_has(args, "persistent"))
                return 0;
        if (domain_is_active(s, dom, &active, err) < 0)
                return -1;
        *flags |= VIR_DOMAIN_AFFECT_CONFIG | (active ? VIR_DOMAIN_AFFECT_LIVE : 0);
        return 0;
}

uint32_t switch_flags(const Args *args, const SwitchFlag *list)
{
        uint32_t flags = 0;

        for (; list->name; list++)
                if (arg_has(args, list->name))
                        flags |= list->flag;
        return flags;
}

int fail(Error *err, const char *fmt, ...)
{
        AUTOFREE char *what = NULL;
        AUTOFREE char *why = NULL;
        va_list ap;

        if (!err)
                return -1;
        why = str_dup(err->text ?: "unknown error");
        va_start(ap, fmt);
        what = str_vformat(fmt, ap);
        va_end(ap);
        return err_set(err, err->code ?: ERR_INTERNAL, "%s\n%s", what, why);
}

static int look_up(Session *s, const char *text, WireDomain *ret, Error *err)
{
        uint32_t id;
        Uuid uuid;

        if (str_to_u32(text, &id) == 0) {
                WireDomainLookupByIdRet found;

                if (session_call(s, WIRE_PROC_DOMAIN_LOOKUP_BY_ID, &(WireDomainLookupByIdArgs){ (int32_t)id }, &found,
                                 NULL) == 0) {
                        *ret = found.dom;
                        return 0;
                }
        }
        if (uuid_parse(text, &uuid) == 0) {
                WireDomainLookupByUuidRet found;

                if (session_call(s, WIRE_PROC_DOMAIN_LOOKUP_BY_UUID, &(WireDomainLookupByUuidArgs){ uuid }, &found,
                                 NULL) == 0) {
                        *ret = found.dom;
                        return 0;
                }
        }
        WireDomainLookupByNameRet found;

        if (session_call(s, WIRE_PROC_DOMAIN_LOOKUP_BY_NAME, &(WireDomainLookupByNameArgs){ text }, &found, err) < 0)
                return -1;
        *ret = found.dom;
        return 0;
}

int find_domain_named(Session *s, const char *text, WireDomain *ret, Error *err)
{
        if (session_open(s, err) < 0)
                return -1;
        if (look_up(s, text, ret, err) == 0)
                return 0;
        if (err->code == ERR_NO_DOMAIN)
                return err_set(err, ERR_NO_DOMAIN, "failed to get domain '%s'", text);
        return fail(err, "failed to get domain '%s'", text);
}

int find_domain(Session *s, const Args *args, WireDomain *ret, Error *err)
{
        return find_domain_named(s, arg_text(args, "domain"), ret, err);
}

int domain_is_active(Session *s, const WireDomain *dom, bool *ret, Error *err)
{
        WireDomainIsActiveRet is;

        if (session_call(s, WIRE_PROC_DOMAIN_IS_ACTIVE, &(WireDomainIsActiveArgs){ *dom }, &is, err) < 0)
                return -1;
        *ret = is.active == 1;
        return 0;
}

const char *domain_xml(Session *s, const WireDomain *dom, uint32_t flags, Error *err)
{
        WireDomainGetXmlDescRet ret;

        if (session_call(s, WIRE_PROC_DOMAIN_GET_XML_DESC, &(WireDomainGetXmlDescArgs){ *dom, flags }, &ret, err) < 0)
                return NULL;
        return ret.xml;
}

static const char *words_from_xml(Session *s, const WireDomain *dom, int type, uint32_t flags, Error *err)
{
        const char *text = domain_xml(s, dom, flags & VIR_DOMAIN_AFFECT_CONFIG ? VIR_DOMAIN_XML_INACTIVE : 0, err);
        AUTO(Xml) *xml = text ? xml_read(text, err) : NULL;
        AUTOFREE char *words = xml ? xml_text(xml, NULL, type == VIR_DOMAIN_METADATA_TITLE ? "title" : "description")
                                   : NULL;

        if (!xml)
                return NULL;
        return arena_dup(session_arena(s), words ?: "");
}

const char *domain_words(Session *s, const WireDomain *dom, int type, uint32_t flags, Error *err)
{
        WireDomainGetMetadataArgs call = { *dom, type, NULL, flags };
        WireDomainGetMetadataRet found;
        AUTO(Error) why = { 0 };

        if (session_call(s, WIRE_PROC_DOMAIN_GET_METADATA, &call, &found, &why) == 0)
                return found.metadata;
        if (why.code == ERR_NO_DOMAIN_METADATA)
                return "";
        if (why.code == ERR_NO_SUPPORT)
                return words_from_xml(s, dom, type, flags, err);
        err_move(err, &why);
        return NULL;
}

char *read_text_file(const char *path, Error *err)
{
        AUTO(Buf) text = { 0 };

        if (access(path, R_OK) < 0) {
                err_errno(err, errno, "Failed to open file '%s'", path);
                return NULL;
        }
        if (file_read(path, LARGEST_FILE, &text, err) < 0)
                return NULL;
        if (!str_is_utf8(buf_text(&text), text.len)) {
                err_set(err, ERR_INVALID_ARG, "'%s' is no text in UTF-8", path);
                return NULL;
        }
        return str_dup(buf_text(&text));
}

const char *word_of(const char *const *words, size_t n, int number)
{
        if (number < 0 || (size_t)number >= n || !words[number])
                return "unknown";
        return words[number];
}

static const char *const state_words[] = {
        [VIR_DOMAIN_NOSTATE] = "no state",     [VIR_DOMAIN_RUNNING] = "running",
        [VIR_DOMAIN_BLOCKED] = "idle",         [VIR_DOMAIN_PAUSED] = "paused",
        [VIR_DOMAIN_SHUTDOWN] = "in shutdown", [VIR_DOMAIN_SHUTOFF] = "shut off",
        [VIR_DOMAIN_CRASHED] = "crashed",      [VIR_DOMAIN_PMSUSPENDED] = "pmsuspended",
};

const char *domain_state_text(int state)
{
        return state >= 0 && (size_t)state < ARRAY_LEN(state_words) ? state_words[state] : "no state";
}

const char *domain_state_reason_text(int state, int reason)
{
        static const char *const running[] = {
                "unknown",       "booted",   "migrated",           "restored",
                "from snapshot", "unpaused", "migration canceled", "save canceled",
                "event wakeup",  "crashed",  "post-copy",          "post-copy failed"
        };
        static const char *const paused[] = {
                "unknown",   "user",        "migrating",     "saving",           "dumping",
                "I/O error", "watchdog",    "from snapshot", "shutting down",    "creating snapshot",
                "crashed",   "starting up", "post-copy",     "post-copy failed", "api error"
        };
        static const char *const shutdown[] = { "unknown", "user" };
        static const char *const shutoff[] = { "unknown", "shutdown", "destroyed",     "crashed", "migrated",
                                               "saved",   "failed",   "from snapshot", "daemon" };
        static const char *const crashed[] = { "unknown", "panicked" };

        switch (state) {
        case VIR_DOMAIN_RUNNING:
                return WORD_OF(running, reason);
        case VIR_DOMAIN_PAUSED:
                return WORD_OF(paused, reason);
        case VIR_DOMAIN_SHUTDOWN:
                return WORD_OF(shutdown, reason);
        case VIR_DOMAIN_SHUTOFF:
                return WORD_OF(shutoff, reason);
        case VIR_DOMAIN_CRASHED:
                return WORD_OF(crashed, reason);
        default:
                return "unknown";
        }
}

double pretty_size(uint64_t bytes, const char **unit)
{
        static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        double value = (double)bytes;
        size_t i = 0;

        while (value >= 1024 && i + 1 < ARRAY_LEN(units)) {
                value /= 1024;
                i++;
        }
        *unit = units[i];
        return value;
}

/* Typed parameters */

char *param_text(const WireTypedParam *param)
{
        const WireTypedParamValue *value = &param->value;

        switch (value->type) {
        case VIR_TYPED_PARAM_INT:
                return str_format("%d", value->i);
        case VIR_TYPED_PARAM_UINT:
                return str_format("%u", value->ui);
        case VIR_TYPED_PARAM_LLONG:
                return str_format("%lld", (long long)value->l);
        case VIR_TYPED_PARAM_ULLONG:
                return str_format("%llu", (unsigned long long)value->ul);
        case VIR_TYPED_PARAM_DOUBLE:
                return str_format("%f", value->d);
        case VIR_TYPED_PARAM_BOOLEAN:
                return str_dup(value->b ? "yes" : "no");
        default:
                return str_dup(value->s ?: "");
        }
}

struct json_object *param_json(const WireTypedParam *param)
{
        const WireTypedParamValue *value = &param->value;

        switch (value->type) {
        case VIR_TYPED_PARAM_INT:
                return json_object_new_int(value->i);
        case VIR_TYPED_PARAM_UINT:
                return json_object_new_int64(value->ui);
        case VIR_TYPED_PARAM_LLONG:
                return json_object_new_int64(value->l);
        case VIR_TYPED_PARAM_ULLONG:
                return json_object_new_uint64(value->ul);
        case VIR_TYPED_PARAM_DOUBLE:
                return json_object_new_double(value->d);
        case VIR_TYPED_PARAM_BOOLEAN:
                return json_object_new_boolean(value->b);
        default:
                return json_object_new_string(value->s ?: "");
        }
}

const WireTypedParam *param_find(const WireTypedParam *params, uint32_t n, const char *field)
{
        for (uint32_t i = 0; i < n; i++)
                if (str_eq(params[i].field, field))
                        return &params[i];
        return NULL;
}

uint64_t param_u64(const WireTypedParam *params, uint32_t n, const char *field)
{
        const WireTypedParam *param = param_find(params, n, field);

        if (!param)
                return 0;
        switch (param->value.type) {
        case VIR_TYPED_PARAM_INT:
                return (uint64_t)param->value.i;
        case VIR_TYPED_PARAM_UINT:
                return param->value.ui;
        case VIR_TYPED_PARAM_LLONG:
                return (uint64_t)param->value.l;
        case VIR_TYPED_PARAM_ULLONG:
                return param->value.ul;
        default:
                return 0;
        }
}

void print_params(Session *s, const WireTypedParam *params, uint32_t n)
{
        for (uint32_t i = 0; i < n; i++) {
                AUTOFREE char *text = param_text(&params[i]);

                out_print(s->out, "%-15s: %s\n", params[i].field, text);
                out_set(s->out, params[i].field, param_json(&params[i]));
        }
}

static WireTypedParamValue *add(ParamList *list, const char *field, int type)
{
        WireTypedParam *grown = arena_new_array(list->arena, WireTypedParam, list->len + 1);

        if (list->len)
                memcpy(grown, list->items, list->len * sizeof(*grown));
        list->items = grown;
        grown[list->len].field = arena_dup(list->arena, field);
        grown[list->len].value.type = type;
        return &grown[list->len++].value;
}

void params_add_u32(ParamList *list, const char *field, uint32_t value)
{
        add(list, field, VIR_TYPED_PARAM_UINT)->ui = value;
}

void params_add_i32(ParamList *list, const char *field, int32_t value)
{
        add(list, field, VIR_TYPED_PARAM_INT)->i = value;
}

void params_add_u64(ParamList *list, const char *field, uint64_t value)
{
        add(list, field, VIR_TYPED_PARAM_ULLONG)->ul = value;
}

void params_add_i64(ParamList *list, const char *field, int64_t value)
{
        add(list, field, VIR_TYPED_PARAM_LLONG)->l = value;
}

void params_add_bool(ParamList *list, const char *field, bool value)
{
        add(list, field, VIR_TYPED_PARAM_BOOLEAN)->b = value;
}

void params_add_text(ParamList *list, const char *field, const char *value)
{
        add(list, field, VIR_TYPED_PARAM_STRING)->s = arena_dup(list->arena, value);
}
