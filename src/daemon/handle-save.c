/*
 * daemon/handle-save.c - saving guests to files and starting them from there
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/define.h"
#include "daemon/handlers.h"
#include "daemon/param-reader.h"
#include "daemon/qemu-act.h"
#include "daemon/qemu-save.h"

enum {
        HOW = VIR_DOMAIN_SAVE_RUNNING | VIR_DOMAIN_SAVE_PAUSED,
        SAVE_FLAGS = HOW | VIR_DOMAIN_SAVE_BYPASS_CACHE,
        RESTORE_FLAGS = SAVE_FLAGS | VIR_DOMAIN_SAVE_RESET_NVRAM,
};

static int check_flags(const Call *call, uint32_t flags, uint32_t known, Error *err)
{
        if (call_check_flags(call, flags, known, err) < 0)
                return -1;
        if ((flags & HOW) == HOW)
                return err_set(err, ERR_INVALID_ARG, "running and paused exclude each other");
        return 0;
}

/* It becomes a line of the guest's status file. */
static int check_path(const char *path, Error *err)
{
        return strchr(path, '\n')
                       ? err_set(err, ERR_INVALID_ARG, "the path of a saved guest cannot have a line break in it")
                       : 0;
}

static QemuDriver *qemu_of(const Call *call, Error *err)
{
        if (call_driver(call)->ops == &driver_qemu_ops)
                return qemu_driver(call_driver(call));
        err_set(err, ERR_NO_SUPPORT, "%s", call_proc(call)->api);
        return NULL;
}

/* --- save --- */

static int save(Call *call, Domain *dom, const SaveOptions *options, Error *err)
{
        if (!qemu_act_run(call, dom, err) || check_path(options->path, err) < 0)
                return -1;
        if (dom->state == VIR_DOMAIN_PMSUSPENDED || dom->state == VIR_DOMAIN_CRASHED)
                return err_set(err, ERR_OPERATION_INVALID, "domain '%s' sleeps or has crashed and cannot be saved",
                               dom->name);
        return qemu_save(dom, options, call_done, call, err);
}

static SaveOptions save_options(const char *path, const char *xml, uint32_t flags)
{
        return (SaveOptions){ .path = path,
                              .xml = xml,
                              .bypass_cache = flags & VIR_DOMAIN_SAVE_BYPASS_CACHE,
                              .running = flags & VIR_DOMAIN_SAVE_RUNNING,
                              .paused = flags & VIR_DOMAIN_SAVE_PAUSED };
}

static int save_plain(Call *call, Domain *dom, const void *arguments, Error *err)
{
        SaveOptions options = save_options(((const WireDomainSaveArgs *)arguments)->to, NULL, 0);

        return save(call, dom, &options, err);
}

int handle_domain_save(Call *call, const WireDomainSaveArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        return dom ? call_run_job(call, dom, JOB_SAVE, save_plain) : -1;
}

static int save_flags(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainSaveFlagsArgs *args = arguments;
        SaveOptions options = save_options(args->to, args->dxml, args->flags);

        return save(call, dom, &options, err);
}

