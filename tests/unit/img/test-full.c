#include "test.h"

#include "base/mem.h"
#include "base/str.h"
#include "image-model.h"

#include <errno.h>

/*
 * A disk that is full in the middle of anything, and has room again: what was refused is asked for again, as QEMU does for
 * a guest that it stopped (werror=enospc), and everything is as if it had never been full.
 */
static const struct {
        ImageFormat format;
        ImageCreate how;
        size_t filled;
} kinds[] = {
        { IMAGE_FORMAT_QCOW2, { .size = 1 << 20, .cluster_size = 4096 } },
        /* its refcount table must grow soon: it reaches over 2 MiB of the file */
        { IMAGE_FORMAT_QCOW2, { .size = 3 << 20, .cluster_size = 512, .refcount_bits = 64 }, 1900 << 10 },
        { IMAGE_FORMAT_QCOW2, { .size = 1 << 20, .cluster_size = 16384, .extended_l2 = true } },
        { IMAGE_FORMAT_QCOW, { .size = 1 << 20 } },
        { IMAGE_FORMAT_VDI, { .size = 3 << 20 } },
        { IMAGE_FORMAT_VMDK, { .size = 1 << 20 } },
        { IMAGE_FORMAT_VPC, { .size = 1 << 20, .force_size = true } },
        { IMAGE_FORMAT_VHDX, { .size = 3 << 20, .cluster_size = 1 << 20 } },
        { IMAGE_FORMAT_PARALLELS, { .size = 1 << 20, .cluster_size = 65536 } },
};

enum { N_QCOW2 = 3 };                /* the first of them */
enum { HEADER_SEED = 98765 * 7919 }; /* with these dice the disk is full at the one write of the header */

typedef struct Request {
        enum { WRITE, ZERO, DISCARD, FLUSH, PACK } kind;
        uint64_t at, n;
} Request;

static Request roll(const Model *model)
{
        Request request = { .at = model_dice((unsigned)model->size) };
        unsigned what = model_dice(12), n = 1 + model_dice(model_dice(4) ? 9000 : 100000);

        request.kind = what == 0 ? FLUSH : what < 3 ? ZERO : what < 4 ? DISCARD : WRITE;
        request.n = MIN((uint64_t)n, model->size - request.at);
        return request;
}

/* Neighbouring clusters that are stored compressed in one go. Three in four bytes of each are the same. */
static Request roll_run(const Image *image, Model *model)
{
        uint64_t cluster = image_cluster_size(image), clusters = model->size / cluster;
        uint64_t first = model_dice((unsigned)clusters), count = 1 + model_dice(70);
        Request request = { .kind = PACK, .at = first * cluster, .n = MIN(count, clusters - first) * cluster };

        memset(model->bytes + request.at, (int)(1 + model->named++ % 250), request.n);
        for (uint64_t i = 0; i < request.n; i++)
                if (i % cluster < cluster / 4)
                        model->bytes[request.at + i] = (uint8_t)model_dice(256);
        return request;
}

static int ask(Image *image, const Model *model, const Request *request, Error *err)
{
        switch (request->kind) {
        case FLUSH:
                return image_flush(image, err);
        case ZERO:
                return image_zero(image, request->at, request->n, 0, err);
        case DISCARD:
                return image_zero(image, request->at, request->n, IMAGE_ZERO_UNMAP, err);
        case PACK:
                return model_write_packed(image, model, request->at, request->n / image_cluster_size(image), err);
        default:
                return image_write(image, request->at, model->bytes + request->at, request->n, err);
        }
}

/* One request, refused as long as the disk is full; true when it was. */
static bool go_on(Image *image, Model *model, bool packs)
{
        Request request = packs && model_dice(2) ? roll_run(image, model) : roll(model);
        AUTO(Error) err = { 0 };
        bool refused;

        if (request.kind == ZERO || request.kind == DISCARD)
                memset(model->bytes + request.at, 0, request.n);
        else if (request.kind == WRITE)
                memset(model->bytes + request.at, (int)(1 + model->named++ % 250), request.n);
        refused = ask(image, model, &request, &err) < 0;
        if (!refused)
                return false;
        CHECK_STR(strstr(err.text, "No space left on device") ? "" : err.text, "");
        CHECK_INT(err.number, ENOSPC);
        err_done(&err);
        if (model_dice(2))
                ask(image, model, &request, &err); /* too early: it may be refused again */
        err_done(&err);
        memory_file_heal(image_file(image));
        CHECK_STR(ask(image, model, &request, &err) < 0 ? err.text : "", "");
        return true;
}

/* The disk fills up after `in` writes; true when that came to pass. */
static bool check_full(size_t k, size_t in, unsigned seed, bool packs)
{
        ImageFile *file = memory_file_new(NULL, 0);
        AUTO(Model) model = model_new(kinds[k].how.size);
        AUTO(Image) *image = NULL;
        AUTO(Error) err = { 0 };
        bool refused = false;
        size_t changes;

        CHECK_STR(image_create(file, kinds[k].format, &kinds[k].how, &err) < 0 ? err.text : "", "");
        image = image_open(file, kinds[k].format, IMAGE_WRITE, &err);
        CHECK_STR(err.text ?: "", "");
        model_begin(seed + (unsigned)(in * 7 + k));
        memset(model.bytes, 'f', kinds[k].filled);
        CHECK_INT(image_write(image, 0, model.bytes, kinds[k].filled, &err), 0);
        for (unsigned i = 0; i < 4; i++)
                go_on(image, &model, packs);
        CHECK_STR(image_flush(image, &err) < 0 ? err.text : "", "");
        memory_file_record(file);
        memory_file_full_from(file, in);
        for (unsigned i = 0; i < 24; i++)
                refused |= go_on(image, &model, packs);
        memory_file_heal(file);
        CHECK_STR(image_flush(image, &err) < 0 ? err.text : "", "");
        model_check_content(image, &model);
        model_check_clean(image);
        changes = memory_file_changes(file);
        for (size_t cut = 1; cut <= changes; cut += 1 + changes / 12)
                model_check_after_crash(kinds[k].format,
                                        memory_file_after_crash(file, cut, (unsigned)(cut * 31 + in)));
        if (in % 16 == 5)
                model_check_with_stock(image, &model);
        return refused;
}

TEST(a_disk_that_was_full_for_a_while_takes_up_where_it_stopped)
{
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                unsigned refused = 0, tries = model_steps(24);

                for (size_t in = 0; in < tries; in++)
                        refused += check_full(k, in, 0, false);
                CHECK(refused > tries / 4);
        }
}

TEST(a_header_that_a_full_disk_did_not_take_when_the_table_of_counts_grew_is_written_later)
{
        unsigned refused = 0;

        CHECK(kinds[1].filled);
        for (size_t in = 0; in < 24; in++)
                refused += check_full(1, in, HEADER_SEED, false);
        CHECK(refused);
}

TEST(compressed_clusters_that_a_full_disk_did_not_take_are_stored_later)
{
        for (size_t k = 0; k < N_QCOW2; k++) {
                unsigned refused = 0, tries = model_steps(24);

                CHECK(kinds[k].format == IMAGE_FORMAT_QCOW2);
                for (size_t in = 0; in < tries; in++)
                        refused += check_full(k, 3 * in, 0, true);
                CHECK(refused > tries / 4);
        }
}
