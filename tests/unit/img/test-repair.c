#include "test.h"

#include "image-model.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/block-map.h"
#include "img/bytes.h"

/*
 * Formats that are one table of blocks are repaired, with the power going at every write of the repair: what is left shows
 * what the image showed, and the next repair comes to its end.
 */
enum { BLOCKS = 4, SEEDS = 4 };

static const struct {
        ImageFormat format;
        ImageCreate how;
} kinds[] = {
        { IMAGE_FORMAT_QCOW, { .size = 1 << 20 } },
        { IMAGE_FORMAT_VDI, { .size = 4 << 20 } },
        { IMAGE_FORMAT_VPC, { .size = 8 << 20, .force_size = true } },
        { IMAGE_FORMAT_VHDX, { .size = 4 << 20, .cluster_size = 1 << 20 } },
        { IMAGE_FORMAT_PARALLELS, { .size = 1 << 20, .cluster_size = 65536 } },
};

static Image *opened(ImageFile *file, ImageFormat format)
{
        AUTO(Error) err = { 0 };
        Image *image = image_open(file, format, IMAGE_WRITE | IMAGE_CHECKING, &err);

        CHECK_STR(err.text ?: "", "");
        return image;
}

/* A block is nobody's: its room is lost. */
static void lose(Image *image)
{
        CHECK_INT(block_map_set(image, 1, BLOCK_ABSENT, NULL), 0);
}

/* Two blocks stand at one place, and room is lost too. */
static void share(Image *image)
{
        uint64_t entry;

        CHECK_INT(block_map_entry(image, 2, &entry, NULL), 0);
        CHECK_INT(block_map_set(image, 1, entry, NULL), 0);
}

static Image *made(size_t k, void (*damage)(Image *image))
{
        ImageFile *file = memory_file_new(NULL, 0);
        AUTO(Error) err = { 0 };
        uint8_t data[5000];
        Image *image;

        CHECK_STR(image_create(file, kinds[k].format, &kinds[k].how, &err) < 0 ? err.text : "", "");
        image = opened(file, kinds[k].format);
        for (unsigned i = 0; i < BLOCKS; i++) {
                memset(data, (int)i + 1, sizeof(data));
                CHECK_INT(image_write(image, i * image_cluster_size(image) + 100, data,
                                      MIN(sizeof(data), (size_t)image_cluster_size(image) - 100), &err),
                          0);
        }
        CHECK_INT(image_flush(image, &err), 0);
        damage(image);
        CHECK_STR(image_flush(image, &err) < 0 ? err.text : "", "");
        file = memory_file_copy(file);
        image_free(image);
        return opened(file, kinds[k].format);
}

static uint8_t *view_of(Image *image)
{
        uint8_t *view = mem_alloc(image_size(image));
        AUTO(Error) err = { 0 };

        CHECK_STR(image_read(image, 0, view, image_size(image), &err) < 0 ? err.text : "", "");
        return view;
}

static void repair(Image *image)
{
        ImageCheck found = { 0 };
        AUTO(Error) err = { 0 };

        CHECK_STR(image_check(image, REPAIR_ALL, &found, &err) < 0 ? err.text : "", "");
        CHECK_STR(image_flush(image, &err) < 0 ? err.text : "", "");
}

static void check_left(size_t k, ImageFile *file, const uint8_t *before)
{
        Image *left = opened(file, kinds[k].format);
        AUTOFREE uint8_t *view = view_of(left), *after = NULL;

        CHECK_MEM(view, before, image_size(left));
        repair(left);
        after = view_of(left);
        CHECK_MEM(after, before, image_size(left));
        if (kinds[k].format == IMAGE_FORMAT_VDI) /* the only one whose blocks are moved to where room was lost */
                model_check_clean(left);
        model_check_after_crash(kinds[k].format, memory_file_copy(image_file(left)));
        image_free(left);
}

static void sweep(size_t k, void (*damage)(Image *image))
{
        Image *image = made(k, damage);
        AUTOFREE uint8_t *before = view_of(image);
        ImageCheck found = { 0 };
        size_t changes;

        CHECK_INT(image_check(image, REPAIR_NONE, &found, NULL), 0);
        CHECK(found.leaks + found.corruptions > 0 || kinds[k].format == IMAGE_FORMAT_QCOW);
        memory_file_record(image_file(image));
        repair(image);
        changes = memory_file_changes(image_file(image));
        for (size_t cut = 0; cut <= changes; cut++)
                for (unsigned seed = 0; seed < SEEDS; seed++)
                        check_left(k, memory_file_after_crash(image_file(image), cut, seed * 7919), before);
        image_free(image);
}

TEST(a_repair_that_is_cut_off_at_any_write_loses_nothing_and_can_be_done_again)
{
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                sweep(k, lose);
                sweep(k, share);
        }
}
