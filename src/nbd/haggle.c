/*
 * nbd/haggle.c - options: what a client may ask before its first request
 *
 * Every option's length is bounded before it is read, and it is read whole
 * before it is looked at, so that a wrong one is answered and passed over.
 */
#include "nbd/session.h"

#include "base/buf.h"
#include "base/str.h"
#include "img/bytes.h"

typedef struct Option {
        uint32_t number, length;
        uint8_t data[NBD_MOST_OPTION + 1];
} Option;

/* A reader of an option's data. */
typedef struct Cursor {
        const uint8_t *at;
        size_t left;
} Cursor;

static bool take_u16(Cursor *c, uint16_t *ret)
{
        if (c->left < 2)
                return false;
        *ret = load_be16(c->at);
        c->at += 2;
        c->left -= 2;
        return true;
}

static bool take_u32(Cursor *c, uint32_t *ret)
{
        if (c->left < 4)
                return false;
        *ret = load_be32(c->at);
        c->at += 4;
        c->left -= 4;
        return true;
}

/* A length and as many characters. ret stays inside the option, without a NUL behind it. */
static bool take_string(Cursor *c, const char **ret, uint32_t *n)
{
        if (!take_u32(c, n) || *n > c->left || *n > NBD_MOST_STRING)
                return false;
        *ret = (const char *)c->at;
        c->at += *n;
        c->left -= *n;
        return true;
}

static bool is_text(const char *data, uint32_t n, const char *text)
{
        return strlen(text) == n && memcmp(data, text, n) == 0;
}

static int reply(NbdSession *s, uint32_t option, uint32_t type, const void *data, size_t n, Error *err)
{
        uint8_t head[20];
        struct iovec parts[] = { { head, sizeof(head) }, { (void *)data, n } };

        store_be64(head, NBD_REPLY_MAGIC);
        store_be32(head + 8, option);
        store_be32(head + 12, type);
        store_be32(head + 16, (uint32_t)n);
        return nbd_channel_send(s->channel, parts, n ? 2 : 1, err);
}

/* An error, with a sentence for people. */
static int refuse(NbdSession *s, const Option *option, uint32_t type, const char *why, Error *err)
{
        return reply(s, option->number, type, why, strlen(why), err);
}

static int invalid(NbdSession *s, const Option *option, Error *err)
{
        return refuse(s, option, NBD_REP_ERR_INVALID, "the option's data does not have the right form", err);
}

static int unknown_export(NbdSession *s, const Option *option, Error *err)
{
        return refuse(s, option, NBD_REP_ERR_UNKNOWN, "there is no export of this name here", err);
}

static void put_u32(Buf *out, uint32_t value)
{
        store_be32(buf_reserve(out, 4), value);
        buf_grow(out, 4);
}

static int answer_list(NbdSession *s, const Option *option, Error *err)
{
        AUTO(Buf) out = { 0 };

        if (option->length)
                return invalid(s, option, err);
        put_u32(&out, (uint32_t)strlen(s->export->name));
        buf_put_text(&out, s->export->name);
        buf_put_text(&out, s->export->description ?: "");
        if (reply(s, option->number, NBD_REP_SERVER, out.data, out.len, err) < 0)
                return -1;
        return reply(s, option->number, NBD_REP_ACK, NULL, 0, err);
}

static uint16_t flags_of(const NbdSession *s)
{
        return (uint16_t)(s->export->flags | (s->structured ? NBD_SEND_DF : 0));
}

static int send_info(NbdSession *s, const Option *option, uint16_t kind, const void *data, size_t n, Error *err)
{
        uint8_t out[2 + NBD_MOST_STRING];

        store_be16(out, kind);
        memcpy(out + 2, data, n);
        return reply(s, option->number, NBD_REP_INFO, out, 2 + n, err);
}

static int send_text(NbdSession *s, const Option *option, uint16_t kind, const char *text, Error *err)
{
        return send_info(s, option, kind, text, MIN(strlen(text), (size_t)NBD_MOST_STRING), err);
}

static int send_export(NbdSession *s, const Option *option, Error *err)
{
        uint8_t blocks[12], export[10];

        store_be32(blocks, 1);
        store_be32(blocks + 4, s->export->preferred_block);
        store_be32(blocks + 8, NBD_MOST_PAYLOAD);
        store_be64(export, s->export->size);
        store_be16(export + 8, flags_of(s));
        if (send_info(s, option, NBD_INFO_BLOCK_SIZE, blocks, sizeof(blocks), err) < 0 ||
            send_info(s, option, NBD_INFO_EXPORT, export, sizeof(export), err) < 0)
                return -1;
        return reply(s, option->number, NBD_REP_ACK, NULL, 0, err);
}

