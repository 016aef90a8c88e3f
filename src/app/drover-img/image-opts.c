/*
 * app/drover-img/image-opts.c - --image-opts: driver=qcow2,file.filename=/x,encrypt.key-secret=id; or json:{...}
 *
 * One node, and below it what `backing.` says, in place of what its header
 * names.
 */
#include "app/drover-img/command.h"

#include "base/json-write.h"
#include "base/str.h"
#include "img/nbd.h"
#include "img/vvfat.h"

/* Understood, and without a meaning here: files are opened when they are used, and once. */
static const char *const passed_over[] = {
        "node-name",      "read-only",   "auto-read-only", "discard",        "detect-zeroes",
        "force-share",    "file.aio",    "file.locking",   "file.discard",   "file.node-name",
        "cache.no-flush", "file.driver", "encrypt.format", "file.read-only", "cache.direct",
};

static const char *take(Options *options, const char *prefix, const char *name)
{
        AUTOFREE char *whole = str_format("%s%s", prefix, name);

        return options_take(options, whole);
}

static bool has_below(const Options *options, const char *prefix)
{
        for (size_t i = 0; i < options->len; i++)
                if (str_starts(options->items[i].name, prefix))
                        return true;
        return false;
}

static int take_flags(Source *named, Options *options, const char *prefix, Error *err)
{
        const char *direct = take(options, prefix, "cache.direct"),
                   *no_flush = take(options, prefix, "cache.no-flush");
        const char *share = take(options, prefix, "force-share");

        if ((direct && bool_from_text("cache.direct", direct, &named->policy.direct, err) < 0) ||
            (no_flush && bool_from_text("cache.no-flush", no_flush, &named->policy.skip_flush, err) < 0) ||
            (share && bool_from_text("force-share", share, &named->policy.no_locks, err) < 0))
                return -1;
        for (size_t i = 0; i < ARRAY_LEN(passed_over); i++)
                take(options, prefix, passed_over[i]);
        return 0;
}

/* A directory as a disk: driver=vvfat,dir=/x, or driver=raw,file.driver=vvfat,file.dir=/x. */
static Image *open_fat(Options *options, const char *prefix, unsigned flags, Error *err)
{
        const char *directory = take(options, prefix, "dir"), *type = take(options, prefix, "fat-type");
        const char *floppy = take(options, prefix, "floppy"), *writable = take(options, prefix, "rw");
        VvfatOptions how = { .label = take(options, prefix, "label") };
        bool write = flags & IMAGE_WRITE;

        if ((type && str_to_u32(type, &how.fat_bits) < 0) || !directory) {
                err_set(err, ERR_INVALID_ARG, "the image options need %sdir=DIRECTORY, and a number for fat-type",
                        prefix);
                return NULL;
        }
        if ((floppy && bool_from_text("floppy", floppy, &how.floppy, err) < 0) ||
            (writable && bool_from_text("rw", writable, &write, err) < 0))
                return NULL;
        if (write) {
                err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': a directory shown as a disk is read only", directory);
                return NULL;
        }
        return fat_image_open(vvfat_open(directory, &how, err), err);
}

Image *fat_image_open(ImageFile *file, Error *err)
{
        Image *image = file ? image_open(file, IMAGE_FORMAT_RAW, 0, err) : NULL;

        if (!image)
                image_file_close(file);
        return image;
}

/* Encrypted, with the credentials of this id. psk_file: owned by the caller. */
static int add_tls(NbdPlace *place, const char *id, const char *hostname, char **psk_file, Error *err)
{
        const TlsCreds *creds = tls_creds_find(id, false, err);
        bool named = place->host && (!hostname || str_eq(hostname, place->host));

        if (!creds)
                return -1;
        /* The library looks at a certificate together with the host's name, or not at all. */
        if (!creds->psk && creds->verify_peer && !named)
                return err_set(
                        err, ERR_ARGUMENT_UNSUPPORTED,
                        "No hostname for certificate validation: only the name that is connected to by TCP can be "
                        "checked; verify-peer=off takes any certificate");
        if (creds->password || creds->priority)
                return err_set(err, ERR_ARGUMENT_UNSUPPORTED,
                               "a client takes neither a password for its key nor a priority: '%s'", id);
        place->tls = true;
        if (creds->psk) {
                *psk_file = str_format("%s/keys.psk", creds->dir);
                place->tls_psk_file = *psk_file;
                place->tls_user = creds->username ?: "qemu";
        } else {
                place->tls_certificates = creds->dir;
                place->tls_unverified = !creds->verify_peer;
        }
        return 0;
}

