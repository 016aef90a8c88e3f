/*
 * host/node-read.c - small files of /proc and /sys below a root directory
 */
#include "host/node-read.h"

#include "base/fd.h"
#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum { MOST_TEXT = 4 << 20 };

int node_read(const char *root, const char *path, Buf *ret, Error *err)
{
        AUTOFREE char *full = str_format("%s%s", root, path);

        return file_read(full, MOST_TEXT, ret, err);
}

int node_read_number(const char *root, const char *path, uint64_t *ret, Error *err)
{
        AUTO(Buf) text = { 0 };
        int64_t value;

        if (node_read(root, path, &text, err) < 0)
                return -1;
        while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == ' '))
                text.data[--text.len] = '\0';
        if (str_to_i64(buf_text(&text), &value) < 0)
                return err_set(err, ERR_INTERNAL, "'%s' does not hold a number", path);
        /* sysfs says -1 for an unknown socket or core */
        *ret = value < 0 ? 0 : (uint64_t)value;
        return 0;
}

int node_read_list(const char *root, const char *path, Bitmap *ret, Error *err)
{
        AUTO(Buf) text = { 0 };

        if (node_read(root, path, &text, err) < 0)
                return -1;
        if (text.len <= 1) {
                *ret = (Bitmap){ 0 };
                return 0;
        }
        return bitmap_parse(buf_text(&text), ret, err);
}

int node_write_number(const char *root, const char *path, uint64_t value, Error *err)
{
        AUTOFREE char *full = str_format("%s%s", root, path), *text = str_format("%" PRIu64 "\n", value);
        AUTO(Fd) fd = open(full, O_WRONLY | O_TRUNC | O_CLOEXEC);

        if (fd < 0)
                return err_errno(err, errno, "cannot open '%s'", full);
        if (write(fd, text, strlen(text)) < 0)
                return err_errno(err, errno, "cannot write %" PRIu64 " to '%s'", value, full);
        return 0;
}
