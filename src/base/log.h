#pragma once
/*
 * base/log.h - the main log
 *
 * Only the dispatcher, the job engine and main log errors; everything else
 * returns them. A line names the object it is about. Lines go to stderr with a
 * priority prefix that journald understands; a terminal gets plain text.
 */
#include "base/auto.h"

typedef enum LogLevel {
        LOG_LEVEL_DEBUG = 1,
        LOG_LEVEL_INFO,
        LOG_LEVEL_WARNING,
        LOG_LEVEL_ERROR,
} LogLevel;

void log_set_level(LogLevel least);
LogLevel log_level(void);
/* Lines go to fd from now on; the descriptor stays the caller's. */
void log_set_fd(int fd);
void log_line(LogLevel level, const char *fmt, ...) PRINTF(2, 3);

#define log_debug(...)                                                                                               \
        do {                                                                                                         \
                if (log_level() <= LOG_LEVEL_DEBUG)                                                                  \
                        log_line(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                      \
        } while (0)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
