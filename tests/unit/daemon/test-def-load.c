#include "test.h"

#include "base/file.h"
#include "base/str.h"
#include "daemon/def-load.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A definition here is the UUID's first byte and a word: "7 word"; byte 0 is a text without a UUID. */
static const int64_t year_2200_ns = 7258118400LL * 1000000000;
static int64_t now_ns; /* files were changed long before, or just now */

typedef struct Host {
        char dir[64];
        char *etc, *index;
        Loop *loop;
        WorkerPool *pool;
        FileQueue *files;
        DefStore *store;
        DefLoad *load;
        char *objects[256]; /* by UUID: "name=word", or "name" while it is announced */
        unsigned announced, added, defined, withdrawn, waited;
        atomic_uint parsed;
        const char *urgent;
        bool done;
} Host;

static void *on_parse(void *arg, const char *name, const char *xml, Uuid *ret_uuid, Error *err)
{
        Host *host = arg;
        int byte;

        host->parsed++;
        if (sscanf(xml, "%d", &byte) != 1) {
                err_set(err, ERR_XML, "no definition");
                return NULL;
        }
        *ret_uuid = (Uuid){ { (uint8_t)byte } };
        return str_format("%c%s=%s", byte ?: 255, name, strchr(xml, ' ') + 1);
}

static int on_announce(void *arg, const char *name, const Uuid *uuid, bool autostart, Error *err)
{
        Host *host = arg;

        if (host->objects[uuid->bytes[0]])
                return err_set(err, ERR_OPERATION_FAILED, "there is one already");
        host->objects[uuid->bytes[0]] = str_format("%s%s", name, autostart ? "*" : "");
        host->announced++;
        return 0;
}

static int on_add(void *arg, const char *name, void *def, bool autostart, Error *err)
{
        Host *host = arg;
        AUTOFREE char *text = def;
        uint8_t byte = (uint8_t)text[0];

        if (on_announce(arg, name, &(Uuid){ { byte } }, autostart, err) < 0)
                return -1;
        host->announced--;
        host->added++;
        str_replace(&host->objects[byte], text + 1);
        return 0;
}

static void on_define(void *arg, const Uuid *uuid, void *def)
{
        Host *host = arg;
        AUTOFREE char *text = def;

        CHECK(host->objects[uuid->bytes[0]]);
        str_replace(&host->objects[uuid->bytes[0]], text + 1);
        host->defined++;
}

static void on_withdraw(void *arg, const Uuid *uuid)
{
        Host *host = arg;

        CHECK(host->objects[uuid->bytes[0]]);
        str_replace(&host->objects[uuid->bytes[0]], NULL);
        host->withdrawn++;
}

static bool is_urgent(void *arg, const char *name)
{
        return str_eq(((const Host *)arg)->urgent, name);
}

static int64_t wall_ns(void)
{
        return now_ns;
}

static const DefReader reader = { on_parse, free, on_add, on_announce, on_define, on_withdraw, is_urgent, wall_ns };

static void on_done(void *arg)
{
        ((Host *)arg)->done = true;
}

static void on_waited(void *arg)
{
        ((Host *)arg)->waited++;
}

static void host_init(Host *host)
{
        *host = (Host){ .dir = "/tmp/drover-def-load-XXXXXX" };
        now_ns = year_2200_ns;
        CHECK(mkdtemp(host->dir) != NULL);
        host->etc = str_format("%s/etc", host->dir);
        host->index = str_format("%s/index", host->dir);
        CHECK(dir_make(host->etc, 0700, NULL) == 0);
        host->loop = loop_new_fake(NULL);
        host->pool = worker_pool_new(host->loop, 2, NULL);
        host->files = file_queue_new(host->pool);
        host->store = def_store_new(host->files, host->etc);
}

