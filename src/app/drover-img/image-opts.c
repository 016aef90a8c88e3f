/*
 * app/drover-img/image-opts.c - --image-opts: driver=qcow2,file.filename=/x,encrypt.key-secret=id; or json:{...}
 *
 * One node, and below it what `backing.` says, in place of what its header
 * names.
 */
#include "app/drover-img/command.h"

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

static Image *open_node(const Source *source, Options *options, const char *prefix, unsigned flags, Error *err)
{
        AUTOFREE char *below = str_format("%sbacking.", prefix);
        const char *secret_id = take(options, prefix, "key-secret") ?: take(options, prefix, "encrypt.key-secret");
        const char *path = take(options, prefix, "file.filename") ?: take(options, prefix, "filename");
        const char *protocol = take(options, prefix, "file.driver") ?: "file";
        const ImageSecret *secret = secret_id ? secret_find(secret_id, err) : NULL;
        Source named = *source;
        AUTOFREE char *uri = NULL;
        Image *image, *backing;

        if ((secret_id && !secret) || take_flags(&named, options, prefix, err) < 0)
                return NULL;
        named.format = take(options, prefix, "driver");
        if (str_eq(named.format, "vvfat"))
                return open_fat(options, prefix, flags, err);
        if (str_eq(named.format, "raw") && str_eq(protocol, "vvfat")) {
                AUTOFREE char *inner = str_format("%sfile.", prefix);

                return open_fat(options, inner, flags, err);
        }
        if (str_eq(named.format, "file") || str_eq(named.format, "host_device"))
                named.format = "raw";
        if (str_eq(named.format, "nbd") || str_eq(protocol, "nbd")) {
                uri = take_nbd(options, prefix, str_eq(named.format, "nbd") ? "" : "file.", err);
                if (!uri)
                        return NULL;
                path = uri;
                if (str_eq(named.format, "nbd"))
                        named.format = "raw";
        } else if (!str_eq(protocol, "file") && !str_eq(protocol, "host_device")) {
                err_set(err, ERR_ARGUMENT_UNSUPPORTED, "the driver '%s' below an image is not supported", protocol);
                return NULL;
        }
        if (!path) {
                err_set(err, ERR_INVALID_ARG, "the image options name no file (%sfile.filename=)", prefix);
                return NULL;
        }
        if (has_below(options, below))
                named.policy.skip_backing = true;
        image = source_open_file(&named, path, secret, flags, err);
        if (!image || !has_below(options, below) || source->policy.skip_backing)
                return image;
        backing = open_node(source, options, below, 0, err);
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
        return str_starts(argument, "json:");
}

char *image_opts_path(const char *text, char **driver)
{
        AUTO(Options) options = { 0 };

        if (parse(NULL, text, &options, NULL) < 0)
                return NULL;
        if (driver)
                *driver = str_dup(options_find(&options, "driver"));
        return str_dup(options_find(&options, "file.filename") ?: options_find(&options, "filename"));
}

Image *image_opts_open(const Source *source, const char *text, unsigned flags, Error *err)
{
        AUTO(Options) options = { 0 };
        AUTO(Image) *image = NULL;
        const Option *unused;

        if (parse(source, text, &options, err) < 0)
                return NULL;
        image = open_node(source, &options, "", flags, err);
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
