/*
 * app/drover-img/cmd-convert.c - convert (IMG-03 to IMG-06, IMG-10)
 */
#include "app/drover-img/command.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/copy.h"

enum { USUAL_SPARSE = 4096 };

typedef struct Args {
        Source source;
        ChainPolicy target;
        const char *format, *backing, *backing_format, *snapshot;
        const char *name; /* of the target; NULL: as its file is called */
        Options options;
        CopyOptions copy;
        bool no_create, show_progress, best, target_opts, bitmaps, skip_broken, offload, sparse_given;
} Args;

static int parse_number(const char *text, const char *what, uint64_t most, uint64_t *ret, Error *err)
{
        if (str_to_u64(text, ret) < 0 || *ret < 1 || *ret > most)
                return err_set(err, ERR_INVALID_ARG,
                               "Invalid number of %s. Allowed number of %s is between 1 and %llu", what, what,
                               (unsigned long long)most);
        return 0;
}

static int parse_sparse(const char *text, Args *args, Error *err)
{
        uint64_t size;

        if (size_from_text(text, "buffer size for sparse output", &size, err) < 0)
                return -1;
        if (size % 512 || size > 16 << 20)
                return err_set(err, ERR_INVALID_ARG,
                               "Invalid buffer size for sparse output specified. Valid sizes are "
                               "multiples of 512 up to 16777216. Select 0 to disable sparse "
                               "detection (fully allocates output).");
        args->copy.sparse = size;
        args->sparse_given = true;
        return 0;
}

static void tell_salvaged(const char *name, uint64_t offset, const Error *why)
{
        complain("warning: cannot read '%s' at offset %llu, zeros take its place: %s", name,
                 (unsigned long long)offset, why->text);
}

static void tell_nothing(const char *name, uint64_t offset, const Error *why)
{
        (void)name, (void)offset, (void)why;
}

/* Where an option that is a switch goes; NULL: it is none. */
static bool *switch_of(int c, Args *args)
{
        switch (c) {
        case 'c':
                return &args->copy.compress;
        case 'p':
                return &args->show_progress;
        case 'n':
                return &args->no_create;
        case 'z':
                return &args->copy.target_is_zero;
        case 'x':
                return &args->best;
        case 'y':
                return &args->target_opts;
        case 'C':
                return &args->offload;
        case 'M':
                return &args->bitmaps;
        case 'K':
                return &args->skip_broken;
        default:
                return NULL;
        }
}

static int parse_option(int c, Args *args, Error *err)
{
        bool *flag = switch_of(c, args);
        uint64_t n;
        int r = source_option(&args->source, c, err);

        if (flag)
                *flag = true;
        if (flag || r)
                return r < 0 ? -1 : 0;
        switch (c) {
        case 'O':
                args->format = optarg;
                return 0;
        case 'B':
        case 'b':
                args->backing = optarg;
                return 0;
        case 'F':
                args->backing_format = optarg;
                return 0;
        case 'o':
                return options_add(&args->options, optarg, err);
        case 'l':
                args->snapshot = str_starts(optarg, "snapshot.id=")     ? optarg + strlen("snapshot.id=")
                                 : str_starts(optarg, "snapshot.name=") ? optarg + strlen("snapshot.name=")
                                                                        : optarg;
                return 0;
        case 'S':
                return parse_sparse(optarg, args, err);
        case 't':
                return policy_set_cache(&args->target, optarg, err);
        case 'm':
                if (parse_number(optarg, "coroutines", 16, &n, err) < 0)
                        return -1;
                args->copy.threads = (unsigned)n;
                return 0;
        case 'r':
                return size_from_text(optarg, "rate limit", &args->copy.rate, err);
        case 'W': /* writes out of order help nobody here: pieces are stored in order, read out of order */
                return 0;
        case 'G':
                args->copy.salvaged = tell_salvaged;
                return 0;
        default:
                return err_set(err, ERR_INVALID_ARG, "an option of convert is not known");
        }
}

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = {
                { "source-format", required_argument, NULL, 'f' },
                { "target-is-zero", no_argument, NULL, 'z' },
                { "target-image-opts", no_argument, NULL, 'y' },
                { "bitmaps", no_argument, NULL, 'M' },
                { "salvage", no_argument, NULL, 'G' },
                { "skip-broken-bitmaps", no_argument, NULL, 'K' },
                { "compress-best", no_argument, NULL, 'x' },
                SOURCE_LONGS,
                { 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "f:O:B:b:F:o:cl:S:pqt:T:nm:r:WUC", longs, NULL)) != -1)
                if (parse_option(c, args, err) < 0)
                        return -1;
        if (options_help_wanted(&args->options))
                return 0;
        if (argc - optind < 2)
                return err_set(err, ERR_INVALID_ARG, "Must specify image file name");
        /* The kernel could be asked to copy; here copies are read and written in any case. */
        if (args->offload && (args->sparse_given || args->copy.compress || args->copy.salvaged))
                return err_set(err, ERR_INVALID_ARG,
                               "Cannot enable copy offloading when -S, -c or --salvage is used");
        if (args->backing_format && !args->backing && !options_find(&args->options, "backing_file"))
                return err_set(err, ERR_INVALID_ARG, "Backing format cannot be used without backing file");
        if (args->skip_broken && !args->bitmaps)
                return err_set(err, ERR_INVALID_ARG, "Use of --skip-broken-bitmaps requires --bitmaps");
        if (args->bitmaps && argc - optind > 2)
                return err_set(err, ERR_INVALID_ARG, "Copying bitmaps only possible with single source");
        if (args->snapshot && argc - optind > 2)
                return err_set(err, ERR_INVALID_ARG, "No support for concatenating multiple snapshot");
        if (args->target_opts && !args->no_create)
                return err_set(err, ERR_INVALID_ARG, "--target-image-opts requires use of -n flag");
        if (args->target_opts && args->format)
                return err_set(err, ERR_INVALID_ARG, "-O format and --target-image-opts cannot be used together");
        if (args->copy.target_is_zero && !args->no_create)
                return err_set(err, ERR_INVALID_ARG, "--target-is-zero requires use of -n flag");
        if (args->no_create && args->options.len)
                return err_set(err, ERR_INVALID_ARG, "warning: -o has no effect when skipping image creation");
        return 0;
}

