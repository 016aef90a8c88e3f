#include "test.h"

#include "base/buf.h"
#include "base/str.h"
#include "img/bytes.h"
#include "img/format.h"
#include "memory-file.h"

#include <stdio.h>
#include <unistd.h>

/* Make an image with stock qemu-img; false when it is not installed. */
static bool make_image(const char *path, const char *format, const char *options, const char *size)
{
        AUTOFREE char *command = str_format("qemu-img create -q -f %s %s %s %s >/dev/null 2>&1", format, options,
                                            path, size);

        return system(command) == 0;
}

static char *scratch_path(void)
{
        char template[] = "/tmp/drover-img-XXXXXX";
        int fd = mkstemp(template);

        close(fd);
        return str_dup(template);
}

TEST(headers_written_by_qemu_are_described)
{
        static const struct {
                const char *format, *options, *size;
                ImageFormat is;
                uint64_t virtual_size, cluster_size;
                const char *backing, *data_file;
        } cases[] = {
                { "qcow2", "", "10M", IMAGE_FORMAT_QCOW2, 10 << 20, 65536, NULL, NULL },
                { "qcow2", "-o compat=0.10,cluster_size=4k", "10M", IMAGE_FORMAT_QCOW2, 10 << 20, 4096, NULL, NULL },
                { "qcow2", "-u -b /nowhere/base.img -F raw", "1M", IMAGE_FORMAT_QCOW2, 1 << 20, 65536,
                  "/nowhere/base.img", NULL },
                { "qcow2", "-o extended_l2=on,compression_type=zstd", "10M", IMAGE_FORMAT_QCOW2, 10 << 20, 65536,
                  NULL, NULL },
                { "qcow2", "-o data_file=/tmp/drover-img-data.raw", "1M", IMAGE_FORMAT_QCOW2, 1 << 20, 65536, NULL,
                  "/tmp/drover-img-data.raw" },
                { "qcow", "", "10M", IMAGE_FORMAT_QCOW, 10 << 20, 4096, NULL, NULL },
                { "qed", "", "10M", IMAGE_FORMAT_QED, 10 << 20, 65536, NULL, NULL },
                { "vmdk", "", "10M", IMAGE_FORMAT_VMDK, 10 << 20, 65536, NULL, NULL },
                { "vdi", "", "10M", IMAGE_FORMAT_VDI, 10 << 20, 1 << 20, NULL, NULL },
                { "vpc", "-o force_size=on", "10M", IMAGE_FORMAT_VPC, 10 << 20, 2 << 20, NULL, NULL },
                { "vpc", "-o subformat=fixed,force_size=on", "10M", IMAGE_FORMAT_VPC, 10 << 20, 0, NULL, NULL },
                { "vhdx", "", "16M", IMAGE_FORMAT_VHDX, 16 << 20, 8 << 20, NULL, NULL },
                { "parallels", "", "10M", IMAGE_FORMAT_PARALLELS, 10 << 20, 1 << 20, NULL, NULL },
                { "raw", "", "10M", IMAGE_FORMAT_RAW, 10 << 20, 0, NULL, NULL },
        };
        AUTOFREE char *path = scratch_path();

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(ImageFile) *file = NULL;
                AUTO(ImageDescription) what = { 0 };
                AUTO(Error) err = { 0 };
                ImageFormat probed;

                if (!make_image(path, cases[i].format, cases[i].options, cases[i].size)) {
                        skip();
                        return;
                }
                file = image_file_open(path, 0, &err);
                CHECK(file);
                CHECK_INT(image_probe(file, &probed, &err), 0);
                /* A fixed vpc image has its footer at the end only, where stock tools do not look either. */
                if (cases[i].is != IMAGE_FORMAT_VPC || cases[i].cluster_size)
                        CHECK_STR(image_format_name(probed), image_format_name(cases[i].is));
                CHECK_STR(image_describe(file, cases[i].is, &what, &err) < 0 ? err.text : "", "");
                CHECK_INT(what.virtual_size, cases[i].virtual_size);
                CHECK_INT(what.cluster_size, cases[i].cluster_size);
                CHECK_STR(what.backing_file ?: "", cases[i].backing ?: "");
                if (cases[i].data_file)
                        CHECK_STR(what.data_files.items[0], cases[i].data_file);
        }
        unlink(path);
        unlink("/tmp/drover-img-data.raw");
}

