/*
 * img/copy.c - the copying pipeline
 *
 * A ring of slots, each a piece of guest data. The calling thread fills slots
 * with work in guest order, the workers read them and compress them or look for
 * zeros in any order, and the calling thread stores them in guest order again.
 * Errors stop the ring; the first one in guest order is reported.
 */
#include "img/copy.h"

#include "base/mem.h"
#include "img/bytes.h"
#include "img/file.h"
#include "img/view.h"
#include "img/zero.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

enum {
        PIECE_SIZE = 1 << 20,
        MOST_THREADS = 16,
        USUAL_THREADS = 8,
        SALVAGE_SIZE = 512,
        ZERO_STEP = 4096,
        VIEWED_FROM = 64 << 10, /* what is less is read sooner than mapped */
        FOLIO_MOST = 2 << 20,   /* what the page cache lets go at once, whole or not at all */
        FORGET_SIZE = 2 * FOLIO_MOST,
        SPARE_SLOTS = 3, /* besides two for each thread: what is read ahead while a thread waits for its turn */
};

typedef struct Slot {
        bool ready; /* to be stored */
        uint64_t start;
        size_t length;
        uint8_t *data;                             /* PIECE_SIZE; NULL until something is read */
        ImageView view;                            /* instead, where the source is looked at */
        ImagePlace place;                          /* what is to be forgotten when it is stored */
        uint64_t cost_ns;                          /* processor time taken so far */
        uint8_t *packed;                           /* the same, cluster by cluster */
        uint32_t *lengths;                         /* of each packed cluster; 0: store as it is; UINT32_MAX: zeros */
        uint32_t runs[PIECE_SIZE / ZERO_STEP + 2]; /* without compression, as zero_runs() has them */
        Error failure;
} Slot;

typedef struct Copy {
        Image *from, *to;
        const CopyOptions *options;
        size_t cluster; /* compressed unit */
        pthread_mutex_t lock;
        pthread_cond_t work, ready;
        Slot *slots;
        size_t n_slots;
        size_t head, next, tail; /* counters: filled, given to workers, stored */
        bool stopping, waiting;  /* waiting: the calling thread sleeps until a slot is ready */
        ViewTrial trial;
        ImagePlace gone;    /* stored and given up by its slot, and not forgotten yet */
        uint64_t stored_to; /* where the slot stored last ended */
        uint64_t known_at;  /* where in what is copied the extent that was mapped last begins */
        ImageExtent known;
        uint64_t zeros_at, zeros; /* read as zeros and not stored yet: they may go on in the next slot */
        bool zeros_join;          /* a hole of the source came before them */
        pthread_t threads[MOST_THREADS];
        unsigned n_threads;
        struct timespec began;
} Copy;

/* Packed clusters follow each other: each has room for a whole one when its turn comes. */
static void pack_clusters(Copy *copy, Slot *slot)
{
        uint8_t *to = slot->packed;

        for (size_t at = 0, i = 0; at < slot->length; at += copy->cluster, i++) {
                size_t n = MIN(copy->cluster, slot->length - at);

                if (n < copy->cluster)
                        memset(slot->data + at + n, 0, copy->cluster - n);
                if (bytes_are_zero(slot->data + at, n)) {
                        slot->lengths[i] = UINT32_MAX;
                } else {
                        slot->lengths[i] = (uint32_t)image_pack(copy->to, slot->data + at, to);
                        to += slot->lengths[i];
                }
        }
}

/* Sector by sector, what can be read of it. */
static void salvage(Copy *copy, Slot *slot)
{
        for (size_t at = 0; at < slot->length; at += SALVAGE_SIZE) {
                uint64_t offset = copy->options->from + slot->start + at;
                size_t n = MIN((size_t)SALVAGE_SIZE, slot->length - at);
                AUTO(Error) why = { 0 };

                if (image_read(copy->from, offset, slot->data + at, n, &why) == 0)
                        continue;
                memset(slot->data + at, 0, n);
                copy->options->salvaged(image_name(copy->from), offset, &why);
        }
}

