/*
 * app/drover-img/common.c - what the commands share: sentences, sizes, options, opening
 */
#include "app/drover-img/command.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/confine.h"
#include "img/format.h"
#include "img/nbd.h"
#include "img/part.h"
#include "img/vvfat.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

const char *program_name = "drover-img";

static void vremark(const char *before, const char *fmt, va_list ap) PRINTF(2, 0);
static void vremark(const char *before, const char *fmt, va_list ap)
{
        AUTOFREE char *text = str_vformat(fmt, ap), *shown = str_printable(text, "\n");

        fprintf(stderr, "%s%s\n", before, shown);
}

void remark(const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        vremark("", fmt, ap);
        va_end(ap);
}

int complain(const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        fprintf(stderr, "%s: ", program_name);
        vremark("", fmt, ap);
        va_end(ap);
        return 1;
}

void print_named(const char *before, const char *name, const char *after)
{
        AUTOFREE char *shown = str_printable(name, "");

        printf("%s%s%s", before, shown, after);
}

int complain_err(const Error *err)
{
        return complain("%s", err->text ? err->text : "unknown error");
}

int complain_usage(const char *command)
{
        fprintf(stderr, "Try 'drover-img --help' for more information about %s\n", command);
        return 1;
}

static int status_of_lost_page;

static void on_lost_page(int number)
{
        static const char text[] =
                "drover-img: an image was cut short, or could not be read, while it was looked at\n";
        ssize_t said = write(STDERR_FILENO, text, sizeof(text) - 1);

        (void)number, (void)said;
        _exit(status_of_lost_page);
}

void complain_of_lost_pages(int status)
{
        status_of_lost_page = status;
        sigaction(SIGBUS, &(struct sigaction){ .sa_handler = on_lost_page }, NULL);
}

int size_from_text(const char *text, const char *what, uint64_t *ret, Error *err)
{
        static const char suffixes[] = "BKMGTPE";
        const char *suffix, *found;
        char *end;
        double value;
        uint64_t whole, factor = 1;

        errno = 0;
        value = strtod(text, &end);
        suffix = end;
        if (end == text || !isdigit((unsigned char)text[0]) || strpbrk(text, "xXnN") || errno)
                return err_set(err, ERR_INVALID_ARG,
                               "Invalid %s specified. Must be a number with an optional suffix b, k, M, G, T, P or E",
                               what);
        if (*suffix) {
                found = strchr(suffixes, toupper((unsigned char)*suffix));
                if (!found || suffix[1])
                        return err_set(
                                err, ERR_INVALID_ARG,
                                "Invalid %s specified. You may use k, M, G, T, P or E "
                                "suffixes for kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.",
                                what);
                factor = 1ULL << 10 * (found - suffixes);
        }
        /* Whole numbers stay exact. */
        errno = 0;
        whole = strtoull(text, &end, 10);
        if (end == suffix && !errno) {
                if (whole > INT64_MAX / factor)
                        return err_set(err, ERR_OVERFLOW, "Image size must be less than 8 EiB!");
                *ret = whole * factor;
                return 0;
        }
        if (value * (double)factor >= 9.2e18)
                return err_set(err, ERR_OVERFLOW, "Image size must be less than 8 EiB!");
        *ret = (uint64_t)(value * (double)factor);
        return 0;
}

