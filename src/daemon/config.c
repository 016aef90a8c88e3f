/*
 * daemon/config.c - read droverd.conf
 */
#include "daemon/config.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

enum { LARGEST_FILE = 1024 * 1024, MOST_KEYS = 128 };

typedef struct Reader {
        const char *path, *at;
        unsigned line;
        ConfigWarning warn;
        void *warn_arg;
        Config *config;
        unsigned set_on[MOST_KEYS]; /* the line that set each key, 0: none */
} Reader;

typedef struct Value {
        ConfigType type; /* INT, STRING or LIST */
        int64_t number;
        char *text;
        char **list;
} Value;

static void value_done(Value *value)
{
        free(value->text);
        str_list_free(value->list);
}
DEFINE_AUTO_VALUE(Value, value_done)

static void *member(Config *config, const ConfigKey *key)
{
        return (char *)config + key->offset;
}

Config *config_new(void)
{
        Config *config = mem_new(Config);

        for (const ConfigKey *key = config_keys; key < config_keys + n_config_keys; key++) {
                if (key->type == CONFIG_INT)
                        *(int *)member(config, key) = key->default_number;
                else if (key->type == CONFIG_BOOL)
                        *(bool *)member(config, key) = key->default_number;
                else if (key->type == CONFIG_STRING)
                        *(char **)member(config, key) = str_dup(key->default_text);
        }
        return config;
}

Config *config_free(Config *config)
{
        if (!config)
                return NULL;
        for (const ConfigKey *key = config_keys; key < config_keys + n_config_keys; key++) {
                if (key->type == CONFIG_STRING)
                        free(*(char **)member(config, key));
                else if (key->type == CONFIG_LIST)
                        str_list_free(*(char ***)member(config, key));
        }
        free(config);
        return NULL;
}

/* An error at the reader's line; always -1. */
static int complain(const Reader *r, Error *err, const char *fmt, ...) PRINTF(3, 4);
static int complain(const Reader *r, Error *err, const char *fmt, ...)
{
        AUTOFREE char *what = NULL;
        va_list ap;

        va_start(ap, fmt);
        what = str_vformat(fmt, ap);
        va_end(ap);
        return err_set(err, ERR_CONF_SYNTAX, "%s:%u: %s", r->path, r->line, what);
}

static void warn(const Reader *r, const char *fmt, ...) PRINTF(2, 3);
static void warn(const Reader *r, const char *fmt, ...)
{
        AUTOFREE char *what = NULL, *sentence = NULL;
        va_list ap;

        if (!r->warn)
                return;
        va_start(ap, fmt);
        what = str_vformat(fmt, ap);
        va_end(ap);
        sentence = str_format("%s:%u: %s", r->path, r->line, what);
        r->warn(r->warn_arg, sentence);
}

static void skip_blanks(Reader *r, bool lines_too)
{
        for (;; r->at++) {
                if (*r->at == '#') {
                        while (r->at[1] && r->at[1] != '\n')
                                r->at++;
                } else if (*r->at == '\n' && lines_too) {
                        r->line++;
                } else if (*r->at != ' ' && *r->at != '\t' && *r->at != '\r') {
                        return;
                }
        }
}

static int read_string(Reader *r, char **ret, Error *err)
{
        char quote = *r->at++;
        AUTO(Buf) text = { 0 };

        while (*r->at && *r->at != quote && *r->at != '\n') {
                if (*r->at == '\\' && (r->at[1] == quote || r->at[1] == '\\'))
                        r->at++;
                buf_put_char(&text, *r->at++);
        }
        if (*r->at != quote)
                return complain(r, err, "the string has no closing quote");
        r->at++;
        *ret = buf_take(&text);
        return 0;
}

/* The items up to the closing bracket; the list grows in *list, which ends with NULL whatever happens. */
static int read_items(Reader *r, char ***list, Error *err)
{
        for (size_t n = 0;; n++) {
                skip_blanks(r, true);
                if (*r->at == ']')
                        return 0;
                if (*r->at != '"' && *r->at != '\'')
                        return complain(r, err, "a list holds strings only");
                *list = mem_resize(*list, (n + 2) * sizeof(char *));
                (*list)[n] = (*list)[n + 1] = NULL;
                if (read_string(r, &(*list)[n], err) < 0)
                        return -1;
                skip_blanks(r, true);
                if (*r->at == ']')
                        return 0;
                if (*r->at++ != ',')
                        return complain(r, err, "expected ',' or ']' in the list");
        }
}