static int read_slot(Copy *copy, Slot *slot, Error *err)
{
        const CopyOptions *o = copy->options;

        if (!slot->data)
                slot->data = image_buffer_try(o->compress ? MAX((size_t)PIECE_SIZE, copy->cluster) : PIECE_SIZE);
        if (!slot->data)
                return err_set(err, ERR_NO_MEMORY, "no memory to copy '%s'", image_name(copy->from));
        if (image_read(copy->from, o->from + slot->start, slot->data, slot->length, err) == 0)
                return 0;
        if (!o->salvaged)
                return -1;
        err_done(err);
        *err = (Error){ 0 };
        salvage(copy, slot);
        return 0;
}

static const uint8_t *bytes_of(const Slot *slot)
{
        return slot->view.data ?: slot->data;
}

/*
 * With the lock: this place is not wanted any more. Returns what to forget now: long runs, as of a large folio the page cache
 * lets go all or nothing.
 */
static ImagePlace give_up(Copy *copy, const ImagePlace *place)
{
        ImagePlace *gone = &copy->gone, now = { 0 };
        uint64_t end = gone->at + gone->length;

        if (place->length && place->fd == gone->fd && place->at == end) {
                gone->length += place->length;
                end = round_down(end + place->length, FOLIO_MOST);
                if (end >= gone->at + FORGET_SIZE) {
                        now = (ImagePlace){ .fd = gone->fd, .at = gone->at, .length = end - gone->at };
                        gone->at += now.length;
                        gone->length -= now.length;
                }
        } else if (place->length) {
                now = *gone;
                *gone = *place;
        }
        return now;
}

/* What the slot holds: read, or looked at where that is cheaper. */
static int fetch(Copy *copy, Slot *slot, bool look)
{
        const CopyOptions *o = copy->options;

        if (look && slot->length >= VIEWED_FROM &&
            image_view(copy->from, o->from + slot->start, slot->length, &slot->view))
                return 0;
        return read_slot(copy, slot, &slot->failure);
}

/* With the lock, which is given back for the time of the work: fill the next slot that waits. */
static void fill_slot(Copy *copy)
{
        Slot *slot = &copy->slots[copy->next++ % copy->n_slots];
        const CopyOptions *o = copy->options;
        bool look = o->look && view_trial_next(&copy->trial);
        ImagePlace gone = give_up(copy, &slot->place);
        uint64_t began;
        int r;

        pthread_mutex_unlock(&copy->lock);
        image_view_done(&slot->view); /* what stood here before was stored */
        image_place_forget(&gone);
        began = o->look ? view_clock_ns() : 0;
        slot->place = (ImagePlace){ 0 };
        if (o->forget)
                image_place(copy->from, o->from + slot->start, slot->length, &slot->place);
        r = fetch(copy, slot, look);
        if (r == 0 && o->compress)
                pack_clusters(copy, slot);
        else if (r == 0 && o->sparse)
                zero_runs(bytes_of(slot), slot->length, ZERO_STEP, MAX(o->sparse, (size_t)ZERO_STEP), slot->runs);
        slot->cost_ns = o->look ? view_clock_ns() - began : 0;
        pthread_mutex_lock(&copy->lock);
        slot->ready = true;
        if (copy->waiting)
                pthread_cond_signal(&copy->ready);
}

static void *worker(void *arg)
{
        Copy *copy = arg;

        pthread_mutex_lock(&copy->lock);
        while (!copy->stopping) {
                if (copy->next == copy->head)
                        pthread_cond_wait(&copy->work, &copy->lock);
                else
                        fill_slot(copy);
        }
        pthread_mutex_unlock(&copy->lock);
        return NULL;
}

static int store_zeros(Copy *copy, uint64_t start, uint64_t length, Error *err)
{
        const CopyOptions *o = copy->options;

        if (o->target_is_zero && o->sparse)
                return 0;
        return image_zero(copy->to, o->at + start, length, o->sparse ? IMAGE_ZERO_UNMAP : 0, err);
}

