/*
 * app/drover/cmd-secret.c - passwords and keys that disks, pools and servers need
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define ARG_SECRET "SECRET  secret: its UUID\n"

enum { VALUE_MOST = 65536, BASE64_MOST = VALUE_MOST / 3 * 4 + 64 };

static int find_secret(Session *s, const Args *args, WireSecret *ret, Error *err)
{
        const char *text = arg_text(args, "secret");
        WireSecretLookupByUuidArgs which;
        WireSecretLookupByUuidRet found;

        if (session_open(s, err) < 0)
                return -1;
        if (uuid_parse(text, &which.uuid) < 0)
                return err_set(err, ERR_INVALID_ARG, "failed to get secret '%s': that is no UUID", text);
        if (session_call(s, WIRE_PROC_SECRET_LOOKUP_BY_UUID, &which, &found, err) < 0)
                return fail(err, "failed to get secret '%s'", text);
        *ret = found.secret;
        return 0;
}

static int define(Session *s, const Args *args, Error *err)
{
        AUTOFREE char *xml = read_text_file(arg_text(args, "file"), err);
        uint32_t flags = arg_has(args, "validate") ? VIR_SECRET_DEFINE_VALIDATE : 0;
        WireSecretDefineXmlRet made;
        char text[UUID_TEXT_LEN + 1];

        if (!xml || session_open(s, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_SECRET_DEFINE_XML, &(WireSecretDefineXmlArgs){ xml, flags }, &made, err) < 0)
                return fail(err, "Failed to set attributes from %s", arg_text(args, "file"));
        out_done(s->out, "Secret %s created", uuid_format(&made.secret.uuid, text));
        return 0;
}

static int dumpxml(Session *s, const Args *args, Error *err)
{
        WireSecretGetXmlDescRet ret;
        WireSecret secret;

        if (find_secret(s, args, &secret, err) < 0 ||
            session_call(s, WIRE_PROC_SECRET_GET_XML_DESC, &(WireSecretGetXmlDescArgs){ .secret = secret }, &ret,
                         err) < 0)
                return -1;
        return print_xml(s, args, ret.xml, err);
}

static int undefine(Session *s, const Args *args, Error *err)
{
        WireSecret secret;

        if (find_secret(s, args, &secret, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_SECRET_UNDEFINE, &(WireSecretUndefineArgs){ secret }, NULL, err) < 0)
                return fail(err, "Failed to delete secret %s", arg_text(args, "secret"));
        out_done(s->out, "Secret %s deleted", arg_text(args, "secret"));
        return 0;
}

/* --- values: wiped when they were sent or shown --- */

typedef struct Value {
        Buf bytes;
} Value;

static void value_done(Value *value)
{
        if (value->bytes.data)
                explicit_bzero(value->bytes.data, value->bytes.room);
        buf_done(&value->bytes);
}

DEFINE_AUTO_VALUE(Value, value_done)

static int decode(Value *value, Error *err)
{
        size_t n = 0;
        uint8_t *bytes = mem_new_array(uint8_t, value->bytes.len + 1);

        if (str_from_base64(buf_text(&value->bytes), bytes, &n) < 0) {
                free(bytes);
                return err_set(err, ERR_INVALID_ARG, "Invalid base64 data");
        }
        explicit_bzero(value->bytes.data, value->bytes.len);
        buf_clear(&value->bytes);
        buf_put(&value->bytes, bytes, n);
        explicit_bzero(bytes, n);
        free(bytes);
        return 0;
}

/* The line that begins here, without its end. A pipe may hand it over in parts. */
static int read_line(Buf *to, Error *err)
{
        char line[1024];
        size_t len = 0;
        ssize_t n = 1;

        while (len < sizeof(line) && (!len || line[len - 1] != '\n')) {
                n = read(STDIN_FILENO, line + len, sizeof(line) - len);
                if (n <= 0)
                        break;
                len += (size_t)n;
        }
        if (n > 0 && line[len - 1] != '\n')
                err_set(err, ERR_INVALID_ARG, "a value of more than %zu bytes is read from a --file only",
                        sizeof(line) - 1);
        else if (len && line[len - 1] == '\n')
                len--;
        if (!err_is_set(err) && !len)
                err_set(err, ERR_INVALID_ARG, "Failed to read secret");
        buf_put(to, line, len);
        explicit_bzero(line, sizeof(line));
        return err_is_set(err) ? -1 : 0;
}

