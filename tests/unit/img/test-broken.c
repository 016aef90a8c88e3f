#include "test.h"

#include "image-acts.h"
#include "image-model.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>

/*
 * A disk on which any one call fails, reading or changing, or all from one on, under everything that is done with images:
 * it is told, nothing is said to be done that is not, and the image is clean or only leaking.
 */
typedef struct Run {
        const ImageAct *act;
        const ImageKind *kind;
        size_t in;
        bool on;
        uint8_t *wanted; /* what the act leaves when nothing fails; owned. NULL: it changes no image */
        uint64_t size;
} Run;

static void done_anyway(const Run *run, ImageFile *left)
{
        AUTO(Error) err = { 0 };
        AUTOFREE uint8_t *view = NULL;
        uint64_t size = 0;

        view = image_act_view(run->kind, left, &size, &err);
        CHECK_STR(err.text ?: "", "");
        CHECK_INT(size, run->size);
        CHECK_MEM(view, run->wanted, size);
}

static bool is_told(const Error *err)
{
        return err->text && (strstr(err->text, "Input/output error") || strstr(err->text, "an earlier write"));
}

/* False: there was no call to fail any more. */
static bool once(const Run *run)
{
        AUTO(Error) err = { 0 };
        ImageFile *left;
        size_t called;
        int r;

        memory_files_fail(run->in, run->on);
        r = run->act->run(run->kind, &err);
        called = memory_files_heal();
        left = image_act_left();
        if (called <= run->in || (r < 0 && !is_told(&err)))
                CHECK_STR(err.text ?: "", "");
        if (left && r == 0)
                done_anyway(run, left);
        if (left)
                model_check_after_crash(run->kind->format, left);
        return called > run->in;
}

static void sweep(const ImageAct *act, const ImageKind *kind)
{
        AUTO(Error) err = { 0 };
        AUTO(ImageFile) *left = NULL;
        Run run = { .act = act, .kind = kind };

        CHECK_STR(act->run(kind, &err) < 0 ? err.text : "", "");
        left = image_act_left();
        if (left)
                run.wanted = image_act_view(kind, left, &run.size, &err);
        CHECK_STR(err.text ?: "", "");
        for (unsigned on = 0; on < 2; on++) {
                run.on = on;
                for (run.in = 0; once(&run); run.in += 1 + run.in / 3)
                        ;
        }
        free(run.wanted);
}

TEST(a_call_that_fails_is_told_and_leaves_the_image_clean_or_only_leaking)
{
        image_acts_all(sweep);
}