/* The run of zeros that was waited with ends here: enough for a hole, or data. goes_on: into a hole of the source. */
static int settle_zeros(Copy *copy, bool goes_on, Error *err)
{
        const CopyOptions *o = copy->options;
        uint64_t at = copy->zeros_at, n = copy->zeros;
        bool hole = goes_on || copy->zeros_join || n >= o->sparse;
        AUTOFREE uint8_t *data = NULL;

        copy->zeros = 0;
        copy->zeros_join = false;
        if (n == 0 || hole)
                return n ? store_zeros(copy, at, n, err) : 0;
        data = image_buffer_try((size_t)n); /* less than `sparse` */
        if (!data)
                return err_set(err, ERR_NO_MEMORY, "no memory to copy '%s'", image_name(copy->from));
        return image_write(copy->to, o->at + at, data, (size_t)n, err);
}

static int store_plain(Copy *copy, const Slot *slot, Error *err)
{
        const CopyOptions *o = copy->options;
        bool hole_before = slot->start != copy->stored_to && !o->until && !o->below_only;
        size_t at = 0;

        if (!o->sparse)
                return image_write(copy->to, o->at + slot->start, bytes_of(slot), slot->length, err);
        if (slot->start != copy->stored_to) {
                if (settle_zeros(copy, hole_before, err) < 0)
                        return -1;
                copy->zeros_join = hole_before;
        }
        copy->stored_to = slot->start + slot->length;
        for (size_t i = 0; at < slot->length; i++) {
                size_t n = slot->runs[i] & ~RUN_OF_ZEROS;

                if (slot->runs[i] & RUN_OF_ZEROS) {
                        copy->zeros_at = copy->zeros ? copy->zeros_at : slot->start + at;
                        copy->zeros += n;
                } else if (settle_zeros(copy, false, err) < 0 ||
                           image_write(copy->to, o->at + slot->start + at, bytes_of(slot) + at, n, err) < 0) {
                        return -1;
                }
                at += n;
        }
        return 0;
}

static int store_packed(Copy *copy, const Slot *slot, Error *err)
{
        const CopyOptions *o = copy->options;
        size_t count = (slot->length + copy->cluster - 1) / copy->cluster, i = 0;
        const uint8_t *packed = slot->packed;

        while (i < count) {
                size_t at = i * copy->cluster, n = MIN(copy->cluster, slot->length - at), run = i, bytes = 0;
                int r;

                for (; run < count && slot->lengths[run] && slot->lengths[run] != UINT32_MAX; run++)
                        bytes += slot->lengths[run];
                if (run > i)
                        r = image_write_packed(copy->to, o->at + slot->start + at, packed, slot->lengths + i, run - i,
                                               err);
                else if (slot->lengths[i])
                        r = store_zeros(copy, slot->start + at, n, err);
                else
                        r = image_write(copy->to, o->at + slot->start + at, slot->data + at, n, err);
                if (r < 0)
                        return -1;
                packed += bytes;
                i = MAX(run, i + 1);
        }
        return 0;
}

static int store(Copy *copy, Slot *slot, Error *err)
{
        uint64_t began = copy->options->look ? view_clock_ns() : 0;
        int r;

        if (err_is_set(&slot->failure))
                return err_move(err, &slot->failure);
        r = copy->options->compress ? store_packed(copy, slot, err) : store_plain(copy, slot, err);
        if (copy->options->look)
                slot->cost_ns += view_clock_ns() - began;
        return r;
}

static void keep_to_rate(const Copy *copy, uint64_t done)
{
        struct timespec now;
        double due, spent;

        if (!copy->options->rate)
                return;
        clock_gettime(CLOCK_MONOTONIC, &now);
        due = (double)done / (double)copy->options->rate;
        spent = (double)(now.tv_sec - copy->began.tv_sec) + (double)(now.tv_nsec - copy->began.tv_nsec) / 1e9;
        if (due > spent)
                usleep((useconds_t)((due - spent) * 1e6));
}

