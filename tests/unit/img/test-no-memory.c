#include "test.h"

#include "image-acts.h"
#include "image-model.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdatomic.h>

enum { MOST_CALLS = 3000 };

/*
 * The allocations that may fail go through these two (base/mem.h); the linker puts ours before them. Number `fail_at`
 * of a run fails, all others work.
 */
void *__real_mem_try(size_t n);
void *__wrap_mem_try(size_t n);
void *__real_image_buffer_try(size_t n);
void *__wrap_image_buffer_try(size_t n);

static atomic_int calls, fail_at = -1;

void *__wrap_mem_try(size_t n)
{
        return atomic_fetch_add(&calls, 1) == atomic_load(&fail_at) ? NULL : __real_mem_try(n);
}

void *__wrap_image_buffer_try(size_t n)
{
        return atomic_fetch_add(&calls, 1) == atomic_load(&fail_at) ? NULL : __real_image_buffer_try(n);
}

/* Fail allocations in turn, every one of the first 32, until a run needs no more of them. */
static void sweep(const ImageAct *act, const ImageKind *kind)
{
        for (int n = 0;; n += 1 + n / 32) {
                AUTO(Error) err = { 0 };
                ImageFile *left;
                int r;

                CHECK(n < MOST_CALLS);
                atomic_store(&calls, 0);
                atomic_store(&fail_at, n);
                r = act->run(kind, &err);
                atomic_store(&fail_at, -1);
                left = image_act_left();
                if (left)
                        model_check_after_crash(kind->format, left);
                if (atomic_load(&calls) <= n) {
                        CHECK_STR(err.text ? err.text : "", "");
                        CHECK_INT(r, 0);
                        break;
                }
                /* It may be done without what could not be had; otherwise it says so. */
                CHECK(r == 0 || err_is_set(&err));
                if (r < 0 && err.code != ERR_NO_MEMORY && !strstr(err.text, "no memory"))
                        CHECK_STR(err.text, "a sentence about memory");
        }
}

TEST(an_allocation_that_fails_is_an_error_leaks_nothing_and_leaves_the_image_clean_or_only_leaking)
{
        image_acts_all(sweep);
}
