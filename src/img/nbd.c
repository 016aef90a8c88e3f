/*
 * img/nbd.c - files on NBD servers, by libnbd
 *
 * A server that allows it is talked to over several connections, so that the
 * threads of a copy do not wait for each other.
 */
#include "img/nbd.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <libnbd.h>
#include <pthread.h>
#include <stdatomic.h>

enum { MOST_CONNECTIONS = 4, USUAL_REQUEST = 32 << 20, ZERO_REQUEST = 1 << 28, STATUS_REQUEST = 1 << 30 };

/* What is used of the library. */
typedef struct Library {
        __typeof__(&nbd_create) create;
        __typeof__(&nbd_close) close;
        __typeof__(&nbd_get_error) get_error;
        __typeof__(&nbd_get_errno) get_errno;
        __typeof__(&nbd_set_uri_allow_local_file) set_uri_allow_local_file;
        __typeof__(&nbd_add_meta_context) add_meta_context;
        __typeof__(&nbd_set_tls_verify_peer) set_tls_verify_peer;
        __typeof__(&nbd_connect_uri) connect_uri;
        __typeof__(&nbd_shutdown) shutdown;
        __typeof__(&nbd_is_read_only) is_read_only;
        __typeof__(&nbd_can_flush) can_flush;
        __typeof__(&nbd_can_zero) can_zero;
        __typeof__(&nbd_can_multi_conn) can_multi_conn;
        __typeof__(&nbd_can_meta_context) can_meta_context;
        __typeof__(&nbd_get_size) get_size;
        __typeof__(&nbd_get_block_size) get_block_size;
        __typeof__(&nbd_pread) pread;
        __typeof__(&nbd_pwrite) pwrite;
        __typeof__(&nbd_zero) zero;
        __typeof__(&nbd_flush) flush;
        __typeof__(&nbd_block_status) block_status;
} Library;

typedef struct Connection {
        struct nbd_handle *handle;
        pthread_mutex_t lock;
} Connection;

typedef struct NbdFile {
        ImageFile file;
        Library nbd;
        Connection connections[MOST_CONNECTIONS];
        unsigned n_connections;
        atomic_uint next;
        uint64_t size, most; /* most: bytes in a request */
        bool can_flush, can_zero, has_status;
} NbdFile;

static NbdFile *nbd_file(const ImageFile *file)
{
        return container_of(file, NbdFile, file);
}

bool nbd_is_name(const char *name)
{
        return str_starts(name, "nbd:") || str_starts(name, "nbds:") || str_starts(name, "nbd+") ||
               str_starts(name, "nbds+");
}

static void put_escaped(Buf *out, const char *text)
{
        for (; text && *text; text++) {
                if (isalnum((unsigned char)*text) || strchr("-._~", *text))
                        buf_put_char(out, *text);
                else
                        buf_format(out, "%%%02X", (unsigned char)*text);
        }
}

static void put_query(Buf *out, const char *name, const char *value)
{
        if (!value)
                return;
        buf_put_char(out, strchr(buf_text(out), '?') ? '&' : '?');
        buf_format(out, "%s=", name);
        put_escaped(out, value);
}

char *nbd_uri(const NbdPlace *place)
{
        const char *host = place->host;
        AUTO(Buf) out = { 0 };

        buf_format(&out, "nbd%s%s://", place->tls ? "s" : "", host ? "" : "+unix");
        if (place->tls_user) {
                put_escaped(&out, place->tls_user);
                buf_put_char(&out, '@');
        }
        if (host && strchr(host, ':') && host[0] != '[')
                buf_format(&out, "[%s]", host);
        else if (host)
                buf_put_text(&out, host);
        if (host && place->port)
                buf_format(&out, ":%s", place->port);
        buf_put_char(&out, '/');
        put_escaped(&out, place->name);
        put_query(&out, "socket", host ? NULL : place->path);
        put_query(&out, "tls-certificates", place->tls_certificates);
        put_query(&out, "tls-psk-file", place->tls_psk_file);
        put_query(&out, "tls-verify-peer", place->tls_unverified ? "false" : NULL);
        return buf_take(&out);
}

