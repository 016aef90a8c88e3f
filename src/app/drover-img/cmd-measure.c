/*
 * app/drover-img/cmd-measure.c - how much room a new image will take
 */
#include "app/drover-img/command.h"

#include "base/json-write.h"
#include "base/str.h"
#include "img/measure.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct Args {
        Source source;
        const char *format, *size, *snapshot;
        Options options;
        bool json;
} Args;

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = {
                { "output", required_argument, NULL, 'p' },
                { "size", required_argument, NULL, 's' },
                SOURCE_LONGS,
                { 0 },
        };
        int c, r;

        while ((r = source_next(&args->source, argc, argv, "f:O:o:l:U", longs, &c, err)) > 0) {
                switch (c) {
                case 'O':
                        args->format = optarg;
                        break;
                case 'o':
                        if (options_add(&args->options, optarg, err) < 0)
                                return -1;
                        break;
                case 'l':
                        args->snapshot = optarg;
                        break;
                case 'p':
                        if (output_option(optarg, &args->json, err) < 0)
                                return -1;
                        break;
                case 's':
                        args->size = optarg;
                        break;
                default:
                        return err_set(err, ERR_INVALID_ARG, "an option of measure is not known");
                }
        }
        if (r < 0)
                return -1;
        if (argc - optind > 1)
                return err_set(err, ERR_INVALID_ARG, "At most one filename argument is allowed.");
        if (args->size && (args->snapshot || args->source.format || args->source.image_opts))
                return err_set(err, ERR_INVALID_ARG, "--image-opts, -f, and -l require a filename argument.");
        if ((args->size != NULL) == (optind < argc))
                return err_set(err, ERR_INVALID_ARG, "Either --size N or one filename must be specified");
        return 0;
}

static int measure(Args *args, const char *argument, Error *err)
{
        AUTO(Image) *from = NULL;
        ImageCreate how = { 0 };
        ImageFormat format;
        Measurement room;

        if (image_format_from_name(args->format ?: "raw", &format, err) < 0 ||
            options_apply(&args->options, format, &how, err) < 0)
                return -1;
        if ((format == IMAGE_FORMAT_LUKS || how.encrypt) && !how.luks.secret)
                return err_set(err, ERR_INVALID_ARG, "Parameter '%skey-secret' is required for cipher",
                               how.encrypt ? "encrypt." : "");
        if (args->size && size_from_text(args->size, "image size", &how.size, err) < 0)
                return -1;
        if (argument) {
                from = source_open(&args->source, argument, 0, err);
                if (!from || (args->snapshot && image_snapshot_show(from, args->snapshot, err) < 0))
                        return -1;
        }
        if (image_measure(from, format, &how, &room, err) < 0)
                return -1;
        if (args->json) {
                AUTO(JsonWriter) w = { .pretty = true };

                json_open_object(&w, NULL);
                if (room.has_bitmaps)
                        json_put_u64(&w, "bitmaps", room.bitmaps);
                json_put_u64(&w, "required", room.required);
                json_put_u64(&w, "fully-allocated", room.fully_allocated);
                json_close_object(&w);
                puts(json_text(&w));
        } else {
                printf("required size: %" PRIu64 "\nfully allocated size: %" PRIu64 "\n", room.required,
                       room.fully_allocated);
                if (room.has_bitmaps)
                        printf("bitmaps size: %" PRIu64 "\n", room.bitmaps);
        }
        return 0;
}

static int run(int argc, char **argv)
{
        Args args = { .source.policy = policy_usual() };
        AUTO(Error) err = { 0 };
        int r = parse(argc, argv, &args, &err);

        if (r == 0)
                r = confine(NULL, &err);
        if (r == 0)
                r = measure(&args, optind < argc ? argv[optind] : NULL, &err);
        options_done(&args.options);
        return r < 0 ? complain_err(&err) : 0;
}

const Command cmd_measure = {
        .name = "measure",
        .args = "[--output=human|json] [-O OUTPUT_FMT] [-o OPTIONS] [--size N | [--object OBJECT] [--image-opts] [-f FMT] "
                "[-l SNAPSHOT] [-U] [--untrusted] FILENAME]",
        .summary = "Say how much room a new image will take",
        .run = run,
};
