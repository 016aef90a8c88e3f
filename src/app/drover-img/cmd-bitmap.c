/*
 * app/drover-img/cmd-bitmap.c - bitmap: the dirty bitmaps of an image (IMG-38)
 */
#include "app/drover-img/command.h"

#include "base/str.h"

typedef struct Act {
        ImageBitmapAct act;
        const char *from; /* BITMAP_MERGE */
} Act;

typedef struct Args {
        Source source;
        const char *from_file, *from_format;
        VEC(Act) acts;
        uint64_t granularity;
        bool adds, merges;
} Args;

static void push(Args *args, ImageBitmapAct act, const char *from)
{
        vec_push(&args->acts, ((Act){ act, from }));
        args->adds |= act == BITMAP_ADD;
        args->merges |= act == BITMAP_MERGE;
}

static int parse_option(int c, Args *args, Error *err)
{
        int r = source_option(&args->source, c, err);

        if (r)
                return r < 0 ? -1 : 0;
        switch (c) {
        case 'a':
                push(args, BITMAP_ADD, NULL);
                return 0;
        case 'd':
                push(args, BITMAP_REMOVE, NULL);
                return 0;
        case 'c':
                push(args, BITMAP_CLEAR, NULL);
                return 0;
        case 'e':
                push(args, BITMAP_ENABLE, NULL);
                return 0;
        case 'x':
                push(args, BITMAP_DISABLE, NULL);
                return 0;
        case 'm':
                push(args, BITMAP_MERGE, optarg);
                return 0;
        case 'b':
                args->from_file = optarg;
                return 0;
        case 'F':
                args->from_format = optarg;
                return 0;
        case 'g':
                if (size_from_text(optarg, "granularity", &args->granularity, err) < 0)
                        return -1;
                return args->granularity ? 0 : err_set(err, ERR_INVALID_ARG, "Invalid granularity specified");
        default:
                return err_set(err, ERR_INVALID_ARG, "an option of bitmap is not known");
        }
}

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = {
                { "add", no_argument, NULL, 'a' },
                { "remove", no_argument, NULL, 'd' },
                { "clear", no_argument, NULL, 'c' },
                { "enable", no_argument, NULL, 'e' },
                { "disable", no_argument, NULL, 'x' },
                { "merge", required_argument, NULL, 'm' },
                { "granularity", required_argument, NULL, 'g' },
                { "source-file", required_argument, NULL, 'b' },
                { "source-format", required_argument, NULL, 'F' },
                SOURCE_LONGS,
                { 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "b:f:F:g:U", longs, NULL)) != -1)
                if (parse_option(c, args, err) < 0)
                        return -1;
        if (optind != argc - 2)
                return err_set(err, ERR_INVALID_ARG, "Expecting filename and bitmap name");
        if (!args->acts.len)
                return err_set(err, ERR_INVALID_ARG,
                               "Need at least one of --add, --remove, --clear, --enable, --disable, or --merge");
        if (args->granularity && !args->adds)
                return err_set(err, ERR_INVALID_ARG, "granularity only supported with --add");
        if (args->from_format && !args->from_file)
                return err_set(err, ERR_INVALID_ARG, "-F only supported with -b");
        if (args->from_file && !args->merges)
                return err_set(err, ERR_INVALID_ARG, "Merge bitmap source file only supported with --merge");
        return 0;
}

static int merge(Image *image, Image *from, const char *name, const char *from_name, Error *err)
{
        ImageBitmapContent content = { 0 };
        int r;

        if (image_bitmap_load(from, from_name, &content, err) < 0)
                return -1;
        r = image_bitmap_change(image, &(ImageBitmapChange){ .act = BITMAP_MERGE, .name = name, .from = &content },
                                err);
        free(content.bits);
        return r;
}

static int change(Args *args, const char *argument, const char *name, Error *err)
{
        AUTO(Image) *image = source_open(&args->source, argument, IMAGE_WRITE, err), *from = NULL;
        Source other = { .format = args->from_format, .policy = args->source.policy };
        int r = 0;

        if (!image)
                return -1;
        if (args->from_file) {
                from = source_open(&other, args->from_file, 0, err);
                if (!from)
                        return -1;
        }
        for (size_t i = 0; i < args->acts.len && r == 0; i++) {
                const Act *act = &args->acts.items[i];

                if (act->act == BITMAP_MERGE)
                        r = merge(image, from ? from : image, name, act->from, err);
                else
                        r = image_bitmap_change(image,
                                                &(ImageBitmapChange){ .act = act->act,
                                                                      .name = name,
                                                                      .granularity = args->granularity },
                                                err);
        }
        return r < 0 ? err_prefix(err, "Operation on bitmap %s failed", name) : image_close(TAKE(image), err);
}

static int run(int argc, char **argv)
{
        Args args = { .source.policy = policy_usual() };
        AUTO(Error) err = { 0 };
        int r = parse(argc, argv, &args, &err);

        args.source.policy.skip_backing = args.source.headers_only = true;
        if (r == 0)
                r = confine_to_image(&args.source, argv[optind], &err);
        if (r == 0)
                r = change(&args, argv[optind], argv[optind + 1], &err);
        vec_done(&args.acts);
        return r < 0 ? complain_err(&err) : 0;
}

const Command cmd_bitmap = {
        .name = "bitmap",
        .args = "(--merge SOURCE | --add | --remove | --clear | --enable | --disable)... [-b SOURCE_FILE [-F SOURCE_FMT]] "
                "[-g GRANULARITY] [--object OBJECT] [--image-opts | -f FMT] [--untrusted] FILENAME BITMAP",
        .summary = "Change the dirty bitmaps of an image, one act after the other",
        .run = run,
};