/* nbd:host:port and nbd:unix:path, with :exportname=NAME behind, as QEMU has long written them. */
static char *uri_of_name(const char *name)
{
        AUTOFREE char *rest = NULL;
        char *export_name, *port;

        if (!str_starts(name, "nbd:") || str_starts(name, "nbd://"))
                return str_dup(name);
        rest = str_dup(name + strlen("nbd:"));
        export_name = strstr(rest, ":exportname=");
        if (export_name) {
                *export_name = '\0';
                export_name += strlen(":exportname=");
        }
        if (str_starts(rest, "unix:"))
                return nbd_uri(&(NbdPlace){ .path = rest + strlen("unix:"), .name = export_name });
        port = strrchr(rest, ':');
        if (port)
                *port++ = '\0';
        return nbd_uri(&(NbdPlace){ .host = rest, .port = port, .name = export_name });
}

static int load(Library *nbd, Error *err)
{
        static const struct {
                const char *name;
                size_t at;
        } symbols[] = {
                { "nbd_create", offsetof(Library, create) },
                { "nbd_close", offsetof(Library, close) },
                { "nbd_get_error", offsetof(Library, get_error) },
                { "nbd_get_errno", offsetof(Library, get_errno) },
                { "nbd_set_uri_allow_local_file", offsetof(Library, set_uri_allow_local_file) },
                { "nbd_add_meta_context", offsetof(Library, add_meta_context) },
                { "nbd_set_tls_verify_peer", offsetof(Library, set_tls_verify_peer) },
                { "nbd_connect_uri", offsetof(Library, connect_uri) },
                { "nbd_shutdown", offsetof(Library, shutdown) },
                { "nbd_is_read_only", offsetof(Library, is_read_only) },
                { "nbd_can_flush", offsetof(Library, can_flush) },
                { "nbd_can_zero", offsetof(Library, can_zero) },
                { "nbd_can_multi_conn", offsetof(Library, can_multi_conn) },
                { "nbd_can_meta_context", offsetof(Library, can_meta_context) },
                { "nbd_get_size", offsetof(Library, get_size) },
                { "nbd_get_block_size", offsetof(Library, get_block_size) },
                { "nbd_pread", offsetof(Library, pread) },
                { "nbd_pwrite", offsetof(Library, pwrite) },
                { "nbd_zero", offsetof(Library, zero) },
                { "nbd_flush", offsetof(Library, flush) },
                { "nbd_block_status", offsetof(Library, block_status) },
        };
        void *library = dlopen("libnbd.so.0", RTLD_NOW | RTLD_LOCAL); /* stays for the life of the process */

        if (!library)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "NBD needs the library libnbd: %s", dlerror());
        for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
                void *found = dlsym(library, symbols[i].name);

                if (!found)
                        return err_set(err, ERR_OPERATION_UNSUPPORTED, "libnbd has no %s: it is too old",
                                       symbols[i].name);
                memcpy((char *)nbd + symbols[i].at, &found, sizeof(found));
        }
        return 0;
}

static int failed(const NbdFile *nbd, const char *what, Error *err)
{
        int number = nbd->nbd.get_errno();

        err_set(err, number == ENOSPC ? ERR_OPERATION_FAILED : ERR_SYSTEM, "cannot %s '%s': %s", what, nbd->file.name,
                nbd->nbd.get_error());
        if (err)
                err->number = number;
        return -1;
}

/* One that is free, or the next in turn. */
static Connection *take(NbdFile *nbd)
{
        unsigned first = atomic_fetch_add(&nbd->next, 1);
        Connection *connection;

        for (unsigned i = 0; i < nbd->n_connections; i++) {
                connection = &nbd->connections[(first + i) % nbd->n_connections];
                if (pthread_mutex_trylock(&connection->lock) == 0)
                        return connection;
        }
        connection = &nbd->connections[first % nbd->n_connections];
        pthread_mutex_lock(&connection->lock);
        return connection;
}

static void give_back(Connection *connection)
{
        pthread_mutex_unlock(&connection->lock);
}

static int nbd_file_read(ImageFile *file, uint64_t offset, void *data, size_t n, size_t *done, Error *err)
{
        NbdFile *nbd = nbd_file(file);
        size_t inside = offset >= nbd->size ? 0 : (size_t)MIN(nbd->size - offset, (uint64_t)n);
        Connection *connection;
        int r = 0;

        *done = inside;
        if (!inside)
                return 0;
        connection = take(nbd);
        for (size_t at = 0; at < inside && r == 0;) {
                size_t part = (size_t)MIN(inside - at, nbd->most);

                if (nbd->nbd.pread(connection->handle, (char *)data + at, part, offset + at, 0) < 0)
                        r = failed(nbd, "read from", err);
                at += part;
        }
        give_back(connection);
        return r;
}

