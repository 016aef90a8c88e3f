/*
 * app/drover-img/cmd-check.c - check and repair (IMG-01)
 *
 * Exit status: 0 clean, 1 the check could not be done, 2 corruption, 3 leaks
 * only, 63 the format has no checks.
 */
#include "app/drover-img/command.h"

#include "base/json-write.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>

enum { EXIT_CLEAN, EXIT_UNDONE, EXIT_CORRUPT, EXIT_LEAKS, EXIT_NO_CHECKS = 63 };

typedef struct Args {
        Source source;
        ImageRepair repair;
        bool json;
} Args;

static void say(void *arg, const char *text)
{
        (void)arg;
        remark("%s", text);
}

/* Of which formats qemu-img tells where the image ends, and how much is allocated; of those it cannot check we tell all. */
static void leave_out(ImageFormat format, ImageCheck *found)
{
        switch (format) {
        case IMAGE_FORMAT_QCOW2:
        case IMAGE_FORMAT_PARALLELS:
        case IMAGE_FORMAT_QCOW:
        case IMAGE_FORMAT_VPC:
                return;
        default:
                found->image_end_offset = 0;
        }
        if (format != IMAGE_FORMAT_QED)
                found->total_clusters = found->allocated_clusters = found->fragmented_clusters =
                        found->compressed_clusters = 0;
}

/* As qemu-img has it, in its order too: what is 0 is left out. */
static void put_number(JsonWriter *w, const char *name, uint64_t value)
{
        if (value)
                json_put_u64(w, name, value);
}

static void print_json(Image *image, const char *argument, const ImageCheck *found)
{
        AUTO(JsonWriter) w = { .pretty = true };

        json_open_object(&w, NULL);
        put_number(&w, "image-end-offset", found->image_end_offset);
        put_number(&w, "compressed-clusters", found->compressed_clusters);
        put_number(&w, "total-clusters", found->total_clusters);
        put_number(&w, "corruptions", found->corruptions);
        put_number(&w, "corruptions-fixed", found->corruptions_fixed);
        json_put_u64(&w, "check-errors", found->check_errors);
        put_number(&w, "leaks", found->leaks);
        put_number(&w, "leaks-fixed", found->leaks_fixed);
        put_number(&w, "allocated-clusters", found->allocated_clusters);
        json_put_text(&w, "filename", argument);
        json_put_text(&w, "format", image_format_name(image_format(image)));
        put_number(&w, "fragmented-clusters", found->fragmented_clusters);
        json_close_object(&w);
        puts(json_text(&w));
}

static void print_human(const ImageCheck *found)
{
        if (!found->corruptions && !found->leaks && !found->check_errors)
                printf("No errors were found on the image.\n");
        if (found->corruptions)
                printf("\n%" PRIu64
                       " errors were found on the image.\nData may be corrupted, or further writes to the image "
                       "may corrupt it.\n",
                       found->corruptions);
        if (found->leaks)
                printf("\n%" PRIu64
                       " leaked clusters were found on the image.\nThis means waste of disk space, but no harm to "
                       "data.\n",
                       found->leaks);
        if (found->check_errors)
                printf("\n%" PRIu64 " internal errors have occurred during the check.\n", found->check_errors);
        if (found->total_clusters && found->allocated_clusters)
                printf("%" PRIu64 "/%" PRIu64
                       " = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed clusters\n",
                       found->allocated_clusters, found->total_clusters,
                       (double)found->allocated_clusters * 100 / (double)found->total_clusters,
                       (double)found->fragmented_clusters * 100 / (double)found->allocated_clusters,
                       (double)found->compressed_clusters * 100 / (double)found->allocated_clusters);
        if (found->image_end_offset)
                printf("Image end offset: %" PRIu64 "\n", found->image_end_offset);
}

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = {
                { "format", required_argument, NULL, 'f' },
                { "repair", required_argument, NULL, 'r' },
                { "output", required_argument, NULL, 'o' },
                SOURCE_LONGS,
                { 0 },
        };
        int c, r;

        while ((r = source_next(&args->source, argc, argv, "f:r:T:qU", longs, &c, err)) > 0) {
                switch (c) {
                case 'r':
                        args->repair = str_eq(optarg, "leaks") ? REPAIR_LEAKS
                                       : str_eq(optarg, "all") ? REPAIR_ALL
                                                               : REPAIR_NONE;
                        if (args->repair == REPAIR_NONE)
                                return err_set(err, ERR_INVALID_ARG, "Option 'r' only accepts 'leaks' and 'all'");
                        break;
                case 'o':
                        if (output_option(optarg, &args->json, err) < 0)
                                return -1;
                        break;
                default:
                        return err_set(err, ERR_INVALID_ARG,
                                       "check takes -f, -r, -T, -q, -U, --output, --image-opts and "
                                       "--object");
                }
        }
        if (r < 0)
                return -1;
        if (args->repair != REPAIR_NONE && args->source.policy.no_locks)
                return err_set(err, ERR_INVALID_ARG, "force-share=on can only be used with read-only images");
        return optind + 1 == argc ? 0 : err_set(err, ERR_INVALID_ARG, "Expecting one image file name");
}

static int verdict(const ImageCheck *found)
{
        if (found->check_errors)
                return EXIT_UNDONE;
        return found->corruptions ? EXIT_CORRUPT : found->leaks ? EXIT_LEAKS : EXIT_CLEAN;
}

static int check(const Args *args, const char *argument, Error *err)
{
        unsigned flags = IMAGE_CHECKING | (args->repair != REPAIR_NONE ? IMAGE_WRITE : 0);
        AUTO(Image) *image = source_open(&args->source, argument, flags, err);
        ImageCheck found = { .say = args->source.quiet ? NULL : say };

        if (!image)
                return -1;
        if (!image_can_check(image)) {
                complain("This image format does not support checks");
                return EXIT_NO_CHECKS;
        }
        if (image_check(image, args->repair, &found, err) < 0)
                return -1;
        if (found.corruptions_fixed || found.leaks_fixed) {
                if (!args->json && !args->source.quiet)
                        printf("The following inconsistencies were found and repaired:\n\n    %" PRIu64
                               " leaked clusters\n"
                               "    %" PRIu64 " corruptions\n\nDouble checking the fixed image now...\n",
                               found.leaks_fixed, found.corruptions_fixed);
        }
        leave_out(image_format(image), &found);
        if (args->json && !args->source.quiet)
                print_json(image, argument, &found);
        else if (!args->source.quiet)
                print_human(&found);
        return image_close(TAKE(image), err) < 0 ? -1 : verdict(&found);
}

static int run(int argc, char **argv)
{
        Args args = { .source.policy = policy_usual() };
        AUTO(Error) err = { 0 };
        int r = parse(argc, argv, &args, &err);

        /* An image that has lost its backing file is no whole one, as for qemu-img; only what names nobody else is trusted
         * needs nobody else. */
        args.source.policy.skip_backing = args.source.policy.untrusted;
        if (r == 0)
                r = confine_to_image(&args.source, argv[optind], &err);
        if (r == 0)
                r = check(&args, argv[optind], &err);
        return r < 0 ? complain_err(&err) : r;
}

const Command cmd_check = {
        .name = "check",
        .args = "[--object OBJECT] [--image-opts] [-q] [-f FMT] [--output=human|json] [-r leaks|all] [-T CACHE] [-U] [--untrusted] FILENAME",
        .summary = "Look for leaks and corruption, and repair them with -r",
        .run = run,
};
