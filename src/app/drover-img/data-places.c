/*
 * app/drover-img/data-places.c - which files hold the data of an image, before anything may be written
 *
 * Which files can be written is settled before a header is read, and some
 * headers name a file elsewhere that holds the data. So a child that can open
 * nothing more looks first and names them; what it says only widens what can
 * be written, the header is read again and authorised as always.
 */
#include "app/drover-img/command.h"

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"
#include "img/confine.h"
#include "img/format.h"
#include "img/nbd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MEMORY_LIMIT = 256 << 20, CPU_SECONDS = 5, MOST_BYTES = 64 << 10, PEEKED = 80 };

/* Most headers name nothing, and starting a child for those costs as much as reading them. */
static bool may_name_files(ImageFile *file)
{
        static const char vmdk_text[] = "# Disk DescriptorFile";
        uint8_t head[PEEKED];

        if (image_file_read_padded(file, 0, head, sizeof(head), NULL) < 0)
                return false;
        if (memcmp(head, "QFI\xfb", 4) == 0)
                return load_be32(head + 4) >= 3 && load_be64(head + 72) & 4;
        return memcmp(head, vmdk_text, strlen(vmdk_text)) == 0;
}

/* In the child: each path, and a NUL. */
static void tell(ImageFile *file, const char *path, const char *format_name, int to)
{
        AUTO(ImageDescription) what = { 0 };
        ImageFormat format;

        if (image_confine(&(Confinement){ .memory_bytes = MEMORY_LIMIT, .cpu_seconds = CPU_SECONDS }, NULL) < 0 ||
            (format_name ? image_format_from_name(format_name, &format, NULL) : image_probe(file, &format, NULL)) <
                    0 ||
            image_describe(file, format, &what, NULL) < 0)
                return;
        for (size_t i = 0; i < what.data_files.len; i++) {
                AUTOFREE char *place = image_path_beside(format == IMAGE_FORMAT_QCOW2 ? "" : path,
                                                         what.data_files.items[i], NULL);

                if (place && write(to, place, strlen(place) + 1) < 0)
                        return;
        }
}

/* n: how many bytes came; the last one is a NUL. */
static void listen_to(int from, char *text, size_t *n)
{
        ssize_t got;

        *n = 0;
        while ((got = read(from, text + *n, MOST_BYTES - *n)) != 0) {
                if (got < 0 && errno != EINTR)
                        break;
                *n += got > 0 ? (size_t)got : 0;
        }
        while (*n && text[*n - 1])
                --*n; /* cut off */
}

static char **split(const char *text, size_t n)
{
        char **ret;
        size_t len = 0;

        for (size_t i = 0; i < n; i++)
                len += !text[i];
        ret = mem_new_array(char *, len + 1);
        for (size_t i = 0; i < len; i++) {
                ret[i] = str_dup(text);
                text += strlen(text) + 1;
        }
        return ret;
}

/* NULL: it cannot be asked. */
static char **ask_child(ImageFile *file, const char *path, const char *format)
{
        AUTOFREE char *text = mem_alloc(MOST_BYTES);
        AUTO(Fd) from = -1;
        int ends[2];
        pid_t child;
        size_t n;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return NULL;
        child = fork();
        if (child == 0) {
                tell(file, path, format, ends[1]);
                _exit(0);
        }
        close(ends[1]);
        from = ends[0];
        if (child < 0)
                return NULL;
        listen_to(from, text, &n);
        fd_close(&from); /* who says more than is taken in ends */
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
                ;
        return split(text, n);
}

char **data_places(const Source *source, const char *path, const char *format)
{
        AUTO(ImageFile) *file = NULL;

        if (!source->policy.untrusted && path && !nbd_is_name(path))
                file = image_file_open(path, 0, NULL);
        return file && may_name_files(file) ? ask_child(file, path, format) : NULL;
}
