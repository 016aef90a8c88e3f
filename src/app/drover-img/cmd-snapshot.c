/*
 * app/drover-img/cmd-snapshot.c - internal snapshots (IMG-24)
 */
#include "app/drover-img/command.h"

#include "base/str.h"

#include <stdio.h>
#include <time.h>

typedef struct Args {
        Source source;
        char what; /* a, c, d or l; 0: only see that the image can be opened */
        char *name;
} Args;

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = { SOURCE_LONGS, { 0 } };
        int c, r;

        while ((r = source_next(&args->source, argc, argv, "la:c:d:f:qU", longs, &c, err)) > 0) {
                if (c == '?')
                        return err_set(err, ERR_INVALID_ARG, "an option of snapshot is not known");
                if (args->what)
                        return err_set(err, ERR_INVALID_ARG, "Cannot mix '-l', '-a', '-c', '-d'");
                args->what = (char)c;
                args->name = optarg;
        }
        if (r < 0)
                return -1;
        if (args->what && args->what != 'l' && args->source.policy.no_locks)
                return err_set(err, ERR_INVALID_ARG, "force-share=on can only be used with read-only images");
        return optind + 1 == argc ? 0 : err_set(err, ERR_INVALID_ARG, "Expecting one image file name");
}

static int list(Image *image, Error *err)
{
        ImageSnapshots snapshots;

        if (image_snapshots(image, &snapshots, err) < 0)
                return -1;
        if (snapshots.len)
                printf("Snapshot list:\n%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK",
                       "ICOUNT");
        for (size_t i = 0; i < snapshots.len; i++)
                snapshot_print(&snapshots.items[i]);
        image_snapshots_done(&snapshots);
        return 0;
}

static int change(Image *image, const Args *args, Error *err)
{
        ImageSnapshot what = { .name = args->name, .icount = UINT64_MAX };
        struct timespec now;

        if (args->what == 'a')
                return image_snapshot_apply(image, args->name, err);
        if (args->what == 'd')
                return image_snapshot_delete(image, args->name, err);
        clock_gettime(CLOCK_REALTIME, &now);
        what.date_sec = (uint32_t)now.tv_sec;
        what.date_nsec = (uint32_t)now.tv_nsec;
        return image_snapshot_create(image, &what, err);
}

static int snapshot(const Args *args, const char *argument, Error *err)
{
        AUTO(Image) *image = source_open(&args->source, argument, args->what && args->what != 'l' ? IMAGE_WRITE : 0,
                                         err);

        if (!image)
                return -1;
        if (args->what == 'l')
                return list(image, err);
        if (!args->what)
                return 0;
        return change(image, args, err) < 0 ? -1 : image_close(TAKE(image), err);
}

static int run(int argc, char **argv)
{
        Args args = { .source.policy = policy_usual() };
        AUTO(Error) err = { 0 };
        int r = parse(argc, argv, &args, &err);

        args.source.policy.skip_backing = args.source.policy.untrusted;
        if (r == 0)
                r = confine_to_image(&args.source, argv[optind], &err);
        if (r == 0)
                r = snapshot(&args, argv[optind], &err);
        return r < 0 ? complain_err(&err) : 0;
}

const Command cmd_snapshot = {
        .name = "snapshot",
        .args = "[--object OBJECT] [--image-opts] [-U] [-q] [-l | -a SNAPSHOT | -c SNAPSHOT | -d SNAPSHOT] [--untrusted] FILENAME",
        .summary = "List, apply, create or delete snapshots inside an image",
        .run = run,
};