static void forget(Host *host)
{
        host->load = def_load_free(host->load);
        for (size_t i = 0; i < ARRAY_LEN(host->objects); i++)
                str_replace(&host->objects[i], NULL);
        host->announced = host->added = host->defined = host->withdrawn = host->waited = 0;
        host->parsed = 0;
        host->done = false;
}

static void host_done(Host *host)
{
        AUTOFREE char *command = str_format("rm -r %s", host->dir);

        host->pool = worker_pool_free(host->pool);
        forget(host);
        def_store_free(host->store);
        file_queue_free(host->files);
        loop_free(host->loop);
        CHECK(system(command) == 0);
        free(host->etc);
        free(host->index);
}

static void put(const Host *host, const char *name, const char *text)
{
        AUTOFREE char *path = str_format("%s/%s.xml", host->etc, name);

        CHECK(file_write_atomic(path, text, strlen(text), 0600, NULL) == 0);
}

static void start(Host *host, const char *facts)
{
        forget(host);
        host->load = def_load_new(host->store, &reader, host, host->index, facts, NULL);
        CHECK(host->load);
}

static void go_on(Host *host)
{
        def_load_go_on(host->load, host->pool, host->loop, on_done, host);
        while (!host->done) {
                CHECK(loop_turn(host->loop, 10, NULL) >= 0);
                loop_advance(host->loop, 10);
        }
        CHECK(def_load_is_complete(host->load));
}

static void put_many(const Host *host)
{
        for (int i = 1; i <= 200; i++) {
                AUTOFREE char *name = str_format("g%d", i), *text = str_format("%d word", i);

                put(host, name, text);
        }
}

static bool has_index(const Host *host)
{
        return access(host->index, F_OK) == 0;
}

/* The queue is empty again. */
static void on_flushed(void *arg, const Error *failure UNUSED)
{
        *(bool *)arg = true;
}

static void flush(Host *host)
{
        AUTOFREE char *path = str_format("%s/nothing", host->dir);
        const char *const paths[] = { path, NULL };
        bool flushed = false;

        file_queue_remove(host->files, paths, on_flushed, &flushed);
        while (!flushed)
                CHECK(loop_turn(host->loop, -1, NULL) >= 0);
}

static void index_young(Host *host)
{
        start(host, "facts");
        go_on(host);
        flush(host);
}

static void index_all(Host *host)
{
        index_young(host);
        CHECK(has_index(host));
}

TEST(what_the_index_knows_is_announced_and_read_later)
{
        Host host;

        host_init(&host);
        put_many(&host);
        put(&host, "broken", "x");
        put(&host, "same", "7 other"); /* of the UUID that g7 has, which comes first */
        start(&host, "facts");
        CHECK(host.added == 200 && host.announced == 0 && host.parsed == 202);
        go_on(&host);
        flush(&host);
        CHECK(has_index(&host) && host.defined == 0 && host.parsed == 202);

        start(&host, "facts");
        CHECK(host.announced == 200 && host.parsed == 2);
        CHECK_STR(host.objects[7], "g7");
        go_on(&host);
        CHECK(host.defined == 200 && host.withdrawn == 0 && host.parsed == 202);
        CHECK_STR(host.objects[7], "g7=word");

        start(&host, "of another program");
        CHECK(host.added == 200 && host.announced == 0);
        host_done(&host);
}