static int check_inside(const NbdFile *nbd, uint64_t offset, uint64_t length, Error *err)
{
        if (offset <= nbd->size && length <= nbd->size - offset)
                return 0;
        return err_set(err, ERR_OPERATION_FAILED, "'%s' has %llu bytes, and cannot grow", nbd->file.name,
                       (unsigned long long)nbd->size);
}

static int nbd_file_write(ImageFile *file, uint64_t offset, const void *data, size_t n, Error *err)
{
        NbdFile *nbd = nbd_file(file);
        Connection *connection;
        int r = 0;

        if (check_inside(nbd, offset, n, err) < 0)
                return -1;
        connection = take(nbd);
        for (size_t at = 0; at < n && r == 0;) {
                size_t part = (size_t)MIN(n - at, nbd->most);

                if (nbd->nbd.pwrite(connection->handle, (const char *)data + at, part, offset + at, 0) < 0)
                        r = failed(nbd, "write to", err);
                at += part;
        }
        give_back(connection);
        return r;
}

static int nbd_file_flush(ImageFile *file, Error *err)
{
        NbdFile *nbd = nbd_file(file);
        Connection *connection;
        int r = 0;

        if (!nbd->can_flush)
                return 0;
        connection = take(nbd);
        if (nbd->nbd.flush(connection->handle, 0) < 0)
                r = failed(nbd, "flush", err);
        give_back(connection);
        return r;
}

/* The size is the server's; what fits in it is as good as cut. */
static int nbd_file_truncate(ImageFile *file, uint64_t size, Error *err)
{
        return check_inside(nbd_file(file), 0, size, err);
}

static int nbd_file_zero(ImageFile *file, uint64_t offset, uint64_t length, bool keep, Error *err)
{
        NbdFile *nbd = nbd_file(file);
        Connection *connection;
        int r = 0;

        if (offset >= nbd->size)
                return 0;
        length = MIN(length, nbd->size - offset);
        if (!nbd->can_zero)
                return image_file_write_zeros(file, offset, length, err);
        connection = take(nbd);
        while (length && r == 0) {
                uint64_t part = MIN(length, (uint64_t)ZERO_REQUEST);

                if (nbd->nbd.zero(connection->handle, part, offset, keep ? LIBNBD_CMD_FLAG_NO_HOLE : 0) < 0)
                        r = failed(nbd, "write zeros to", err);
                offset += part;
                length -= part;
        }
        give_back(connection);
        return r;
}

static int nbd_file_reserve(ImageFile *file, uint64_t offset, uint64_t length, Error *err)
{
        return check_inside(nbd_file(file), offset, length, err);
}

typedef struct Status {
        uint64_t length;
        bool zero, ended;
} Status;

/* Runs come in pairs of length and flags; what follows in the same state is one extent. */
static int on_status(void *arg, const char *context, uint64_t offset, uint32_t *pairs, size_t n, int *error)
{
        Status *status = arg;

        (void)offset, (void)error;
        if (!str_eq(context, LIBNBD_CONTEXT_BASE_ALLOCATION))
                return 0;
        for (size_t i = 0; i + 1 < n && !status->ended; i += 2) {
                bool zero = pairs[i + 1] & LIBNBD_STATE_ZERO;

                if (status->length && zero != status->zero) {
                        status->ended = true;
                } else {
                        status->zero = zero;
                        status->length += pairs[i];
                }
        }
        return 0;
}

static int nbd_file_extent(ImageFile *file, uint64_t offset, FileExtentKind *kind, uint64_t *length, Error *err)
{
        NbdFile *nbd = nbd_file(file);
        uint64_t left = nbd->size - offset;
        Connection *connection;
        Status status = { 0 };
        int r;

        if (offset >= nbd->size)
                return err_set(err, ERR_INTERNAL, "offset %llu is behind the end of '%s'", (unsigned long long)offset,
                               file->name);
        *kind = FILE_EXTENT_DATA;
        *length = left;
        if (!nbd->has_status)
                return 0;
        connection = take(nbd);
        r = nbd->nbd.block_status(connection->handle, MIN(left, (uint64_t)STATUS_REQUEST), offset,
                                  (nbd_extent_callback){ .callback = on_status, .user_data = &status }, 0);
        give_back(connection);
        if (r < 0)
                return failed(nbd, "map", err);
        if (status.length) {
                *kind = status.zero ? FILE_EXTENT_HOLE : FILE_EXTENT_DATA;
                *length = MIN(status.length, left);
        }
        return 0;
}

