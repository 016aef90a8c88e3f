/*
 * daemon/def-load.c - reading the definitions that there may be thousands of
 *
 * A batch of entries is a worker's while its task is under way and the loop's before and after, so nothing is locked. One
 * worker reads, and not at once, as long as nobody waits: clients and loop have the processors. As soon as somebody does,
 * more of them read.
 */
#include "daemon/def-load.h"

#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "daemon/def-index.h"
#include "daemon/def-store-private.h"
#include "loop/parallel.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum {
        LARGEST_INDEX = 32 * 1024 * 1024,
        BATCH = 32, /* a worker looks between two whether it is to stop, and the loop takes over so many at once */
        MOST_WORKERS = 3,   /* of those that the daemon has: files are written meanwhile */
        TURNS_AT_ONCE = 16, /* of those that waited */
        QUIET_MS = 100,     /* clients that come with the daemon have the processors first */
};

typedef struct Entry {
        const char *name; /* in the list of names */
        Uuid announced_uuid;
        Uuid uuid; /* null: unknown, or not in the text */
        FileStamp stamp;
        bool autostart;
        bool announced; /* not read yet */
        bool settled;   /* the index may say this of it */
        void *def;      /* read, and nobody's yet */
        Error err;      /* why there is none */
} Entry;

typedef struct Batch {
        DefLoad *load;
        size_t first, end;
        Task *task;
} Batch;

typedef struct Waiter {
        void (*fn)(void *arg);
        void *arg;
} Waiter;

struct DefLoad {
        DefStore *store;
        const DefReader *reader;
        void *arg;
        char *index_path, *facts;
        char **names;
        Entry *entries;
        size_t n, given; /* to batches, or read before */
        bool stale;      /* the index is to be written */

        WorkerPool *pool; /* NULL: not going on yet */
        Loop *loop;
        void (*done)(void *arg);
        void *done_arg;
        Task *task; /* the index, or the end */
        Buf index;
        Timer *rest;          /* until the rest is read */
        VEC(Batch *) batches; /* under way */
        bool hurried;         /* somebody waits */
        bool all_there;
        VEC(Waiter) waiters;
        size_t served; /* of the waiters */
        Idle *next;    /* some of the waiters, or the beginning */
        atomic_bool stop;
};

/* --- one file --- */

