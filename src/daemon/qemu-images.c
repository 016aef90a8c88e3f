/*
 * daemon/qemu-images.c - the images of a guest: what they are in fact, and who else uses them
 */
#include "daemon/qemu-images.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/event.h"
#include "daemon/pool.h"
#include "daemon/qemu-driver.h"
#include "daemon/save-helper.h"
#include "model/complete.h"
#include "model/device.h"
#include "qemu/qmp-json.h"
#include "wire/constants.h"

#include <json-c/json.h>
#include <stdio.h>

enum { PATIENCE_MS = 30 * 1000, MOST_LINE = 1 << 20 };

struct ImageLook {
        Helper *helper; /* NULL: there is nothing to look at */
        Idle *idle;
        Timer *patience;
        VEC(const DiskDef *) disks;
        DomainDef *def; /* referenced */
        bool forgives, arrives;
        void (*done)(void *arg, ImageUses *uses, const Error *failure);
        void *arg;
};

/* --- uses --- */

static void use_done(ImageUse *use)
{
        free(use->target);
        free(use->path);
}

void image_uses_done(ImageUses *uses)
{
        for (size_t i = 0; i < uses->items.len; i++)
                use_done(&uses->items.items[i]);
        vec_done(&uses->items);
}

void image_uses_add(ImageUses *to, ImageUses *from, const void *owner)
{
        for (size_t i = 0; i < from->items.len; i++) {
                from->items.items[i].owner = owner;
                vec_push(&to->items, from->items.items[i]);
        }
        from->items.len = 0;
}

void image_uses_drop(ImageUses *uses, const char *target, const void *owner)
{
        for (size_t i = uses->items.len; i-- > 0;) {
                ImageUse *use = &uses->items.items[i];

                if (use->owner != owner || (!owner && !str_eq(use->target, target)))
                        continue;
                use_done(use);
                vec_remove(&uses->items, i);
        }
}

void image_uses_settle(ImageUses *uses, const void *owner)
{
        for (size_t i = 0; i < uses->items.len; i++) {
                if (uses->items.items[i].owner == owner)
                        uses->items.items[i].owner = NULL;
        }
}

void image_uses_format(const ImageUses *uses, Buf *ret)
{
        for (size_t i = 0; i < uses->items.len; i++) {
                const ImageUse *u = &uses->items.items[i];

                if (!strpbrk(u->target, " \n") && !strchr(u->path, '\n'))
                        buf_format(ret, "image %llu %llu %llu %d %d %s %s\n", (unsigned long long)u->device,
                                   (unsigned long long)u->inode, (unsigned long long)u->block_device, u->write,
                                   u->shareable, u->target, u->path);
        }
}

int image_uses_parse(ImageUses *uses, const char *line)
{
        unsigned long long device, inode, block_device;
        int write, shareable, target = 0, target_end = 0, path = 0;
        ImageUse use;

        if (sscanf(line, "image %llu %llu %llu %d %d %n%*s%n %n", &device, &inode, &block_device, &write, &shareable,
                   &target, &target_end, &path) != 5 ||
            !path)
                return -1;
        use = (ImageUse){ .device = device,
                          .inode = inode,
                          .block_device = block_device,
                          .write = write,
                          .shareable = shareable,
                          .target = str_dup_n(line + target, (size_t)(target_end - target)),
                          .path = str_dup(line + path) };
        vec_push(&uses->items, use);
        return 0;
}

/* --- what is below --- */

/* The images from the second one on, as far as they are this disk's; an empty element ends the chain. */
static BackingStoreDef *make_chain(const ImageUse *use, const ImageUse *end, Arena *arena)
{
        BackingStoreDef *top = fields_new(arena, &backing_store_def_info), *at = top;

        for (; use < end; use++) {
                if (use->data)
                        continue;
                at->type = use->block_device ? DISK_TYPE_BLOCK : DISK_TYPE_FILE;
                at->format = (DiskFormat)use->format;
                at->source.path = arena_dup(arena, use->path);
                at = at->backing = fields_new(arena, &backing_store_def_info);
        }
        return top;
}