static int read_list(Reader *r, char ***ret, Error *err)
{
        r->at++;
        *ret = mem_new(char *);
        if (read_items(r, ret, err) < 0)
                return -1;
        r->at++;
        return 0;
}

static int read_number(Reader *r, int64_t *ret, Error *err)
{
        size_t n = strspn(r->at, "-0123456789");
        AUTOFREE char *digits = str_dup_n(r->at, n);

        if (!n || str_to_i64(digits, ret) < 0)
                return complain(r, err, "expected a number, a \"string\" or a [ \"list\" ]");
        r->at += n;
        return 0;
}

static int read_value(Reader *r, Value *ret, Error *err)
{
        if (*r->at == '"' || *r->at == '\'') {
                ret->type = CONFIG_STRING;
                return read_string(r, &ret->text, err);
        }
        if (*r->at == '[') {
                ret->type = CONFIG_LIST;
                return read_list(r, &ret->list, err);
        }
        ret->type = CONFIG_INT;
        return read_number(r, &ret->number, err);
}

static bool is_one_of(const char *text, const char *const *words)
{
        for (; *words; words++) {
                if (str_eq(text, *words))
                        return true;
        }
        return false;
}

static int store_string(Reader *r, const ConfigKey *key, Value *value, Error *err)
{
        char **slot = member(r->config, key);

        if (key->words && !is_one_of(value->text, key->words))
                return complain(r, err, "%s cannot be \"%s\"", key->name, value->text);
        if (str_starts(key->name, "auth_") && !str_eq(value->text, "none"))
                return complain(r, err, "%s = \"%s\" is not supported by this version; use \"none\"", key->name,
                                value->text);
        free(*slot);
        *slot = TAKE(value->text);
        return 0;
}

static int store_bool(Reader *r, const ConfigKey *key, const Value *value, Error *err)
{
        if (value->number != 0 && value->number != 1)
                return complain(r, err, "%s is 0 or 1", key->name);
        if (value->number && key->support == CONFIG_REFUSED)
                return complain(r, err, "%s = 1 is not supported by this version", key->name);
        *(bool *)member(r->config, key) = value->number;
        return 0;
}

static int store_int(Reader *r, const ConfigKey *key, const Value *value, Error *err)
{
        if (value->number < key->min || value->number > key->max)
                return complain(r, err, "%s must be between %d and %d", key->name, key->min, key->max);
        *(int *)member(r->config, key) = (int)value->number;
        return 0;
}

static int store(Reader *r, const ConfigKey *key, Value *value, Error *err)
{
        static const char *const names[] = { "number", "number", "string", "list" };
        ConfigType wanted = key->type == CONFIG_BOOL ? CONFIG_INT : key->type;
        unsigned *set_on = &r->set_on[key - config_keys];

        if (value->type != wanted)
                return complain(r, err, "%s takes a %s, not a %s", key->name, names[wanted], names[value->type]);
        if (*set_on)
                warn(r, "%s was set before, on line %u; this one counts", key->name, *set_on);
        *set_on = r->line;
        if (key->support == CONFIG_WARNS)
                warn(r, "%s is accepted, but this version does not act upon it", key->name);
        switch (key->type) {
        case CONFIG_BOOL:
                return store_bool(r, key, value, err);
        case CONFIG_INT:
                return store_int(r, key, value, err);
        case CONFIG_STRING:
                return store_string(r, key, value, err);
        case CONFIG_LIST:
                str_list_free(*(char ***)member(r->config, key));
                *(char ***)member(r->config, key) = TAKE(value->list);
        }
        return 0;
}

static const ConfigKey *find_key(const char *name)
{
        for (const ConfigKey *key = config_keys; key < config_keys + n_config_keys; key++) {
                if (str_eq(key->name, name))
                        return key;
        }
        return NULL;
}

