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
        AUTOFREE char *id = str_printable(s->id, ""), *name = str_printable(s->name, "");
        char date[64], clock[64], size[32], icount[32] = "";
        struct tm tm;

        localtime_r(&at, &tm);
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
        snprintf(clock, sizeof(clock), "%02d:%02d:%02d.%03d", (int)(seconds / 3600), (int)(seconds / 60 % 60),
                 (int)(seconds % 60), (int)(s->vm_clock_nsec / 1000000 % 1000));
        if (s->icount != UINT64_MAX)
                snprintf(icount, sizeof(icount), "%" PRIu64, s->icount);
        printf("%-9s %-16s %8s%20s%13s%11s\n", id, name, size_to_text(s->vm_state_size, size), date, clock, icount);
}

/* A file of a vmdk disk, as it was opened. Owned. */
static char *extent_path(Image *image, const VmdkExtent *extent)
{
        return extent->name ? image_path_beside(image_name(image), extent->name, NULL) : str_dup(image_name(image));
}

static void print_vmdk(Image *image, const VmdkDescription *vmdk)
{
        printf("Format specific information:\n    cid: %u\n    parent cid: %u\n", vmdk->cid, vmdk->parent_cid);
        print_named("    create type: ", vmdk->create_type ?: "", "\n    extents:\n");
        for (size_t i = 0; i < vmdk->extents.len; i++) {
                const VmdkExtent *extent = &vmdk->extents.items[i];
                AUTOFREE char *path = extent_path(image, extent);

                printf("        [%zu]:\n", i);
                if (extent->compressed)
                        printf("            compressed: true\n");
                printf("            virtual size: %" PRIu64 "\n", extent->size);
                print_named("            filename: ", path ?: extent->name, "\n");
                if (extent->cluster_size)
                        printf("            cluster size: %" PRIu64 "\n", extent->cluster_size);
                print_named("            format: ", extent->kind, "\n");
        }
}

/* format: a line that stands among the others inside a qcow2 image; NULL: none. */
static void print_luks(const LuksHeader *h, const char *indent, const char *format)
{
        printf("%sivgen alg: %s\n", indent, cipher_iv_name(h->spec.iv));
        printf("%shash alg: %s\n%scipher alg: %s\n%suuid: ", indent, digest_name(h->digest), indent,
               cipher_name(h->spec.kind), indent);
        print_named("", h->uuid, "\n");
        if (h->spec.iv_digest)
                printf("%sivgen hash alg: %s\n", indent, digest_name(h->spec.iv_digest));
        if (format)
                printf("%sformat: %s\n", indent, format);
        printf("%scipher mode: %s\n%sslots:\n", indent, cipher_mode_name(h->spec.mode), indent);
        for (unsigned i = 0; i < LUKS_SLOTS; i++) {
                const LuksSlot *slot = &h->slots[i];

                printf("%s    [%u]:\n%s        active: %s\n", indent, i, indent, on(slot->active));
                if (slot->active)
                        printf("%s        iters: %u\n", indent, slot->iterations);
                printf("%s        key offset: %" PRIu64 "\n", indent, (uint64_t)slot->material * CIPHER_SECTOR);
                if (slot->active)
                        printf("%s        stripes: %d\n", indent, LUKS_STRIPES);
        }
        printf("%spayload offset: %" PRIu64 "\n%smaster key iters: %u\n", indent,
               (uint64_t)h->payload * CIPHER_SECTOR, indent, h->key_iterations);
}

static void print_bitmaps(Image *image)
{
        ImageBitmaps list;

        if (image_bitmaps(image, &list, NULL) < 0)
                return;
        if (list.len)
                printf("    bitmaps:\n");
        for (size_t i = 0; i < list.len; i++) {
                const ImageBitmap *bitmap = &list.items[i];
                unsigned n = 0;

                printf("        [%zu]:\n            flags:\n", i);
                if (bitmap->broken)
                        printf("                [%u]: in-use\n", n++);
                if (bitmap->enabled)
                        printf("                [%u]: auto\n", n);
                print_named("            name: ", bitmap->name, "\n");
                printf("            granularity: %" PRIu64 "\n", bitmap->granularity);
        }
        image_bitmaps_done(&list);
}