static void put_chain(const ImageUses *uses, DomainDef *def, DiskDef *disk)
{
        const ImageUse *first = uses->items.items, *end = first + uses->items.len, *last;

        while (first < end && !str_eq(first->target, disk->target_dev))
                first++;
        for (last = first; last < end && str_eq(last->target, disk->target_dev); last++) {
                if (last->closed || !last->format)
                        return;
        }
        if (first < last)
                disk->backing = make_chain(first + 1, last, domain_def_arena(def));
}

void image_uses_put_chains(const ImageUses *uses, DomainDef *def, const DiskDef *only)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                if (!only || def->disks[i] == only)
                        put_chain(uses, def, def->disks[i]);
        }
}

/* --- who else uses them --- */

static bool is_same(const ImageUse *a, const ImageUse *b)
{
        if (a->block_device || b->block_device)
                return a->block_device == b->block_device;
        /* a server that keeps root out may keep this to itself, too */
        if (!a->inode || !b->inode)
                return str_eq(a->path, b->path);
        return a->device == b->device && a->inode == b->inode;
}

/* Two that write to one image destroy it, and so does one that writes below another. */
static bool collide(const ImageUse *a, const ImageUse *b)
{
        return is_same(a, b) && (a->write || b->write) && !(a->shareable && b->shareable);
}

static int check_own(const ImageUses *uses, const ImageUses *more, Error *err)
{
        for (size_t i = 0; i < uses->items.len; i++) {
                for (size_t j = 0; j < more->items.len; j++) {
                        const ImageUse *a = &uses->items.items[i], *b = &more->items.items[j];

                        if (!str_eq(a->target, b->target) && collide(a, b))
                                return err_set(err, ERR_RESOURCE_BUSY,
                                               "disks '%s' and '%s' of the guest are in one image, '%s'", a->target,
                                               b->target, b->path);
                }
        }
        return 0;
}

static int check_other(const Domain *other, const ImageUses *uses, Error *err)
{
        const ImageUses *theirs = &qemu_run(other)->images;

        for (size_t i = 0; i < uses->items.len; i++) {
                const ImageUse *use = &uses->items.items[i];

                for (size_t k = 0; k < theirs->items.len; k++) {
                        if (collide(use, &theirs->items.items[k]))
                                return err_set(err, ERR_RESOURCE_BUSY,
                                               "disk '%s' (%s) is in use by guest '%s'; mark it <shareable/> in both "
                                               "if they can share it",
                                               use->target, use->path, other->name);
                }
        }
        return 0;
}

int image_uses_check(const Domain *dom, const ImageUses *uses, Error *err)
{
        const DomainList *all = dom->driver->domains;

        for (size_t i = 0; i < domain_list_len(all); i++) {
                const Domain *other = domain_list_at(all, i);

                if (other != dom && other->guest && check_other(other, uses, err) < 0)
                        return -1;
        }
        if (check_own(uses, uses, err) < 0)
                return -1;
        return check_own(&qemu_run(dom)->images, uses, err);
}

/* --- the look --- */

ImageLook *image_look_free(ImageLook *look)
{
        if (!look)
                return NULL;
        helper_free(look->helper);
        idle_free(look->idle);
        timer_free(look->patience);
        vec_done(&look->disks);
        domain_def_unref(look->def);
        free(look);
        return NULL;
}

static void take_layer(const DiskDef *disk, json_object *json, bool is_top, ImageUses *uses)
{
        bool data = qmp_json_get_bool(json, "data", false);
        ImageUse use = { .target = str_dup(disk->target_dev ?: "?"),
                         .path = str_dup(qmp_json_get_text(json, "path") ?: "?"),
                         .device = (uint64_t)qmp_json_get_i64(json, "device", 0),
                         .inode = (uint64_t)qmp_json_get_i64(json, "inode", 0),
                         .block_device = (uint64_t)qmp_json_get_i64(json, "block-device", 0),
                         .shareable = disk->shareable,
                         .format = enum_find(&disk_format_words, qmp_json_get_text(json, "format") ?: ""),
                         .data = data,
                         .closed = qmp_json_get_bool(json, "closed", false),
                         .virtual_bytes = (uint64_t)qmp_json_get_i64(json, "virtual-size", 0),
                         .allocated_bytes = (uint64_t)qmp_json_get_i64(json, "allocated", 0),
                         .length_bytes = (uint64_t)qmp_json_get_i64(json, "length", 0),
                         .write = (is_top || data) && !disk->readonly && disk->device != DISK_DEVICE_CDROM };

        vec_push(&uses->items, use);
}

