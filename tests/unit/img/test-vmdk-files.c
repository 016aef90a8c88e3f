#include "test.h"

#include "base/mem.h"
#include "base/str.h"
#include "image-model.h"
#include "img/bytes.h"

/*
 * A disk of VMware's in many files, and one that is compressed: the power goes at any change of any of them, and each
 * change fails in turn (IMG-32).
 */
enum { MOST_FILES = 3, WINDOW = 2 << 20, GRAIN = 64 << 10 };
#define SPLIT (2ULL << 30)

typedef struct Kind {
        ImageCreate how;
        uint64_t window; /* the bytes that are written begin here */
} Kind;

static const Kind kinds[] = {
        { { .size = WINDOW, .subformat = "monolithicFlat", .path = "disk.vmdk" }, 0 },
        { { .size = SPLIT + WINDOW / 2, .subformat = "twoGbMaxExtentSparse", .path = "disk.vmdk" },
          SPLIT - WINDOW / 2 },
        { { .size = WINDOW, .subformat = "streamOptimized", .path = "disk.vmdk" }, 0 },
};

/* The files of one disk; all are the image's once it is open. */
typedef struct Files {
        ImageFile *own, *parts[MOST_FILES];
        size_t n;
} Files;

static Image *opened(Files *files, unsigned flags, Error *err)
{
        Image *image = image_open(files->own, IMAGE_FORMAT_VMDK, flags, err);
        size_t attached = 0;

        while (image && attached < files->n && image_attach(image, attached, files->parts[attached], err) == 0)
                attached++;
        if (!image)
                image_file_close(files->own);
        for (size_t i = attached; i < files->n; i++)
                image_file_close(files->parts[i]);
        if (image && attached == files->n)
                return image;
        return image_free(image);
}

static Image *made(const Kind *kind, Files *files)
{
        ImageCreate how = kind->how;
        AUTO_STRLIST names = NULL;
        AUTO(Error) err = { 0 };
        Image *image;

        *files = (Files){ .own = memory_file_new(NULL, 0) };
        CHECK_INT(image_plan_files(IMAGE_FORMAT_VMDK, &how, &names, &err), 0);
        files->n = str_list_len(names);
        CHECK(files->n <= MOST_FILES);
        for (size_t i = 0; i < files->n; i++)
                files->parts[i] = memory_file_new(NULL, 0);
        how.files = files->parts;
        how.n_files = files->n;
        CHECK_STR(image_create(files->own, IMAGE_FORMAT_VMDK, &how, &err) < 0 ? err.text : "", "");
        image = opened(files, IMAGE_WRITE, &err);
        CHECK_STR(err.text ?: "", "");
        return image;
}

/* Grains in an order of their own, each once; in part and again where that can be done. */
static int write_some(const Kind *kind, Image *image, uint8_t *model, Error *err)
{
        bool once = image_must_compress(image);

        for (unsigned i = 0; i < 20; i++) {
                uint64_t at = once ? (i * 7 % (WINDOW / GRAIN)) * (uint64_t)GRAIN : model_dice(WINDOW - 1);
                size_t n = once ? GRAIN : MIN((size_t)1 + model_dice(150000), (size_t)(WINDOW - at));

                for (size_t k = 0; k < n; k++)
                        model[at + k] = (uint8_t)(i + 1 + k % 7);
                if (image_write(image, kind->window + at, model + at, n, err) < 0 ||
                    (i % 6 == 5 && image_flush(image, err) < 0))
                        return -1;
        }
        return image_flush(image, err);
}

static void check_shows(const Kind *kind, Image *image, const uint8_t *model)
{
        AUTOFREE uint8_t *is = mem_alloc(WINDOW);
        AUTO(Error) err = { 0 };

        CHECK_STR(image_read(image, kind->window, is, WINDOW, &err) < 0 ? err.text : "", "");
        CHECK_MEM(is, model, WINDOW);
}