static const int endings[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
static struct termios shown_before; /* for a signal's handler */

static void show_and_end(int signum)
{
        tcsetattr(STDIN_FILENO, TCSANOW, &shown_before);
        signal(signum, SIG_DFL);
        raise(signum);
}

/* A line from the terminal, not shown as it is typed; whatever ends that, the terminal shows again what is typed. */
static int ask_terminal(Value *ret, Error *err)
{
        const struct sigaction end = { .sa_handler = show_and_end };
        struct sigaction before[ARRAY_LEN(endings)] = { 0 };
        struct termios hidden = shown_before;
        int result;

        for (size_t i = 0; i < ARRAY_LEN(endings); i++)
                if (sigaction(endings[i], NULL, &before[i]) == 0 && before[i].sa_handler != SIG_IGN)
                        sigaction(endings[i], &end, NULL);
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
        fputs("Enter new value for secret: ", stderr);
        result = read_line(&ret->bytes, err);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown_before);
        fputc('\n', stderr);
        for (size_t i = 0; i < ARRAY_LEN(endings); i++)
                sigaction(endings[i], &before[i], NULL);
        return result;
}

/* From a pipe it is just read. */
static int ask(Value *ret, Error *err)
{
        return tcgetattr(STDIN_FILENO, &shown_before) == 0 ? ask_terminal(ret, err) : read_line(&ret->bytes, err);
}

static int read_value(const Args *args, Value *ret, Error *err)
{
        const char *text = arg_text(args, "base64"), *file = arg_text(args, "file");

        if (refuse_both(args, "file", "base64", err) < 0 || refuse_both(args, "interactive", "base64", err) < 0 ||
            refuse_both(args, "interactive", "file", err) < 0)
                return -1;
        if (arg_has(args, "plain") && !file)
                return err_set(err, ERR_INVALID_ARG, "--plain says how the --file is read: give one");
        if (arg_has(args, "interactive"))
                return ask(ret, err);
        if (!text && !file)
                return err_set(err, ERR_INVALID_ARG, "Input secret value is missing: give --interactive or --file");
        if (text) {
                fputs("drover: others on this machine see a value that stands on the command line\n", stderr);
                buf_put_text(&ret->bytes, text);
        } else if (file_read(file, BASE64_MOST, &ret->bytes, err) < 0) {
                return -1;
        }
        return arg_has(args, "plain") ? 0 : decode(ret, err);
}

static int set_value(Session *s, const Args *args, Error *err)
{
        AUTO(Value) value = { 0 };
        WireSecretSetValueArgs call = { 0 };

        if (find_secret(s, args, &call.secret, err) < 0 || read_value(args, &value, err) < 0)
                return -1;
        if (value.bytes.len > VALUE_MOST)
                return err_set(err, ERR_INVALID_ARG, "a secret has at most %d bytes, not %zu", VALUE_MOST,
                               value.bytes.len);
        call.value = (const uint8_t *)value.bytes.data;
        call.n_value = (uint32_t)value.bytes.len;
        if (session_call(s, WIRE_PROC_SECRET_SET_VALUE, &call, NULL, err) < 0)
                return fail(err, "Failed to set secret value");
        out_done(s->out, "Secret value set");
        return 0;
}

