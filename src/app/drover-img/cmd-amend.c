/*
 * app/drover-img/cmd-amend.c - change the options of an image that is there
 */
#include "app/drover-img/command.h"

#include "base/str.h"

#include <stdio.h>

typedef struct Args {
        Source source;
        Options options;
        bool force, show_progress;
} Args;

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = { { "force", no_argument, NULL, 'x' }, SOURCE_LONGS, { 0 } };
        int c;

        while ((c = getopt_long(argc, argv, "f:o:pqt:", longs, NULL)) != -1) {
                int r = source_option(&args->source, c, err);

                if (r < 0)
                        return -1;
                if (r)
                        continue;
                if (c == 'p')
                        args->show_progress = true;
                else if (c == 'x')
                        args->force = true;
                else if (c == 'o')
                        r = options_add(&args->options, optarg, err);
                else if (c == 't')
                        r = policy_set_cache(&args->source.policy, optarg, err);
                else
                        return err_set(err, ERR_INVALID_ARG, "an option of amend is not known");
                if (r < 0)
                        return -1;
        }
        if (options_help_wanted(&args->options))
                return 0;
        if (!args->options.len)
                return err_set(err, ERR_INVALID_ARG, "Must specify options (-o)");
        return optind + 1 == argc ? 0 : err_set(err, ERR_INVALID_ARG, "Expecting one image file name");
}

/* The options of key slots are done with. */
static void drop_options(Options *options, const char *prefix)
{
        for (size_t i = options->len; i > 0; i--) {
                if (!str_starts(options->items[i - 1].name, prefix))
                        continue;
                free(options->items[i - 1].name);
                free(options->items[i - 1].value);
                vec_remove(options, i - 1);
        }
}

/* What cannot be changed in place is refused, unless it is so already. */
static int check_options(const Options *options, Error *err)
{
        static const char *const changeable[] = {
                "compat",        "lazy_refcounts", "backing_file", "backing_fmt",
                "refcount_bits", "size",           "data_file",    "data_file_raw"
        };

        for (size_t i = 0; i < options->len; i++) {
                bool found = false;

                for (size_t k = 0; k < ARRAY_LEN(changeable); k++)
                        found |= str_eq(options->items[i].name, changeable[k]);
                if (!found)
                        return err_set(err, ERR_OPERATION_UNSUPPORTED,
                                       "Changing '%s' is not supported: convert the image "
                                       "instead",
                                       options->items[i].name);
        }
        return 0;
}

static int amend(Args *args, const char *argument, Error *err)
{
        AUTO(Image) *image = source_open(&args->source, argument, IMAGE_WRITE, err);
        LuksKeyChange change = { .force = args->force };
        const char *keys;
        ImageCreate how = { 0 };
        bool changes_key;

        if (!image)
                return -1;
        keys = image_format(image) == IMAGE_FORMAT_LUKS ? "" : "encrypt.";
        if (options_key_change(&args->options, keys, &change, &changes_key, err) < 0)
                return -1;
        if (changes_key && image_change_key(image, &change, err) < 0)
                return -1;
        if (image_format(image) == IMAGE_FORMAT_LUKS)
                return changes_key ? image_close(TAKE(image), err)
                                   : err_set(err, ERR_INVALID_ARG, "Parameter 'state' is missing");
        if (changes_key)
                drop_options(&args->options, keys);
        if (check_options(&args->options, err) < 0 ||
            options_apply(&args->options, image_format(image), &how, err) < 0)
                return -1;
        if (options_find(&args->options, "refcount_bits") && !how.refcount_bits)
                return err_set(err, ERR_INVALID_ARG,
                               "Refcount width must be a power of two and may not exceed 64 bits");
        how.change_lazy = options_find(&args->options, "lazy_refcounts") != NULL;
        how.change_data_raw = options_find(&args->options, "data_file_raw") != NULL;
        return image_amend(image, &how, err) < 0 ? -1 : image_close(TAKE(image), err);
}

static int run(int argc, char **argv)
{
        Args args = { .source.policy = policy_usual() };
        AUTO(Error) err = { 0 };
        int r = parse(argc, argv, &args, &err);

        args.source.policy.skip_backing = args.source.policy.untrusted;
        if (r == 0 && options_help_wanted(&args.options)) {
                ImageFormat format = IMAGE_FORMAT_QCOW2;

                r = optind < argc || args.source.format
                            ? source_format(&args.source, argv[optind], false, &format, &err)
                            : err_set(&err, ERR_INVALID_ARG, "Expecting one image file name");
                if (r == 0)
                        r = options_amend_help(format, &err);
                options_done(&args.options);
                return r < 0 ? complain_err(&err) : 0;
        }
        if (r == 0)
                r = confine_to_image(&args.source, argv[optind], &err);
        if (r == 0)
                r = amend(&args, argv[optind], &err);
        /* It is done before a bar could be drawn. */
        if (r == 0 && args.show_progress && !args.source.quiet)
                printf("    (0.00/100%%)\r    (100.00/100%%)\r\n");
        options_done(&args.options);
        return r < 0 ? complain_err(&err) : 0;
}

const Command cmd_amend = {
        .name = "amend",
        .args = "[--object OBJECT] [--image-opts] [-p] [-q] [-f FMT] [-t CACHE] [--force] [--untrusted] -o OPTIONS FILENAME",
        .summary =
                "Change the options of an image: compat, refcount_bits, lazy_refcounts, size, data file, key slots",
        .run = run,
};