/* The same file, of the same size and with its old time put back; only the kernel's own mark tells, and that by ticks. */
static void write_in_place(const Host *host, const char *name, const char *text)
{
        AUTOFREE char *path = str_format("%s/%s.xml", host->etc, name);
        struct stat before, after;

        CHECK(stat(path, &before) == 0 && before.st_size == (off_t)strlen(text));
        do {
                int fd = open(path, O_WRONLY);

                CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
                CHECK(utimensat(AT_FDCWD, path, (struct timespec[]){ before.st_atim, before.st_mtim }, 0) == 0);
                CHECK(stat(path, &after) == 0);
        } while (after.st_ctim.tv_sec == before.st_ctim.tv_sec && after.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
        CHECK(after.st_ino == before.st_ino && after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
}

TEST(a_file_changed_by_hand_wins_over_the_index)
{
        Host host;

        host_init(&host);
        put(&host, "place", "1 aaaa");
        put(&host, "moved", "2 aaaa");
        put(&host, "gone", "3 aaaa");
        put(&host, "kept", "4 aaaa");
        index_all(&host);

        write_in_place(&host, "place", "9 bbbb");
        put(&host, "moved", "8 aaaa");
        {
                AUTOFREE char *gone = str_format("%s/gone.xml", host.etc);

                CHECK(unlink(gone) == 0);
        }
        put(&host, "new", "5 aaaa");
        start(&host, "facts");
        CHECK(host.announced == 1 && host.added == 3);
        CHECK_STR(host.objects[9], "place=bbbb");
        CHECK_STR(host.objects[8], "moved=aaaa");
        CHECK_STR(host.objects[5], "new=aaaa");
        CHECK_STR(host.objects[4], "kept");
        CHECK(!host.objects[1] && !host.objects[2] && !host.objects[3]);
        host_done(&host);
}

TEST(what_was_changed_just_before_it_was_read_is_not_trusted)
{
        Host host;
        AUTOFREE char *path = NULL;
        struct stat st;

        host_init(&host);
        put(&host, "a", "1 aaaa");
        put(&host, "b", "2 bbbb");
        path = str_format("%s/b.xml", host.etc);
        CHECK(stat(path, &st) == 0);
        now_ns = st.st_ctim.tv_sec * 1000000000LL + st.st_ctim.tv_nsec;
        index_young(&host);
        CHECK(!has_index(&host)); /* there is nothing to say */
        now_ns = year_2200_ns;
        index_all(&host);
        start(&host, "facts");
        CHECK(host.announced == 2);
        host_done(&host);
}

TEST(a_file_that_changes_while_clients_are_served_counts_as_it_is)
{
        Host host;
        AUTOFREE char *gone = NULL;

        host_init(&host);
        put(&host, "a", "1 old");
        put(&host, "b", "2 old");
        put(&host, "c", "3 old");
        put(&host, "d", "4 old");
        index_all(&host);
        start(&host, "facts");
        CHECK(host.announced == 4);
        put(&host, "a", "1 new");
        put(&host, "b", "9 new");
        put(&host, "c", "x");
        gone = str_format("%s/d.xml", host.etc);
        CHECK(unlink(gone) == 0);
        go_on(&host);
        CHECK_STR(host.objects[1], "a=new");
        CHECK_STR(host.objects[9], "b=new");
        CHECK(!host.objects[2] && !host.objects[3] && !host.objects[4] && host.withdrawn == 3);
        host_done(&host);
}

/* What the index knows of it does not make it a definition, and it stays as it is. */
TEST(a_file_that_cannot_be_read_any_more_is_left_out_and_stays)
{
        Host host;
        AUTOFREE char *early = NULL, *late = NULL;
        struct stat st;

        host_init(&host);
        put(&host, "a", "1 aaaa");
        put(&host, "b", "2 bbbb");
        put(&host, "c", "3 cccc");
        index_all(&host);
        early = str_format("%s/b.xml", host.etc);
        late = str_format("%s/c.xml", host.etc);
        CHECK(file_link_durable(early, "/proc/self/mem", NULL) == 0); /* nothing is at its beginning */
        start(&host, "facts");
        CHECK(host.announced == 2 && host.added == 0);
        CHECK(file_link_durable(late, "c.xml", NULL) == 0);
        go_on(&host);
        CHECK_STR(host.objects[1], "a=aaaa");
        CHECK(!host.objects[2] && !host.objects[3] && host.defined == 1 && host.withdrawn == 1);
        CHECK(lstat(early, &st) == 0 && S_ISLNK(st.st_mode) && lstat(late, &st) == 0 && S_ISLNK(st.st_mode));
        host_done(&host);
}

TEST(an_index_that_is_damaged_is_written_anew)
{
        Host host;

        host_init(&host);
        put_many(&host);
        index_all(&host);
        CHECK(truncate(host.index, 3000) == 0);
        start(&host, "facts");
        CHECK(host.added == 200 && host.announced == 0);
        go_on(&host);
        flush(&host);
        start(&host, "facts");
        CHECK(host.announced == 200);
        host_done(&host);
}

TEST(a_text_without_a_uuid_is_read_each_time)
{
        Host host;

        host_init(&host);
        put(&host, "a", "0 word");
        put(&host, "b", "1 word");
        index_all(&host);
        start(&host, "facts");
        CHECK(host.announced == 1 && host.added == 1);
        CHECK_STR(host.objects[255], "a=word");
        host_done(&host);
}

TEST(what_is_urgent_is_read_at_once_and_marks_are_known)
{
        Host host;
        AUTOFREE char *mark = NULL, *dangling = NULL;

        host_init(&host);
        put(&host, "a", "1 word");
        put(&host, "b", "2 word");
        index_all(&host);
        mark = str_format("%s/autostart/b.xml", host.etc);
        dangling = str_format("%s/autostart/a.xml", host.etc);
        CHECK(file_link_durable(mark, "../b.xml", NULL) == 0 &&
              file_link_durable(dangling, "../none.xml", NULL) == 0);
        host.urgent = "a";
        start(&host, "facts");
        CHECK_STR(host.objects[1], "a=word");
        CHECK_STR(host.objects[2], "b*");
        host_done(&host);
}

TEST(whoever_waits_gets_his_turn_when_all_is_there)
{
        Host host;

        host_init(&host);
        put_many(&host);
        index_all(&host);
        start(&host, "facts");
        for (int i = 0; i < 50; i++)
                def_load_wait(host.load, true, on_waited, &host);
        CHECK(host.waited == 0);
        go_on(&host);
        CHECK(host.waited == 50 && host.defined == 200);
        host_done(&host);
}

/* Sixteen have their turn at a time: one who comes between does not pass those that came before him. */
TEST(nobody_passes_those_who_wait_already)
{
        bool came_between = false;
        Host host;

        host_init(&host);
        put_many(&host);
        index_all(&host);
        start(&host, "facts");
        for (int i = 0; i < 50; i++)
                def_load_wait(host.load, true, on_waited, &host);
        def_load_go_on(host.load, host.pool, host.loop, on_done, &host);
        while (!host.done) {
                CHECK(loop_turn(host.loop, 10, NULL) >= 0);
                loop_advance(host.loop, 10);
                if (host.waited == 16 || host.waited == 32)
                        CHECK(!def_load_is_complete(host.load));
                came_between |= host.waited > 0 && host.waited < 50;
        }
        CHECK(came_between && host.waited == 50 && def_load_is_complete(host.load));
        host_done(&host);
}

TEST(an_end_while_definitions_are_read_loses_nothing)
{
        Host host;

        host_init(&host);
        put_many(&host);
        index_all(&host);
        start(&host, "facts");
        def_load_wait(host.load, true, on_waited, &host);
        def_load_go_on(host.load, host.pool, host.loop, on_done, &host);
        CHECK(loop_turn(host.loop, -1, NULL) >= 0);
        loop_advance(host.loop, 1); /* some are being read now */
        def_load_stop(host.load);
        host.pool = worker_pool_free(host.pool);
        CHECK(host.waited == 0);
        host.load = def_load_free(host.load);
        CHECK(host.waited == 1 && host.defined < 200);
        host_done(&host);
}

TEST(an_end_comes_also_when_there_is_nothing_to_read)
{
        Host host;

        host_init(&host);
        start(&host, "facts");
        def_load_wait(host.load, true, on_waited, &host);
        go_on(&host);
        CHECK(host.waited == 1 && !has_index(&host));
        host_done(&host);
}