/* A new target: what it shall be like. */
static int plan(Args *args, ImageFormat format, uint64_t size, ImageCreate *how, Error *err)
{
        ImageFormat known;

        *how = (ImageCreate){ .size = size, .backing_file = args->backing, .backing_format = args->backing_format };
        if (options_apply(&args->options, format, how, err) < 0)
                return -1;
        how->size = size; /* `size=` is taken, and without effect, as with qemu-img */
        if (how->backing_file && !how->backing_format)
                return err_set(err, ERR_INVALID_ARG, "backing format must be specified (-F)");
        if (how->backing_format && image_format_or_protocol(how->backing_format, &known, err) < 0)
                return -1;
        if (args->copy.compress && how->encrypt)
                return err_set(err, ERR_INVALID_ARG, "Compression and encryption not supported at the same time");
        if (args->copy.compress && how->data_file_name)
                return err_set(err, ERR_INVALID_ARG, "Compression and an external data file cannot be used together");
        if (args->copy.compress && how->preallocation != PREALLOCATE_OFF)
                return err_set(err, ERR_INVALID_ARG, "Compression and preallocation not supported at the same time");
        return 0;
}

static Image *open_target(Args *args, const char *path, ImageFormat format, ImageCreate *how, NewImage *made,
                          Error *err)
{
        Source existing = { .format = image_format_name(format), .policy = args->target };
        AUTO(Image) *to = NULL;

        existing.image_opts = args->target_opts;
        if (args->target_opts)
                existing.format = NULL;
        if (args->no_create)
                return source_open(&existing, path, IMAGE_WRITE, err);
        to = new_image_make(made, path, format, how, false, &args->target, err);
        if (!to || (image_is_locked(to) && image_unlock(to, how->luks.secret, err) < 0))
                return NULL;
        args->copy.target_is_zero = how->preallocation == PREALLOCATE_OFF && !how->backing_file &&
                                    !path_is_device(path) && image_is_zero_when_new(to);
        return TAKE(to);
}

/* With -B: only what differs in place is copied, as far as both have the same backing file. */
static int find_common_backing(const Args *args, Image *from, Image *to, const Image **until, Error *err)
{
        AUTOFREE char *wanted = NULL;

        *until = NULL;
        if (!args->backing)
                return 0;
        wanted = image_path_beside(args->name ?: image_name(to), args->backing, err);
        if (!wanted)
                return -1;
        for (Image *below = image_backing(from); below; below = image_backing(below))
                if (str_eq(image_name(below), wanted))
                        *until = below;
        return *until ? 0
                      : err_set(err, ERR_OPERATION_UNSUPPORTED,
                                "the backing file '%s' of the target is not below the source: use rebase afterwards",
                                args->backing);
}

static int copy_all(Args *args, Image **sources, size_t n, Image *to, Progress *progress, Error *err)
{
        uint64_t at = 0;

        for (size_t i = 0; i < n; i++) {
                args->copy.length = image_size(sources[i]);
                args->copy.at = at;
                args->copy.progress = progress_report;
                progress->base = at;
                args->copy.progress_arg = progress;
                if (find_common_backing(args, sources[i], to, &args->copy.until, err) < 0 ||
                    image_copy(sources[i], to, &args->copy, err) < 0)
                        return -1;
                at += image_size(sources[i]);
        }
        return 0;
}

static void tell_skipped(const char *name)
{
        complain("Skipping inconsistent bitmap '%s'", name);
}

