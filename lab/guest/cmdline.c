/*
 * guest/cmdline.c - the drover.* words of /proc/cmdline
 *
 * The line is read once and cut into words in place; look-ups walk the words.
 */
#include "cmdline.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char line[4096];
static size_t line_length;

static void cmdline_load(void)
{
        int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return;

        n = read(fd, line, sizeof(line) - 1);
        close(fd);
        if (n <= 0)
                return;

        line_length = (size_t)n;
        for (size_t i = 0; i < line_length; i++)
                if (line[i] == ' ' || line[i] == '\n')
                        line[i] = '\0';
}

const char *cmdline_find(const char *name)
{
        static const char prefix[] = "drover.";
        size_t length = strlen(name);

        if (!line_length)
                cmdline_load();

        for (const char *word = line; word < line + line_length; word += strlen(word) + 1) {
                const char *rest = word + sizeof(prefix) - 1;

                if (strncmp(word, prefix, sizeof(prefix) - 1) == 0 && strncmp(rest, name, length) == 0 &&
                    rest[length] == '=')
                        return rest + length + 1;
        }
        return NULL;
}

const char *cmdline_text(const char *name, const char *fallback)
{
        const char *text = cmdline_find(name);

        return text && *text ? text : fallback;
}

long cmdline_number(const char *name, long fallback)
{
        const char *text = cmdline_find(name);
        char *end;
        long value;

        if (!text || !*text)
                return fallback;
        value = strtol(text, &end, 10);
        return *end ? fallback : value;
}
