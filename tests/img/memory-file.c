/*
 * tests/img/memory-file.c - an ImageFile in memory that loses power on demand
 */
#include "memory-file.h"
#include "sparse-bytes.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "img/bytes.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { SECTOR = 512 };
#define LARGEST (1ULL << 30)

typedef enum ChangeKind {
        CHANGE_WRITE,
        CHANGE_ZERO,
        CHANGE_TRUNCATE,
        CHANGE_FLUSH,
} ChangeKind;

typedef struct Change {
        ChangeKind kind;
        uint64_t offset, length;
        uint8_t *data; /* owned when it is recorded */
        size_t moment;
} Change;

static atomic_size_t moments;

/* What fails in all files together: call number broken_at, and those behind it too. */
static atomic_size_t calls, broken_at = SIZE_MAX;
static atomic_bool broken_on;

typedef struct MemoryFile {
        ImageFile file;
        SparseBytes now, safe; /* safe: when recording began */
        uint8_t *flat;         /* what memory_file_data() told last; owned */
        ImageFile **heir;      /* gets the content when this is closed; NULL: nobody */
        bool recording;
        VEC(Change) changes;
        bool failing, fails_on, full;
        size_t fail_in;
        uint64_t largest; /* what it may grow to */
        pthread_mutex_t lock;
} MemoryFile;

static MemoryFile *memory_file(const ImageFile *file)
{
        return container_of(file, MemoryFile, file);
}

static void apply(SparseBytes *content, const Change *change, uint64_t from, uint64_t to)
{
        switch (change->kind) {
        case CHANGE_WRITE:
                sparse_bytes_put(content, change->offset + from, change->data + from, to - from);
                break;
        case CHANGE_ZERO:
                sparse_bytes_put(content, change->offset + from, NULL, to - from);
                break;
        case CHANGE_TRUNCATE:
                sparse_bytes_set_length(content, change->length);
                break;
        case CHANGE_FLUSH:
                break;
        }
}

static void forget(MemoryFile *memory)
{
        for (size_t i = 0; i < memory->changes.len; i++)
                free(memory->changes.items[i].data);
        vec_done(&memory->changes);
}

/* With lock. */
static void note(MemoryFile *memory, ChangeKind kind, uint64_t offset, uint64_t length, const void *data)
{
        Change made = { .kind = kind, .offset = offset, .length = length, .data = (uint8_t *)(uintptr_t)data };

        made.moment = atomic_fetch_add(&moments, 1);
        apply(&memory->now, &made, 0, length);
        if (!memory->recording)
                return;
        if (data)
                made.data = mem_dup(data, (size_t)length);
        vec_push(&memory->changes, made);
}

static bool is_broken(void)
{
        size_t number = atomic_fetch_add(&calls, 1), at = atomic_load(&broken_at);

        return number == at || (number > at && atomic_load(&broken_on));
}

static int change(ImageFile *file, ChangeKind kind, uint64_t offset, uint64_t length, const void *data, Error *err)
{
        MemoryFile *memory = memory_file(file);
        int r = 0;

        if (offset > memory->largest || length > memory->largest - offset)
                return err_errno(err, ENOSPC, "cannot change %llu bytes at offset %llu", (unsigned long long)length,
                                 (unsigned long long)offset);
        if (is_broken())
                return err_errno(err, EIO, "cannot change %llu bytes at offset %llu of '%s'",
                                 (unsigned long long)length, (unsigned long long)offset, file->name);
        pthread_mutex_lock(&memory->lock);
        if (memory->failing && !(memory->full && kind == CHANGE_FLUSH) && memory->fail_in-- == 0) {
                memory->failing = memory->fails_on;
                memory->fail_in = 0;
                /* as far as the last sector that still had room */
                if (memory->full && data && round_down(offset + length / 2, SECTOR) > offset)
                        note(memory, kind, offset, round_down(offset + length / 2, SECTOR) - offset, data);
                r = err_errno(err, memory->full ? ENOSPC : EIO, "cannot change %llu bytes at offset %llu of '%s'",
                              (unsigned long long)length, (unsigned long long)offset, file->name);
        } else {
                note(memory, kind, offset, length, data);
        }
        pthread_mutex_unlock(&memory->lock);
        return r;
}

