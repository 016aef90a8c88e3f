/*
 * img/qcow2.c - the qcow2 format's place in the table of formats; opening and closing
 */
#include "img/qcow2.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"

static bool qcow2_probe(const uint8_t *head, size_t n)
{
        return n >= 8 && load_be32(head) == QCOW2_MAGIC && load_be32(head + 4) >= 2;
}

static int qcow2_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        AUTO(Qcow2Header) h = { 0 };

        if (qcow2_header_read(file, &h, err) < 0)
                return -1;
        ret->version = h.version;
        ret->virtual_size = h.size;
        ret->cluster_size = qcow2_cluster_size(&h);
        ret->encrypted = h.crypt != 0;
        ret->luks = h.crypt == QCOW2_CRYPT_LUKS;
        ret->dirty = h.incompatible & QCOW2_DIRTY;
        ret->corrupt = h.incompatible & QCOW2_CORRUPT;
        ret->refcount_bits = 1u << h.refcount_order;
        ret->zstd = h.compression == QCOW2_ZSTD;
        ret->lazy_refcounts = h.compatible & QCOW2_LAZY_REFCOUNTS;
        ret->extended_l2 = h.incompatible & QCOW2_EXTENDED_L2;
        ret->data_file_raw = h.autoclear & QCOW2_RAW_EXTERNAL_DATA;
        ret->backing_file = TAKE(h.backing_file);
        ret->backing_format = TAKE(h.backing_format);
        if (h.data_file)
                vec_push(&ret->data_files, TAKE(h.data_file));
        return 0;
}

static void qcow2_free(Qcow2 *q)
{
        qcow2_tables_drop(q);
        qcow2_refcounts_done(q);
        qcow2_bitmaps_drop(q);
        free(q->tables);
        free(q->l1);
        for (size_t i = 0; i < q->idle_codecs.len; i++)
                codec_free(q->idle_codecs.items[i]);
        vec_done(&q->idle_codecs);
        vec_done(&q->landing);
        vec_done(&q->unlinked);
        qcow2_header_done(&q->h);
        pthread_cond_destroy(&q->landed);
        pthread_mutex_destroy(&q->lock);
        pthread_mutex_destroy(&q->dirtying);
        pthread_rwlock_destroy(&q->in_use);
        free(q);
}

static Qcow2 *qcow2_new(Image *image)
{
        Qcow2 *q = mem_new(Qcow2);
        pthread_rwlockattr_t fair;

        q->image = image;
        q->file = image->file;
        /* A flush that waits for the requests under way must not be kept waiting by new ones. */
        pthread_rwlockattr_init(&fair);
        pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
        pthread_rwlock_init(&q->in_use, &fair);
        pthread_rwlockattr_destroy(&fair);
        pthread_mutex_init(&q->lock, NULL);
        pthread_mutex_init(&q->dirtying, NULL);
        pthread_cond_init(&q->landed, NULL);
        return q;
}

static int open_state(Qcow2 *q, Error *err)
{
        uint64_t end;

        if (qcow2_header_read(q->file, &q->h, err) < 0)
                return -1;
        q->cluster = qcow2_cluster_size(&q->h);
        q->cluster_bits = q->h.cluster_bits;
        q->entry_words = q->h.incompatible & QCOW2_EXTENDED_L2 ? 2 : 1;
        q->per_table = q->cluster / 8 / q->entry_words;
        q->granule = q->entry_words == 2 ? q->cluster / 32 : q->cluster;
        q->compressed_shift = 62 - (q->cluster_bits - 8);
        q->block_bits = q->cluster_bits + 3 - q->h.refcount_order;
        if (image_file_size(q->file, &end, err) < 0)
                return -1;
        q->file_end = round_up(end, q->cluster);
        if (qcow2_crypt_open(q, err) < 0)
                return -1;
        q->tables = mem_try(q->h.l1_size * sizeof(*q->tables));
        if (!q->tables)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for the L1 table", q->file->name);
        return qcow2_l1_load(q, q->h.l1_offset, q->h.l1_size, &q->l1, err);
}

static int qcow2_open(Image *image, Error *err)
{
        Qcow2 *q;

        if (image->writable && !image->checking && image->about.corrupt)
                return err_set(err, ERR_OPERATION_FAILED,
                               "'%s' is marked as corrupt: it can be read only, until check -r all has repaired it",
                               image_name(image));
        q = qcow2_new(image);
        if (open_state(q, err) < 0) {
                qcow2_free(q);
                return -1;
        }
        image->state = q;
        if (image->writable && !image->checking && q->h.incompatible & QCOW2_DIRTY &&
            qcow2_repair_after_crash(image, err) < 0) {
                qcow2_free(q);
                return -1;
        }
        return 0;
}

