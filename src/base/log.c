/*
 * base/log.c - the main log
 *
 * One write() per line, so that lines of several threads and processes do not
 * mix. Control characters in a line are replaced: a guest's name cannot forge one.
 */
#include "base/log.h"

#include "base/buf.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic LogLevel least_level = LOG_LEVEL_INFO;
static _Atomic int log_fd = STDERR_FILENO;

void log_set_level(LogLevel least)
{
        least_level = least;
}

LogLevel log_level(void)
{
        return least_level;
}

void log_set_fd(int fd)
{
        log_fd = fd;
}

static void put_prefix(Buf *line, LogLevel level)
{
        static const char *const names[] = {
                [LOG_LEVEL_DEBUG] = "debug",
                [LOG_LEVEL_INFO] = "info",
                [LOG_LEVEL_WARNING] = "warning",
                [LOG_LEVEL_ERROR] = "error",
        };
        struct timespec now;
        struct tm tm;

        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &tm);
        buf_format(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s: ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                   tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000, names[level]);
}

void log_line(LogLevel level, const char *fmt, ...)
{
        AUTO(Buf) line = { 0 };
        va_list ap;

        if (level < least_level)
                return;
        put_prefix(&line, level);
        va_start(ap, fmt);
        buf_vformat(&line, fmt, ap);
        va_end(ap);
        for (size_t i = 0; i < line.len; i++) {
                if ((unsigned char)line.data[i] < ' ')
                        line.data[i] = ' ';
        }
        buf_put_char(&line, '\n');
        if (write(log_fd, line.data, line.len) < 0)
                return; /* there is nowhere left to say so */
}
