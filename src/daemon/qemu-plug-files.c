/*
 * daemon/qemu-plug-files.c - what comes before the first step: images, access, the note for a later daemon, filters
 *
 * Files that QEMU will open are looked at and made accessible to its user by children, because a path may hang.
 */
#include "base/str.h"
#include "daemon/qemu-plug-private.h"

#include <unistd.h>

static void give_back(QemuRun *run, const char *path)
{
        guest_files_give_back_one(&run->qemu->env, &run->dom->uuid, path);
}

/* Another disk of the guest is in the same file. */
static bool is_used_by_another(const QemuRun *run, const ImageUse *use)
{
        for (size_t i = 0; i < run->images.items.len; i++) {
                const ImageUse *other = &run->images.items.items[i];

                if (!str_eq(other->target, use->target) && str_eq(other->path, use->path))
                        return true;
        }
        return false;
}

/* The disk with this target is in no image any more. */
void plug_drop_images(QemuRun *run, const char *target)
{
        for (size_t i = 0; i < run->images.items.len; i++) {
                const ImageUse *use = &run->images.items.items[i];

                if (!use->owner && str_eq(use->target, target) && !is_used_by_another(run, use))
                        give_back(run, use->path);
        }
        image_uses_drop(&run->images, target, NULL);
}

/* The disk is in these images now, or is not. */
void plug_settle_images(Plug *p, bool failed)
{
        ImageUses *uses = &p->run->images;

        if (failed) {
                for (size_t i = 0; i < uses->items.len; i++) {
                        if (uses->items.items[i].owner == p && !is_used_by_another(p->run, &uses->items.items[i]))
                                give_back(p->run, uses->items.items[i].path);
                }
                image_uses_drop(uses, NULL, p);
                return;
        }
        plug_drop_images(p->run, p->disk->target_dev);
        image_uses_settle(uses, p);
        qemu_status_save(p->dom);
}

/* --- what a later daemon must know --- */

static void on_noted(void *arg, const Error *failure)
{
        Plug *p = arg;

        p->noting = NULL;
        if (failure)
                plug_finish(p, failure);
        else
                plug_next(p);
}

/* The status names the device before QEMU has any of it, see daemon/qemu-settle.c. */
static void note(Plug *p)
{
        if (!p->plugs || !domain_is_active(p->dom) || p->dom->guest != p->run) {
                plug_next(p);
                return;
        }
        p->run->plugging = p->def;
        p->noting = qemu_status_note(p->dom, on_noted, p);
}

/* --- the file --- */

/* In the child. What it cannot do QEMU will meet, and name. */
static int give_files(void *arg)
{
        const Plug *p = arg;

        for (size_t i = 0; i < p->run->images.items.len; i++) {
                const ImageUse *use = &p->run->images.items.items[i];

                if (use->owner == p)
                        root_give_file(use->path, &p->user, p->holder, use->write);
        }
        _exit(0);
}

static void child_started(void *arg UNUSED, const Error *why UNUSED)
{
}

static void on_given(void *arg, int status UNUSED)
{
        Plug *p = arg;

        p->child = child_free(p->child);
        note(p);
}

static int make_plan(Plug *p, Error *err)
{
        qemu_number_sources(p->def);
        return p->plan(p, err);
}

static void on_looked(void *arg, ImageUses *uses, const Error *failure)
{
        static const char *const argv[] = { "drover-give", NULL };
        Plug *p = arg;
        ChildSpec spec = { .argv = argv, .prepare = give_files, .prepare_arg = p, .started = child_started };
        AUTO(Error) err = { 0 };

        p->looking = image_look_free(p->looking);
        if (p->dom->guest != p->run) {
                plug_next(p); /* which finds that it has stopped */
                return;
        }
        if (failure)
                err_copy(&err, failure);
        else
                image_uses_check(p->dom, uses, &err);
        if (err_is_set(&err)) {
                plug_finish(p, &err);
                return;
        }
        for (size_t i = 0; i < uses->items.len; i++)
                guest_files_add(&p->run->qemu->env, &p->dom->uuid, uses->items.items[i].path, NULL);
        image_uses_put_chains(uses, p->def, p->disk);
        image_uses_add(&p->run->images, uses, p);
        if (make_plan(p, &err) < 0) {
                plug_finish(p, &err);
                return;
        }
        if (!guest_files_are_given(&p->run->qemu->env)) {
                note(p);
                return;
        }
        p->child = child_new(p->dom->driver->daemon->loop, &spec, on_given, p, &err);
        if (!p->child)
                plug_finish(p, &err);
}

static void on_filtered(void *arg, const Error *failure)
{
        Plug *p = arg;

        p->filtering = NULL;
        if (failure)
                plug_finish(p, failure);
        else
                note(p);
}

/* Nothing goes through a new interface before its filter is in force. */
static void filter(Plug *p)
{
        AUTO(Error) err = { 0 };

        if (p->nic)
                p->filtering = nw_bind_new(p->dom, &p->nic, 1, on_filtered, p, &err);
        if (p->filtering)
                return;
        if (err_is_set(&err))
                plug_finish(p, &err);
        else
                note(p);
}

void plug_begin(Plug *p)
{
        AUTO(Error) err = { 0 };

        if (!p->disk) {
                if (make_plan(p, &err) < 0)
                        plug_finish(p, &err);
                else
                        filter(p);
                return;
        }
        p->looking = image_look_new(p->run->qemu, p->def, p->disk, on_looked, p, &err);
        if (!p->looking)
                plug_finish(p, &err);
}