static void check_found(Image *image)
{
        ImageCheck found = { 0 };
        AUTO(Error) err = { 0 };

        CHECK_STR(image_check(image, REPAIR_NONE, &found, &err) < 0 ? err.text : "", "");
        CHECK_INT(found.corruptions, 0);
        CHECK_INT(found.check_errors, 0);
}

TEST(what_is_written_over_the_edge_of_two_files_is_there_again)
{
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                AUTOFREE uint8_t *model = mem_alloc(WINDOW);
                AUTO(Error) err = { 0 };
                Files files, again;
                Image *image = made(&kinds[k], &files);

                model_begin(4);
                CHECK_STR(write_some(&kinds[k], image, model, &err) < 0 ? err.text : "", "");
                check_shows(&kinds[k], image, model);
                again = (Files){ .own = memory_file_copy(files.own), .n = files.n };
                for (size_t i = 0; i < files.n; i++)
                        again.parts[i] = memory_file_copy(files.parts[i]);
                CHECK_INT(image_close(image, &err), 0);
                image = opened(&again, 0, &err);
                CHECK(image);
                check_shows(&kinds[k], image, model);
                check_found(image);
                image_free(image);
        }
}

TEST(a_crash_at_any_change_of_any_file_leaves_the_disk_clean_or_only_leaking)
{
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                AUTOFREE uint8_t *model = mem_alloc(WINDOW);
                AUTO(Error) err = { 0 };
                Files files;
                Image *image = made(&kinds[k], &files);
                size_t first, last;

                model_begin(5);
                CHECK_INT(image_flush(image, NULL), 0);
                memory_file_record(files.own);
                for (size_t i = 0; i < files.n; i++)
                        memory_file_record(files.parts[i]);
                first = memory_file_moment();
                CHECK_INT(write_some(&kinds[k], image, model, &err), 0);
                last = memory_file_moment();
                for (size_t moment = first; moment <= last; moment++) {
                        for (unsigned s = 0; s < 3; s++) {
                                Files after = { .n = files.n };
                                Image *found;

                                after.own = memory_file_after_crash(
                                        files.own, memory_file_changes_before(files.own, moment), s * 7919);
                                for (size_t i = 0; i < files.n; i++)
                                        after.parts[i] = memory_file_after_crash(
                                                files.parts[i], memory_file_changes_before(files.parts[i], moment),
                                                s * 31);
                                found = opened(&after, IMAGE_CHECKING, &err);
                                CHECK_STR(err.text ?: "", "");
                                check_found(found);
                                image_free(found);
                        }
                }
                CHECK_INT(image_close(image, NULL), 0);
        }
}

TEST(a_failed_write_of_any_file_is_reported_and_leaves_the_disk_clean_or_only_leaking)
{
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                for (size_t which = 0; which <= MOST_FILES; which++) {
                        for (size_t in = 0; in < 30; in++) {
                                AUTOFREE uint8_t *model = mem_alloc(WINDOW);
                                AUTO(Error) err = { 0 };
                                Files files, after = { 0 };
                                Image *image = made(&kinds[k], &files);

                                if (which > files.n) {
                                        image_free(image);
                                        break;
                                }
                                model_begin(6);
                                memory_file_fail_from(which ? files.parts[which - 1] : files.own, in);
                                if (write_some(&kinds[k], image, model, &err) < 0)
                                        CHECK(strstr(err.text, "Input/output error"));
                                after = (Files){ .own = memory_file_copy(files.own), .n = files.n };
                                for (size_t i = 0; i < files.n; i++)
                                        after.parts[i] = memory_file_copy(files.parts[i]);
                                image_free(image);
                                err_done(&err);
                                image = opened(&after, IMAGE_CHECKING, &err);
                                CHECK_STR(err.text ?: "", "");
                                check_found(image);
                                image_free(image);
                        }
                }
        }
}