static bool can_miss(const ImageLook *look, const DiskDef *disk)
{
        StartupPolicy policy = disk->source.startup_policy;

        return look->forgives &&
               (policy == STARTUP_POLICY_OPTIONAL || (look->arrives && policy == STARTUP_POLICY_REQUISITE));
}

static void take_missing(const DiskDef *disk, ImageUses *uses)
{
        ImageUse use = { .target = str_dup(disk->target_dev), .path = str_dup(disk->source.path), .missing = true };

        vec_push(&uses->items, use);
}

/* One line of the describer. */
static int take_line(const ImageLook *look, const DiskDef *disk, const char *line, ImageUses *uses, Error *err)
{
        json_object *json = qmp_parse_json(line, MOST_LINE, err);
        json_object *layers = qmp_json_get(json, "layers");
        const char *text = qmp_json_get_text(json, "error");
        int rc = 0;

        if (!json || !json_object_is_type(layers, json_type_array))
                rc = err_set(err, ERR_INTERNAL, "drover-img gave no description of '%s'", disk->source.path);
        else if (text && qmp_json_get_bool(json, "missing", false) && can_miss(look, disk))
                take_missing(disk, uses);
        else if (text)
                rc = err_set(err, ERR_OPERATION_FAILED, "disk '%s': %s", disk->target_dev, text);
        for (size_t i = 0; rc == 0 && i < json_object_array_length(layers); i++) {
                json_object *layer = json_object_array_get_idx(layers, i);

                if (qmp_json_get_bool(layer, "closed", false))
                        log_warning("disk '%s' (%s) cannot be read by root; what is below it is not known",
                                    disk->target_dev, qmp_json_get_text(layer, "path"));
                take_layer(disk, layer, i == 0, uses);
        }
        json_object_put(json);
        return rc;
}

static int take_all(const ImageLook *look, char *text, ImageUses *uses, Error *err)
{
        char *line = text;

        for (size_t i = 0; i < look->disks.len; i++) {
                char *end = strchr(line, '\n');

                if (!end)
                        return err_set(err, ERR_INTERNAL, "drover-img gave no description of '%s'",
                                       look->disks.items[i]->source.path);
                *end = '\0';
                if (take_line(look, look->disks.items[i], line, uses, err) < 0)
                        return -1;
                line = end + 1;
        }
        return 0;
}

static void on_described(void *arg, Buf *said, const Error *failure)
{
        ImageLook *look = arg;
        AUTO(ImageUses) uses = { 0 };
        AUTO(Error) err = { 0 };

        look->patience = timer_free(look->patience);
        buf_put_char(said, '\0');
        if (failure)
                err_set(&err, failure->code, "the images of guest '%s' cannot be looked at: %s", look->def->name,
                        failure->text);
        else
                take_all(look, said->data, &uses, &err);
        look->done(look->arg, err_is_set(&err) ? NULL : &uses, err_is_set(&err) ? &err : NULL);
}

static void on_nothing(void *arg)
{
        ImageLook *look = arg;
        ImageUses none = { 0 };

        look->idle = idle_free(look->idle);
        look->done(look->arg, &none, NULL);
}

static void on_late(void *arg)
{
        ImageLook *look = arg;
        AUTO(Error) late = { 0 };

        look->helper = helper_free(look->helper);
        err_set(&late, ERR_OPERATION_TIMEOUT,
                "the images of guest '%s' could not be looked at within %d s: their storage does not answer",
                look->def->name, PATIENCE_MS / 1000);
        look->done(look->arg, NULL, &late);
}

