/*
 * img/compare.c - do two images show the same
 *
 * Threads, the calling one among them, take pieces in order; what is zeros in
 * both is not read. The lowest difference found is the one reported, so the
 * answer does not depend on who came first. Progress is told by whoever takes
 * a piece, one at a time. Where both stand in files of this host as they are
 * and it costs less, nothing is copied.
 */
#include "img/compare.h"

#include "img/bytes.h"
#include "img/file.h"
#include "img/view.h"
#include "img/zero.h"

#include <pthread.h>
#include <unistd.h>

enum {
        PIECE = 3 << 19,
        BIT = 256 << 10,        /* what is read at once: two of it stay in a core's cache */
        VIEWED_FROM = 64 << 10, /* what is less is read sooner than mapped */
        MOST_THREADS = 4,
};

/* What a thread is at. */
typedef struct Piece {
        uint8_t *buffer;  /* 2 * BIT */
        uint64_t differs; /* UINT64_MAX: not so far */
        bool look;        /* rather than read */
        uint64_t seen;    /* bytes looked at or read, of both images */
} Piece;

typedef struct Work {
        Image *a, *b;
        uint64_t length;
        pthread_mutex_t lock;
        uint64_t next;       /* the next piece to take */
        uint64_t differs_at; /* UINT64_MAX: nowhere so far */
        bool stop;
        Error failure;
        ViewTrial trial;
        ImageProgress progress; /* called with the lock, by whoever takes a piece */
        void *progress_arg;
} Work;

/* The first byte that differs, or n. */
static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t n)
{
        size_t at = 0;

        while (at < n) {
                size_t step = MIN((size_t)4096, n - at);

                if (memcmp(a + at, b + at, step) != 0)
                        break;
                at += step;
        }
        while (at < n && a[at] == b[at])
                at++;
        return at;
}

static size_t first_nonzero(const uint8_t *data, size_t n)
{
        size_t at = 0;

        if (bytes_are_zero(data, n))
                return n;
        while (!data[at])
                at++;
        return at;
}

/* NULL stands for zeros. Returns where they begin to differ, or n. */
static size_t look(const uint8_t *a, const uint8_t *b, size_t n)
{
        return !a ? first_nonzero(b, n) : !b ? first_nonzero(a, n) : first_difference(a, b, n);
}

/* Both as they stand in the page cache, where they do. */
static bool compare_views(Work *w, uint64_t at, size_t n, bool zero_a, bool zero_b, size_t *found)
{
        ImageView a = { 0 }, b = { 0 };
        bool can = n >= VIEWED_FROM && (zero_a || image_view(w->a, at, n, &a)) &&
                   (zero_b || image_view(w->b, at, n, &b));

        if (can)
                *found = look(a.data, b.data, n);
        image_view_done(&a);
        image_view_done(&b);
        return can;
}

static int compare_bits(Work *w, uint64_t at, size_t n, bool zero_a, bool zero_b, uint8_t *buffer, size_t *found,
                        Error *err)
{
        uint8_t *a = zero_a ? NULL : buffer, *b = zero_b ? NULL : buffer + BIT;

        *found = 0;
        while (*found < n) {
                size_t bit = MIN((size_t)BIT, n - *found), same;

                if ((a && image_read(w->a, at + *found, a, bit, err) < 0) ||
                    (b && image_read(w->b, at + *found, b, bit, err) < 0))
                        return -1;
                same = look(a, b, bit);
                *found += same;
                if (same < bit)
                        break;
        }
        return 0;
}

static int compare_extent(Work *w, uint64_t at, uint64_t n, bool zero_a, bool zero_b, Piece *piece, Error *err)
{
        size_t found;

        if (zero_a && zero_b)
                return 0;
        if (!(piece->look && compare_views(w, at, (size_t)n, zero_a, zero_b, &found)) &&
            compare_bits(w, at, (size_t)n, zero_a, zero_b, piece->buffer, &found, err) < 0)
                return -1;
        piece->seen += zero_a || zero_b ? n : 2 * n;
        if (found < n)
                piece->differs = at + found;
        return 0;
}

static int compare_piece(Work *w, uint64_t at, uint64_t end, Piece *piece, Error *err)
{
        while (at < end && piece->differs == UINT64_MAX) {
                ImageExtent a, b;
                uint64_t n;

                if (image_map_chain(w->a, NULL, at, end - at, &a, err) < 0 ||
                    image_map_chain(w->b, NULL, at, end - at, &b, err) < 0)
                        return -1;
                n = MIN(MIN(a.length, b.length), end - at);
                if (compare_extent(w, at, n, a.zero, b.zero, piece, err) < 0)
                        return -1;
                at += n;
        }
        return 0;
}

/* With the lock: whether there is a piece to take, and how far the work is. */
static bool goes_on(Work *w)
{
        /* All of it is compared when every thread has ended: that is not told here. */
        if (!w->stop && w->progress && w->next > 0 && w->next < w->length && w->next < w->differs_at &&
            w->progress(w->progress_arg, w->next, w->length, &w->failure) < 0)
                w->stop = true;
        return !w->stop && w->next < w->length && w->next < w->differs_at;
}

static void *compare_thread(void *arg)
{
        Work *w = arg;
        Piece piece = { .buffer = image_buffer_try(2 * BIT) };
        AUTO(Error) err = { 0 };

        pthread_mutex_lock(&w->lock);
        while (goes_on(w)) {
                uint64_t at = w->next, began = view_clock_ns();
                int r;

                w->next += PIECE;
                piece.look = view_trial_next(&w->trial);
                piece.differs = UINT64_MAX;
                piece.seen = 0;
                pthread_mutex_unlock(&w->lock);
                r = piece.buffer ? compare_piece(w, at, MIN(at + PIECE, w->length), &piece, &err)
                                 : err_set(&err, ERR_NO_MEMORY, "no memory to compare");
                pthread_mutex_lock(&w->lock);
                view_trial_tell(&w->trial, piece.look, piece.seen, view_clock_ns() - began);
                w->differs_at = MIN(w->differs_at, piece.differs);
                if (r < 0) {
                        w->stop = true;
                        if (!err_is_set(&w->failure))
                                err_move(&w->failure, &err);
                }
        }
        pthread_mutex_unlock(&w->lock);
        free(piece.buffer);
        return NULL;
}

int image_compare(Image *a, Image *b, uint64_t length, ImageProgress progress, void *arg, Comparison *ret, Error *err)
{
        Work work = { .a = a, .b = b, .length = length, .differs_at = UINT64_MAX, .trial.warm_up = MOST_THREADS };
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        pthread_t threads[MOST_THREADS];
        unsigned started = 0;

        work.progress = progress;
        work.progress_arg = arg;
        pthread_mutex_init(&work.lock, NULL);
        while (started + 1 < MOST_THREADS && started + 1 < (unsigned)MAX(cores, 1L) &&
               pthread_create(&threads[started], NULL, compare_thread, &work) == 0)
                started++;
        compare_thread(&work);
        while (started)
                pthread_join(threads[--started], NULL);
        pthread_mutex_destroy(&work.lock);
        if (err_is_set(&work.failure))
                return err_move(err, &work.failure);
        *ret = (Comparison){ .same = work.differs_at == UINT64_MAX, .differs_at = work.differs_at };
        return 0;
}