static int memory_read(ImageFile *file, uint64_t offset, void *data, size_t n, size_t *done, Error *err)
{
        MemoryFile *memory = memory_file(file);

        if (is_broken())
                return err_errno(err, EIO, "cannot read %zu bytes at offset %llu of '%s'", n,
                                 (unsigned long long)offset, file->name);
        pthread_mutex_lock(&memory->lock);
        *done = sparse_bytes_get(&memory->now, offset, data, n);
        pthread_mutex_unlock(&memory->lock);
        return 0;
}

static int memory_write(ImageFile *file, uint64_t offset, const void *data, size_t n, Error *err)
{
        return change(file, CHANGE_WRITE, offset, n, data, err);
}

static int memory_flush(ImageFile *file, Error *err)
{
        return change(file, CHANGE_FLUSH, 0, 0, NULL, err);
}

static int memory_truncate(ImageFile *file, uint64_t size, Error *err)
{
        return change(file, CHANGE_TRUNCATE, 0, size, NULL, err);
}

static int memory_zero(ImageFile *file, uint64_t offset, uint64_t length, bool keep, Error *err)
{
        (void)keep;
        return change(file, CHANGE_ZERO, offset, length, NULL, err);
}

static int memory_reserve(ImageFile *file, uint64_t offset, uint64_t length, Error *err)
{
        MemoryFile *memory = memory_file(file);

        if (offset + length <= memory->now.len)
                return 0;
        return memory_truncate(file, offset + length, err);
}

static int memory_extent(ImageFile *file, uint64_t offset, FileExtentKind *kind, uint64_t *length, Error *err)
{
        (void)err;
        *kind = FILE_EXTENT_DATA;
        *length = memory_file(file)->now.len - offset;
        return 0;
}

static int memory_size(ImageFile *file, uint64_t *ret, Error *err)
{
        (void)err;
        *ret = memory_file(file)->now.len;
        return 0;
}

static void memory_close(ImageFile *file)
{
        MemoryFile *memory = memory_file(file);

        if (memory->heir)
                *memory->heir = memory_file_copy(file);
        forget(memory);
        sparse_bytes_done(&memory->now);
        sparse_bytes_done(&memory->safe);
        free(memory->flat);
        pthread_mutex_destroy(&memory->lock);
        free(memory);
}

static const ImageFileOps memory_ops = {
        .read = memory_read,
        .write = memory_write,
        .flush = memory_flush,
        .truncate = memory_truncate,
        .zero = memory_zero,
        .reserve = memory_reserve,
        .extent = memory_extent,
        .size = memory_size,
        .close = memory_close,
};

static ImageFile *new_file(void)
{
        MemoryFile *memory = mem_new(MemoryFile);

        memory->file = (ImageFile){ .ops = &memory_ops, .name = str_dup("memory"), .align = 1, .writable = true };
        pthread_mutex_init(&memory->lock, NULL);
        memory->largest = LARGEST;
        return &memory->file;
}

ImageFile *memory_file_new(const void *data, size_t n)
{
        ImageFile *file = new_file();

        if (n)
                sparse_bytes_put(&memory_file(file)->now, 0, data, n);
        return file;
}

ImageFile *memory_file_copy(const ImageFile *from)
{
        ImageFile *file = new_file();

        sparse_bytes_copy(&memory_file(file)->now, &memory_file(from)->now);
        return file;
}

const uint8_t *memory_file_data(ImageFile *file, size_t *n)
{
        MemoryFile *memory = memory_file(file);

        *n = (size_t)memory->now.len;
        free(memory->flat);
        memory->flat = mem_alloc(*n);
        sparse_bytes_get(&memory->now, 0, memory->flat, *n);
        return memory->flat;
}

