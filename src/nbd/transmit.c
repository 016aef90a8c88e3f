/*
 * nbd/transmit.c - requests and their answers
 *
 * The threads of a connection take turns: one receives a request, gives the
 * right to receive on, works, and sends its answer. So requests overtake each
 * other, as the protocol has it, and nothing is handed from thread to thread.
 */
#include "nbd/session.h"

#include "base/mem.h"
#include "img/bytes.h"
#include "img/file.h"

#include <pthread.h>

enum {
        INPUT_SIZE = 16 << 10,
        HEADER_SIZE = 28,
        KEPT_BUFFER = 1 << 20,  /* a thread keeps memory of this size between requests */
        SPARSE_FROM = 64 << 10, /* smaller reads are not looked at for holes */
        READ_STEP = 1 << 20,    /* of a read that is answered in chunks */
};

typedef struct Request {
        uint16_t flags, type;
        uint64_t handle, offset;
        uint32_t length;
        int refused; /* the answer, found before any work */
} Request;

typedef struct Transmission {
        NbdSession *session;
        NbdExport *export;
        pthread_mutex_t receiving; /* guards what follows, and the channel's one end */
        uint8_t input[INPUT_SIZE];
        size_t from, to;         /* what of it was received and not taken */
        bool over;               /* nobody receives any more */
        Error failure;           /* why, unless the client said good bye */
        pthread_mutex_t sending; /* guards these two */
        bool unsendable;
        Error unsent;           /* why */
        pthread_mutex_t memory; /* guards held */
        pthread_cond_t freed;
        size_t held;
} Transmission;

/* What one thread works with. */
typedef struct Worker {
        Transmission *t;
        uint8_t *data; /* owned; room bytes */
        size_t room, held;
} Worker;

/* --- memory --- */

static void memory_give_back(Worker *w)
{
        Transmission *t = w->t;

        if (w->room > KEPT_BUFFER) {
                free(w->data);
                w->data = NULL;
                w->room = 0;
        }
        if (!w->held)
                return;
        pthread_mutex_lock(&t->memory);
        t->held -= w->held;
        pthread_cond_broadcast(&t->freed);
        pthread_mutex_unlock(&t->memory);
        w->held = 0;
}

/* Room for n bytes in w->data; false: there is none. Waits for other requests of the connection to end. */
static bool memory_take(Worker *w, size_t n)
{
        Transmission *t = w->t;

        if (n > KEPT_BUFFER) {
                pthread_mutex_lock(&t->memory);
                while (t->held && t->held + n > NBD_MOST_HELD)
                        pthread_cond_wait(&t->freed, &t->memory);
                t->held += n;
                pthread_mutex_unlock(&t->memory);
                w->held = n;
        }
        if (w->data && w->room >= n)
                return true;
        free(w->data);
        w->room = MAX(n, (size_t)SPARSE_FROM);
        w->data = image_buffer_try(w->room);
        if (!w->data)
                w->room = 0;
        return w->data;
}

/* --- receiving; the right to is held --- */

static int take_input(Transmission *t, void *data, size_t n, Error *err)
{
        size_t there = MIN(t->to - t->from, n);

        memcpy(data, t->input + t->from, there);
        t->from += there;
        t->session->channel->expecting = true;
        /* What is long goes to its place at once. */
        return n > there ? nbd_channel_receive(t->session->channel, (uint8_t *)data + there, n - there, err) : 0;
}

static int fill_input(Transmission *t, size_t least, Error *err)
{
        if (t->from == t->to)
                t->from = t->to = 0;
        if (t->from + least > INPUT_SIZE) {
                memmove(t->input, t->input + t->from, t->to - t->from);
                t->to -= t->from;
                t->from = 0;
        }
        while (t->to - t->from < least) {
                NbdChannel *channel = t->session->channel;
                size_t done;

                channel->expecting = t->to > t->from;
                if (channel->ops->receive(channel, t->input + t->to, INPUT_SIZE - t->to, &done, err) < 0)
                        return -1;
                if (done == 0)
                        return err_set(err, ERR_OPERATION_ABORTED, "the client has closed the connection");
                t->to += done;
        }
        return 0;
}

