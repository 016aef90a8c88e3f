/*
 * app/drover-img/cmd-bench.c - time many requests on an image
 *
 * As many threads as the machine has cores, at most the depth asked for, take
 * requests one after the other.
 */
#include "app/drover-img/command.h"

#include "base/str.h"
#include "img/bytes.h"
#include "img/file.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { MOST_THREADS = 16 };

typedef struct Args {
        Source source;
        uint64_t count, depth, offset, size, step, pattern, flush_every;
        bool write, random;
        /* shared by the threads */
        Image *image;
        pthread_mutex_t lock;
        uint64_t done, next;
        bool native;
        Error failure;
} Args;

static int parse_one(Args *args, int c, Error *err)
{
        switch (c) {
        case 'c':
                return size_from_text(optarg, "request count", &args->count, err);
        case 'd':
                return size_from_text(optarg, "queue depth", &args->depth, err);
        case 'o':
                return size_from_text(optarg, "offset", &args->offset, err);
        case 's':
                return size_from_text(optarg, "buffer size", &args->size, err);
        case 'S':
                return size_from_text(optarg, "step size", &args->step, err);
        case 'p':
                return size_from_text(optarg, "pattern byte", &args->pattern, err);
        case 'F':
                return size_from_text(optarg, "flush interval", &args->flush_every, err);
        case 't':
                return policy_set_cache(&args->source.policy, optarg, err);
        case 'w':
                args->write = true;
                return 0;
        case 'r':
                args->random = true;
                return 0;
        case 'N': /* how the kernel is asked is ours to choose: native, io_uring and threads do the same here */
        case 'a':
                return 0;
        case 'n':
                args->native = true;
                return 0;
        default:
                return err_set(err, ERR_INVALID_ARG, "an option of bench is not known");
        }
}

/* 1, as an option that was taken; or -1. */
static int check_aio(Args *args, Error *err)
{
        args->native |= str_eq(optarg, "native");
        if (str_eq(optarg, "threads") || str_eq(optarg, "native") || str_eq(optarg, "io_uring"))
                return 1;
        return err_set(err, ERR_INVALID_ARG, "Invalid aio option: %s", optarg);
}

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = {
                { "flush-interval", required_argument, NULL, 'F' },
                { "pattern", required_argument, NULL, 'p' },
                { "no-drain", no_argument, NULL, 'N' },
                { "random", no_argument, NULL, 'r' },
                SOURCE_LONGS,
                { 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "c:d:f:ni:o:qs:S:t:wU", longs, NULL)) != -1) {
                /* -i is the kind of I/O, --image-opts has no argument */
                int r = c == 'i' && optarg ? check_aio(args, err) : source_option(&args->source, c, err);

                if (r < 0 || (r == 0 && parse_one(args, c, err) < 0))
                        return -1;
        }
        if (args->size > 64 << 20 || args->depth == 0 || args->pattern > 255)
                return err_set(err, ERR_INVALID_ARG, "Invalid buffer size, queue depth or pattern specified");
        if (args->flush_every && args->flush_every < args->depth)
                return err_set(err, ERR_INVALID_ARG, "Flush interval can't be smaller than depth");
        if (args->native && !args->source.policy.direct)
                return err_set(err, ERR_INVALID_ARG,
                               "aio=native was specified, but it requires cache.direct=on, which was not specified.");
        return optind + 1 == argc ? 0 : err_set(err, ERR_INVALID_ARG, "Expecting one image file name");
}

static int request(Args *args, uint64_t offset, void *buffer, bool flush, Error *err)
{
        int r = args->write ? image_write(args->image, offset, buffer, args->size, err)
                            : image_read(args->image, offset, buffer, args->size, err);

        return r == 0 && flush ? image_flush(args->image, err) : r;
}

