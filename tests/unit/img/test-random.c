#include "test.h"

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "image-model.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Thousands of random changes of images whose bytes do not stand as they are in the image's own file: encrypted ones, and
 * those with a data file of their own. In between they are opened anew, and stock qemu-img looks at them.
 */
static const ImageSecret secret = { .data = (const uint8_t *)"word", .n = 4 };
static const struct Kind {
        const char *options; /* how stock qemu-img opens it */
        ImageFormat format;
        ImageCreate how;
        bool snapshots, data;
} kinds[] = {
        { "driver=luks,key-secret=s,file.filename=", IMAGE_FORMAT_LUKS, { .size = 1 << 20 } },
        { "driver=qcow2,encrypt.key-secret=s,file.filename=",
          IMAGE_FORMAT_QCOW2,
          { .size = 1 << 20, .cluster_size = 4096, .encrypt = true },
          .snapshots = true },
        { "driver=qcow2,encrypt.key-secret=s,file.filename=",
          IMAGE_FORMAT_QCOW2,
          { .size = 2 << 20, .cluster_size = 16384, .extended_l2 = true, .encrypt = true },
          .snapshots = true },
        { "driver=qcow2,file.filename=",
          IMAGE_FORMAT_QCOW2,
          { .size = 2 << 20, .cluster_size = 4096, .data_file_name = "data" },
          .data = true },
        { "driver=qcow2,file.filename=",
          IMAGE_FORMAT_QCOW2,
          { .size = 1 << 20, .cluster_size = 65536, .data_file_name = "data", .data_file_raw = true },
          .data = true },
        { "driver=qcow2,file.filename=",
          IMAGE_FORMAT_QCOW2,
          { .size = 2 << 20, .cluster_size = 32768, .data_file_name = "data", .extended_l2 = true },
          .data = true },
};

typedef struct Case {
        const struct Kind *kind;
        Image *image;
        ImageFile *data; /* the image's own; NULL: none */
        Model model;
        uint8_t *kept; /* the content when the snapshot was taken, NULL: there is none */
        uint64_t kept_size;
} Case;

static void open_it(Case *c, ImageFile *file, ImageFile *data)
{
        AUTO(Error) err = { 0 };

        c->image = image_open(file, c->kind->format, IMAGE_WRITE, &err);
        CHECK_STR(err.text ?: "", "");
        c->data = data;
        if (data)
                CHECK_INT(image_attach(c->image, 0, data, &err), 0);
        if (image_is_locked(c->image))
                CHECK_INT(image_unlock(c->image, &secret, &err), 0);
}

static void begin(Case *c)
{
        ImageFile *file = memory_file_new(NULL, 0), *data = c->kind->data ? memory_file_new(NULL, 0) : NULL;
        ImageCreate how = c->kind->how;
        AUTO(Error) err = { 0 };

        how.data_file = data;
        how.luks.secret = &secret;
        how.luks.iter_time_ms = 1;
        c->model = model_new(how.size);
        CHECK_STR(image_create(file, c->kind->format, &how, &err) < 0 ? err.text : "", "");
        open_it(c, file, data);
        /* what was never written shows whatever the key makes of zeros */
        if (c->kind->format == IMAGE_FORMAT_LUKS)
                CHECK_INT(image_zero(c->image, 0, how.size, 0, NULL), 0);
}

static void reopen(Case *c)
{
        ImageFile *file, *data;
        AUTO(Error) err = { 0 };

        CHECK_INT(image_flush(c->image, &err), 0);
        file = memory_file_copy(image_file(c->image));
        data = c->data ? memory_file_copy(c->data) : NULL;
        CHECK_STR(image_close(TAKE(c->image), &err) < 0 ? err.text : "", "");
        open_it(c, file, data);
}

static void resize(Case *c)
{
        uint64_t size = 512 * (1 + model_dice(MODEL_ROOM / 512 - 1)), was = c->model.size;
        AUTO(Error) err = { 0 };

        CHECK_STR(image_resize(c->image, size, PREALLOCATE_OFF, &err) < 0 ? err.text : "", "");
        if (size < was)
                memset(c->model.bytes + size, 0, was - size);
        c->model.size = size;
        if (size > was && c->kind->format == IMAGE_FORMAT_LUKS)
                CHECK_INT(image_zero(c->image, was, size - was, 0, &err), 0);
}

static void snapshot(Case *c)
{
        AUTO(Error) err = { 0 };
        int r;

        if (!c->kept) {
                r = image_snapshot_create(c->image, &(ImageSnapshot){ .name = (char *)"kept", .icount = UINT64_MAX },
                                          &err);
                c->kept = mem_dup(c->model.bytes, MODEL_ROOM);
                c->kept_size = c->model.size;
        } else if (model_dice(2)) {
                r = image_snapshot_apply(c->image, "kept", &err);
                memcpy(c->model.bytes, c->kept, MODEL_ROOM);
                c->model.size = c->kept_size;
        } else {
                r = image_snapshot_delete(c->image, "kept", &err);
                free(TAKE(c->kept));
        }
        CHECK_STR(r < 0 ? err.text : "", "");
}