/* Store the oldest slot. While its data is not there, do a worker's work rather than sleep. */
static int store_next(Copy *copy, Error *err)
{
        Slot *slot = &copy->slots[copy->tail % copy->n_slots];
        const CopyOptions *o = copy->options;

        pthread_mutex_lock(&copy->lock);
        while (!slot->ready) {
                if (copy->next != copy->head) {
                        fill_slot(copy);
                        continue;
                }
                copy->waiting = true;
                pthread_cond_wait(&copy->ready, &copy->lock);
                copy->waiting = false;
        }
        pthread_mutex_unlock(&copy->lock);
        if (store(copy, slot, err) < 0)
                return -1;
        keep_to_rate(copy, slot->start + slot->length);
        if (o->progress && o->progress(o->progress_arg, slot->start + slot->length, o->length, err) < 0)
                return -1;
        if (o->look) {
                pthread_mutex_lock(&copy->lock);
                view_trial_tell(&copy->trial, slot->view.data != NULL, slot->length, slot->cost_ns);
                pthread_mutex_unlock(&copy->lock);
        }
        copy->tail++;
        return 0;
}

/* Hand a piece to the ring, storing older ones when it is full. */
static int submit(Copy *copy, uint64_t start, size_t length, Error *err)
{
        Slot *slot;

        while (copy->head - copy->tail == copy->n_slots)
                if (store_next(copy, err) < 0)
                        return -1;
        slot = &copy->slots[copy->head % copy->n_slots];
        pthread_mutex_lock(&copy->lock);
        slot->start = start;
        slot->length = length;
        slot->ready = false;
        copy->head++;
        pthread_cond_signal(&copy->work);
        pthread_mutex_unlock(&copy->lock);
        return 0;
}

/*
 * The extent at `at`, at most to `end`, as far as presence and zeros go. What was mapped once is remembered: a long extent is
 * not gone through again for each piece of it.
 */
static int map_at(Copy *copy, uint64_t at, uint64_t end, ImageExtent *ret, Error *err)
{
        const CopyOptions *o = copy->options;
        uint64_t passed = at - copy->known_at;

        if (at < copy->known_at || passed >= copy->known.length) {
                if (image_map_chain(copy->from, o->until, o->from + at, o->length - at, &copy->known, err) < 0)
                        return -1;
                copy->known_at = at;
                passed = 0;
        }
        *ret = copy->known;
        ret->length = MIN(copy->known.length - passed, end - at);
        return 0;
}

/* What is copied begins at `at`: how far data goes on, at most to `most`. Neighbouring extents are read together. */
static int data_until(Copy *copy, uint64_t at, uint64_t most, uint64_t *ret, Error *err)
{
        const CopyOptions *o = copy->options;

        while (at < most) {
                ImageExtent extent;

                if (map_at(copy, at, most, &extent, err) < 0)
                        return -1;
                if (!extent.present || extent.zero || (o->below_only && extent.depth == 0))
                        break;
                at += extent.length;
        }
        *ret = at;
        return 0;
}

/* Everything that was handed in, and the zeros at its end as zeros: there is a hole behind them, or nothing. */
static int store_all(Copy *copy, Error *err)
{
        while (copy->head != copy->tail)
                if (store_next(copy, err) < 0)
                        return -1;
        return settle_zeros(copy, true, err);
}

/* Zeros need no slot once all before them is stored. */
static int pass_zeros(Copy *copy, uint64_t start, uint64_t length, Error *err)
{
        const CopyOptions *o = copy->options;

        if (!o->sparse) { /* everything is to be written */
                while (length) {
                        size_t n = (size_t)MIN(length, (uint64_t)PIECE_SIZE);

                        if (submit(copy, start, n, err) < 0)
                                return -1;
                        start += n;
                        length -= n;
                }
                return 0;
        }
        if (o->target_is_zero)
                return 0;
        if (store_all(copy, err) < 0)
                return -1;
        copy->stored_to = start + length;
        copy->zeros_join = true;
        return store_zeros(copy, start, length, err);
}

