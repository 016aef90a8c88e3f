/*
 * app/drover-img/cmd-compare.c - do two images show the same
 *
 * Exit status: 0 identical, 1 different, 2 a file could not be opened or read
 * (qemu-img has 2 to 4 for these).
 */
#include "app/drover-img/command.h"

#include "base/str.h"
#include "img/compare.h"

#include <inttypes.h>
#include <stdio.h>

enum { EXIT_SAME, EXIT_DIFFERENT, EXIT_TROUBLE };

typedef struct Args {
        Source a, b;
        bool strict, quiet, show_progress, unknown;
} Args;

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = {
                SOURCE_LONGS,
                { 0 },
        };
        int c, r;

        while ((r = source_next(&args->a, argc, argv, "f:F:T:pqsU", longs, &c, err)) > 0) {
                switch (c) {
                case 'F':
                        args->b.format = optarg;
                        break;
                case 'p':
                        args->show_progress = true;
                        break;
                case 's':
                        args->strict = true;
                        break;
                default:
                        args->unknown = true;
                        return err_set(err, ERR_INVALID_ARG, "an option of compare is not known");
                }
        }
        if (r < 0)
                return -1;
        args->b.policy = args->a.policy;
        args->b.image_opts = args->a.image_opts;
        args->quiet = args->a.quiet;
        return optind + 2 == argc ? 0 : err_set(err, ERR_INVALID_ARG, "Expecting two image file names");
}

/* With -s a difference in what is allocated counts too. */
static int compare_allocation(Image *a, Image *b, uint64_t length, Comparison *ret, Error *err)
{
        for (uint64_t at = 0; at < length;) {
                ImageExtent in_a, in_b;

                if (image_map_chain(a, NULL, at, length - at, &in_a, err) < 0 ||
                    image_map_chain(b, NULL, at, length - at, &in_b, err) < 0)
                        return -1;
                if (in_a.present != in_b.present || in_a.zero != in_b.zero) {
                        *ret = (Comparison){ .differs_at = at };
                        return 0;
                }
                at += MIN(in_a.length, in_b.length);
        }
        return 0;
}

/* As qemu-img does it: a difference is told by its sector, and that of the sizes when what both have is the same. */
static void print_result(const Image *a, const Image *b, const Comparison *content, const Comparison *allocation)
{
        uint64_t common = MIN(image_size(a), image_size(b));

        if (image_size(a) != image_size(b) && (content->same || content->differs_at >= common))
                printf("Warning: Image size mismatch!\n");
        if (!content->same)
                printf("Content mismatch at offset %" PRIu64 "!\n", content->differs_at / 512 * 512);
        else if (!allocation->same)
                printf("Strict mode: Offset %" PRIu64 " block status mismatch!\n", allocation->differs_at);
        else
                printf("Images are identical.\n");
}

static int compare(const Args *args, char **names, Error *err)
{
        AUTO(Image) *a = source_open(&args->a, names[0], 0, err);
        AUTO(Image) *b = a ? source_open(&args->b, names[1], 0, err) : NULL;
        Comparison result, allocation = { .same = true };
        Progress progress;
        uint64_t length;

        if (!b)
                return -1;
        if (args->strict && image_size(a) != image_size(b)) {
                if (!args->quiet)
                        printf("Strict mode: Image size mismatch!\n");
                return EXIT_DIFFERENT;
        }
        length = MAX(image_size(a), image_size(b));
        if (args->strict && compare_allocation(a, b, length, &allocation, err) < 0)
                return -1;
        /* The first difference is told, whatever it is. */
        if (!allocation.same)
                length = allocation.differs_at;
        progress_begin(&progress, args->show_progress && !args->quiet, "nothing was found out");
        if (image_compare(a, b, length, progress_report, &progress, &result, err) < 0)
                return -1;
        progress_done(&progress, result.same && allocation.same);
        if (!args->quiet)
                print_result(a, b, &result, &allocation);
        progress_end_line(&progress);
        return result.same && allocation.same ? EXIT_SAME : EXIT_DIFFERENT;
}

static int run(int argc, char **argv)
{
        Args args = { .a.policy = policy_usual(), .b.policy = policy_usual() };
        AUTO(Error) err = { 0 };
        int r = parse(argc, argv, &args, &err);
        bool usage = r < 0 && (args.unknown || argc - optind != 2);

        if (r == 0)
                r = confine(NULL, &err);
        complain_of_lost_pages(EXIT_TROUBLE);
        if (r == 0)
                r = compare(&args, argv + optind, &err);
        if (r < 0)
                complain_err(&err);
        return r < 0 ? (usage ? 1 : EXIT_TROUBLE) : r;
}

const Command cmd_compare = {
        .name = "compare",
        .args = "[--object OBJECT] [--image-opts] [-f FMT] [-F FMT] [-T SRC_CACHE] [-p] [-q] [-s] [-U] [--untrusted] FILENAME1 FILENAME2",
        .summary = "Compare what two images show",
        .run = run,
};
