#pragma once
/*
 * base/auto.h - release what you own when it leaves scope
 *
 * A local declared AUTO(Type) is released by Type's destructor at the end of
 * its scope. TAKE() gives the value away and leaves NULL behind. Destructors
 * accept NULL and half-built objects.
 */
#include <stddef.h>
#include <stdlib.h>

#define AUTO(T) __attribute__((cleanup(auto_##T), unused)) T
#define DEFINE_AUTO(T, free_fn)                                                                                      \
        static inline void auto_##T(T **p)                                                                           \
        {                                                                                                            \
                if (*p)                                                                                              \
                        free_fn(*p);                                                                                 \
        }
#define DEFINE_AUTO_VALUE(T, done_fn)                                                                                \
        static inline void auto_##T(T *p)                                                                            \
        {                                                                                                            \
                done_fn(p);                                                                                          \
        }
#define TAKE(p)                                                                                                      \
        ({                                                                                                           \
                __typeof__(p) taken_ = (p);                                                                          \
                (p) = NULL;                                                                                          \
                taken_;                                                                                              \
        })

static inline void auto_free_pointer(void *p)
{
        free(*(void **)p);
}
#define AUTOFREE __attribute__((cleanup(auto_free_pointer), unused))

#define ARRAY_LEN(a)               (sizeof(a) / sizeof((a)[0]))
#define PRINTF(fmt, args)          __attribute__((format(printf, fmt, args)))
#define COLD                       __attribute__((cold))
#define UNUSED                     __attribute__((unused))
#define container_of(p, T, member) ((T *)((char *)(p)-offsetof(T, member)))
#define MIN(a, b)                  ((a) < (b) ? (a) : (b))
#define MAX(a, b)                  ((a) > (b) ? (a) : (b))