static int run(Copy *copy, Error *err)
{
        const CopyOptions *o = copy->options;
        uint64_t at = 0;

        while (at < o->length) {
                ImageExtent extent;
                uint64_t end, unit = copy->cluster;
                int r;

                if (map_at(copy, at, o->length, &extent, err) < 0)
                        return -1;
                end = at + MIN(extent.length, o->length - at);
                if ((!extent.present && o->until) || (o->below_only && extent.depth == 0)) {
                        at = end;
                        continue;
                }
                if (extent.zero || !extent.present) {
                        /* A compressed cluster is stored whole: zeros that do not fill one belong to its data. */
                        uint64_t whole = o->compress && end < o->length ? round_down(end, unit) : end;

                        if (!o->compress || (at % unit == 0 && whole > at)) {
                                if (pass_zeros(copy, at, whole - at, err) < 0)
                                        return -1;
                                at = whole;
                                continue;
                        }
                        end = MIN(round_up(at + 1, unit), o->length);
                }
                if (data_until(copy, end, MIN(o->length, round_down(at, PIECE_SIZE) + PIECE_SIZE), &end, err) < 0)
                        return -1;
                end = MIN(MAX(end, at + 1), round_down(at, PIECE_SIZE) + PIECE_SIZE);
                if (o->compress)
                        end = MIN(round_up(end, unit), o->length);
                r = submit(copy, at, (size_t)(end - at), err);
                if (r < 0)
                        return -1;
                at = end;
        }
        return store_all(copy, err);
}

static void slots_free(Copy *copy)
{
        /* The oldest first, so that what is to be forgotten comes in its order. */
        for (size_t i = 0; copy->slots && i < copy->n_slots; i++) {
                Slot *slot = &copy->slots[(copy->next + i) % copy->n_slots];
                ImagePlace gone = give_up(copy, &slot->place);

                free(slot->data);
                image_view_done(&slot->view);
                image_place_forget(&gone);
                free(slot->packed);
                free(slot->lengths);
                err_done(&slot->failure);
        }
        image_place_forget(&copy->gone);
        free(copy->slots);
}

static int slots_make(Copy *copy, Error *err)
{
        bool compress = copy->options->compress;

        copy->n_slots = 2 * copy->n_threads + SPARE_SLOTS;
        copy->trial.warm_up = (unsigned)copy->n_slots;
        copy->slots = mem_new_array(Slot, copy->n_slots);
        for (size_t i = 0; i < copy->n_slots; i++) {
                Slot *slot = &copy->slots[i];
                size_t size = compress ? MAX((size_t)PIECE_SIZE, copy->cluster) : PIECE_SIZE;

                slot->packed = compress ? mem_try(size) : NULL;
                slot->lengths = compress ? mem_try(4 * (size / copy->cluster)) : NULL;
                if (compress && (!slot->packed || !slot->lengths))
                        return err_set(err, ERR_NO_MEMORY, "no memory to copy '%s'", image_name(copy->from));
        }
        return 0;
}

static unsigned threads_for(const CopyOptions *o)
{
        long cores = sysconf(_SC_NPROCESSORS_ONLN);

        if (o->threads)
                return MIN(o->threads, MOST_THREADS);
        /* The calling thread works too, but mostly it writes. */
        return cores < 2 ? 1 : (unsigned)MIN(cores, USUAL_THREADS);
}

int image_copy(Image *from, Image *to, const CopyOptions *options, Error *err)
{
        Copy copy = { .from = from, .to = to, .options = options, .n_threads = threads_for(options) };
        unsigned started = 0;
        int r;

        copy.cluster = MAX(image_cluster_size(to), (uint64_t)512);
        if (options->compress && !image_can_compress(to))
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "Compression not supported for this file format");
        clock_gettime(CLOCK_MONOTONIC, &copy.began);
        pthread_mutex_init(&copy.lock, NULL);
        pthread_cond_init(&copy.work, NULL);
        pthread_cond_init(&copy.ready, NULL);
        r = slots_make(&copy, err);
        while (r == 0 && started < copy.n_threads && pthread_create(&copy.threads[started], NULL, worker, &copy) == 0)
                started++;
        if (r == 0 && started == 0)
                r = err_set(err, ERR_OPERATION_FAILED, "no thread can be started to copy '%s'", image_name(from));
        if (r == 0)
                r = run(&copy, err);
        pthread_mutex_lock(&copy.lock);
        copy.stopping = true;
        pthread_cond_broadcast(&copy.work);
        pthread_mutex_unlock(&copy.lock);
        while (started)
                pthread_join(copy.threads[--started], NULL);
        slots_free(&copy);
        pthread_cond_destroy(&copy.ready);
        pthread_cond_destroy(&copy.work);
        pthread_mutex_destroy(&copy.lock);
        return r;
}