static bool is_on_this_host(const DiskDef *disk)
{
        return (disk->type == DISK_TYPE_FILE || disk->type == DISK_TYPE_BLOCK || disk->type == DISK_TYPE_VOLUME) &&
               disk->source.path;
}

/* What the engine calls it. Formats that hold no structure of their own are raw to it, and never read. */
static const char *format_name(DiskFormat format)
{
        switch (format) {
        case DISK_FORMAT_UNSET:
        case DISK_FORMAT_ISO:
        case DISK_FORMAT_AIO:
        case DISK_FORMAT_FAT:
        case DISK_FORMAT_DIR:
                return "raw";
        default:
                return disk_format_text(format);
        }
}

ImageLook *image_look_new(QemuDriver *qemu, DomainDef *def, const DiskDef *only,
                          void (*done)(void *arg, ImageUses *uses, const Error *failure), void *arg, Error *err)
{
        ImageLook *look;
        VEC(const char *) argv = { 0 };
        SaveHelperSpec spec = { .in = -1, .out = -1, .head = -1, .commit = -1 };

        if (volume_disks_resolve(qemu->driver->storage, def, err) < 0)
                return NULL;
        look = mem_new(ImageLook);
        *look = (ImageLook){ .def = domain_def_ref(def), .done = done, .arg = arg };
        vec_push(&argv, qemu->describer);
        vec_push(&argv, "describe");
        vec_push(&argv, "--chain");
        for (uint32_t i = 0; i < def->n_disks; i++) {
                const DiskDef *disk = def->disks[i];

                if (!is_on_this_host(disk) || (only && disk != only))
                        continue;
                vec_push(&look->disks, disk);
                vec_push(&argv, format_name(disk->format));
                vec_push(&argv, disk->source.path);
        }
        vec_push(&argv, NULL);
        spec.argv = argv.items;
        if (!look->disks.len) {
                look->idle = idle_new(qemu->env.loop, on_nothing, look);
        } else {
                look->helper = save_helper_new(qemu, &spec, on_described, look, err);
                look->patience = timer_new(qemu->env.loop, PATIENCE_MS, on_late, look);
        }
        vec_done(&argv);
        return look->disks.len && !look->helper ? image_look_free(look) : look;
}

void image_look_forgive(ImageLook *look, bool arrives)
{
        look->forgives = true;
        look->arrives = arrives;
}

/* --- without --- */

static void do_without(const Domain *dom, unsigned i)
{
        DomainDef *def = dom->live;
        DiskDef *disk = def->disks[i];
        bool has_drive = disk->device == DISK_DEVICE_CDROM || disk->device == DISK_DEVICE_FLOPPY;
        WireDomainEventCallbackDiskChangeMsg msg = { .msg = { .dom = call_wire_domain(dom),
                                                              .oldSrcPath = disk->source.path } };

        domain_def_assign_aliases(def);
        msg.msg.devAlias = disk->info.alias ?: "";
        msg.msg.reason = has_drive ? VIR_DOMAIN_EVENT_DISK_CHANGE_MISSING_ON_START
                                   : VIR_DOMAIN_EVENT_DISK_DROP_MISSING_ON_START;
        log_warning("guest '%s' starts without disk '%s': '%s' does not exist", dom->name, disk->target_dev,
                    disk->source.path);
        event_emit(dom->driver->events, WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_DISK_CHANGE, &dom->uuid, &msg);
        if (!has_drive) {
                domain_def_remove_device(def, DEVICE_DISK, i);
                return;
        }
        disk->type = DISK_TYPE_FILE;
        disk->source = (SourceDef){ 0 };
        disk->backing = NULL;
}

void image_uses_drop_missing(ImageUses *uses, const Domain *dom)
{
        for (size_t u = uses->items.len; u-- > 0;) {
                const DomainDef *def = dom->live;
                uint32_t i = 0;

                if (!uses->items.items[u].missing)
                        continue;
                while (i < def->n_disks && !str_eq(def->disks[i]->target_dev, uses->items.items[u].target))
                        i++;
                if (i < def->n_disks)
                        do_without(dom, i);
                use_done(&uses->items.items[u]);
                vec_remove(&uses->items, u);
        }
}