static void change(Case *c)
{
        unsigned what = model_dice(200);

        if (what < 2)
                reopen(c);
        else if (what < 4)
                resize(c);
        else if (what < 10 && c->kind->snapshots)
                snapshot(c);
        else if (what < 20)
                CHECK_INT(image_flush(c->image, NULL), 0);
        else if (what < 60)
                model_zero(c->image, &c->model);
        else
                model_write(c->image, &c->model);
}

static void save(const char *path, const uint8_t *data, size_t n)
{
        AUTO(Fd) fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        CHECK(fd >= 0);
        CHECK_INT(fd_write_all(fd, data, n, NULL), 0);
}

static void save_file(const char *path, ImageFile *file)
{
        size_t n;
        const uint8_t *bytes = memory_file_data(file, &n);

        save(path, bytes, n);
}

static int run(const char *words)
{
        AUTOFREE char *command = str_format("qemu-img %s >/dev/null", words);
        int status = system(command);

        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Stock qemu-img reads the same and finds nothing wrong; a raw data file shows the disk by itself. */
static void check_with_stock(Case *c)
{
        char dir[] = "/tmp/drover-random-XXXXXX";
        AUTOFREE char *image = NULL, *data = NULL, *wanted = NULL, *what = NULL, *check = NULL, *compare = NULL;

        if (system("qemu-img --version >/dev/null 2>&1") != 0)
                return;
        CHECK(mkdtemp(dir));
        image = str_format("%s/image", dir);
        data = str_format("%s/data", dir);
        wanted = str_format("%s/wanted", dir);
        CHECK_INT(image_flush(c->image, NULL), 0);
        save_file(image, image_file(c->image));
        if (c->data)
                save_file(data, c->data);
        save(wanted, c->model.bytes, c->model.size);
        what = str_format("--object secret,id=s,data=word --image-opts %s%s%s%s", c->kind->options, image,
                          c->data ? ",data-file.driver=file,data-file.filename=" : "", c->data ? data : "");
        check = str_format("check %s", what);
        compare = str_format("compare %s driver=raw,file.filename=%s", what, wanted);
        if (c->kind->format == IMAGE_FORMAT_QCOW2)
                CHECK_INT(run(check), 0);
        CHECK_INT(run(compare), 0);
        if (c->kind->how.data_file_raw) {
                AUTOFREE char *plain = str_format("compare -f raw -F raw %s %s", data, wanted);

                CHECK_INT(run(plain), 0);
        }
        unlink(image);
        unlink(data);
        unlink(wanted);
        rmdir(dir);
}

TEST(random_changes_of_encrypted_images_and_of_those_with_a_data_file_give_what_the_model_says)
{
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                Case c = { .kind = &kinds[k] };
                unsigned steps = model_steps(500);

                model_begin(21 + (unsigned)k);
                begin(&c);
                for (unsigned i = 0; i < steps; i++) {
                        change(&c);
                        if (i % 100 == 99) {
                                CHECK_INT(image_flush(c.image, NULL), 0);
                                model_check_clean(c.image);
                                model_check_content(c.image, &c.model);
                        }
                        if (i % 250 == 249)
                                check_with_stock(&c);
                }
                CHECK_INT(image_close(c.image, NULL), 0);
                free(c.kept);
                model_done(&c.model);
        }
}

/* It stands at offset 0 of the data file, which in the image's own file would say that it has no place. */
TEST(the_first_cluster_in_a_data_file_keeps_what_a_write_over_the_edge_of_it_leaves_alone)
{
        Case c = { .kind = &kinds[ARRAY_LEN(kinds) - 1] };

        CHECK(c.kind->data && c.kind->how.extended_l2);
        begin(&c);
        memset(c.model.bytes + 28 * 1024, 'x', 1024);
        CHECK_INT(image_write(c.image, 28 * 1024, c.model.bytes + 28 * 1024, 1024, NULL), 0);
        memset(c.model.bytes + 23941, 'y', 5291); /* from where nothing was written into the middle of what was */
        CHECK_INT(image_write(c.image, 23941, c.model.bytes + 23941, 5291, NULL), 0);
        model_check_content(c.image, &c.model);
        check_with_stock(&c);
        memset(c.model.bytes + 10000, 0, 9000);
        CHECK_INT(image_zero(c.image, 10000, 9000, 0, NULL), 0);
        model_check_content(c.image, &c.model);
        reopen(&c);
        model_check_clean(c.image);
        check_with_stock(&c);
        CHECK_INT(image_close(c.image, NULL), 0);
        model_done(&c.model);
}