/* INFO and GO. *go: the client was given what it needs for requests. */
static int answer_info(NbdSession *s, const Option *option, bool *go, Error *err)
{
        Cursor c = { option->data, option->length };
        bool name_wanted = false, description_wanted = false;
        const char *name;
        uint32_t n;
        uint16_t count, kind;

        if (!take_string(&c, &name, &n) || !take_u16(&c, &count) || c.left != count * 2UL)
                return invalid(s, option, err);
        while (take_u16(&c, &kind)) {
                name_wanted |= kind == NBD_INFO_NAME;
                description_wanted |= kind == NBD_INFO_DESCRIPTION;
        }
        if (!is_text(name, n, s->export->name))
                return unknown_export(s, option, err);
        if (name_wanted && send_text(s, option, NBD_INFO_NAME, s->export->name, err) < 0)
                return -1;
        if (description_wanted && s->export->description &&
            send_text(s, option, NBD_INFO_DESCRIPTION, s->export->description, err) < 0)
                return -1;
        *go = option->number == NBD_OPT_GO;
        return send_export(s, option, err);
}

/* The old way to begin: no errors, no haggling about blocks. */
static int answer_export_name(NbdSession *s, const Option *option, Error *err)
{
        uint8_t out[10 + 124] = { 0 };

        if (!is_text((const char *)option->data, option->length, s->export->name))
                return err_set(err, ERR_INVALID_ARG, "the client asked for an export that is not there");
        store_be64(out, s->export->size);
        store_be16(out + 8, flags_of(s));
        return nbd_channel_send(
                s->channel, &(struct iovec){ .iov_base = out, .iov_len = s->no_zeroes ? 10 : sizeof(out) }, 1, err);
}

/* Does a query name this context? A list also takes what ends with ':' for all that begins so. */
static bool query_fits(const char *query, uint32_t n, const char *name, bool list)
{
        if (list && n && query[n - 1] == ':')
                return strlen(name) >= n && memcmp(query, name, n) == 0;
        return is_text(query, n, name);
}

static uint64_t contexts_of(const NbdExport *export, const char *query, uint32_t n, bool list, bool all)
{
        uint64_t found = 0;
        const char *name;

        for (unsigned id = 0; id < NBD_CONTEXT_BITMAPS + NBD_MOST_BITMAPS; id++) {
                name = nbd_context_name(export, id);
                if (name && (all || query_fits(query, n, name, list)))
                        found |= 1ULL << id;
        }
        return found;
}

static int send_contexts(NbdSession *s, const Option *option, uint64_t contexts, Error *err)
{
        for (unsigned id = 0; contexts >> id; id++) {
                AUTO(Buf) out = { 0 };

                if (!(contexts >> id & 1))
                        continue;
                /* In a list the number means nothing yet. */
                put_u32(&out, option->number == NBD_OPT_SET_META_CONTEXT ? id : 0);
                buf_put_text(&out, nbd_context_name(s->export, id));
                if (reply(s, option->number, NBD_REP_META_CONTEXT, out.data, out.len, err) < 0)
                        return -1;
        }
        return reply(s, option->number, NBD_REP_ACK, NULL, 0, err);
}

static int answer_contexts(NbdSession *s, const Option *option, Error *err)
{
        Cursor c = { option->data, option->length };
        bool list = option->number == NBD_OPT_LIST_META_CONTEXT;
        uint64_t found = 0;
        const char *text, *query;
        uint32_t n, count, query_n;

        if (!s->structured)
                return refuse(s, option, NBD_REP_ERR_INVALID, "structured replies are to be agreed on first", err);
        /* Whatever becomes of it, an earlier choice is void. */
        if (!list)
                s->contexts = 0;
        if (!take_string(&c, &text, &n) || !take_u32(&c, &count))
                return invalid(s, option, err);
        if (count > NBD_MOST_QUERIES)
                return refuse(s, option, NBD_REP_ERR_TOO_BIG, "too many contexts are asked for", err);
        for (uint32_t i = 0; i < count; i++) {
                if (!take_string(&c, &query, &query_n))
                        return invalid(s, option, err);
                found |= contexts_of(s->export, query, query_n, list, false);
        }
        if (c.left)
                return invalid(s, option, err);
        if (!is_text(text, n, s->export->name))
                return unknown_export(s, option, err);
        if (list && count == 0)
                found = contexts_of(s->export, "", 0, true, true);
        if (!list)
                s->contexts = found;
        return send_contexts(s, option, found, err);
}

static int answer_structured(NbdSession *s, const Option *option, Error *err)
{
        if (option->length)
                return invalid(s, option, err);
        s->structured = true;
        return reply(s, option->number, NBD_REP_ACK, NULL, 0, err);
}

