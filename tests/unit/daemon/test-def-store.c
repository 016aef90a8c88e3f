#include "test.h"

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/def-store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char seen[256];
static bool done;

static int on_load(void *arg UNUSED, const char *name, const char *xml, bool autostart, Error *err)
{
        if (str_eq(xml, "bad"))
                return err_set(err, ERR_XML, "no definition");
        snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s=%s%s;", name, xml, autostart ? "*" : "");
        return 0;
}

static void on_done(void *arg, const Error *failure)
{
        CHECK(!failure);
        done = true;
        (void)arg;
}

static void wait_for(Loop *loop)
{
        while (!done)
                CHECK(loop_turn(loop, -1, NULL) >= 0);
        done = false;
}

static const char *load(DefStore *store)
{
        AUTO(Error) err = { 0 };

        seen[0] = '\0';
        CHECK(def_store_load(store, on_load, NULL, &err) == 0);
        return seen;
}

TEST(what_was_saved_marked_renamed_and_removed_is_read_so)
{
        char dir[] = "/tmp/drover-def-store-XXXXXX";
        AUTO(Error) err = { 0 };
        AUTO(Loop) *loop = loop_new(&err);
        AUTO(WorkerPool) *pool = worker_pool_new(loop, 1, &err);
        AUTO(FileQueue) *files = file_queue_new(pool);
        AUTO(DefStore) *store = NULL;
        AUTO(Buf) xml = { 0 };
        AUTOFREE char *bad = NULL, *marks = NULL, *notes = NULL;

        CHECK(mkdtemp(dir) != NULL);
        store = def_store_new(files, dir);
        CHECK_STR(load(store), "");
        buf_put_text(&xml, "first");
        def_store_save(store, "a", &xml, on_done, NULL);
        wait_for(loop);
        def_store_autostart(store, "a", true, on_done, NULL);
        wait_for(loop);
        bad = str_format("%s/broken.xml", dir);
        CHECK(file_write_atomic(bad, "bad", 3, 0600, &err) == 0);
        CHECK_STR(load(store), "a=first*;"); /* the broken one is left out, not an end of all */

        buf_put_text(&xml, "second");
        def_store_rename(store, "a", "b", &xml, true, on_done, NULL);
        wait_for(loop);
        CHECK_STR(load(store), "b=second*;");
        def_store_autostart(store, "b", false, on_done, NULL);
        wait_for(loop);
        CHECK_STR(load(store), "b=second;");
        def_store_remove(store, "b", (const char *const[]){ bad, NULL }, on_done, NULL);
        wait_for(loop);
        CHECK_STR(load(store), "");
        marks = str_format("%s/autostart", dir);
        notes = str_format("%s/.rename", dir);
        CHECK(access(bad, F_OK) < 0 && rmdir(notes) == 0 && rmdir(marks) == 0 && rmdir(dir) == 0);
}

static void put(const char *dir, const char *name, const char *text)
{
        AUTOFREE char *path = str_format("%s/%s", dir, name);

        CHECK(file_write_atomic(path, text, strlen(text), 0600, NULL) == 0);
}

static void put_link(const char *dir, const char *name, const char *target)
{
        AUTOFREE char *path = str_format("%s/%s", dir, name);

        CHECK(file_link_durable(path, target, NULL) == 0);
}

static void take(const char *dir, const char *name)
{
        AUTOFREE char *path = str_format("%s/%s", dir, name);

        CHECK(remove(path) == 0);
}

