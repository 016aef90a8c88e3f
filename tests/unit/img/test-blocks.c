#include "test.h"

#include "base/mem.h"
#include "base/str.h"
#include "image-model.h"
#include "img/bytes.h"

/*
 * What every format that is a table of blocks must do: hold what was written, agree with stock qemu-img, and be clean
 * or only leaking whenever the power goes (IMG-27, IMG-28, IMG-31).
 */
typedef struct Kind {
        ImageFormat format;
        ImageCreate how;
        bool packs;
} Kind;

static const Kind kinds[] = {
        { IMAGE_FORMAT_VDI, { .size = 5 << 19 }, false },
        { IMAGE_FORMAT_VDI, { .size = 5 << 19, .is_static = true }, false },
        { IMAGE_FORMAT_PARALLELS, { .size = 5 << 19, .cluster_size = 65536 }, false },
        { IMAGE_FORMAT_PARALLELS, { .size = 5 << 19 }, false },
        { IMAGE_FORMAT_QCOW, { .size = 5 << 19 }, true },
        { IMAGE_FORMAT_VPC, { .size = 5 << 19, .force_size = true }, false },
        { IMAGE_FORMAT_VHDX, { .size = 5 << 19, .cluster_size = 1 << 20 }, false },
        { IMAGE_FORMAT_VHDX, { .size = 5 << 19, .cluster_size = 1 << 20, .subformat = "fixed" }, false },
        { IMAGE_FORMAT_VMDK, { .size = 5 << 19 }, false },
        { IMAGE_FORMAT_VMDK, { .size = 5 << 19, .zeroed_grain = true }, false },
        { IMAGE_FORMAT_VPC, { .size = 5 << 19, .force_size = true, .subformat = "fixed" }, false },
};

static Image *make(const Kind *kind)
{
        ImageFile *file = memory_file_new(NULL, 0);
        AUTO(Error) err = { 0 };
        Image *image;

        CHECK_STR(image_create(file, kind->format, &kind->how, &err) < 0 ? err.text : "", "");
        image = image_open(file, kind->format, IMAGE_WRITE, &err);
        CHECK_STR(err.text ?: "", "");
        return image;
}

static void write_compressed(Image *image, Model *model)
{
        uint64_t cluster = image_cluster_size(image), at = model_dice((unsigned)model->size) / cluster * cluster;
        uint64_t n = MIN(cluster, model->size - at);
        AUTO(Error) err = { 0 };

        memset(model->bytes + at, (int)model->named++, n);
        model->bytes[at + model_dice((unsigned)n)] = 1;
        CHECK_STR(image_write_compressed(image, at, model->bytes + at, n, &err) < 0 ? err.text : "", "");
}

static void change(const Kind *kind, Image *image, Model *model)
{
        switch (model_dice(10)) {
        case 0:
                CHECK_INT(image_flush(image, NULL), 0);
                break;
        case 1:
        case 2:
                model_zero(image, model);
                break;
        case 3:
                if (kind->packs)
                        write_compressed(image, model);
                break;
        default:
                model_write(image, model);
                break;
        }
}

TEST(random_changes_give_what_the_model_says_and_stock_tools_agree)
{
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                Image *image = make(&kinds[k]);
                AUTO(Model) model = model_new(kinds[k].how.size);
                AUTO(Error) err = { 0 };
                ImageFile *again;

                model_begin(3 + (unsigned)k);
                for (unsigned i = 0; i < model_steps(120); i++) {
                        change(&kinds[k], image, &model);
                        if (i % 60 == 59) {
                                CHECK_INT(image_flush(image, &err), 0);
                                model_check_clean(image);
                                model_check_content(image, &model);
                        }
                }
                model_check_with_stock(image, &model);
                /* Another start finds the same. */
                again = memory_file_copy(image_file(image));
                CHECK_STR(image_close(image, &err) < 0 ? err.text : "", "");
                image = image_open(again, kinds[k].format, IMAGE_WRITE, &err);
                model_check_content(image, &model);
                for (unsigned i = 0; i < 30; i++)
                        change(&kinds[k], image, &model);
                CHECK_INT(image_flush(image, &err), 0);
                model_check_clean(image);
                model_check_content(image, &model);
                CHECK_INT(image_close(image, &err), 0);
        }
}