void memory_file_keep(ImageFile *file, ImageFile **ret)
{
        memory_file(file)->heir = ret;
}

void memory_file_record(ImageFile *file)
{
        MemoryFile *memory = memory_file(file);

        forget(memory);
        sparse_bytes_copy(&memory->safe, &memory->now);
        memory->recording = true;
}

size_t memory_file_changes(const ImageFile *file)
{
        return memory_file(file)->changes.len;
}

size_t memory_file_moment(void)
{
        return atomic_load(&moments);
}

size_t memory_file_changes_before(const ImageFile *file, size_t moment)
{
        const MemoryFile *memory = memory_file(file);
        size_t n = 0;

        while (n < memory->changes.len && memory->changes.items[n].moment < moment)
                n++;
        return n;
}

static unsigned next_random(unsigned *state)
{
        *state = *state * 1103515245u + 12345u;
        return *state >> 16 & 0x7fff;
}

/* What is not safely there yet lands whole, in part or not at all. */
static void apply_unsafe(SparseBytes *content, const Change *change, unsigned *random)
{
        uint64_t from = 0, to = change->length;

        if (next_random(random) % 3 == 0)
                return;
        if (change->kind == CHANGE_WRITE && change->length > SECTOR && next_random(random) % 3 == 0) {
                uint64_t sectors = change->length / SECTOR;

                from = next_random(random) % sectors * SECTOR;
                to = from + (1 + next_random(random) % sectors) * SECTOR;
                to = MIN(change->length, to);
        }
        apply(content, change, from, to);
}

ImageFile *memory_file_after_crash(const ImageFile *file, size_t cut, unsigned seed)
{
        const MemoryFile *memory = memory_file(file);
        ImageFile *after = new_file();
        SparseBytes *content = &memory_file(after)->now;
        VEC(size_t) loose = { 0 };
        size_t flushed = 0;

        sparse_bytes_copy(content, &memory->safe);
        for (size_t i = 0; i < cut; i++)
                if (memory->changes.items[i].kind == CHANGE_FLUSH)
                        flushed = i;
        for (size_t i = 0; i < flushed; i++)
                apply(content, &memory->changes.items[i], 0, memory->changes.items[i].length);
        for (size_t i = flushed; i < cut; i++)
                vec_push(&loose, i);
        if (seed == 0) { /* the one case with everything in order */
                for (size_t i = 0; i < loose.len; i++)
                        apply(content, &memory->changes.items[loose.items[i]], 0,
                              memory->changes.items[loose.items[i]].length);
                vec_done(&loose);
                return after;
        }
        while (loose.len) {
                size_t pick = next_random(&seed) % loose.len;

                apply_unsafe(content, &memory->changes.items[loose.items[pick]], &seed);
                vec_remove(&loose, pick);
        }
        vec_done(&loose);
        return after;
}

void memory_file_limit(ImageFile *file, uint64_t largest)
{
        memory_file(file)->largest = largest;
}

void memory_file_fail_change(ImageFile *file, size_t in)
{
        MemoryFile *memory = memory_file(file);

        memory->failing = true;
        memory->fails_on = false;
        memory->fail_in = in;
}

void memory_file_fail_from(ImageFile *file, size_t in)
{
        memory_file_fail_change(file, in);
        memory_file(file)->fails_on = true;
}

void memory_file_full_from(ImageFile *file, size_t in)
{
        memory_file_fail_from(file, in);
        memory_file(file)->full = true;
}

void memory_file_heal(ImageFile *file)
{
        MemoryFile *memory = memory_file(file);

        memory->failing = memory->fails_on = memory->full = false;
}

void memory_files_fail(size_t in, bool on)
{
        atomic_store(&calls, 0);
        atomic_store(&broken_on, on);
        atomic_store(&broken_at, in);
}

size_t memory_files_heal(void)
{
        atomic_store(&broken_at, SIZE_MAX);
        return atomic_load(&calls);
}