/* One that cannot be opened, and one that cannot be read. */
TEST(a_file_that_cannot_be_read_is_named_in_the_log_and_stays)
{
        static const char *const unreadable[] = { "loop.xml", "error.xml" };
        char dir[] = "/tmp/drover-def-store-XXXXXX", logged[1024] = { 0 };
        AUTOFREE char *loop_said = NULL, *error_said = NULL;
        AUTO(DefStore) *store = NULL;
        int log[2];

        CHECK(mkdtemp(dir) != NULL);
        store = def_store_new(NULL, dir);
        put(dir, "a.xml", "first");
        put_link(dir, "loop.xml", "loop.xml");
        put_link(dir, "error.xml", "/proc/self/mem"); /* nothing is at its beginning */
        put(dir, "z.xml", "last");
        CHECK_INT(pipe2(log, O_CLOEXEC), 0);
        log_set_fd(log[1]);
        CHECK_STR(load(store), "a=first;z=last;");
        log_set_fd(STDERR_FILENO);
        CHECK(read(log[0], logged, sizeof(logged) - 1) > 0);
        loop_said = str_format(
                "error: a definition is left out: '%s/loop.xml': cannot open '%s/loop.xml': Too many levels "
                "of symbolic links\n",
                dir, dir);
        error_said = str_format(
                "error: a definition is left out: '%s/error.xml': cannot read '%s/error.xml': Input/output error\n",
                dir, dir);
        CHECK(strstr(logged, loop_said) && strstr(logged, error_said));
        for (size_t i = 0; i < ARRAY_LEN(unreadable); i++) {
                AUTOFREE char *path = str_format("%s/%s", dir, unreadable[i]);
                struct stat st;

                CHECK(lstat(path, &st) == 0 && S_ISLNK(st.st_mode));
                take(dir, unreadable[i]);
        }
        take(dir, "a.xml");
        take(dir, "z.xml");
        take(dir, "autostart");
        close(log[0]);
        close(log[1]);
        CHECK(rmdir(dir) == 0);
}

/* Two texts are of one object when they begin alike. */
static bool begin_alike(const char *xml, const char *other)
{
        return xml[0] == other[0];
}

TEST(a_renaming_that_was_interrupted_is_finished_or_forgotten)
{
        static const char *const places[] = { "autostart", ".rename" };
        static const char *const left[] = { "fellow.xml", "new.xml", "other.xml", "autostart/new.xml", "alone.xml" };
        char dir[] = "/tmp/drover-def-store-XXXXXX";
        AUTO(DefStore) *store = NULL;

        CHECK(mkdtemp(dir) != NULL);
        for (size_t i = 0; i < ARRAY_LEN(places); i++) {
                AUTOFREE char *path = str_format("%s/%s", dir, places[i]);

                CHECK(dir_make(path, 0700, NULL) == 0);
        }
        store = def_store_new(NULL, dir);
        put(dir, "old.xml", "x1");
        put(dir, "new.xml", "x2");
        put_link(dir, "autostart/old.xml", "../old.xml");
        put_link(dir, ".rename/old.xml", "../new.xml");
        put(dir, "fellow.xml", "y"); /* by now somebody else has the new name */
        put(dir, "other.xml", "z");
        put_link(dir, ".rename/fellow.xml", "../other.xml");
        put(dir, "alone.xml", "v"); /* the new file was never written */
        put_link(dir, ".rename/alone.xml", "../nothing.xml");
        put_link(dir, ".rename/gone.xml", "../alone.xml"); /* only the note was left */
        put_link(dir, ".rename/bad.xml", "../../etc/passwd.xml");
        for (int i = 0; i < 2; i++) { /* a second time changes nothing */
                def_store_settle_renames(store, begin_alike);
                CHECK_STR(load(store), "alone=v;fellow=y;new=x2*;other=z;");
        }
        for (size_t i = 0; i < ARRAY_LEN(left); i++)
                take(dir, left[i]);
        for (size_t i = 0; i < ARRAY_LEN(places); i++)
                take(dir, places[i]);
        CHECK(rmdir(dir) == 0);
}

TEST(names_that_lead_elsewhere_are_refused)
{
        static const char *const bad[] = { "", ".", "..", "a/b", "a\nb" };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                CHECK(def_store_check_name("pool", bad[i], NULL) < 0);
        CHECK(def_store_check_name("pool", "images 1", NULL) == 0);
        CHECK(def_store_check_file("a", "b", NULL) < 0);
}