/* Before the long copy, what would fail after it. */
static int check_bitmaps(Image *from, Image *to, bool skip_broken, Error *err)
{
        ImageBitmaps list;
        int r = 0;

        if (!image_has_bitmaps(from))
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "Source lacks bitmap support");
        if (!image_has_bitmaps(to))
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "Format driver '%s' does not support bitmaps",
                               image_format_name(image_format(to)));
        if (image_bitmaps(from, &list, err) < 0)
                return -1;
        for (size_t i = 0; i < list.len && r == 0 && !skip_broken; i++)
                if (list.items[i].broken)
                        r = err_set(err, ERR_OPERATION_FAILED,
                                    "Cannot copy inconsistent bitmap '%s'\nTry --skip-broken-bitmaps, or use "
                                    "'drover-img bitmap --remove' to delete it",
                                    list.items[i].name);
        image_bitmaps_done(&list);
        return r;
}

static int convert_to(Args *args, Image **sources, size_t n, const char *path, Error *err)
{
        AUTO(NewImage) made = { 0 };
        AUTO(Image) *to = NULL;
        ImageFormat format;
        ImageCreate how;
        Progress progress;
        uint64_t total = 0;

        for (size_t i = 0; i < n; i++)
                total += image_size(sources[i]);
        if (image_format_from_name(args->format ?: "raw", &format, err) < 0 ||
            plan(args, format, total, &how, err) < 0)
                return -1;
        to = open_target(args, path, format, &how, &made, err);
        if (!to)
                return err_prefix(err, "%s: error while converting %s", path, image_format_name(format));
        if (image_size(to) < total)
                return err_set(err, ERR_INVALID_ARG, "output file is smaller than input file");
        args->copy.compress |= image_must_compress(to);
        if (args->best)
                image_compress_best(to);
        if (args->copy.salvaged && args->source.quiet)
                args->copy.salvaged = tell_nothing;
        progress_begin(&progress, args->show_progress && !args->source.quiet,
                       made.temporary ? "nothing was kept" : "a part of the target has been written");
        progress.whole = total;
        if (args->bitmaps && check_bitmaps(sources[0], to, args->skip_broken, err) < 0)
                return -1;
        if (copy_all(args, sources, n, to, &progress, err) < 0)
                return err_prefix(err, "error while converting %s", path);
        if (args->bitmaps && image_bitmaps_copy(sources[0], to, args->skip_broken ? tell_skipped : NULL, err) < 0)
                return err_prefix(err, "error while converting %s", path);
        if (image_flush(to, err) < 0 || image_close(TAKE(to), err) < 0 || new_image_keep(&made, err) < 0)
                return err_prefix(err, "%s", path);
        progress_end(&progress);
        return 0;
}

static int convert(Args *args, char **names, size_t n, const char *path, Error *err)
{
        Image **sources = mem_new_array(Image *, n);
        Source target = { .image_opts = args->target_opts, .format = args->target_opts ? NULL : args->format ?: "raw" };
        int r = args->no_create ? confine_to_image(&target, path, err)
                                : confine_to_new(path, options_find(&args->options, "data_file"), err);

        /* A new image is written under another name, behind a link in another directory. */
        args->name = args->target_opts ? NULL : path;
        for (size_t i = 0; i < n && r == 0; i++) {
                sources[i] = source_open(&args->source, names[i], 0, err);
                r = sources[i] ? 0 : -1;
                if (r == 0 && args->snapshot)
                        r = image_snapshot_show(sources[i], args->snapshot, err);
        }
        if (r == 0)
                r = convert_to(args, sources, n, path, err);
        for (size_t i = 0; i < n; i++)
                image_free(sources[i]);
        free(sources);
        return r;
}

static int run(int argc, char **argv)
{
        Args args = {
                .source.policy = policy_usual(),
                .target = policy_usual(),
                .copy.sparse = USUAL_SPARSE,
        };
        AUTO(Error) err = { 0 };
        int r;

        args.target.skip_flush = true; /* qemu-img's default too: -t unsafe */
        r = parse(argc, argv, &args, &err);
        if (r == 0 && options_help_wanted(&args.options))
                r = options_help(args.format ?: "raw", optind < argc, &err);
        else if (r == 0)
                r = convert(&args, argv + optind, (size_t)(argc - optind - 1), argv[argc - 1], &err);
        options_done(&args.options);
        return r < 0 ? complain_err(&err) : 0;
}

const Command cmd_convert = {
        .name = "convert",
        .args = "[--object OBJECT] [--image-opts] [--target-image-opts] [-U] [-C] [-n] [--target-is-zero] [--bitmaps [--skip-broken-bitmaps]] [-c [--compress-best]] [-p] [-q] [-f FMT] "
                "[-t CACHE] [-T SRC_CACHE] [-O OUTPUT_FMT] [-B BACKING_FILE [-F BACKING_FMT]] [-o OPTIONS] [-l SNAPSHOT] "
                "[-S SPARSE_SIZE] [-r RATE] [-m THREADS] [-W] [--salvage] [--untrusted] FILENAME [FILENAME2 ...] OUTPUT_FILENAME",
        .summary = "Copy an image into another format",
        .run = run,
};