TEST(a_crash_at_any_write_leaves_the_image_clean_or_only_leaking)
{
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                Image *image = make(&kinds[k]);
                AUTO(Model) model = model_new(kinds[k].how.size);
                size_t changes;

                model_begin(8);
                CHECK_INT(image_flush(image, NULL), 0);
                memory_file_record(image_file(image));
                for (unsigned i = 0; i < 40; i++)
                        change(&kinds[k], image, &model);
                CHECK_INT(image_flush(image, NULL), 0);
                changes = memory_file_changes(image_file(image));
                for (size_t cut = 1; cut <= changes; cut += 1 + cut / 8)
                        for (unsigned s = 0; s < 2; s++)
                                model_check_after_crash(kinds[k].format,
                                                        memory_file_after_crash(image_file(image), cut, s * 7919));
                CHECK_INT(image_close(image, NULL), 0);
        }
}

TEST(after_a_crash_the_image_is_repaired_and_written_again)
{
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                AUTO(Model) model = model_new(kinds[k].how.size);
                Image *image = make(&kinds[k]);
                size_t changes;

                model_begin(21);
                memory_file_record(image_file(image));
                for (unsigned i = 0; i < 30; i++)
                        change(&kinds[k], image, &model);
                CHECK_INT(image_flush(image, NULL), 0);
                changes = memory_file_changes(image_file(image));
                for (size_t cut = 1; cut <= changes; cut += 1 + changes / 3) {
                        ImageFile *file = memory_file_after_crash(image_file(image), cut, 77 + (unsigned)cut);
                        ImageCheck found = { 0 };
                        AUTO(Error) err = { 0 };
                        Image *after = image_open(file, kinds[k].format, IMAGE_WRITE | IMAGE_CHECKING, &err);

                        CHECK_STR(err.text ?: "", "");
                        CHECK_STR(image_check(after, REPAIR_ALL, &found, &err) < 0 ? err.text : "", "");
                        CHECK_INT(image_read(after, 0, model.bytes, model.size, &err), 0);
                        for (unsigned i = 0; i < 10; i++)
                                change(&kinds[k], after, &model);
                        CHECK_STR(image_flush(after, &err) < 0 ? err.text : "", "");
                        model_check_content(after, &model);
                        if (cut + 1 + changes / 3 > changes)
                                model_check_with_stock(after, &model);
                        CHECK_INT(image_close(after, &err), 0);
                }
                CHECK_INT(image_close(image, NULL), 0);
        }
}

TEST(a_failed_write_is_reported_and_leaves_the_image_clean_or_only_leaking)
{
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                for (size_t in = 0; in < 24; in++) {
                        Image *image = make(&kinds[k]);
                        static const uint8_t data[20000] = { 1, 2, 3 };
                        AUTO(Error) err = { 0 };
                        bool failed = false;

                        memory_file_fail_from(image_file(image), in);
                        for (unsigned i = 0; i < 12 && !failed; i++) {
                                failed = image_write(image, i * 170000, data, sizeof(data), &err) < 0;
                                if (!failed && i % 4 == 3)
                                        failed = image_flush(image, &err) < 0;
                        }
                        CHECK(failed || in > 12);
                        if (failed)
                                CHECK(strstr(err.text, "Input/output error"));
                        model_check_after_crash(kinds[k].format, memory_file_copy(image_file(image)));
                        image_close(image, NULL);
                }
        }
}

TEST(threads_that_write_to_the_same_blocks_do_not_lose_each_others_bytes)
{
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                Image *image = make(&kinds[k]);

                model_check_threads(image);
                CHECK_INT(image_close(image, NULL), 0);
        }
}

/*
 * A differencing vpc image as others make it: a bitmap before each block says which of its sectors are there. Before one
 * is written the block gets the others from below, and a crash at any point loses none of them.
 */
enum { VPC_BITMAP = 512, OTHERS_EVERY = 7, OTHERS_BYTES = 12 };

