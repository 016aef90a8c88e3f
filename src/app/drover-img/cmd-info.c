/*
 * app/drover-img/cmd-info.c - info (IMG-14)
 */
#include "app/drover-img/command.h"

#include "base/json-write.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

typedef struct Args {
        Source source;
        bool json, chain;
} Args;

static const char *on(bool value)
{
        return value ? "true" : "false";
}

static void print_snapshots(const ImageSnapshots *list)
{
        if (!list->len)
                return;
        printf("Snapshot list:\n%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
        for (size_t i = 0; i < list->len; i++)
                snapshot_print(&list->items[i]);
}

void snapshot_print(const ImageSnapshot *s)
{
        time_t at = s->date_sec;
        uint64_t seconds = s->vm_clock_nsec / 1000000000;
        char date[64], clock[64], size[32], icount[32] = "";
        struct tm tm;

        localtime_r(&at, &tm);
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
        snprintf(clock, sizeof(clock), "%02d:%02d:%02d.%03d", (int)(seconds / 3600), (int)(seconds / 60 % 60),
                 (int)(seconds % 60), (int)(s->vm_clock_nsec / 1000000 % 1000));
        if (s->icount != UINT64_MAX)
                snprintf(icount, sizeof(icount), "%" PRIu64, s->icount);
        printf("%-9s %-16s %8s%20s%13s%11s\n", s->id, s->name, size_to_text(s->vm_state_size, size), date, clock,
               icount);
}

/* A file of a vmdk disk, as it was opened. Owned. */
static char *extent_path(Image *image, const VmdkExtent *extent)
{
        return extent->name ? image_path_beside(image_name(image), extent->name, NULL) : str_dup(image_name(image));
}

static void print_vmdk(Image *image, const VmdkDescription *vmdk)
{
        printf("Format specific information:\n    cid: %u\n    parent cid: %u\n    create type: %s\n    extents:\n",
               vmdk->cid, vmdk->parent_cid, vmdk->create_type ?: "");
        for (size_t i = 0; i < vmdk->extents.len; i++) {
                const VmdkExtent *extent = &vmdk->extents.items[i];
                AUTOFREE char *path = extent_path(image, extent);

                printf("        [%zu]:\n", i);
                if (extent->compressed)
                        printf("            compressed: true\n");
                printf("            virtual size: %" PRIu64 "\n            filename: %s\n", extent->size, path);
                if (extent->cluster_size)
                        printf("            cluster size: %" PRIu64 "\n", extent->cluster_size);
                printf("            format: %s\n", extent->kind);
        }
}

static void print_specific(Image *image, const ImageDescription *about)
{
        if (about->vmdk)
                print_vmdk(image, about->vmdk);
        if (about->format != IMAGE_FORMAT_QCOW2)
                return;
        printf("Format specific information:\n    compat: %s\n    compression type: %s\n",
               about->version == 2 ? "0.10" : "1.1", about->zstd ? "zstd" : "zlib");
        if (about->version == 2) {
                printf("    refcount bits: %u\n", about->refcount_bits);
                return;
        }
        printf("    lazy refcounts: %s\n    refcount bits: %u\n", on(about->lazy_refcounts), about->refcount_bits);
        if (about->data_files.len)
                printf("    data file: %s\n    data file raw: %s\n", about->data_files.items[0],
                       on(about->data_file_raw));
        printf("    corrupt: %s\n    extended l2: %s\n", on(about->corrupt), on(about->extended_l2));
}

static void print_human(Image *image, const ImageSnapshots *list)
{
        const ImageDescription *about = image_description(image);
        char size[32], disk[32];

        printf("image: %s\nfile format: %s\nvirtual size: %s (%" PRIu64 " bytes)\ndisk size: %s\n", image_name(image),
               image_format_name(about->format), size_to_text(image_size(image), size), image_size(image),
               size_to_text(image_disk_usage(image), disk));
        if (about->encrypted)
                printf("encrypted: yes\n");
        if (about->cluster_size)
                printf("cluster_size: %" PRIu64 "\n", about->cluster_size);
        if (about->dirty)
                printf("cleanly shut down: no\n");
        if (about->backing_file) {
                AUTOFREE char *full = image_path_beside(image_name(image), about->backing_file, NULL);

                printf("backing file: %s", about->backing_file);
                if (!full)
                        printf(" (cannot determine actual path)");
                else if (!str_eq(full, about->backing_file))
                        printf(" (actual path: %s)", full);
                printf("\n");
                if (about->backing_format)
                        printf("backing file format: %s\n", about->backing_format);
        }
        print_snapshots(list);
        print_specific(image, about);
}

static void put_snapshots(JsonWriter *w, const ImageSnapshots *list)
{
        if (!list->len)
                return;
        json_open_array(w, "snapshots");
        for (size_t i = 0; i < list->len; i++) {
                const ImageSnapshot *s = &list->items[i];

                json_open_object(w, NULL);
                if (s->icount != UINT64_MAX)
                        json_put_u64(w, "icount", s->icount);
                json_put_u64(w, "vm-clock-nsec", s->vm_clock_nsec % 1000000000);
                json_put_text(w, "name", s->name);
                json_put_u64(w, "date-sec", s->date_sec);
                json_put_u64(w, "date-nsec", s->date_nsec);
                json_put_u64(w, "vm-clock-sec", s->vm_clock_nsec / 1000000000);
                json_put_text(w, "id", s->id);
                json_put_u64(w, "vm-state-size", s->vm_state_size);
                json_close_object(w);
        }
        json_close_array(w);
}

static void put_vmdk(JsonWriter *w, Image *image, const VmdkDescription *vmdk)
{
        json_open_object(w, "format-specific");
        json_put_text(w, "type", "vmdk");
        json_open_object(w, "data");
        json_put_u64(w, "cid", vmdk->cid);
        json_put_u64(w, "parent-cid", vmdk->parent_cid);
        json_put_text(w, "create-type", vmdk->create_type);
        json_open_array(w, "extents");
        for (size_t i = 0; i < vmdk->extents.len; i++) {
                const VmdkExtent *extent = &vmdk->extents.items[i];
                AUTOFREE char *path = extent_path(image, extent);

                json_open_object(w, NULL);
                if (extent->compressed)
                        json_put_bool(w, "compressed", true);
                json_put_u64(w, "virtual-size", extent->size);
                json_put_text(w, "filename", path);
                if (extent->cluster_size)
                        json_put_u64(w, "cluster-size", extent->cluster_size);
                json_put_text(w, "format", extent->kind);
                json_close_object(w);
        }
        json_close_array(w);
        json_close_object(w);
        json_close_object(w);
}

static void put_specific(JsonWriter *w, Image *image, const ImageDescription *about)
{
        if (about->vmdk)
                put_vmdk(w, image, about->vmdk);
        if (about->format != IMAGE_FORMAT_QCOW2)
                return;
        json_open_object(w, "format-specific");
        json_put_text(w, "type", "qcow2");
        json_open_object(w, "data");
        json_put_text(w, "compat", about->version == 2 ? "0.10" : "1.1");
        json_put_text(w, "compression-type", about->zstd ? "zstd" : "zlib");
        if (about->version > 2)
                json_put_bool(w, "lazy-refcounts", about->lazy_refcounts);
        json_put_u64(w, "refcount-bits", about->refcount_bits);
        if (about->version > 2) {
                if (about->data_files.len) {
                        json_put_text(w, "data-file", about->data_files.items[0]);
                        json_put_bool(w, "data-file-raw", about->data_file_raw);
                }
                json_put_bool(w, "corrupt", about->corrupt);
                json_put_bool(w, "extended-l2", about->extended_l2);
        }
        json_close_object(w);
        json_close_object(w);
}

static void put_image(JsonWriter *w, Image *image, const ImageSnapshots *list)
{
        const ImageDescription *about = image_description(image);

        json_open_object(w, NULL);
        put_snapshots(w, list);
        json_put_u64(w, "virtual-size", image_size(image));
        json_put_text(w, "filename", image_name(image));
        if (about->cluster_size)
                json_put_u64(w, "cluster-size", about->cluster_size);
        json_put_text(w, "format", image_format_name(about->format));
        json_put_u64(w, "actual-size", image_disk_usage(image));
        if (about->encrypted)
                json_put_bool(w, "encrypted", true);
        put_specific(w, image, about);
        if (about->backing_file) {
                AUTOFREE char *full = image_path_beside(image_name(image), about->backing_file, NULL);

                json_put_text(w, "full-backing-filename", full);
                json_put_text(w, "backing-filename", about->backing_file);
                json_put_text(w, "backing-filename-format", about->backing_format);
        }
        json_put_bool(w, "dirty-flag", about->dirty);
        json_close_object(w);
}

static int show(Args *args, const char *argument, JsonWriter *w, Error *err)
{
        AUTO(Image) *top = source_open(&args->source, argument, 0, err);

        if (!top)
                return -1;
        for (Image *image = top; image; image = args->chain ? image_backing(image) : NULL) {
                ImageSnapshots list;

                if (image_snapshots(image, &list, err) < 0)
                        return -1;
                if (args->json) {
                        put_image(w, image, &list);
                } else {
                        if (image != top)
                                printf("\n");
                        print_human(image, &list);
                }
                image_snapshots_done(&list);
        }
        return 0;
}

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = {
                { "format", required_argument, NULL, 'f' },
                { "output", required_argument, NULL, 'o' },
                { "backing-chain", no_argument, NULL, 'b' },
                { "untrusted", no_argument, NULL, 'u' },
                SOURCE_LONGS,
                { 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "f:U", longs, NULL)) != -1) {
                int r = source_option(&args->source, c, err);

                if (r < 0)
                        return -1;
                if (r)
                        continue;
                switch (c) {
                case 'o':
                        args->json = str_eq(optarg, "json");
                        if (!args->json && !str_eq(optarg, "human"))
                                return err_set(err, ERR_INVALID_ARG,
                                               "--output must be used with human or json as argument.");
                        break;
                case 'b':
                        args->chain = true;
                        break;
                case 'u':
                        args->source.policy.untrusted = true;
                        break;
                default:
                        return err_set(err, ERR_INVALID_ARG,
                                       "info takes -f, -U, --output, --backing-chain, --image-opts, "
                                       "--untrusted and --object");
                }
        }
        if (optind + 1 != argc)
                return err_set(err, ERR_INVALID_ARG, "Expecting one image file name");
        return 0;
}

static int run(int argc, char **argv)
{
        Args args = { .source.policy = policy_usual() };
        AUTO(JsonWriter) w = { 0 };
        AUTO(Error) err = { 0 };

        if (parse(argc, argv, &args, &err) < 0)
                return complain_err(&err);
        args.source.policy.skip_backing = !args.chain;
        if (args.chain)
                json_open_array(&w, NULL);
        if (confine(NULL, &err) < 0 || show(&args, argv[optind], &w, &err) < 0)
                return complain_err(&err);
        if (args.chain)
                json_close_array(&w);
        if (args.json)
                puts(json_text(&w));
        return 0;
}

const Command cmd_info = {
        .name = "info",
        .args = "[--object OBJECT] [--image-opts] [-f FMT] [--output=human|json] [--backing-chain] [-U] [--untrusted] "
                "FILENAME",
        .summary = "Show what an image is",
        .run = run,
};