int handle_domain_save_flags(Call *call, const WireDomainSaveFlagsArgs *args, Error *err)
{
        Domain *dom;

        if (check_flags(call, args->flags, SAVE_FLAGS, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_SAVE, save_flags);
}

typedef struct SaveParams {
        const char *file, *dxml;
} SaveParams;

static const ParamRow save_params_rows[] = {
        { VIR_DOMAIN_SAVE_PARAM_FILE, PARAM_STRING, offsetof(SaveParams, file), 0, false },
        { VIR_DOMAIN_SAVE_PARAM_DXML, PARAM_STRING, offsetof(SaveParams, dxml), 0, false },
};

static int read_params(Call *call, const WireTypedParam *params, uint32_t n, SaveParams *ret, Error *err)
{
        *ret = (SaveParams){ 0 };
        return params_read(params, n, save_params_rows, ARRAY_LEN(save_params_rows), ret, call_arena(call), err);
}

static int managed_save_as(Call *call, Domain *dom, const char *xml, uint32_t flags, Error *err)
{
        QemuRun *run = qemu_act_run(call, dom, err);
        AUTOFREE char *path = run ? qemu_managed_save_path(run->qemu, dom->name) : NULL;
        SaveOptions options = save_options(path, xml, flags);

        if (!run)
                return -1;
        if (!dom->persistent)
                return err_set(err, ERR_OPERATION_INVALID, "cannot do managed save for transient domain '%s'",
                               dom->name);
        options.managed = true;
        return save(call, dom, &options, err);
}

static int save_params(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainSaveParamsArgs *args = arguments;
        SaveParams params;
        SaveOptions options;

        if (read_params(call, args->params, args->n_params, &params, err) < 0)
                return -1;
        if (!params.file)
                return managed_save_as(call, dom, params.dxml, args->flags, err);
        options = save_options(params.file, params.dxml, args->flags);
        return save(call, dom, &options, err);
}

int handle_domain_save_params(Call *call, const WireDomainSaveParamsArgs *args, Error *err)
{
        Domain *dom;

        if (check_flags(call, args->flags, SAVE_FLAGS, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_SAVE, save_params);
}

static int managed_save(Call *call, Domain *dom, const void *arguments, Error *err)
{
        return managed_save_as(call, dom, NULL, ((const WireDomainManagedSaveArgs *)arguments)->flags, err);
}

int handle_domain_managed_save(Call *call, const WireDomainManagedSaveArgs *args, Error *err)
{
        Domain *dom;

        if (check_flags(call, args->flags, SAVE_FLAGS, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_SAVE, managed_save);
}

static void on_managed_removed(void *arg, const Error *failure)
{
        if (!failure)
                call_domain(arg)->has_managed_save = false;
        call_done(arg, failure);
}

static int managed_save_remove(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        QemuDriver *qemu = qemu_of(call, err);
        AUTOFREE char *path = qemu ? qemu_managed_save_path(qemu, dom->name) : NULL;
        const char *paths[] = { path, NULL };

        if (!qemu)
                return -1;
        file_queue_remove(qemu->files, paths, on_managed_removed, call);
        return 0;
}

int handle_domain_managed_save_remove(Call *call, const WireDomainManagedSaveRemoveArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_MODIFY, managed_save_remove);
}

/* --- restore --- */

/* What the caller asked for, wherever the call carried it; in the call's arena. */
typedef struct RestoreRequest {
        Call *call;
        const char *from, *dxml;
        uint32_t flags;
        bool paused;
} RestoreRequest;

static void on_restored(void *arg, const Error *failure)
{
        Call *call = arg;
        Domain *dom = domain_ref(call_domain(call));

        if (failure && !dom->persistent && !domain_is_active(dom) && dom->listed)
                domain_list_remove(dom->driver->domains, dom);
        call_done(call, failure);
        domain_unref(dom);
}

static int restore_here(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        const RestoreRequest *request = call_kept(call);
        StartOptions options = { .paused = request->paused,
                                 .bypass_cache = request->flags & VIR_DOMAIN_SAVE_BYPASS_CACHE,
                                 .reset_nvram = request->flags & VIR_DOMAIN_SAVE_RESET_NVRAM };
        AUTO(DomainDef) *def = call_take_def(call);

        if (domain_must_be_listed(dom, err) < 0 || domain_must_be_inactive(dom, err) < 0)
                return -1;
        qemu_restore(dom, TAKE(def), request->from, &options, on_restored, call);
        return 0;
}

/* The image is good: find or make its guest. */
static int take_image(RestoreRequest *request, const SaveImage *image, const DomainDef *def, Error *err)
{
        Driver *driver = call_driver(request->call);
        Domain *dom;

        if (define_find(driver, def, &dom, err) < 0)
                return -1;
        if (!dom) {
                dom = define_add(driver, def);
                domain_set_live(dom, domain_def_ref(def));
        }
        request->paused = request->flags & VIR_DOMAIN_SAVE_PAUSED ||
                          (image->paused && !(request->flags & VIR_DOMAIN_SAVE_RUNNING));
        call_keep_def(request->call, domain_def_copy(def));
        call_use_domain(request->call, dom);
        return call_run_job(request->call, dom, JOB_START, restore_here);
}

static void on_image_seen(void *arg, const SaveImage *image, DomainDef *given, const Error *failure)
{
        RestoreRequest *request = arg;
        Call *call = request->call;
        AUTO(DomainDef) *def = given;
        AUTO(Error) err = { 0 };

        if (failure)
                call_fail(call, failure);
        else if (take_image(request, image, def, &err) < 0)
                call_fail(call, &err);
}

/* It is in the call's arena and goes with it. */
static void leave(void *request UNUSED)
{
}

static int restore(Call *call, const char *from, const char *dxml, uint32_t flags, Error *err)
{
        QemuDriver *qemu = qemu_of(call, err);
        RestoreRequest *request;

        if (!qemu || check_flags(call, flags, RESTORE_FLAGS, err) < 0 || check_path(from, err) < 0)
                return -1;
        request = arena_new_one(call_arena(call), RestoreRequest);
        *request = (RestoreRequest){ .call = call, .from = from, .dxml = dxml, .flags = flags };
        call_keep(call, request, leave);
        return qemu_save_look_to_start(qemu, from, dxml, on_image_seen, request, err);
}

int handle_domain_restore(Call *call, const WireDomainRestoreArgs *args, Error *err)
{
        return restore(call, args->from, NULL, 0, err);
}

int handle_domain_restore_flags(Call *call, const WireDomainRestoreFlagsArgs *args, Error *err)
{
        return restore(call, args->from, args->dxml, args->flags, err);
}

int handle_domain_restore_params(Call *call, const WireDomainRestoreParamsArgs *args, Error *err)
{
        SaveParams params;

        if (read_params(call, args->params, args->n_params, &params, err) < 0)
                return -1;
        if (!params.file)
                return err_set(err, ERR_INVALID_ARG, "missing path to restore from");
        return restore(call, params.file, params.dxml, args->flags, err);
}

/* --- looking into images, and changing what they say --- */

typedef struct ImageRequest {
        Call *call;
        QemuDriver *qemu;
        const char *path, *xml;
        uint32_t flags;
} ImageRequest;

static int answer_xml(const ImageRequest *request, const DomainDef *def, Error *err)
{
        unsigned format = DEF_FORMAT_INACTIVE |
                          (request->flags & VIR_DOMAIN_SAVE_IMAGE_XML_SECURE ? DEF_FORMAT_SECURE : 0);
        AUTO(Buf) xml = { 0 };

        if (domain_def_format(def, format, &xml) < 0)
                return err_set(err, ERR_INTERNAL, "the definition cannot be written as XML");
        call_reply(request->call, &(WireDomainSaveImageGetXmlDescRet){ .xml = buf_text(&xml) });
        return 0;
}

static void on_image_to_show(void *arg, const SaveImage *image UNUSED, DomainDef *given, const Error *failure)
{
        ImageRequest *request = arg;
        AUTO(DomainDef) *def = given;
        AUTO(Error) err = { 0 };

        if (failure)
                call_fail(request->call, failure);
        else if (answer_xml(request, def, &err) < 0)
                call_fail(request->call, &err);
}

static int change_image(const ImageRequest *request, const SaveImage *old, const DomainDef *other, Error *err)
{
        AUTO(Buf) xml = { 0 };
        SaveImage image = *old;

        if (domain_def_format(other, DEF_FORMAT_SECURE | DEF_FORMAT_MIGRATABLE, &xml) < 0)
                return err_set(err, ERR_INTERNAL, "the definition cannot be written as XML");
        if (request->flags & HOW)
                image.paused = request->flags & VIR_DOMAIN_SAVE_PAUSED;
        image.xml = buf_text(&xml);
        image.xml_bytes = (uint32_t)xml.len;
        return qemu_save_edit(request->qemu, request->path, &image, call_done, request->call, err);
}

static void on_image_to_change(void *arg, const SaveImage *image, DomainDef *given, const Error *failure)
{
        ImageRequest *request = arg;
        AUTO(DomainDef) *other = given;
        AUTO(Error) err = { 0 };

        if (failure)
                call_fail(request->call, failure);
        else if (change_image(request, image, other, &err) < 0)
                call_fail(request->call, &err);
}

static int look(Call *call, const char *path, const char *xml, uint32_t flags, Error *err)
{
        QemuDriver *qemu = qemu_of(call, err);
        ImageRequest *request;

        if (!qemu)
                return -1;
        request = arena_new_one(call_arena(call), ImageRequest);
        *request = (ImageRequest){ .call = call, .qemu = qemu, .path = path, .xml = xml, .flags = flags };
        return qemu_save_look(qemu, path, xml, xml ? on_image_to_change : on_image_to_show, request, err);
}

int handle_domain_save_image_get_xml_desc(Call *call, const WireDomainSaveImageGetXmlDescArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, VIR_DOMAIN_SAVE_IMAGE_XML_SECURE, err) < 0)
                return -1;
        return look(call, args->file, NULL, args->flags, err);
}

