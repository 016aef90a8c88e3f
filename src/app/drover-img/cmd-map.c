/*
 * app/drover-img/cmd-map.c - where the guest's bytes stand
 */
#include "app/drover-img/command.h"

#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct Args {
        Source source;
        uint64_t start, length;
        bool json;
} Args;

typedef struct Printer {
        Image *top;
        ImageExtent run; /* not printed yet; length 0: none */
        bool json, printed;
} Printer;

static Image *image_at(Image *top, unsigned depth)
{
        while (depth--)
                top = image_backing(top);
        return top;
}

static int print(Printer *p, Error *err)
{
        const ImageExtent *e = &p->run;

        if (!e->length)
                return 0;
        if (p->json) {
                printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64
                       ", \"depth\": %u, \"present\": %s, \"zero\": %s, "
                       "\"data\": %s",
                       p->printed ? ",\n" : "[", e->start, e->length, e->depth, e->present ? "true" : "false",
                       e->zero ? "true" : "false", e->data ? "true" : "false");
                if (e->has_offset)
                        printf(", \"offset\": %" PRIu64, e->offset);
                printf("}");
        } else if (e->data) {
                if (!e->has_offset)
                        return err_set(err, ERR_OPERATION_UNSUPPORTED,
                                       "File contains external, encrypted or compressed "
                                       "clusters.");
                if (!e->zero) {
                        printf("%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64, e->start, e->length, e->offset);
                        print_named("", e->file ? e->file->name : image_name(image_at(p->top, e->depth)), "\n");
                }
        }
        p->printed = true;
        return 0;
}

static bool continues(const ImageExtent *run, const ImageExtent *next)
{
        return run->length && run->depth == next->depth && run->present == next->present && run->zero == next->zero &&
               run->data == next->data && run->has_offset == next->has_offset && run->file == next->file &&
               (!run->has_offset || run->offset + run->length == next->offset);
}

/* What nobody holds belongs to the image below which there is nothing at this offset, and so does what lies behind. */
static void settle_depth(Image *top, ImageExtent *extent)
{
        unsigned depth = 0;

        if (extent->present && extent->start < image_size(image_at(top, extent->depth)))
                return;
        while (depth < extent->depth && extent->start < image_size(image_at(top, depth + 1)))
                depth++;
        extent->depth = depth;
        extent->present = false;
}

static int map(const Args *args, const char *argument, Error *err)
{
        AUTO(Image) *image = source_open(&args->source, argument, 0, err);
        Printer p = { .top = image, .json = args->json };
        uint64_t end;

        if (!image)
                return -1;
        end = image_size(image) - MIN(args->start, image_size(image)) < args->length ? image_size(image)
                                                                                     : args->start + args->length;
        if (!args->json)
                printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
        for (uint64_t at = args->start; at < end;) {
                ImageExtent extent;

                if (image_map_chain(image, NULL, at, end - at, &extent, err) < 0)
                        return -1;
                settle_depth(image, &extent);
                if (continues(&p.run, &extent)) {
                        p.run.length += extent.length;
                } else {
                        if (print(&p, err) < 0)
                                return -1;
                        p.run = extent;
                }
                at += extent.length;
        }
        if (print(&p, err) < 0)
                return -1;
        /* Where there is nothing qemu-img prints one row that says so. */
        if (args->json && !p.printed)
                printf("[{ \"start\": %" PRIu64 ", \"length\": 0, \"depth\": 0, \"present\": false, \"zero\": false, "
                       "\"data\": false}",
                       args->start);
        if (args->json)
                puts("]");
        return 0;
}

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = {
                { "format", required_argument, NULL, 'f' },
                { "output", required_argument, NULL, 'o' },
                { "start-offset", required_argument, NULL, 's' },
                { "max-length", required_argument, NULL, 'l' },
                SOURCE_LONGS,
                { 0 },
        };
        int c, r;

        while ((r = source_next(&args->source, argc, argv, "f:s:l:U", longs, &c, err)) > 0) {
                switch (c) {
                case 'o':
                        if (output_option(optarg, &args->json, err) < 0)
                                return -1;
                        break;
                case 's':
                        if (size_from_text(optarg, "start offset", &args->start, err) < 0)
                                return -1;
                        break;
                case 'l':
                        if (size_from_text(optarg, "max length", &args->length, err) < 0)
                                return -1;
                        break;
                default:
                        return err_set(err, ERR_INVALID_ARG, "an option of map is not known");
                }
        }
        if (r < 0)
                return -1;
        return optind + 1 == argc ? 0 : err_set(err, ERR_INVALID_ARG, "Expecting one image file name");
}

static int run(int argc, char **argv)
{
        static char output[1 << 16];
        Args args = { .source.policy = policy_usual(), .length = UINT64_MAX };
        AUTO(Error) err = { 0 };

        setvbuf(stdout, output, _IOFBF, sizeof(output));
        if (parse(argc, argv, &args, &err) < 0 || confine(NULL, &err) < 0 || map(&args, argv[optind], &err) < 0)
                return complain_err(&err);
        return 0;
}

const Command cmd_map = {
        .name = "map",
        .args = "[--object OBJECT] [--image-opts] [-f FMT] [--start-offset=N] [--max-length=N] [--output=human|json] [-U] [--untrusted] "
                "FILENAME",
        .summary = "Show where the guest's bytes stand",
        .run = run,
};