static int get_value(Session *s, const Args *args, Error *err)
{
        WireSecretGetValueArgs call = { 0 };
        WireSecretGetValueRet ret;
        AUTOFREE char *text = NULL;

        if (find_secret(s, args, &call.secret, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_SECRET_GET_VALUE, &call, &ret, err) < 0)
                return fail(err, "Failed to get secret value");
        if (arg_has(args, "plain")) {
                out_flush(s->out);
                if (fwrite(ret.value, 1, ret.n_value, output_file(s->out)) != ret.n_value)
                        return err_set(err, ERR_INTERNAL, "cannot write the value");
                return 0;
        }
        text = str_to_base64(ret.value, ret.n_value);
        out_print(s->out, "%s\n", text);
        out_set_text(s->out, "base64", text);
        explicit_bzero(text, strlen(text));
        return 0;
}

/* --- list --- */

static const SwitchFlag filters[] = {
        { "ephemeral", VIR_CONNECT_LIST_SECRETS_EPHEMERAL },
        { "no-ephemeral", VIR_CONNECT_LIST_SECRETS_NO_EPHEMERAL },
        { "private", VIR_CONNECT_LIST_SECRETS_PRIVATE },
        { "no-private", VIR_CONNECT_LIST_SECRETS_NO_PRIVATE },
        { 0 },
};

static int compare_uuids(const void *a, const void *b)
{
        return memcmp(&((const WireSecret *)a)->uuid, &((const WireSecret *)b)->uuid, sizeof(Uuid));
}

static int list(Session *s, const Args *args, Error *err)
{
        static const char *const usages[] = { "none", "volume", "ceph", "iscsi", "tls", "vtpm" };
        AUTO(Table) *table = table_new(TITLES("UUID", "Usage"));
        WireConnectListAllSecretsRet found;

        if (session_open(s, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_CONNECT_LIST_ALL_SECRETS,
                         &(WireConnectListAllSecretsArgs){ 1, switch_flags(args, filters) }, &found, err) < 0)
                return fail(err, "Failed to list secrets");
        if (found.n_secrets)
                qsort(found.secrets, found.n_secrets, sizeof(found.secrets[0]), compare_uuids);
        for (uint32_t i = 0; i < found.n_secrets; i++) {
                const WireSecret *secret = &found.secrets[i];
                AUTOFREE char *usage = str_format("%s %s", WORD_OF(usages, secret->usageType), secret->usageID);
                char text[UUID_TEXT_LEN + 1];

                table_add(table, CELLS(uuid_format(&secret->uuid, text), secret->usageType ? usage : "Unused"));
        }
        out_table(s->out, table);
        return 0;
}

const Command secret_commands[] = {
        { .name = "secret-define",
          .group = GROUP_SECRET,
          .args = "FILE          its definition, XML\n[--validate]  refuse what is not understood",
          .summary = "define a secret, or change its definition",
          .run = define },
        { .name = "secret-dumpxml",
          .group = GROUP_SECRET,
          .args = ARG_SECRET "[--xpath=EXPR]  only what this XPath expression finds\n"
                             "[--wrap]        in one element",
          .summary = "print a secret's definition as XML, never its value",
          .run = dumpxml },
        { .name = "secret-get-value",
          .group = GROUP_SECRET,
          .args = ARG_SECRET "[--plain]  the bytes themselves",
          .summary = "print a secret's value, in base64",
          .text = "A private secret's value is told to nobody.",
          .run = get_value },
        { .name = "secret-list",
          .group = GROUP_SECRET,
          .args = "[--ephemeral]     those in memory only\n"
                  "[--no-ephemeral]  those on the disk\n"
                  "[--private]       those whose value is never told\n"
                  "[--no-private]    the others",
          .summary = "list secrets",
          .run = list },
        { .name = "secret-set-value",
          .group = GROUP_SECRET,
          .args = ARG_SECRET "[--file FILE]    from this file, in base64\n"
                             "[--plain]        the file holds the bytes themselves\n"
                             "[--interactive]  ask for it\n"
                             "[--base64 TEXT]  this; others on this machine can see it meanwhile",
          .summary = "give a secret its value",
          .run = set_value },
        { .name = "secret-undefine",
          .group = GROUP_SECRET,
          .args = ARG_SECRET,
          .summary = "forget a secret and its value",
          .run = undefine },
        { 0 },
};