static int qcow2_close(Image *image, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        uint64_t end;
        int r = 0;

        if (q->begun) {
                r = qcow2_flush_all(q, err);
                if (r == 0)
                        r = qcow2_bitmaps_store(q, err);
                /* The last cluster was perhaps written in part. */
                if (r == 0)
                        r = image_file_size(q->file, &end, err);
                if (r == 0 && end & (q->cluster - 1)) {
                        r = image_file_truncate(q->file, round_up(end, q->cluster), err);
                        if (r == 0)
                                r = image_file_flush(q->file, err);
                }
        }
        qcow2_free(q);
        return r;
}

static int qcow2_attach(Image *image, size_t i, ImageFile *file, Error *err)
{
        (void)i, (void)err;
        image_file_close(image->data_file);
        image->data_file = file;
        return 0;
}

static int qcow2_flush(Image *image, Error *err)
{
        return qcow2_flush_all(qcow2_of(image), err);
}

/* lock is held: clear what a writer who does not keep it up to date must clear. */
static int begin_writing(Qcow2 *q, Error *err)
{
        uint64_t known = QCOW2_BITMAPS | QCOW2_RAW_EXTERNAL_DATA, was = q->h.autoclear;

        if (q->h.autoclear & ~known) {
                q->h.autoclear &= known;
                if (qcow2_header_store(q, err) < 0 || image_file_flush(q->file, err) < 0) {
                        q->h.autoclear = was;
                        return -1;
                }
        }
        return qcow2_refcounts_load(q, err);
}

static int begin(Qcow2 *q, bool follow, Error *err)
{
        int r = 0;

        pthread_mutex_lock(&q->lock);
        if (q->broken)
                r = err_set(err, ERR_OPERATION_FAILED, "'%s': an earlier write of its tables failed", q->file->name);
        else if (q->h.incompatible & QCOW2_EXTERNAL_DATA && !q->image->data_file)
                r = err_set(err, ERR_OPERATION_INVALID, "'%s': its data file was not opened", q->file->name);
        if (r == 0 && !q->bitmaps)
                r = qcow2_bitmaps_begin(q, err);
        if (r == 0 && follow)
                r = qcow2_bitmaps_follow(q, err);
        if (r == 0 && !q->begun) {
                r = begin_writing(q, err);
                q->begun = r == 0;
        }
        pthread_mutex_unlock(&q->lock);
        return r;
}

int qcow2_begin_writing(Qcow2 *q, Error *err)
{
        return begin(q, true, err);
}

int qcow2_begin_bitmaps(Qcow2 *q, Error *err)
{
        return begin(q, false, err);
}

static size_t pack(Image *image, const void *data, void *packed)
{
        return qcow2_pack(qcow2_of(image), data, packed);
}

static int snapshots(Image *image, ImageSnapshots *ret, Error *err)
{
        return qcow2_snapshots_read(qcow2_of(image), ret, err);
}

static int set_backing_name(Image *image, const char *name, const char *format, Error *err)
{
        Qcow2 *q = qcow2_of(image);

        if (name && q->h.incompatible & QCOW2_EXTERNAL_DATA && q->h.autoclear & QCOW2_RAW_EXTERNAL_DATA)
                return err_set(err, ERR_OPERATION_INVALID, "'%s': a raw data file cannot have a backing file",
                               image_name(image));
        if (qcow2_begin_writing(q, err) < 0 || qcow2_flush_all(q, err) < 0)
                return -1;
        str_replace(&q->h.backing_file, name);
        str_replace(&q->h.backing_format, name ? format : NULL);
        return qcow2_header_store(q, err) < 0 ? -1 : image_file_flush(q->file, err);
}

const ImageDriver image_driver_qcow2 = {
        .name = "qcow2",
        .probe = qcow2_probe,
        .describe = qcow2_describe,
        .open = qcow2_open,
        .close = qcow2_close,
        .attach = qcow2_attach,
        .unlock = qcow2_unlock,
        .map = qcow2_map,
        .read = qcow2_read,
        .write = qcow2_write,
        .pack = pack,
        .write_packed_run = qcow2_write_packed_run,
        .zero = qcow2_zero,
        .flush = qcow2_flush,
        .resize = qcow2_resize,
        .create = qcow2_create,
        .amend = qcow2_amend,
        .check = qcow2_check,
        .snapshots = snapshots,
        .snapshot_create = qcow2_snapshot_create,
        .snapshot_apply = qcow2_snapshot_apply,
        .snapshot_delete = qcow2_snapshot_delete,
        .snapshot_show = qcow2_snapshot_show,
        .bitmaps = qcow2_bitmaps_list,
        .bitmap_load = qcow2_bitmap_content,
        .bitmap_change = qcow2_bitmap_change,
        .make_empty = qcow2_make_empty,
        .set_backing_name = set_backing_name,
};