static int nbd_file_size(ImageFile *file, uint64_t *ret, Error *err)
{
        (void)err;
        *ret = nbd_file(file)->size;
        return 0;
}

static void nbd_file_close(ImageFile *file)
{
        NbdFile *nbd = nbd_file(file);

        for (unsigned i = 0; i < nbd->n_connections; i++) {
                nbd->nbd.shutdown(nbd->connections[i].handle, 0);
                nbd->nbd.close(nbd->connections[i].handle);
                pthread_mutex_destroy(&nbd->connections[i].lock);
        }
        free(nbd);
}

static const ImageFileOps nbd_ops = {
        .read = nbd_file_read,
        .write = nbd_file_write,
        .flush = nbd_file_flush,
        .truncate = nbd_file_truncate,
        .zero = nbd_file_zero,
        .reserve = nbd_file_reserve,
        .extent = nbd_file_extent,
        .size = nbd_file_size,
        .close = nbd_file_close,
};

/* What older libraries do not take out of a URI. Returns whether it was there. */
static bool cut(char *uri, const char *query)
{
        char *at = strstr(uri, query);

        if (!at || (at[strlen(query)] && at[strlen(query)] != '&'))
                return false;
        memmove(at, at + strlen(query), strlen(at + strlen(query)) + 1);
        return true;
}

static int connect_one(NbdFile *nbd, const char *name, Error *err)
{
        struct nbd_handle *handle = nbd->nbd.create();
        AUTOFREE char *uri = str_dup(name);

        if (!handle)
                return failed(nbd, "connect to", err);
        nbd->nbd.set_uri_allow_local_file(handle, true); /* certificates that the URI names */
        if (cut(uri, "&tls-verify-peer=false"))
                nbd->nbd.set_tls_verify_peer(handle, false);
        if (nbd->nbd.add_meta_context(handle, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
            nbd->nbd.connect_uri(handle, uri) < 0) {
                failed(nbd, "connect to", err);
                nbd->nbd.close(handle);
                return -1;
        }
        nbd->connections[nbd->n_connections].handle = handle;
        pthread_mutex_init(&nbd->connections[nbd->n_connections].lock, NULL);
        nbd->n_connections++;
        return 0;
}

static int look_around(NbdFile *nbd, Error *err)
{
        struct nbd_handle *handle = nbd->connections[0].handle;
        int64_t size = nbd->nbd.get_size(handle), most = nbd->nbd.get_block_size(handle, LIBNBD_SIZE_MAXIMUM);

        if (size < 0)
                return failed(nbd, "take the size of", err);
        if (nbd->file.writable && nbd->nbd.is_read_only(handle) > 0)
                return err_set(err, ERR_OPERATION_DENIED, "'%s' is exported for reading only", nbd->file.name);
        nbd->size = (uint64_t)size;
        nbd->most = most > 0 ? MIN((uint64_t)most, (uint64_t)USUAL_REQUEST) : USUAL_REQUEST;
        nbd->can_flush = nbd->nbd.can_flush(handle) > 0;
        nbd->can_zero = nbd->nbd.can_zero(handle) > 0;
        nbd->has_status = nbd->nbd.can_meta_context(handle, LIBNBD_CONTEXT_BASE_ALLOCATION) > 0;
        return 0;
}

ImageFile *nbd_file_open(const char *name, unsigned flags, Error *err)
{
        AUTOFREE char *uri = uri_of_name(name);
        NbdFile *nbd;
        Library library;

        if (load(&library, err) < 0)
                return NULL;
        nbd = mem_new(NbdFile);
        nbd->nbd = library;
        nbd->file = (ImageFile){ .ops = &nbd_ops, .name = str_dup(name), .align = 1, .writable = flags & FILE_WRITE };
        if (connect_one(nbd, uri, err) < 0 || look_around(nbd, err) < 0) {
                image_file_close(&nbd->file);
                return NULL;
        }
        while (nbd->n_connections < MOST_CONNECTIONS && nbd->nbd.can_multi_conn(nbd->connections[0].handle) > 0)
                if (connect_one(nbd, uri, NULL) < 0)
                        break; /* the server has enough of us: one is enough too */
        return &nbd->file;
}