const char *size_to_text(uint64_t bytes, char ret[32])
{
        static const char *const units[] = { "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
        int exponent, i;

        /* The switch to the next unit comes at 1000 of the last one. */
        frexp((double)bytes / (1000.0 / 1024.0), &exponent);
        i = exponent > 0 ? (exponent - 1) / 10 : 0;
        snprintf(ret, 32, "%0.3g %sB", (double)bytes / (double)(1ULL << (i * 10)), units[i]);
        return ret;
}

ChainPolicy policy_usual(void)
{
        return (ChainPolicy){ .probe_unnamed = true,
                              .may_connect = true,
                              .whole_sectors = true,
                              .open_options = image_opts_open_below };
}

int policy_set_cache(ChainPolicy *policy, const char *mode, Error *err)
{
        if (!str_eq(mode, "none") && !str_eq(mode, "off") && !str_eq(mode, "writeback") &&
            !str_eq(mode, "writethrough") && !str_eq(mode, "directsync") && !str_eq(mode, "unsafe"))
                return err_set(err, ERR_INVALID_ARG, "Invalid cache option: %s", mode);
        policy->direct = str_eq(mode, "none") || str_eq(mode, "off") || str_eq(mode, "directsync");
        policy->sync = str_eq(mode, "writethrough") || str_eq(mode, "directsync");
        policy->skip_flush = str_eq(mode, "unsafe");
        return 0;
}

int source_format(const Source *source, const char *path, bool write, ImageFormat *ret, Error *err)
{
        AUTO(ImageFile) *file = NULL;

        if (source->format)
                return image_format_or_protocol(source->format, ret, err);
        file = image_file_open(path, 0, err);
        if (!file || image_probe(file, ret, err) < 0)
                return -1;
        if (*ret == IMAGE_FORMAT_RAW && write)
                remark("WARNING: Image format was not specified for '%s' and probing guessed raw.\n"
                       "         Automatically detecting the format is dangerous for raw images, write operations on "
                       "block 0 will be restricted.\n"
                       "         Specify the 'raw' format explicitly to remove the restrictions.",
                       path);
        return 0;
}

int output_option(const char *text, bool *json, Error *err)
{
        *json = str_eq(text, "json");
        if (!*json && !str_eq(text, "human"))
                return err_set(err, ERR_INVALID_ARG, "--output must be used with human or json as argument.");
        return 0;
}

int source_next(Source *source, int argc, char **argv, const char *shorts, const struct option *longs, int *ret,
                Error *err)
{
        int r = 1;

        while (r > 0) {
                *ret = getopt_long(argc, argv, shorts, longs, NULL);
                if (*ret == -1)
                        return 0;
                r = source_option(source, *ret, err);
        }
        return r < 0 ? -1 : 1;
}

int source_option(Source *source, int c, Error *err)
{
        switch (c) {
        case 'f':
                source->format = optarg;
                return 1;
        case 'T':
                return policy_set_cache(&source->policy, optarg, err) < 0 ? -1 : 1;
        case 'q':
                source->quiet = true;
                return 1;
        case 'U':
                source->policy.no_locks = true;
                return 1;
        case 'i':
                source->image_opts = true;
                return 1;
        case 'V':
                source->policy.untrusted = true;
                return 1;
        case 'j':
                return object_add(optarg, err) < 0 ? -1 : 1;
        default:
                return 0;
        }
}

/* The content of an encrypted image is asked for: its password, or why there is none. */
static int unlock(Image *image, const ImageSecret *secret, Error *err)
{
        if (!image_is_locked(image))
                return 0;
        if (secret)
                return image_unlock(image, secret, err);
        return err_set(err, ERR_INVALID_ARG, "Parameter '%skey-secret' is required for cipher",
                       image_format(image) == IMAGE_FORMAT_LUKS ? "" : "encrypt.");
}

/* The file, or the part of it that is wanted. */
static ImageFile *open_part(const Source *source, const char *path, unsigned flags, Error *err)
{
        ImageFile *file = image_chain_file(path, flags & IMAGE_WRITE ? FILE_WRITE : 0, &source->policy, err), *part;

        for (size_t i = 0; file && i < source->n_parts; i++) {
                part = image_part_open(file, &source->parts[i], err);
                if (!part)
                        image_file_close(file);
                file = part;
        }
        if (file && source->name)
                str_replace(&file->name, source->name);
        return file;
}

Image *source_open_file(const Source *source, const char *path, const ImageSecret *secret, unsigned flags, Error *err)
{
        AUTO(Image) *image = NULL;
        ChainPolicy policy = source->policy;
        ImageFormat format;
        ImageFile *file;
        int r = 0;

        if (source_format(source, path, flags & IMAGE_WRITE, &format, err) < 0)
                return NULL;
        policy.keep_locked |= source->headers_only;
        file = open_part(source, path, flags, err);
        image = file ? image_chain_open_file(file, format, flags, &policy, err) : NULL;
        if (image && source->format && image_name_is_protocol(source->format))
                r = image_set_protocol(image, source->format, err);
        for (Image *each = image; each && r == 0 && !source->headers_only; each = image_backing(each))
                r = unlock(each, each == image ? secret : NULL, err);
        if (image && r == 0)
                return TAKE(image);
        if (err && !str_starts(err->text, "Could not open"))
                err_prefix(err, "Could not open '%s'", path);
        return NULL;
}

Image *source_open(const Source *source, const char *argument, unsigned flags, Error *err)
{
        AUTOFREE char *path = NULL;

        if (source->image_opts && source->format) {
                err_set(err, ERR_INVALID_ARG, "--image-opts and --format are mutually exclusive");
                return NULL;
        }
        if (source->image_opts || image_opts_is_json(argument))
                return image_opts_open(source, argument, flags, err);
        if (str_starts(argument, "fat:")) {
                if (!source->format || str_eq(source->format, "raw") || str_eq(source->format, "vvfat"))
                        return fat_image_open(vvfat_open_name(argument, err), err);
                err_set(err, ERR_INVALID_ARG, "'%s' is a raw disk, not %s", argument, source->format);
                return NULL;
        }
        path = image_path_beside("", argument, err);
        return path ? source_open_file(source, path, NULL, flags, err) : NULL;
}

char *directory_of(const char *path)
{
        const char *slash = strrchr(path, '/');

        if (!slash)
                return str_dup(".");
        return str_dup_n(path, slash == path ? 1 : (size_t)(slash - path));
}

/* The command line names an NBD server. */
static bool network;

void confine_look_at(int argc, char **argv)
{
        for (int i = 0; i < argc; i++)
                network |= nbd_is_name(argv[i]) || strstr(argv[i], "=nbd") ||
                           (image_opts_is_json(argv[i]) && strstr(argv[i], "nbd"));
}

int confine(const char *const *writable, Error *err)
{
        return image_confine(&(Confinement){ .may_open = true, .writable = writable, .network = network }, err);
}

char **places_of_image(const Source *source, const char *argument, Error *err)
{
        bool opts = source->image_opts || image_opts_is_json(argument);
        AUTOFREE char *driver = NULL;
        AUTOFREE char *path = opts ? image_opts_path(argument, &driver) : image_path_beside("", argument, err);
        AUTO_STRLIST data = NULL;
        char **ret;
        size_t n = 0;

        if (!path && !opts)
                return NULL;
        data = data_places(source, path, opts ? driver : source->format);
        ret = mem_new_array(char *, 3 + (data ? str_list_len(data) : 0));
        if (path && !nbd_is_name(path)) {
                ret[n++] = directory_of(path);
                ret[n++] = str_dup(path);
        }
        for (char **each = data; each && *each; each++)
                ret[n++] = TAKE(*each);
        free(TAKE(data));
        return ret;
}

int confine_to_image(const Source *source, const char *argument, Error *err)
{
        AUTO_STRLIST places = places_of_image(source, argument, err);

        return places ? confine((const char *const *)places, err) : -1;
}

int confine_to_new(const char *path, const char *data_file, Error *err)
{
        AUTOFREE char *data = data_file ? image_path_beside("", data_file, err) : NULL;
        AUTOFREE char *real = path_behind_links(path), *real_data = data ? path_behind_links(data) : NULL;
        AUTOFREE char *dir = directory_of(path), *real_dir = directory_of(real);
        AUTOFREE char *data_dir = real_data ? directory_of(real_data) : NULL;

        if (data_file && !data)
                return -1;
        return confine((const char *[]){ dir, path, real_dir, data_dir, NULL }, err);
}