static int read_setting(Reader *r, Error *err)
{
        size_t n = 0;
        AUTOFREE char *name = NULL;
        AUTO(Value) value = { 0 };
        const ConfigKey *key;

        while (isalnum((unsigned char)r->at[n]) || r->at[n] == '_')
                n++;
        if (!n)
                return complain(r, err, "expected a key");
        name = str_dup_n(r->at, n);
        r->at += n;
        skip_blanks(r, false);
        if (*r->at != '=')
                return complain(r, err, "expected '=' after '%s'", name);
        r->at++;
        skip_blanks(r, false);
        if (read_value(r, &value, err) < 0)
                return -1;
        key = find_key(name);
        if (!key)
                warn(r, "'%s' is not a key of droverd.conf; it is ignored", name);
        else if (store(r, key, &value, err) < 0)
                return -1;
        skip_blanks(r, false);
        if (*r->at && *r->at != '\n')
                return complain(r, err, "there is something behind the value");
        return 0;
}

static unsigned line_of(const Reader *r, const char *key)
{
        return r->set_on[find_key(key) - config_keys];
}

/* Rules between keys; the line of the key at fault is named. */
static int check_together(Reader *r, Error *err)
{
        const Config *c = r->config;

        r->line = MAX(line_of(r, "min_workers"), line_of(r, "max_workers"));
        if (c->min_workers > c->max_workers)
                return complain(r, err, "min_workers (%d) is over max_workers (%d)", c->min_workers, c->max_workers);
        r->line = MAX(line_of(r, "max_requests"), line_of(r, "max_workers"));
        if (c->max_requests < c->max_workers)
                warn(r, "max_requests (%d) is below max_workers (%d) and so is the limit", c->max_requests,
                     c->max_workers);
        r->line = MAX(line_of(r, "max_clients"), line_of(r, "max_workers"));
        if (r->line && c->max_workers < c->max_clients / 2)
                warn(r, "migrations at a time are bounded by max_workers (%d), not by max_clients (%d)",
                     c->max_workers, c->max_clients);
        r->line = line_of(r, "listen_tcp");
        if (c->listen_tcp && !c->auth_tcp)
                return complain(r, err,
                                "listen_tcp = 1 opens this host to everybody who reaches the port; "
                                "if that is meant, set auth_tcp = \"none\" as well");
        r->line = MAX(line_of(r, "migration_port_min"), line_of(r, "migration_port_max"));
        if (c->migration_port_min > c->migration_port_max)
                return complain(r, err, "migration_port_min (%d) is over migration_port_max (%d)",
                                c->migration_port_min, c->migration_port_max);
        return 0;
}

Config *config_parse(const char *path, const char *text, ConfigWarning warn_fn, void *arg, Error *err)
{
        AUTO(Config) *config = config_new();
        Reader r = { .path = path, .at = text, .line = 1, .warn = warn_fn, .warn_arg = arg, .config = config };

        for (;;) {
                skip_blanks(&r, true);
                if (!*r.at)
                        break;
                if (read_setting(&r, err) < 0)
                        return NULL;
        }
        if (check_together(&r, err) < 0)
                return NULL;
        return TAKE(config);
}

Config *config_load(const char *path, ConfigWarning warn_fn, void *arg, Error *err)
{
        AUTO(Buf) text = { 0 };

        if (access(path, F_OK) < 0)
                return config_new();
        if (file_read(path, LARGEST_FILE, &text, err) < 0)
                return NULL;
        if (memchr(buf_text(&text), '\0', text.len)) {
                err_set(err, ERR_CONF_SYNTAX, "'%s' holds a NUL byte; it is not a text file", path);
                return NULL;
        }
        return config_parse(path, buf_text(&text), warn_fn, arg, err);
}

void config_mac_prefix(const Config *config, uint8_t ret[3])
{
        static const uint8_t usual[3] = { 0x52, 0x54, 0x00 }, of_xen[3] = { 0x00, 0x16, 0x3e };

        memcpy(ret, str_eq(config->mac_prefix, "00:16:3e") ? of_xen : usual, 3);
}