static int64_t now_ns(const DefLoad *load)
{
        struct timespec now;

        if (load->reader->wall_ns)
                return load->reader->wall_ns();
        clock_gettime(CLOCK_REALTIME, &now);
        return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void read_entry(const DefLoad *load, Entry *entry)
{
        AUTOFREE char *path = def_store_file_of(load->store->dir, entry->name);
        int64_t before_ns = now_ns(load);
        AUTO(Buf) xml = { 0 };
        struct stat st;

        entry->uuid = (Uuid){ 0 };
        entry->settled = false;
        if (file_read_regular(path, LARGEST_DEFINITION, &xml, &st, &entry->err) < 0)
                return;
        entry->stamp = file_stamp_of(&st);
        entry->def = load->reader->parse(load->arg, entry->name, buf_text(&xml), &entry->uuid, &entry->err);
        entry->settled = entry->def && !uuid_is_null(&entry->uuid) && file_stamp_is_settled(&entry->stamp, before_ns);
}

static void leave_out(const DefLoad *load, Entry *entry)
{
        def_store_leave_out(load->store, entry->name, &entry->err);
        err_done(&entry->err);
        entry->settled = false;
}

static void add(const DefLoad *load, Entry *entry)
{
        void *def = entry->def;

        entry->def = NULL;
        if (!def || load->reader->add(load->arg, entry->name, def, entry->autostart, &entry->err) < 0)
                leave_out(load, entry);
}

/* --- before clients are let in --- */

static void list(DefLoad *load)
{
        AUTO(Map) *marks = dir_names(load->store->autostart_dir, ".xml");

        load->n = str_list_len(load->names);
        load->entries = mem_new_array(Entry, load->n);
        for (size_t i = 0; i < load->n; i++) {
                Entry *entry = &load->entries[i];

                entry->name = load->names[i];
                if (map_find_text(marks, entry->name)) {
                        AUTOFREE char *mark = def_store_file_of(load->store->autostart_dir, entry->name);

                        entry->autostart = access(mark, F_OK) == 0;
                }
        }
}

typedef struct Start {
        DefLoad *load;
        DefIndex index;
        Fd dir;
} Start;

/* What the index says of a file that is still the same; else what is in it. */
static void look_at(void *data, size_t i)
{
        Start *start = data;
        Entry *entry = &start->load->entries[i];
        const IndexRow *row = def_index_find(&start->index, entry->name);
        AUTOFREE char *file = row ? str_format("%s.xml", entry->name) : NULL;
        struct stat st;

        if (row && !start->load->reader->is_urgent(start->load->arg, entry->name) &&
            fstatat(start->dir, file, &st, 0) == 0) {
                entry->stamp = file_stamp_of(&st);
                entry->announced = entry->settled = file_stamp_eq(&entry->stamp, &row->stamp);
        }
        if (entry->announced)
                entry->uuid = entry->announced_uuid = row->uuid;
        else
                read_entry(start->load, entry);
}

static void read_index(Start *start)
{
        AUTO(Buf) text = { 0 };

        if (access(start->load->index_path, F_OK) == 0 &&
            (file_read_regular(start->load->index_path, LARGEST_INDEX, &text, NULL, NULL) < 0 ||
             def_index_parse(&text, start->load->facts, &start->index) < 0))
                log_info("the index of definitions is of no use; all of them are read");
}

/* Does it say anything else than what was found? */
static bool is_stale(const Start *start)
{
        const DefLoad *load = start->load;
        size_t rows = 0;

        for (size_t i = 0; i < load->n; i++) {
                const Entry *entry = &load->entries[i];
                const IndexRow *row = entry->settled ? def_index_find(&start->index, entry->name) : NULL;

                rows += entry->settled;
                if (entry->settled && (!row || !file_stamp_eq(&row->stamp, &entry->stamp)))
                        return true;
        }
        return rows != start->index.rows.len;
}

static int begin(DefLoad *load, Error *err)
{
        Start start = { .load = load, .dir = -1 };

        if (def_store_list(load->store, &load->names, err) < 0)
                return -1;
        list(load);
        read_index(&start);
        start.dir = open(load->store->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        parallel_each(load->n, look_at, &start);
        fd_close(&start.dir);
        for (size_t i = 0; i < load->n; i++) {
                Entry *entry = &load->entries[i];

                if (!entry->announced) {
                        add(load, entry);
                } else if (load->reader->announce(load->arg, entry->name, &entry->uuid, entry->autostart,
                                                  &entry->err) < 0) {
                        entry->announced = false;
                        leave_out(load, entry);
                }
        }
        load->stale = is_stale(&start);
        def_index_done(&start.index);
        return 0;
}

DefLoad *def_load_new(DefStore *store, const DefReader *reader, void *arg, const char *index_path, const char *facts,
                      Error *err)
{
        AUTO(DefLoad) *load = mem_new(DefLoad);

        *load = (DefLoad){ .store = store,
                           .reader = reader,
                           .arg = arg,
                           .index_path = str_dup(index_path),
                           .facts = str_dup(facts) };
        return begin(load, err) == 0 ? TAKE(load) : NULL;
}

/* --- afterwards: those who wait --- */

static void trim(void *data UNUSED)
{
        malloc_trim(0); /* reading took more than it left */
}

static void on_trimmed(void *data)
{
        DefLoad *load = data;

        load->task = task_free(load->task, NULL);
        load->done(load->done_arg); /* may free the load */
}

static void on_next(void *arg)
{
        DefLoad *load = arg;

        load->next = idle_free(load->next);
        for (unsigned i = 0; i < TURNS_AT_ONCE && load->served < load->waiters.len; i++) {
                Waiter waiter = load->waiters.items[load->served++];

                waiter.fn(waiter.arg);
        }
        if (load->served < load->waiters.len)
                load->next = idle_new(load->loop, on_next, load);
        else if (load->rest) /* a thread that had nothing to do would only take memory */
                load->task = task_new(load->pool, trim, on_trimmed, load);
        else
                load->done(load->done_arg); /* may free the load */
}

static void complete(DefLoad *load)
{
        load->all_there = true;
        load->next = idle_new(load->loop, on_next, load);
}

/* --- afterwards: the rest --- */

static void read_batch(void *data)
{
        const Batch *batch = data;

        for (size_t i = batch->first; i < batch->end && !batch->load->stop; i++) {
                if (batch->load->entries[i].announced)
                        read_entry(batch->load, &batch->load->entries[i]);
        }
}

/* One that was announced, and is read now. A file that changed meanwhile counts as it is. */
static void take_over(DefLoad *load, Entry *entry)
{
        entry->announced = false;
        if (entry->def && uuid_eq(&entry->uuid, &entry->announced_uuid)) {
                load->reader->define(load->arg, &entry->uuid, entry->def);
                entry->def = NULL;
                return;
        }
        load->reader->withdraw(load->arg, &entry->announced_uuid);
        add(load, entry);
}

static void on_batch(void *data);

/* Is there an entry that no batch has had? */
static bool find_more(DefLoad *load)
{
        while (load->given < load->n && !load->entries[load->given].announced)
                load->given++;
        return load->given < load->n;
}

static void begin_batch(DefLoad *load)
{
        Batch *batch = mem_new(Batch);

        *batch = (Batch){ .load = load, .first = load->given, .end = MIN(load->n, load->given + BATCH) };
        load->given = batch->end;
        vec_push(&load->batches, batch);
        batch->task = task_new(load->pool, read_batch, on_batch, batch);
}

static size_t workers_wanted(const DefLoad *load)
{
        long processors = sysconf(_SC_NPROCESSORS_ONLN);

        return load->hurried && processors > 1 ? MIN((size_t)processors, (size_t)MOST_WORKERS) : 1;
}

static void read_more(void *arg)
{
        DefLoad *load = arg;

        if (load->stop || load->all_there)
                return;
        while (load->batches.len < workers_wanted(load) && find_more(load))
                begin_batch(load);
        if (!load->batches.len)
                complete(load);
}

static void on_batch(void *data)
{
        Batch *batch = data;
        DefLoad *load = batch->load;

        for (size_t i = batch->first; i < batch->end && !load->stop; i++) {
                if (load->entries[i].announced)
                        take_over(load, &load->entries[i]);
        }
        vec_remove_item(&load->batches, batch);
        task_free(batch->task, NULL);
        free(batch);
        read_more(load);
}

static void read_rest(DefLoad *load)
{
        if (find_more(load))
                load->rest = timer_new(load->loop, load->hurried ? 0 : QUIET_MS, read_more, load);
        else
                complete(load);
}

/* --- afterwards: the index; what was announced it knows already --- */

static void write_index(void *data)
{
        DefLoad *load = data;

        def_index_begin(&load->index, load->facts);
        for (size_t i = 0; i < load->n; i++) {
                const Entry *entry = &load->entries[i];

                if (entry->settled)
                        def_index_put(&load->index,
                                      &(IndexRow){ .name = entry->name, .uuid = entry->uuid, .stamp = entry->stamp });
        }
        def_index_end(&load->index);
}

static void on_written(void *arg UNUSED, const Error *failure)
{
        if (failure)
                log_warning("the next start will take longer: %s", failure->text);
}

static void on_index(void *data)
{
        DefLoad *load = data;

        load->task = task_free(load->task, NULL);
        file_queue_write(load->store->files, load->index_path, &load->index, 0600, true, on_written, NULL);
        if (!load->stop)
                read_rest(load);
}

static void on_begin(void *arg)
{
        DefLoad *load = arg;

        load->next = idle_free(load->next);
        if (load->stop)
                return;
        if (load->stale)
                load->task = task_new(load->pool, write_index, on_index, load);
        else
                read_rest(load);
}

/* On a turn of the loop: what the start itself still does, like giving memory back, is not done by two at once. */
void def_load_go_on(DefLoad *load, WorkerPool *pool, Loop *loop, void (*done)(void *arg), void *arg)
{
        load->pool = pool;
        load->loop = loop;
        load->done = done;
        load->done_arg = arg;
        load->next = idle_new(loop, on_begin, load);
}

bool def_load_is_complete(const DefLoad *load)
{
        return load->all_there && load->served == load->waiters.len;
}

void def_load_wait(DefLoad *load, bool hurry, void (*fn)(void *arg), void *arg)
{
        vec_push(&load->waiters, ((Waiter){ fn, arg }));
        if (!hurry || load->hurried)
                return;
        load->hurried = true;
        if (load->rest)
                timer_set(load->rest, 0);
}

/* --- the end --- */

void def_load_stop(DefLoad *load)
{
        load->stop = true;
}

DefLoad *def_load_free(DefLoad *load)
{
        if (!load)
                return NULL;
        while (load->served < load->waiters.len) {
                Waiter waiter = load->waiters.items[load->served++];

                waiter.fn(waiter.arg);
        }
        vec_done(&load->waiters);
        vec_done(&load->batches);
        idle_free(load->next);
        timer_free(load->rest);
        for (size_t i = 0; i < load->n; i++) {
                if (load->entries[i].def)
                        load->reader->drop(load->entries[i].def);
                err_done(&load->entries[i].err);
        }
        free(load->entries);
        str_list_free(load->names);
        buf_done(&load->index);
        free(load->index_path);
        free(load->facts);
        free(load);
        return NULL;
}