static void print_encryption(const Image *image)
{
        if (!image_description(image)->encrypted)
                return;
        printf("    encrypt:\n");
        if (image_luks(image))
                print_luks(image_luks(image), "        ", "luks");
        else
                printf("        format: aes\n");
}

static void print_specific(Image *image)
{
        const ImageDescription *about = image_description(image);

        if (about->vmdk)
                print_vmdk(image, about->vmdk);
        if (about->format == IMAGE_FORMAT_LUKS) {
                printf("Format specific information:\n");
                print_luks(image_luks(image), "    ", NULL);
        }
        if (about->format != IMAGE_FORMAT_QCOW2)
                return;
        printf("Format specific information:\n    compat: %s\n    compression type: %s\n",
               about->version == 2 ? "0.10" : "1.1", about->zstd ? "zstd" : "zlib");
        if (about->version == 2) {
                printf("    refcount bits: %u\n", about->refcount_bits);
                print_encryption(image);
                return;
        }
        printf("    lazy refcounts: %s\n", on(about->lazy_refcounts));
        print_bitmaps(image);
        printf("    refcount bits: %u\n", about->refcount_bits);
        if (about->data_files.len) {
                print_named("    data file: ", about->data_files.items[0], "\n");
                printf("    data file raw: %s\n", on(about->data_file_raw));
        }
        print_encryption(image);
        printf("    corrupt: %s\n    extended l2: %s\n", on(about->corrupt), on(about->extended_l2));
}

/* What a server keeps an export in takes room that nobody here knows. */
static bool is_local(const Image *image)
{
        return image_file_fd(image_file_place(image_file(image), &(uint64_t){ 0 })) >= 0;
}

/* QEMU's driver of this format cannot be asked for clusters, nor whether the image was closed. */
static bool tells_layout(const Image *image)
{
        return image_format(image) != IMAGE_FORMAT_PARALLELS;
}