static int pass_over(Transmission *t, uint32_t n, Error *err)
{
        uint8_t scratch[4096];

        while (n) {
                uint32_t step = MIN(n, (uint32_t)sizeof(scratch));

                if (take_input(t, scratch, step, err) < 0)
                        return -1;
                n -= step;
        }
        return 0;
}

/* What is wrong with it, or 0. */
static int judge(const Transmission *t, const Request *r)
{
        static const uint16_t flags[] = {
                [NBD_CMD_READ] = NBD_FLAG_DF,
                [NBD_CMD_WRITE] = NBD_FLAG_FUA,
                [NBD_CMD_FLUSH] = 0,
                [NBD_CMD_TRIM] = NBD_FLAG_FUA,
                [NBD_CMD_CACHE] = 0,
                [NBD_CMD_WRITE_ZEROES] = NBD_FLAG_FUA | NBD_FLAG_NO_HOLE | NBD_FLAG_FAST_ZERO,
                [NBD_CMD_BLOCK_STATUS] = NBD_FLAG_REQ_ONE,
        };
        const NbdExport *export = t->export;
        bool changes = r->type == NBD_CMD_WRITE || r->type == NBD_CMD_TRIM || r->type == NBD_CMD_WRITE_ZEROES;
        /* Sent with any command by some clients, it asks for nothing there. */
        uint16_t known = r->type < ARRAY_LEN(flags) ? flags[r->type] | NBD_FLAG_FUA : 0;

        if (r->type >= ARRAY_LEN(flags) || r->flags & ~known)
                return NBD_EINVAL;
        if (r->flags & NBD_FLAG_DF && !t->session->structured)
                return NBD_EINVAL;
        if (changes && export->read_only)
                return NBD_EPERM;
        if (r->type == NBD_CMD_FLUSH)
                return 0;
        if (r->offset > export->size || r->length > export->size - r->offset)
                return changes ? NBD_ENOSPC : NBD_EINVAL;
        if (r->type == NBD_CMD_READ && r->length > NBD_MOST_PAYLOAD)
                return NBD_EINVAL;
        if (r->type == NBD_CMD_BLOCK_STATUS && (!t->session->contexts || !r->length))
                return NBD_EINVAL;
        return 0;
}

/* 1: a request, its payload in w->data; 0: the client says good bye; -1: it broke the rules or is gone. */
static int receive(Worker *w, Request *r, Error *err)
{
        Transmission *t = w->t;
        const uint8_t *head;

        if (fill_input(t, HEADER_SIZE, err) < 0)
                return -1;
        head = t->input + t->from;
        t->from += HEADER_SIZE;
        if (load_be32(head) != NBD_REQUEST_MAGIC)
                return err_set(err, ERR_RPC, "the client sent something else than a request");
        *r = (Request){ .flags = load_be16(head + 4), .type = load_be16(head + 6) };
        memcpy(&r->handle, head + 8, sizeof(r->handle)); /* goes back as it is */
        r->offset = load_be64(head + 16);
        r->length = load_be32(head + 24);
        if (r->type == NBD_CMD_DISC)
                return 0;
        r->refused = judge(t, r);
        if (r->type != NBD_CMD_WRITE)
                return 1;
        if (r->length > NBD_MOST_PAYLOAD)
                return err_set(err, ERR_RPC, "the client wants to write %u bytes at once, %d are allowed", r->length,
                               NBD_MOST_PAYLOAD);
        if (!r->refused && !memory_take(w, r->length))
                r->refused = NBD_ENOMEM;
        if (r->refused)
                return pass_over(t, r->length, err) < 0 ? -1 : 1;
        return take_input(t, w->data, r->length, err) < 0 ? -1 : 1;
}

/* --- sending --- */

static int send_parts(Transmission *t, struct iovec *parts, unsigned n)
{
        int r = -1;

        pthread_mutex_lock(&t->sending);
        if (!t->unsendable)
                r = nbd_channel_send(t->session->channel, parts, n, &t->unsent);
        t->unsendable |= r < 0;
        pthread_mutex_unlock(&t->sending);
        return r;
}