/* The server and the export of a node, as a URI. Owned. */
static char *take_nbd(Options *options, const char *prefix, const char *file, Error *err)
{
        AUTOFREE char *whole = str_format("%s%s", prefix, file), *psk_file = NULL;
        const char *type = take(options, whole, "server.type"), *creds = take(options, whole, "tls-creds");
        const char *hostname = take(options, whole, "tls-hostname");
        NbdPlace place = { .host = take(options, whole, "server.host") ?: take(options, whole, "host") };

        place.port = take(options, whole, "server.port") ?: take(options, whole, "port");
        place.path = take(options, whole, "server.path") ?: take(options, whole, "path");
        place.name = take(options, whole, "export");
        if ((place.host != NULL) == (place.path != NULL) || (type && !str_eq(type, place.host ? "inet" : "unix"))) {
                err_set(err, ERR_INVALID_ARG,
                        "the NBD server is to be named by server.type=inet,server.host=,server.port= or "
                        "server.type=unix,server.path=");
                return NULL;
        }
        if (creds && add_tls(&place, creds, hostname, &psk_file, err) < 0)
                return NULL;
        return nbd_uri(&place);
}

/* raw's offset and size below this prefix. */
static int take_part(Source *named, Options *options, const char *prefix, Error *err)
{
        const char *offset = take(options, prefix, "offset"), *size = take(options, prefix, "size");
        ImagePart part = { .has_size = size };

        if (!offset && !size)
                return 0;
        if ((offset && size_from_text(offset, "offset", &part.offset, err) < 0) ||
            (size && size_from_text(size, "size", &part.size, err) < 0))
                return -1;
        named->parts[named->n_parts++] = part;
        return 0;
}

/* Numbers are told as they were written: in JSON as such, else as text. */
static void put_bound(JsonWriter *w, const char *key, const char *value, bool numbers)
{
        if (value && numbers && value[strspn(value, "0123456789")] == '\0')
                json_put_raw(w, key, value);
        else
                json_put_text(w, key, value);
}

/* What was laid out in lines, in one. Owned. */
static char *on_one_line(const char *json)
{
        AUTO(Buf) line = { 0 };

        while (*json) {
                if (*json != '\n') {
                        buf_put_char(&line, *json++);
                        continue;
                }
                if (line.len && buf_text(&line)[line.len - 1] == ',')
                        buf_put_char(&line, ' ');
                json += 1 + strspn(json + 1, " ");
        }
        return str_dup(buf_text(&line));
}

/* A raw disk that is a part of a file, as qemu-img calls it. Owned. */
static char *name_of_part(const Options *options, const char *prefix, const char *path, bool numbers)
{
        AUTOFREE char *offset = str_format("%soffset", prefix), *size = str_format("%ssize", prefix);
        AUTO(JsonWriter) w = { .pretty = true };
        AUTOFREE char *line = NULL;

        json_open_object(&w, NULL);
        put_bound(&w, "offset", options_find(options, offset), numbers);
        json_put_text(&w, "driver", "raw");
        put_bound(&w, "size", options_find(options, size), numbers);
        json_open_object(&w, "file");
        json_put_text(&w, "driver", "file");
        json_put_text(&w, "filename", path);
        json_close_object(&w);
        json_close_object(&w);
        line = on_one_line(json_text(&w));
        return str_format("json:%s", line);
}

/* The file of a node, and what part of it holds the image. *ret: stays that of the options, or is *owned. */
static int take_file(Source *named, Options *options, const char *prefix, const char **ret, char **owned, Error *err)
{
        AUTOFREE char *below = str_format("%sfile.", prefix);
        const char *path = take(options, prefix, "file.filename") ?: take(options, prefix, "filename");
        const char *protocol = take(options, prefix, "file.driver") ?: "file";
        bool is_nbd = str_eq(named->format, "nbd");

        if (str_eq(protocol, "raw")) {
                if (take_part(named, options, below, err) < 0)
                        return -1;
                path = take(options, below, "file.filename") ?: path;
                protocol = take(options, below, "file.driver") ?: "file";
        } else if (is_nbd || str_eq(protocol, "nbd")) {
                path = *owned = take_nbd(options, prefix, is_nbd ? "" : "file.", err);
                if (!path)
                        return -1;
        }
        if (is_nbd)
                named->format = "raw";
        else if (!str_eq(protocol, "nbd") && !image_name_is_protocol(protocol))
                return err_set(err, ERR_ARGUMENT_UNSUPPORTED, "the driver '%s' below an image is not supported",
                               protocol);
        if (!path)
                return err_set(err, ERR_INVALID_ARG, "the image options name no file (%sfile.filename=)", prefix);
        *ret = path;
        return str_eq(named->format, "raw") ? take_part(named, options, prefix, err) : 0;
}