static void print_human(Image *image, const ImageSnapshots *list)
{
        const ImageDescription *about = image_description(image);
        char size[32], disk[32];

        print_named("image: ", image_name(image), "\n");
        printf("file format: %s\nvirtual size: %s (%" PRIu64 " bytes)\ndisk size: %s\n",
               image_protocol(image) ?: image_format_name(about->format), size_to_text(image_size(image), size),
               image_size(image), is_local(image) ? size_to_text(image_disk_usage(image), disk) : "unavailable");
        if (about->encrypted)
                printf("encrypted: yes\n");
        if (about->cluster_size && tells_layout(image))
                printf("cluster_size: %" PRIu64 "\n", about->cluster_size);
        if (about->dirty)
                printf("cleanly shut down: no\n");
        if (about->backing_file) {
                AUTOFREE char *full = image_path_beside(image_name(image), about->backing_file, NULL);

                print_named("backing file: ", about->backing_file, "");
                if (!full)
                        printf(" (cannot determine actual path)");
                else if (!str_eq(full, about->backing_file))
                        print_named(" (actual path: ", full, ")");
                printf("\n");
                if (about->backing_format)
                        print_named("backing file format: ", about->backing_format, "\n");
        }
        print_snapshots(list);
        print_specific(image);
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

static void put_luks(JsonWriter *w, const LuksHeader *h, const char *format)
{
        json_put_text(w, "ivgen-alg", cipher_iv_name(h->spec.iv));
        json_put_text(w, "hash-alg", digest_name(h->digest));
        json_put_text(w, "cipher-alg", cipher_name(h->spec.kind));
        json_put_text(w, "uuid", h->uuid);
        json_put_text(w, "format", format);
        if (h->spec.iv_digest)
                json_put_text(w, "ivgen-hash-alg", digest_name(h->spec.iv_digest));
        json_put_text(w, "cipher-mode", cipher_mode_name(h->spec.mode));
        json_open_array(w, "slots");
        for (unsigned i = 0; i < LUKS_SLOTS; i++) {
                json_open_object(w, NULL);
                json_put_bool(w, "active", h->slots[i].active);
                if (h->slots[i].active)
                        json_put_u64(w, "iters", h->slots[i].iterations);
                json_put_u64(w, "key-offset", (uint64_t)h->slots[i].material * CIPHER_SECTOR);
                if (h->slots[i].active)
                        json_put_u64(w, "stripes", LUKS_STRIPES);
                json_close_object(w);
        }
        json_close_array(w);
        json_put_u64(w, "payload-offset", (uint64_t)h->payload * CIPHER_SECTOR);
        json_put_u64(w, "master-key-iters", h->key_iterations);
}

static void put_bitmaps(JsonWriter *w, Image *image)
{
        ImageBitmaps list;

        if (image_bitmaps(image, &list, NULL) < 0)
                return;
        if (list.len)
                json_open_array(w, "bitmaps");
        for (size_t i = 0; i < list.len; i++) {
                json_open_object(w, NULL);
                json_open_array(w, "flags");
                if (list.items[i].broken)
                        json_put_text(w, NULL, "in-use");
                if (list.items[i].enabled)
                        json_put_text(w, NULL, "auto");
                json_close_array(w);
                json_put_text(w, "name", list.items[i].name);
                json_put_u64(w, "granularity", list.items[i].granularity);
                json_close_object(w);
        }
        if (list.len)
                json_close_array(w);
        image_bitmaps_done(&list);
}

static void put_encryption(JsonWriter *w, const Image *image)
{
        if (!image_description(image)->encrypted)
                return;
        json_open_object(w, "encrypt");
        if (image_luks(image))
                put_luks(w, image_luks(image), "luks");
        else
                json_put_text(w, "format", "aes");
        json_close_object(w);
}

static void put_specific(JsonWriter *w, Image *image)
{
        const ImageDescription *about = image_description(image);

        if (about->vmdk)
                put_vmdk(w, image, about->vmdk);
        if (about->format == IMAGE_FORMAT_LUKS) {
                json_open_object(w, "format-specific");
                json_put_text(w, "type", "luks");
                json_open_object(w, "data");
                put_luks(w, image_luks(image), NULL);
                json_close_object(w);
                json_close_object(w);
        }
        if (about->format != IMAGE_FORMAT_QCOW2)
                return;
        json_open_object(w, "format-specific");
        json_put_text(w, "type", "qcow2");
        json_open_object(w, "data");
        json_put_text(w, "compat", about->version == 2 ? "0.10" : "1.1");
        json_put_text(w, "compression-type", about->zstd ? "zstd" : "zlib");
        if (about->version > 2)
                json_put_bool(w, "lazy-refcounts", about->lazy_refcounts);
        put_bitmaps(w, image);
        json_put_u64(w, "refcount-bits", about->refcount_bits);
        put_encryption(w, image);
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
        if (about->backing_file)
                json_put_text(w, "backing-filename-format", about->backing_format);
        put_snapshots(w, list);
        json_put_u64(w, "virtual-size", image_size(image));
        json_put_text(w, "filename", image_name(image));
        if (about->cluster_size && tells_layout(image))
                json_put_u64(w, "cluster-size", about->cluster_size);
        json_put_text(w, "format", image_protocol(image) ?: image_format_name(about->format));
        if (is_local(image))
                json_put_u64(w, "actual-size", image_disk_usage(image));
        put_specific(w, image);
        if (about->backing_file) {
                AUTOFREE char *full = image_path_beside(image_name(image), about->backing_file, NULL);

                json_put_text(w, "full-backing-filename", full);
                json_put_text(w, "backing-filename", about->backing_file);
        }
        if (about->encrypted)
                json_put_bool(w, "encrypted", true);
        if (tells_layout(image))
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
                SOURCE_LONGS,
                { 0 },
        };
        int c, r;

        while ((r = source_next(&args->source, argc, argv, "f:U", longs, &c, err)) > 0) {
                switch (c) {
                case 'o':
                        if (output_option(optarg, &args->json, err) < 0)
                                return -1;
                        break;
                case 'b':
                        args->chain = true;
                        break;
                default:
                        return err_set(err, ERR_INVALID_ARG,
                                       "info takes -f, -U, --output, --backing-chain, --image-opts, "
                                       "--untrusted and --object");
                }
        }
        if (r < 0)
                return -1;
        if (optind + 1 != argc)
                return err_set(err, ERR_INVALID_ARG, "Expecting one image file name");
        return 0;
}

static int run(int argc, char **argv)
{
        Args args = { .source.policy = policy_usual() };
        AUTO(JsonWriter) w = { .pretty = true };
        AUTO(Error) err = { 0 };

        if (parse(argc, argv, &args, &err) < 0)
                return complain_err(&err);
        args.source.policy.skip_backing = !args.chain;
        args.source.headers_only = args.source.policy.headers_only = true;
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