static int send_simple(Transmission *t, const Request *r, int error, void *data, size_t n)
{
        uint8_t head[16];
        struct iovec parts[] = { { head, sizeof(head) }, { data, n } };

        store_be32(head, NBD_SIMPLE_MAGIC);
        store_be32(head + 4, (uint32_t)error);
        memcpy(head + 8, &r->handle, sizeof(r->handle));
        return send_parts(t, parts, n ? 2 : 1);
}

/* A chunk; what follows the head of its kind is in more. */
static int send_chunk(Transmission *t, const Request *r, uint16_t flags, uint16_t type, const void *inner,
                      size_t inner_n, const void *more, size_t more_n)
{
        uint8_t head[20];
        struct iovec parts[] = { { head, sizeof(head) }, { (void *)inner, inner_n }, { (void *)more, more_n } };

        store_be32(head, NBD_CHUNK_MAGIC);
        store_be16(head + 4, flags);
        store_be16(head + 6, type);
        memcpy(head + 8, &r->handle, sizeof(r->handle));
        store_be32(head + 16, (uint32_t)(inner_n + more_n));
        return send_parts(t, parts, more_n ? 3 : inner_n ? 2 : 1);
}

static int send_error(Transmission *t, const Request *r, int error)
{
        uint8_t inner[6] = { 0 };

        if (!t->session->structured)
                return send_simple(t, r, error, NULL, 0);
        store_be32(inner, (uint32_t)error);
        return send_chunk(t, r, NBD_CHUNK_DONE, NBD_CHUNK_ERROR, inner, sizeof(inner), NULL, 0);
}

/* --- working --- */

static int read_whole(Worker *w, const Request *r)
{
        Transmission *t = w->t;
        uint8_t at[8];
        int error;

        if (!memory_take(w, r->length))
                return send_error(t, r, NBD_ENOMEM);
        error = nbd_export_read(t->export, r->offset, w->data, r->length);
        if (error)
                return send_error(t, r, error);
        if (!t->session->structured)
                return send_simple(t, r, 0, w->data, r->length);
        store_be64(at, r->offset);
        return send_chunk(t, r, NBD_CHUNK_DONE, r->length ? NBD_CHUNK_DATA : NBD_CHUNK_NONE, at, r->length ? 8 : 0,
                          w->data, r->length);
}

/* In chunks: holes are named, and no more than a step is in memory. */
static int read_in_chunks(Worker *w, const Request *r)
{
        Transmission *t = w->t;

        for (uint32_t at = 0; at < r->length;) {
                uint8_t inner[12];
                size_t run;
                bool zero;
                int error = nbd_export_run(t->export, r->offset + at, r->length - at, &zero, &run);
                uint16_t last;

                run = zero ? run : MIN(run, (size_t)READ_STEP);
                if (!error && !zero)
                        error = memory_take(w, run) ? nbd_export_read(t->export, r->offset + at, w->data, run)
                                                    : NBD_ENOMEM;
                if (error)
                        return send_error(t, r, error);
                last = at + run == r->length ? NBD_CHUNK_DONE : 0;
                store_be64(inner, r->offset + at);
                store_be32(inner + 8, (uint32_t)run);
                if (zero ? send_chunk(t, r, last, NBD_CHUNK_HOLE, inner, 12, NULL, 0)
                         : send_chunk(t, r, last, NBD_CHUNK_DATA, inner, 8, w->data, run))
                        return -1;
                at += (uint32_t)run;
        }
        return 0;
}

