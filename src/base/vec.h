#pragma once
/*
 * base/vec.h - a growing array with a counted length
 *
 *      VEC(Guest *) guests = { 0 };
 *      vec_push(&guests, guest);
 *      for (size_t i = 0; i < guests.len; i++) use(guests.items[i]);
 *      vec_done(&guests);
 *
 * The vector owns its memory, not what its items point to.
 */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define VEC(T)                                                                                                       \
        struct {                                                                                                     \
                T *items;                                                                                            \
                size_t len, room;                                                                                    \
        }

#define vec_push(vec, item)                                                                                          \
        do {                                                                                                         \
                __typeof__(vec) v_ = (vec);                                                                          \
                if (v_->len == v_->room) {                                                                           \
                        v_->room = v_->room ? v_->room * 2 : 8;                                                      \
                        v_->items = mem_resize(v_->items, v_->room * sizeof(*v_->items));                            \
                }                                                                                                    \
                v_->items[v_->len++] = (item);                                                                       \
        } while (0)

/* Take item i out; the order of the others stays. */
#define vec_remove(vec, i)                                                                                           \
        do {                                                                                                         \
                __typeof__(vec) v_ = (vec);                                                                          \
                size_t i_ = (i);                                                                                     \
                memmove(v_->items + i_, v_->items + i_ + 1, (v_->len - i_ - 1) * sizeof(*v_->items));                \
                v_->len--;                                                                                           \
        } while (0)

#define vec_remove_item(vec, item)                                                                                   \
        do {                                                                                                         \
                for (size_t j_ = 0; j_ < (vec)->len; j_++) {                                                         \
                        if ((vec)->items[j_] == (item)) {                                                            \
                                vec_remove((vec), j_);                                                               \
                                break;                                                                               \
                        }                                                                                            \
                }                                                                                                    \
        } while (0)

#define vec_done(vec)                                                                                                \
        do {                                                                                                         \
                free((vec)->items);                                                                                  \
                memset((vec), 0, sizeof(*(vec)));                                                                    \
        } while (0)
