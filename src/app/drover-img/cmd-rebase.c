/*
 * app/drover-img/cmd-rebase.c - change the backing file (IMG-15 to IMG-19)
 */
#include "app/drover-img/command.h"

#include "base/str.h"
#include "img/rebase.h"

typedef struct Args {
        Source source;
        const char *backing, *backing_format;
        bool unsafe, show_progress;
} Args;

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = { SOURCE_LONGS, { 0 } };
        int c;

        while ((c = getopt_long(argc, argv, "f:F:b:upt:T:qU", longs, NULL)) != -1) {
                int r = c == 't'   ? policy_set_cache(&args->source.policy, optarg, err)
                        : c == 'T' ? policy_set_cache(&(ChainPolicy){ 0 }, optarg, err)
                                   : source_option(&args->source, c, err);

                if (r < 0)
                        return -1;
                if (r || c == 't' || c == 'T')
                        continue;
                switch (c) {
                case 'F':
                        args->backing_format = optarg;
                        break;
                case 'b':
                        args->backing = optarg;
                        break;
                case 'u':
                        args->unsafe = true;
                        break;
                case 'p':
                        args->show_progress = true;
                        break;
                default:
                        return err_set(err, ERR_INVALID_ARG, "an option of rebase is not known");
                }
        }
        if (optind + 1 != argc)
                return err_set(err, ERR_INVALID_ARG, "Expecting one image file name");
        return args->backing
                       ? 0
                       : err_set(err, ERR_INVALID_ARG, "Must specify backing file (-b) or use simple rebase mode");
}

/* What the guest sees stays: store what only the old backing file shows. */
static int move_content(const Args *args, Image *image, Error *err)
{
        AUTO(Image) *onto = NULL;
        AUTOFREE char *path = NULL;
        Source below = { .format = args->backing_format, .policy = args->source.policy };
        Progress progress;

        if (*args->backing) {
                path = image_path_beside(image_name(image), args->backing, err);
                onto = path ? source_open(&below, path, 0, err) : NULL;
                if (!onto)
                        return err_prefix(err, "Could not open new backing file '%s'", args->backing);
        }
        progress_begin(&progress, args->show_progress && !args->source.quiet,
                       "the image shows what it did, on the backing file that it had");
        if (image_rebase(image, onto, progress_report, &progress, err) < 0)
                return -1;
        progress_end(&progress);
        return image_flush(image, err);
}

static int rebase(Args *args, const char *argument, Error *err)
{
        AUTO(Image) *image = NULL;
        ImageFormat checked;
        Progress progress;

        args->source.policy.skip_backing = args->source.headers_only = args->unsafe;
        if (args->backing_format && image_format_or_protocol(args->backing_format, &checked, err) < 0)
                return err_prefix(err, "Invalid format name");
        image = source_open(&args->source, argument, IMAGE_WRITE, err);
        if (!image)
                return -1;
        if (image_format(image) != IMAGE_FORMAT_QCOW2)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "Could not change the backing file to '%s': the format %s has "
                               "no backing files",
                               args->backing, image_format_name(image_format(image)));
        if (*args->backing && !args->backing_format)
                return err_set(err, ERR_INVALID_ARG,
                               "Could not change the backing file to '%s': backing format must be "
                               "specified",
                               args->backing);
        if (!args->unsafe && move_content(args, image, err) < 0)
                return -1;
        if (args->unsafe) {
                progress_begin(&progress, args->show_progress && !args->source.quiet, "");
                progress_end(&progress);
        }
        if (image_set_backing_name(image, *args->backing ? args->backing : NULL, args->backing_format, err) < 0)
                return -1;
        return image_close(TAKE(image), err);
}

static int run(int argc, char **argv)
{
        Args args = { .source.policy = policy_usual() };
        AUTO(Error) err = { 0 };
        int r = parse(argc, argv, &args, &err);

        if (r == 0)
                r = confine_to_image(&args.source, argv[optind], &err);
        if (r == 0)
                r = rebase(&args, argv[optind], &err);
        return r < 0 ? complain_err(&err) : 0;
}

const Command cmd_rebase = {
        .name = "rebase",
        .args = "[--object OBJECT] [--image-opts] [-U] [-q] [-f FMT] [-t CACHE] [-T SRC_CACHE] [-p] [-u] -b BACKING_FILE "
                "[-F BACKING_FMT] [--untrusted] FILENAME",
        .summary = "Change the backing file; what the guest sees stays the same, unless -u",
        .run = run,
};