static int answer_starttls(NbdSession *s, const Option *option, Error *err)
{
        int64_t deadline = s->channel->deadline_ms;

        if (option->length)
                return invalid(s, option, err);
        if (s->encrypted)
                return refuse(s, option, NBD_REP_ERR_INVALID, "this connection is encrypted already", err);
        if (!s->start_tls)
                return refuse(s, option, NBD_REP_ERR_UNSUP, "there is no TLS on this server", err);
        if (reply(s, option->number, NBD_REP_ACK, NULL, 0, err) < 0 || s->start_tls(s->tls_arg, &s->channel, err) < 0)
                return -1;
        s->channel->deadline_ms = deadline;
        s->encrypted = true;
        /* Somebody in the middle may have put in what was said so far. */
        s->structured = false;
        s->contexts = 0;
        return 0;
}

/* *over: requests follow, or the client leaves. */
static int answer(NbdSession *s, const Option *option, bool *over, NbdHaggled *ret, Error *err)
{
        bool go = false;

        if (option->number == NBD_OPT_ABORT) {
                *over = true;
                *ret = NBD_GONE;
                reply(s, option->number, NBD_REP_ACK, NULL, 0, NULL); /* it need not wait for that */
                return 0;
        }
        if (option->number == NBD_OPT_STARTTLS)
                return answer_starttls(s, option, err);
        if (s->start_tls && !s->encrypted) {
                if (option->number == NBD_OPT_EXPORT_NAME)
                        return err_set(err, ERR_AUTH_FAILED, "the client did not begin TLS, which is required");
                return refuse(s, option, NBD_REP_ERR_TLS_REQD, "TLS is required here", err);
        }
        switch (option->number) {
        case NBD_OPT_EXPORT_NAME:
                go = true;
                if (answer_export_name(s, option, err) < 0)
                        return -1;
                break;
        case NBD_OPT_LIST:
                return answer_list(s, option, err);
        case NBD_OPT_INFO:
        case NBD_OPT_GO:
                if (answer_info(s, option, &go, err) < 0)
                        return -1;
                break;
        case NBD_OPT_STRUCTURED_REPLY:
                return answer_structured(s, option, err);
        case NBD_OPT_LIST_META_CONTEXT:
        case NBD_OPT_SET_META_CONTEXT:
                return answer_contexts(s, option, err);
        default:
                return refuse(s, option, NBD_REP_ERR_UNSUP, "this option is not known here", err);
        }
        *over = go;
        *ret = NBD_READY;
        return 0;
}

static int receive_option(NbdSession *s, Option *option, Error *err)
{
        uint8_t head[16];

        if (nbd_channel_receive(s->channel, head, sizeof(head), err) < 0)
                return -1;
        if (load_be64(head) != NBD_OPTION_MAGIC)
                return err_set(err, ERR_RPC, "the client sent something else than an option");
        option->number = load_be32(head + 8);
        option->length = load_be32(head + 12);
        if (option->length > NBD_MOST_OPTION)
                return err_set(err, ERR_RPC, "the client sent an option of %u bytes, %d are allowed", option->length,
                               NBD_MOST_OPTION);
        return nbd_channel_receive(s->channel, option->data, option->length, err);
}

static int greet(NbdSession *s, Error *err)
{
        uint8_t out[18], in[4];
        uint32_t flags;

        store_be64(out, NBD_MAGIC);
        store_be64(out + 8, NBD_OPTION_MAGIC);
        store_be16(out + 16, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
        if (nbd_channel_send(s->channel, &(struct iovec){ .iov_base = out, .iov_len = sizeof(out) }, 1, err) < 0 ||
            nbd_channel_receive(s->channel, in, sizeof(in), err) < 0)
                return -1;
        flags = load_be32(in);
        if (!(flags & NBD_FIXED_NEWSTYLE) || flags & ~(uint32_t)(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES))
                return err_set(err, ERR_RPC, "the client does not haggle in the fixed newstyle (flags 0x%x)", flags);
        s->no_zeroes = flags & NBD_NO_ZEROES;
        return 0;
}

int nbd_haggle(NbdSession *s, NbdHaggled *ret, Error *err)
{
        AUTOFREE Option *option = mem_new(Option);
        bool over = false;

        if (greet(s, err) < 0)
                return -1;
        for (unsigned i = 0; !over; i++) {
                if (i == NBD_MOST_OPTIONS)
                        return err_set(err, ERR_RPC, "the client did not stop haggling");
                if (receive_option(s, option, err) < 0 || answer(s, option, &over, ret, err) < 0)
                        return -1;
        }
        return 0;
}