static Image *vpc_with_holes(Image *parent, const Model *model, uint8_t *own)
{
        const VpcDescription *below = image_description(parent)->vpc;
        ImageCreate how = { .size = model->size, .backing_file = "below.vhd", .vpc_parent = below };
        ImageFile *file = memory_file_new(NULL, 0), *again;
        AUTO(Error) err = { 0 };
        Image *image;

        CHECK_STR(image_create(file, IMAGE_FORMAT_VPC, &how, &err) < 0 ? err.text : "", "");
        image = image_open(file, IMAGE_FORMAT_VPC, IMAGE_WRITE, &err);
        CHECK_STR(err.text ?: "", "");
        memset(own, 0xee, model->size);
        CHECK_INT(image_write(image, 0, own, model->size, &err), 0);
        CHECK_INT(image_flush(image, &err), 0);
        again = memory_file_copy(image_file(image));
        /* Every seventh sector at the start of the first block is not its own. */
        for (uint64_t i = 0; i < OTHERS_BYTES; i++) {
                ImageExtent extent;
                uint8_t bits = 0;

                CHECK_INT(image_map(image, 0, 1, &extent, &err), 0);
                for (unsigned bit = 0; bit < 8; bit++)
                        bits |= (i * 8 + bit) % OTHERS_EVERY ? 0x80 >> bit : 0;
                CHECK_INT(image_file_write(again, extent.offset - VPC_BITMAP + i, &bits, 1, &err), 0);
        }
        image_free(image);
        for (uint64_t sector = 0; sector < OTHERS_BYTES * 8; sector += OTHERS_EVERY)
                memcpy(own + sector * 512, model->bytes + sector * 512, 512);
        image = image_open(again, IMAGE_FORMAT_VPC, IMAGE_WRITE, &err);
        CHECK_STR(err.text ?: "", "");
        return image;
}

static Image *vpc_parent(const Model *model)
{
        ImageFile *file = memory_file_new(NULL, 0);
        ImageCreate how = { .size = model->size, .force_size = true };
        AUTO(Error) err = { 0 };
        Image *image;

        CHECK_INT(image_create(file, IMAGE_FORMAT_VPC, &how, &err), 0);
        image = image_open(file, IMAGE_FORMAT_VPC, IMAGE_WRITE, &err);
        CHECK_INT(image_write(image, 0, model->bytes, model->size, &err), 0);
        CHECK_INT(image_flush(image, &err), 0);
        return image;
}

TEST(sectors_that_a_block_has_from_below_stay_when_it_is_written)
{
        AUTO(Model) below = model_new(5 << 19), model = model_new(5 << 19);
        Image *parent, *image;
        AUTO(Error) err = { 0 };
        size_t changes;

        for (uint64_t i = 0; i < below.size; i++)
                below.bytes[i] = (uint8_t)(i / 512 % 251 + 1);
        parent = vpc_parent(&below);
        image = vpc_with_holes(parent, &below, model.bytes);
        image_set_backing(image, parent);
        model_check_content(image, &model);
        memory_file_record(image_file(image));
        model_begin(12);
        /* Some of them only, so that the others are known after a crash. */
        CHECK_INT(image_write(image, 700, model.bytes + 4000, 5000, &err), 0);
        memmove(model.bytes + 700, model.bytes + 4000, 5000);
        CHECK_INT(image_zero(image, 20000, 5000, 0, &err), 0);
        memset(model.bytes + 20000, 0, 5000);
        CHECK_INT(image_flush(image, &err), 0);
        model_check_content(image, &model);
        model_check_clean(image);
        changes = memory_file_changes(image_file(image));
        for (size_t cut = 1; cut <= changes; cut++) {
                for (unsigned s = 0; s < 4; s++) {
                        AUTOFREE uint8_t *is = mem_alloc(model.size);
                        ImageFile *file = memory_file_after_crash(image_file(image), cut, s * 7919);
                        Image *after = image_open(file, IMAGE_FORMAT_VPC, 0, &err);

                        CHECK_STR(err.text ?: "", "");
                        file = memory_file_copy(image_file(parent));
                        image_set_backing(after, image_open(file, IMAGE_FORMAT_VPC, 0, &err));
                        CHECK_INT(image_read(after, 0, is, model.size, &err), 0);
                        CHECK_MEM(is + 25000, model.bytes + 25000, model.size - 25000);
                        CHECK_MEM(is + 10000, model.bytes + 10000, 10000);
                        image_free(after);
                }
        }
        CHECK_INT(image_close(image, &err), 0);
}
