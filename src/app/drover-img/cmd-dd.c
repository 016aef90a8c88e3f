/*
 * app/drover-img/cmd-dd.c - copy blocks, with dd's operands
 */
#include "app/drover-img/command.h"

#include "base/str.h"
#include "img/copy.h"

typedef struct Args {
        Source source;
        const char *format, *in, *out;
        uint64_t block, count, skip;
        bool counted;
} Args;

static int operand(Args *args, const char *text, Error *err)
{
        const char *value = strchr(text, '=');

        if (!value)
                return err_set(err, ERR_INVALID_ARG, "Unrecognized operand %s", text);
        value++;
        if (str_starts(text, "if="))
                args->in = value;
        else if (str_starts(text, "of="))
                args->out = value;
        else if (str_starts(text, "bs="))
                return size_from_text(value, "block size", &args->block, err);
        else if (str_starts(text, "count=")) {
                args->counted = true;
                return size_from_text(value, "count", &args->count, err);
        } else if (str_starts(text, "skip="))
                return size_from_text(value, "skip", &args->skip, err);
        else
                return err_set(err, ERR_INVALID_ARG, "Unrecognized operand %s", text);
        return 0;
}

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = { SOURCE_LONGS, { 0 } };
        int c;

        while ((c = getopt_long(argc, argv, "f:O:U", longs, NULL)) != -1) {
                int r = source_option(&args->source, c, err);

                if (r < 0)
                        return -1;
                if (c == 'O')
                        args->format = optarg;
                else if (!r)
                        return err_set(err, ERR_INVALID_ARG, "an option of dd is not known");
        }
        for (int i = optind; i < argc; i++)
                if (operand(args, argv[i], err) < 0)
                        return -1;
        if (!args->in || !args->out)
                return err_set(err, ERR_INVALID_ARG, "Must specify both input and output files");
        if (args->block == 0 || args->block > INT32_MAX)
                return err_set(err, ERR_INVALID_ARG, "Invalid number: 'bs=%llu'", (unsigned long long)args->block);
        return 0;
}

static int dd(const Args *args, Error *err)
{
        AUTO(NewImage) made = { 0 };
        AUTO(Image) *from = source_open(&args->source, args->in, 0, err), *to = NULL;
        ChainPolicy policy = policy_usual();
        ImageCreate how = { 0 };
        ImageFormat format;
        Progress progress;
        uint64_t end, skip;

        if (!from || image_format_from_name(args->format ?: "raw", &format, err) < 0)
                return -1;
        end = image_size(from);
        if (args->counted && args->count <= end / args->block)
                end = args->count * args->block;
        if (args->skip > end / args->block)
                complain("%s: cannot skip to specified offset", args->in);
        skip = args->skip > end / args->block ? end : args->skip * args->block;
        how.size = end - skip;
        to = new_image_make(&made, args->out, format, &how, false, &policy, err);
        if (!to)
                return -1;
        progress_begin(&progress, false,
                       made.temporary ? "nothing was kept" : "a part of the target has been written");
        if (image_copy(from, to,
                       &(CopyOptions){ .length = how.size,
                                       .from = skip,
                                       .sparse = 4096,
                                       .target_is_zero = !path_is_device(args->out),
                                       .progress = progress_report,
                                       .progress_arg = &progress },
                       err) < 0)
                return -1;
        progress_end(&progress);
        if (image_flush(to, err) < 0 || image_close(TAKE(to), err) < 0)
                return -1;
        return new_image_keep(&made, err);
}

static int run(int argc, char **argv)
{
        Args args = { .source.policy = policy_usual(), .block = 512 };
        AUTO(Error) err = { 0 };
        int r = parse(argc, argv, &args, &err);

        if (r == 0)
                r = confine_to_new(args.out, NULL, &err);
        if (r == 0)
                r = dd(&args, &err);
        return r < 0 ? complain_err(&err) : 0;
}

const Command cmd_dd = {
        .name = "dd",
        .args = "[--object OBJECT] [--image-opts] [-U] [--untrusted] [-f FMT] [-O OUTPUT_FMT] [bs=BLOCK_SIZE] [count=BLOCKS] [skip=BLOCKS] if=INPUT of=OUTPUT",
        .summary = "Copy blocks of an image, with dd's operands",
        .run = run,
};