static uint64_t next_offset(Args *args)
{
        uint64_t room = image_size(args->image) - args->size, at = args->next;

        if (args->random) {
                args->next = args->next * 6364136223846793005ULL + 1442695040888963407ULL;
                return room ? round_down((args->next >> 11) % room, 4096) : 0;
        }
        /* Around the end as stock qemu-img goes, but for a request that would reach over it: there stock fails. */
        args->next += args->step;
        if (image_size(args->image))
                args->next %= image_size(args->image);
        if (args->next > room)
                args->next = 0;
        return at;
}

static void *work(void *arg)
{
        Args *args = arg;
        uint8_t *buffer = image_buffer_try(args->size);
        AUTO(Error) err = { 0 };

        if (buffer)
                memset(buffer, (int)args->pattern, args->size);
        pthread_mutex_lock(&args->lock);
        while (buffer && args->done < args->count && !err_is_set(&args->failure)) {
                uint64_t at = next_offset(args), number = ++args->done;

                pthread_mutex_unlock(&args->lock);
                request(args, at, buffer, args->flush_every && number % args->flush_every == 0, &err);
                pthread_mutex_lock(&args->lock);
                if (err_is_set(&err))
                        err_move(&args->failure, &err);
        }
        pthread_mutex_unlock(&args->lock);
        free(buffer);
        return NULL;
}

static int run_requests(Args *args, Error *err)
{
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        uint64_t wanted = MIN(args->depth, (uint64_t)MAX(cores, 1L));
        pthread_t threads[MOST_THREADS];
        unsigned n = 0;

        pthread_mutex_init(&args->lock, NULL);
        while (n < MIN(wanted, (uint64_t)MOST_THREADS) && pthread_create(&threads[n], NULL, work, args) == 0)
                n++;
        if (n == 0)
                work(args);
        while (n)
                pthread_join(threads[--n], NULL);
        pthread_mutex_destroy(&args->lock);
        return err_is_set(&args->failure) ? err_move(err, &args->failure) : 0;
}

static int bench(Args *args, const char *argument, Error *err)
{
        AUTO(Image) *image = source_open(&args->source, argument, args->write ? IMAGE_WRITE : 0, err);
        struct timespec begin, end;

        if (!image)
                return -1;
        if (image_size(image) < args->size || args->offset > image_size(image) - args->size)
                return err_set(err, ERR_INVALID_ARG, "the requests do not fit in the image");
        args->image = image;
        args->next = args->offset;
        args->step = args->step ? args->step : args->size;
        printf("Sending %llu %s requests, %llu bytes each, %llu in parallel (starting at offset %llu, step size %llu)\n",
               (unsigned long long)args->count, args->write ? "write" : "read", (unsigned long long)args->size,
               (unsigned long long)args->depth, (unsigned long long)args->offset, (unsigned long long)args->step);
        clock_gettime(CLOCK_MONOTONIC, &begin);
        if (run_requests(args, err) < 0)
                return -1;
        clock_gettime(CLOCK_MONOTONIC, &end);
        printf("Run completed in %3.3f seconds.\n",
               (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
        return image_close(TAKE(image), err);
}

static int run(int argc, char **argv)
{
        Args args = { .source.policy = policy_usual(), .count = 75000, .depth = 64, .size = 4096 };
        AUTO(Error) err = { 0 };
        int r = parse(argc, argv, &args, &err);

        if (r == 0)
                r = confine_to_image(&args.source, argv[optind], &err);
        if (r == 0)
                r = bench(&args, argv[optind], &err);
        return r < 0 ? complain_err(&err) : 0;
}

const Command cmd_bench = {
        .name = "bench",
        .args = "[-c COUNT] [-d DEPTH] [-f FMT] [--flush-interval=N] [-i AIO] [-n] [--no-drain] [-o OFFSET] [--pattern=BYTE] "
                "[-q] [-s SIZE] [-S STEP] [-t CACHE] [-w] [--random] [-U] [--untrusted] FILENAME",
        .summary = "Time many requests",
        .run = run,
};