int handle_domain_save_image_define_xml(Call *call, const WireDomainSaveImageDefineXmlArgs *args, Error *err)
{
        if (check_flags(call, args->flags, HOW, err) < 0)
                return -1;
        return look(call, args->file, args->dxml, args->flags, err);
}

/* The path of its managed image, in the call's arena. */
static const char *managed_path(Call *call, const Domain *dom, Error *err)
{
        QemuDriver *qemu = qemu_of(call, err);
        AUTOFREE char *path = qemu ? qemu_managed_save_path(qemu, dom->name) : NULL;

        if (!qemu)
                return NULL;
        if (dom->has_managed_save)
                return arena_dup(call_arena(call), path);
        err_set(err, ERR_OPERATION_INVALID, "domain '%s' does not have managed save image", dom->name);
        return NULL;
}

int handle_domain_managed_save_get_xml_desc(Call *call, const WireDomainManagedSaveGetXmlDescArgs *args, Error *err)
{
        Domain *dom;
        const char *path;

        if (call_check_flags(call, args->flags, VIR_DOMAIN_SAVE_IMAGE_XML_SECURE, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(path = managed_path(call, dom, err)))
                return -1;
        return look(call, path, NULL, args->flags, err);
}

static int managed_save_define(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainManagedSaveDefineXmlArgs *args = arguments;
        const char *path = managed_path(call, dom, err);

        return path ? look(call, path, args->dxml, args->flags, err) : -1;
}

int handle_domain_managed_save_define_xml(Call *call, const WireDomainManagedSaveDefineXmlArgs *args, Error *err)
{
        Domain *dom;

        if (check_flags(call, args->flags, HOW, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        if (!args->dxml)
                return err_set(err, ERR_INVALID_ARG, "a definition has to come with the call");
        return call_run_job(call, dom, JOB_MODIFY, managed_save_define);
}