static int tell_status(Worker *w, const Request *r)
{
        Transmission *t = w->t;
        uint64_t left = t->session->contexts;

        for (unsigned id = 0; left; id++) {
                NbdExtents extents;
                uint8_t number[4];
                int sent, error;

                if (!(left >> id & 1))
                        continue;
                left &= left - 1;
                error = nbd_export_status(t->export, id, r->offset, r->length,
                                          r->flags & NBD_FLAG_REQ_ONE ? 1 : NBD_MOST_EXTENTS, &extents);
                if (error)
                        return send_error(t, r, error);
                store_be32(number, id);
                for (size_t i = 0; i < extents.len; i++) {
                        NbdExtent *e = &extents.items[i];

                        *e = (NbdExtent){ __builtin_bswap32(e->length), __builtin_bswap32(e->flags) };
                }
                sent = send_chunk(t, r, left ? 0 : NBD_CHUNK_DONE, NBD_CHUNK_STATUS, number, sizeof(number),
                                  extents.items, extents.len * sizeof(NbdExtent));
                vec_done(&extents);
                if (sent < 0)
                        return -1;
        }
        return 0;
}

static int do_plain(Worker *w, const Request *r)
{
        NbdExport *export = w->t->export;
        bool fua = r->flags & NBD_FLAG_FUA;

        switch (r->type) {
        case NBD_CMD_WRITE:
                return nbd_export_write(export, r->offset, w->data, r->length, fua);
        case NBD_CMD_FLUSH:
                return nbd_export_flush(export);
        case NBD_CMD_TRIM:
                return nbd_export_trim(export, r->offset, r->length, fua);
        case NBD_CMD_CACHE:
                return nbd_export_cache(export, r->offset, r->length);
        default:
                return nbd_export_zero(export, r->offset, r->length, r->flags);
        }
}

/* -1: the answer cannot be sent. */
static int work(Worker *w, const Request *r)
{
        Transmission *t = w->t;
        int error = r->refused;

        if (!error && r->type == NBD_CMD_READ)
                return t->session->structured && !(r->flags & NBD_FLAG_DF) && r->length >= SPARSE_FROM
                               ? read_in_chunks(w, r)
                               : read_whole(w, r);
        if (!error && r->type == NBD_CMD_BLOCK_STATUS)
                return tell_status(w, r);
        if (!error)
                error = do_plain(w, r);
        return error ? send_error(t, r, error) : send_simple(t, r, 0, NULL, 0);
}

static void *run(void *arg)
{
        Transmission *t = arg;
        Worker w = { .t = t };
        bool over = false;

        while (!over) {
                AUTO(Error) why = { 0 };
                Request request;
                int r = 0;

                pthread_mutex_lock(&t->receiving);
                if (!t->over)
                        r = receive(&w, &request, &why);
                if (r < 0 && !t->over)
                        err_move(&t->failure, &why);
                t->over |= r <= 0;
                over = r <= 0;
                pthread_mutex_unlock(&t->receiving);
                if (!over && work(&w, &request) < 0)
                        over = true; /* nobody hears answers any more */
                memory_give_back(&w);
        }
        free(w.data);
        return NULL;
}

int nbd_transmit(NbdSession *session, unsigned threads, Error *err)
{
        AUTOFREE Transmission *t = mem_new(Transmission);
        pthread_t others[NBD_MOST_THREADS];
        unsigned n = 0;

        t->session = session;
        t->export = session->export;
        session->channel->deadline_ms = 0;
        pthread_mutex_init(&t->receiving, NULL);
        pthread_mutex_init(&t->sending, NULL);
        pthread_mutex_init(&t->memory, NULL);
        pthread_cond_init(&t->freed, NULL);
        while (n + 1 < MIN(threads, (unsigned)NBD_MOST_THREADS) && pthread_create(&others[n], NULL, run, t) == 0)
                n++;
        run(t);
        while (n)
                pthread_join(others[--n], NULL);
        pthread_cond_destroy(&t->freed);
        pthread_mutex_destroy(&t->memory);
        pthread_mutex_destroy(&t->sending);
        pthread_mutex_destroy(&t->receiving);
        /* A connection that was shut down for what could not be sent ends for the receiving thread too. */
        if (t->unsent.code == ERR_OPERATION_TIMEOUT) {
                err_done(&t->failure);
                return err_move(err, &t->unsent);
        }
        err_done(&t->unsent);
        return err_is_set(&t->failure) ? err_move(err, &t->failure) : 0;
}