TEST(a_broken_qcow2_header_is_named_with_field_and_offset)
{
        static const struct {
                size_t at;
                uint32_t value;
                const char *complaint;
        } cases[] = {
                { 0, 1, "'memory': magic at offset 0 is not that of a qcow2 image" },
                { 4, 9, "'memory': version at offset 4 is 9: 2 and 3 are known" },
                { 20, 40, "'memory': cluster_bits at offset 20 is 40: must be 9 to 21" },
                { 24, 0x70000000,
                  "'memory': size at offset 24 is 8070450532248977408: too large for clusters of 65536 "
                  "bytes" },
                { 32, 7, "'memory': crypt_method at offset 32 is 7: 0, 1 and 2 are known" },
                { 36, 0x7fffffff, "'memory': l1_size at offset 36 is 2147483647: the L1 table is too large" },
                { 36, 0, "'memory': l1_size at offset 36 is 0: 1 entries are needed" },
                { 44, 77, "'memory': l1_table_offset at offset 40 is 77: not at the start of a cluster" },
                { 56, 0x10000000,
                  "'memory': refcount_table_clusters at offset 56 is 268435456: the refcount table is "
                  "too large" },
                { 60, 0x100000, "'memory': nb_snapshots at offset 60 is 1048576: at most 65536 are allowed" },
                { 76, 0x100,
                  "'memory': incompatible_features at offset 72 is 0x100: holds features that are not known "
                  "here" },
                { 96, 7, "'memory': refcount_order at offset 96 is 7: at most 6 is allowed" },
                { 100, 50, "'memory': header_length at offset 100 is 50" },
                { 8, 0x1, "'memory': backing_file_offset at offset 8 is 4294967296: not in the first cluster" },
        };
        uint8_t good[112] = { 0 };

        store_be32(good, 0x514649fb);
        store_be32(good + 4, 3);
        store_be32(good + 20, 16);
        store_be64(good + 24, 1 << 20);
        store_be32(good + 36, 1);
        store_be64(good + 40, 3 << 16);
        store_be64(good + 48, 1 << 16);
        store_be32(good + 56, 1);
        store_be32(good + 96, 4);
        store_be32(good + 100, 112);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                uint8_t bad[sizeof(good)];
                AUTO(ImageFile) *file = NULL;
                AUTO(ImageDescription) what = { 0 };
                AUTO(Error) err = { 0 };

                memcpy(bad, good, sizeof(bad));
                store_be32(bad + cases[i].at, cases[i].value);
                file = memory_file_new(bad, sizeof(bad));
                CHECK_INT(image_describe(file, IMAGE_FORMAT_QCOW2, &what, &err), -1);
                CHECK_STR(err.text, cases[i].complaint);
        }
}

TEST(a_vmdk_descriptor_names_its_extents_and_parent)
{
        static const char text[] = "# Disk DescriptorFile\nversion=1\nparentFileNameHint=\"base.vmdk\"\n"
                                   "RW 2048 FLAT \"a-flat.vmdk\" 0\nRW 4096 SPARSE \"b.vmdk\"\nRW 8 ZERO\n";
        AUTO(ImageFile) *file = memory_file_new(text, sizeof(text) - 1);
        AUTO(ImageDescription) what = { 0 };
        AUTO(Error) err = { 0 };

        CHECK_INT(image_describe(file, IMAGE_FORMAT_VMDK, &what, &err), 0);
        CHECK_INT(what.virtual_size, 6152 * 512);
        CHECK_INT(what.data_files.len, 2);
        CHECK_STR(what.data_files.items[1], "b.vmdk");
        CHECK_STR(what.backing_file, "base.vmdk");
}

TEST(an_unknown_format_name_lists_what_there_is)
{
        AUTO(Error) err = { 0 };
        ImageFormat format;

        CHECK_INT(image_format_from_name("qcow2", &format, &err), 0);
        CHECK_INT(format, IMAGE_FORMAT_QCOW2);
        CHECK_INT(image_format_from_name("auto", &format, &err), -1);
        CHECK(str_starts(err.text, "Unknown driver 'auto' (there are: raw qcow2 "));
}