/* The prefix of the options of a directory as a disk. Owned; NULL: this node is none. */
static char *prefix_of_fat(Options *options, const char *prefix, const char *driver)
{
        if (str_eq(driver, "vvfat"))
                return str_dup(prefix);
        if (str_eq(driver, "raw") && str_eq(take(options, prefix, "file.driver"), "vvfat"))
                return str_format("%sfile.", prefix);
        return NULL;
}

static Image *open_node(const Source *source, Options *options, const char *prefix, unsigned flags, bool numbers,
                        Error *err)
{
        AUTOFREE char *below = str_format("%sbacking.", prefix), *uri = NULL, *name = NULL, *fat = NULL;
        const char *secret_id = take(options, prefix, "key-secret") ?: take(options, prefix, "encrypt.key-secret");
        const ImageSecret *secret = secret_id ? secret_find(secret_id, err) : NULL;
        const char *path;
        Source named = *source;
        Image *image, *backing;

        if ((secret_id && !secret) || take_flags(&named, options, prefix, err) < 0)
                return NULL;
        named.format = take(options, prefix, "driver");
        fat = prefix_of_fat(options, prefix, named.format);
        if (fat)
                return open_fat(options, fat, flags, err);
        if (take_file(&named, options, prefix, &path, &uri, err) < 0)
                return NULL;
        if (named.n_parts && !named.format) {
                err_set(err, ERR_INVALID_ARG, "what a part of a file holds is not guessed: driver= is needed");
                return NULL;
        }
        if (named.n_parts == 1 && str_eq(named.format, "raw") && !uri)
                named.name = name = name_of_part(options, prefix, path, numbers);
        if (has_below(options, below))
                named.policy.skip_backing = true;
        image = source_open_file(&named, path, secret, flags, err);
        if (!image || !has_below(options, below) || source->policy.skip_backing)
                return image;
        backing = open_node(source, options, below, 0, numbers, err);
        if (!backing) {
                image_free(image);
                return NULL;
        }
        image_set_backing(image, backing);
        return image;
}

/* The options of an argument: name=value,..., or json:{...}. */
static int parse(const Source *source, const char *text, Options *options, Error *err)
{
        if (!str_starts(text, "json:"))
                return options_add(options, text, err);
        if (json_options_add(options, text + strlen("json:"), err) < 0)
                return err_prefix(err, "Could not parse the JSON options");
        /* -f comes before what they say */
        if (source && source->format && !source->image_opts) {
                Option driver = { .name = str_dup("driver"), .value = str_dup(source->format) };

                vec_push(options, driver);
        }
        return 0;
}

bool image_opts_is_json(const char *argument)
{
        return image_name_is_options(argument);
}

char *image_opts_path(const char *text, char **driver)
{
        AUTO(Options) options = { 0 };

        if (parse(NULL, text, &options, NULL) < 0)
                return NULL;
        if (driver)
                *driver = str_dup(options_find(&options, "driver"));
        return str_dup(options_find(&options, "file.filename")        ?: options_find(&options, "filename")
                       ?: options_find(&options, "file.file.filename"));
}

Image *image_opts_open(const Source *source, const char *text, unsigned flags, Error *err)
{
        AUTO(Options) options = { 0 };
        AUTO(Image) *image = NULL;
        const Option *unused;

        if (parse(source, text, &options, err) < 0)
                return NULL;
        image = open_node(source, &options, "", flags, image_opts_is_json(text), err);
        for (size_t i = 0; i < options.len && source->policy.skip_backing; i++)
                if (str_starts(options.items[i].name, "backing."))
                        options_take(&options, options.items[i].name);
        unused = image ? options_unused(&options) : NULL;
        if (unused) {
                err_set(err, ERR_ARGUMENT_UNSUPPORTED, "the image option '%s' is not supported", unused->name);
                return NULL;
        }
        return image ? TAKE(image) : NULL;
}

Image *image_opts_open_below(const ChainPolicy *policy, const char *text, const char *format, Error *err)
{
        Source source = { .format = format, .headers_only = policy->keep_locked, .policy = *policy };

        return image_opts_open(&source, text, 0, err);
}
