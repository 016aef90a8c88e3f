/*
 * app/drover/cmd-save.c - write a guest's memory to a file and read it back
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/editor.h"
#include "app/drover/progress.h"

#include "base/str.h"

#include <unistd.h>

static const SwitchFlag state_switches[] = {
        { "running", VIR_DOMAIN_SAVE_RUNNING },
        { "paused", VIR_DOMAIN_SAVE_PAUSED },
        { 0 },
};

static int save_flags(const Args *args, uint32_t *flags, Error *err)
{
        if (refuse_both(args, "running", "paused", err) < 0)
                return -1;
        *flags = switch_flags(args, state_switches);
        return 0;
}

/* The daemon does not know where we stand: a relative path becomes absolute here. */
static const char *absolute_path(Session *s, const char *path)
{
        AUTOFREE char *dir = NULL;

        if (path[0] == '/')
                return path;
        dir = getcwd(NULL, 0);
        return dir ? arena_format(session_arena(s), "%s/%s", dir, path) : path;
}

/* The text of the option's file; *ret is NULL when it is not given. */
static int optional_file(Session *s, const Args *args, const char *option, const char **ret, Error *err)
{
        AUTOFREE char *text = NULL;

        *ret = NULL;
        if (!arg_has(args, option))
                return 0;
        text = read_text_file(arg_text(args, option), err);
        if (!text)
                return -1;
        *ret = arena_dup(session_arena(s), text);
        return 0;
}

static int save(Session *s, const Args *args, Error *err)
{
        const char *path = absolute_path(s, arg_text(args, "file"));
        WireDomainSaveFlagsArgs call = { .to = path };
        Progress *progress;
        int result;

        if (save_flags(args, &call.flags, err) < 0 || find_domain(s, args, &call.dom, err) < 0 ||
            optional_file(s, args, "xml", &call.dxml, err) < 0)
                return -1;
        if (arg_has(args, "bypass-cache"))
                call.flags |= VIR_DOMAIN_SAVE_BYPASS_CACHE;
        progress = progress_start(s, &call.dom, arg_has(args, "verbose") ? "Save" : NULL);
        if (call.flags || call.dxml)
                result = session_call(s, WIRE_PROC_DOMAIN_SAVE_FLAGS, &call, NULL, err);
        else
                result = session_call(s, WIRE_PROC_DOMAIN_SAVE, &(WireDomainSaveArgs){ call.dom, path }, NULL, err);
        progress_end(progress, result == 0);
        if (result < 0)
                return fail(err, "Failed to save domain '%s' to %s", call.dom.name, arg_text(args, "file"));
        out_done(s->out, "%sDomain '%s' saved to %s", output_is_json(s->out) ? "" : "\n", call.dom.name,
                 arg_text(args, "file"));
        return 0;
}

static int restore(Session *s, const Args *args, Error *err)
{
        WireDomainRestoreFlagsArgs call = { .from = absolute_path(s, arg_text(args, "file")) };
        int result;

        if (save_flags(args, &call.flags, err) < 0 || optional_file(s, args, "xml", &call.dxml, err) < 0)
                return -1;
        if (arg_has(args, "bypass-cache"))
                call.flags |= VIR_DOMAIN_SAVE_BYPASS_CACHE;
        if (arg_has(args, "reset-nvram"))
                call.flags |= VIR_DOMAIN_SAVE_RESET_NVRAM;
        if (call.flags || call.dxml)
                result = session_call(s, WIRE_PROC_DOMAIN_RESTORE_FLAGS, &call, NULL, err);
        else
                result = session_call(s, WIRE_PROC_DOMAIN_RESTORE, &(WireDomainRestoreArgs){ call.from }, NULL, err);
        if (result < 0)
                return fail(err, "Failed to restore domain from %s", arg_text(args, "file"));
        out_done(s->out, "Domain restored from %s", arg_text(args, "file"));
        return 0;
}

static int managedsave(Session *s, const Args *args, Error *err)
{
        WireDomainManagedSaveArgs call = { 0 };
        Progress *progress;
        int result;

        if (save_flags(args, &call.flags, err) < 0 || find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (arg_has(args, "bypass-cache"))
                call.flags |= VIR_DOMAIN_SAVE_BYPASS_CACHE;
        progress = progress_start(s, &call.dom, arg_has(args, "verbose") ? "Managedsave" : NULL);
        result = session_call(s, WIRE_PROC_DOMAIN_MANAGED_SAVE, &call, NULL, err);
        progress_end(progress, result == 0);
        if (result < 0)
                return fail(err, "Failed to save domain '%s' state", call.dom.name);
        out_done(s->out, "%sDomain '%s' state saved by libvirt", output_is_json(s->out) ? "" : "\n", call.dom.name);
        return 0;
}

static int managedsave_remove(Session *s, const Args *args, Error *err)
{
        WireDomainHasManagedSaveImageRet saved;
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, &(WireDomainHasManagedSaveImageArgs){ dom, 0 },
                         &saved, err) < 0)
                return fail(err, "Failed to check for domain managed save image");
        if (saved.result == 0) {
                out_note(s->out, "Domain '%s' has no manage save image; removal skipped", dom.name);
                return 0;
        }
        if (session_call(s, WIRE_PROC_DOMAIN_MANAGED_SAVE_REMOVE, &(WireDomainManagedSaveRemoveArgs){ dom, 0 }, NULL,
                         err) < 0)
                return fail(err, "Failed to remove managed save image for domain '%s'", dom.name);
        out_done(s->out, "Removed managedsave image for domain '%s'", dom.name);
        return 0;
}

static int managedsave_dumpxml(Session *s, const Args *args, Error *err)
{
        WireDomainManagedSaveGetXmlDescArgs call = { 0 };
        WireDomainManagedSaveGetXmlDescRet ret;

        if (arg_has(args, "security-info"))
                call.flags |= VIR_DOMAIN_SAVE_IMAGE_XML_SECURE;
        if (find_domain(s, args, &call.dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_MANAGED_SAVE_GET_XML_DESC, &call, &ret, err) < 0)
                return -1;
        return print_xml(s, args, ret.xml, err);
}

static int managedsave_define(Session *s, const Args *args, Error *err)
{
        WireDomainManagedSaveDefineXmlArgs call = { 0 };

        if (save_flags(args, &call.flags, err) < 0 || find_domain(s, args, &call.dom, err) < 0 ||
            optional_file(s, args, "xml", &call.dxml, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_MANAGED_SAVE_DEFINE_XML, &call, NULL, err) < 0)
                return fail(err, "Failed to update %s XML configuration", call.dom.name);
        out_done(s->out, "Managed save state file of domain '%s' updated.", call.dom.name);
        return 0;
}

static const char *fetch_managed(Session *s, void *arg, Error *err)
{
        WireDomainManagedSaveDefineXmlArgs *call = arg;
        WireDomainManagedSaveGetXmlDescRet ret;
        WireDomainManagedSaveGetXmlDescArgs get = { call->dom, VIR_DOMAIN_SAVE_IMAGE_XML_SECURE };

        return session_call(s, WIRE_PROC_DOMAIN_MANAGED_SAVE_GET_XML_DESC, &get, &ret, err) < 0 ? NULL : ret.xml;
}

static int apply_managed(Session *s, void *arg, const char *text, Error *err)
{
        WireDomainManagedSaveDefineXmlArgs *call = arg;

        call->dxml = text;
        return session_call(s, WIRE_PROC_DOMAIN_MANAGED_SAVE_DEFINE_XML, call, NULL, err);
}

static int managedsave_edit(Session *s, const Args *args, Error *err)
{
        WireDomainManagedSaveDefineXmlArgs call = { 0 };
        Edit what = { .fetch = fetch_managed, .apply = apply_managed, .arg = &call };
        EditResult result;

        if (save_flags(args, &call.flags, err) < 0 || find_domain(s, args, &call.dom, err) < 0)
                return -1;
        result = edit(s, &what, err);
        if (result == EDIT_UNCHANGED)
                out_done(s->out, "Managed save image of domain '%s' XML configuration not changed.", call.dom.name);
        else if (result == EDIT_APPLIED)
                out_done(s->out, "Managed save image of Domain '%s' XML configuration edited.", call.dom.name);
        return result == EDIT_FAILED ? -1 : 0;
}

static int save_image_dumpxml(Session *s, const Args *args, Error *err)
{
        WireDomainSaveImageGetXmlDescArgs call = { .file = absolute_path(s, arg_text(args, "file")) };
        WireDomainSaveImageGetXmlDescRet ret;

        if (arg_has(args, "security-info"))
                call.flags |= VIR_DOMAIN_SAVE_IMAGE_XML_SECURE;
        if (session_call(s, WIRE_PROC_DOMAIN_SAVE_IMAGE_GET_XML_DESC, &call, &ret, err) < 0)
                return -1;
        return print_xml(s, args, ret.xml, err);
}

static int save_image_define(Session *s, const Args *args, Error *err)
{
        WireDomainSaveImageDefineXmlArgs call = { .file = absolute_path(s, arg_text(args, "file")) };

        if (save_flags(args, &call.flags, err) < 0 || optional_file(s, args, "xml", &call.dxml, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_SAVE_IMAGE_DEFINE_XML, &call, NULL, err) < 0)
                return fail(err, "Failed to update %s", arg_text(args, "file"));
        out_done(s->out, "State file %s updated.", arg_text(args, "file"));
        return 0;
}

static const char *fetch_image(Session *s, void *arg, Error *err)
{
        WireDomainSaveImageDefineXmlArgs *call = arg;
        WireDomainSaveImageGetXmlDescArgs get = { call->file, VIR_DOMAIN_SAVE_IMAGE_XML_SECURE };
        WireDomainSaveImageGetXmlDescRet ret;

        return session_call(s, WIRE_PROC_DOMAIN_SAVE_IMAGE_GET_XML_DESC, &get, &ret, err) < 0 ? NULL : ret.xml;
}

static int apply_image(Session *s, void *arg, const char *text, Error *err)
{
        WireDomainSaveImageDefineXmlArgs *call = arg;

        call->dxml = text;
        return session_call(s, WIRE_PROC_DOMAIN_SAVE_IMAGE_DEFINE_XML, call, NULL, err);
}

static int save_image_edit(Session *s, const Args *args, Error *err)
{
        WireDomainSaveImageDefineXmlArgs call = { .file = absolute_path(s, arg_text(args, "file")) };
        Edit what = { .fetch = fetch_image, .apply = apply_image, .arg = &call };
        EditResult result;

        if (save_flags(args, &call.flags, err) < 0)
                return -1;
        result = edit(s, &what, err);
        if (result == EDIT_UNCHANGED)
                out_done(s->out, "Saved image %s XML configuration not changed.", arg_text(args, "file"));
        else if (result == EDIT_APPLIED)
                out_done(s->out, "State file %s edited.", arg_text(args, "file"));
        return result == EDIT_FAILED ? -1 : 0;
}

static int dump_format(const Args *args, uint32_t *ret, Error *err)
{
        static const char *const formats[] = { "elf", "kdump-zlib", "kdump-lzo", "kdump-snappy", "win-dmp" };
        static const uint32_t values[] = { VIR_DOMAIN_CORE_DUMP_FORMAT_RAW, VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_ZLIB,
                                           VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_LZO,
                                           VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_SNAPPY,
                                           VIR_DOMAIN_CORE_DUMP_FORMAT_WIN_DMP };
        const char *format = arg_text(args, "format");

        if (!arg_has(args, "memory-only"))
                return err_set(err, ERR_INVALID_ARG, "--format only works with --memory-only");
        for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
                if (str_eq(formats[i], format)) {
                        *ret = values[i];
                        return 0;
                }
        }
        return err_set(
                err, ERR_INVALID_ARG,
                "format '%s' is not supported, expecting 'kdump-zlib', 'kdump-lzo', 'kdump-snappy', 'win-dmp' or "
                "'elf'",
                format);
}

static int dump(Session *s, const Args *args, Error *err)
{
        static const SwitchFlag switches[] = {
                { "live", VIR_DUMP_LIVE },
                { "crash", VIR_DUMP_CRASH },
                { "reset", VIR_DUMP_RESET },
                { "bypass-cache", VIR_DUMP_BYPASS_CACHE },
                { "memory-only", VIR_DUMP_MEMORY_ONLY },
                { 0 },
        };
        WireDomainCoreDumpWithFormatArgs call = { .to = absolute_path(s, arg_text(args, "file")),
                                                  .flags = switch_flags(args, switches) };
        Progress *progress;
        int result;

        if (refuse_both(args, "live", "crash", err) < 0 || refuse_both(args, "live", "reset", err) < 0 ||
            refuse_both(args, "crash", "reset", err) < 0 || find_domain(s, args, &call.dom, err) < 0 ||
            (arg_has(args, "format") && dump_format(args, &call.dumpformat, err) < 0))
                return -1;
        progress = progress_start(s, &call.dom, arg_has(args, "verbose") ? "Dump" : NULL);
        if (call.dumpformat != VIR_DOMAIN_CORE_DUMP_FORMAT_RAW)
                result = session_call(s, WIRE_PROC_DOMAIN_CORE_DUMP_WITH_FORMAT, &call, NULL, err);
        else
                result = session_call(s, WIRE_PROC_DOMAIN_CORE_DUMP,
                                      &(WireDomainCoreDumpArgs){ call.dom, call.to, call.flags }, NULL, err);
        progress_end(progress, result == 0);
        if (result < 0)
                return fail(err, "Failed to core dump domain '%s' to %s", call.dom.name, arg_text(args, "file"));
        out_done(s->out, "%sDomain '%s' dumped to %s", output_is_json(s->out) ? "" : "\n", call.dom.name,
                 arg_text(args, "file"));
        return 0;
}

#define ARGS_STATE                                                                                                   \
        "[--running]  it runs when it is restored\n"                                                                 \
        "[--paused]   it is paused when it is restored\n"
#define ARGS_PRINT                                                                                                   \
        "[--security-info]  with passwords\n"                                                                        \
        "[--xpath=EXPR]     only what this XPath expression finds\n"                                                 \
        "[--wrap]           put an element around what was found"

const Command save_commands[] = {
        { .name = "save",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "FILE  where to, on the host of the guest\n"
                             "[--bypass-cache]  write past the host's cache\n"
                             "[--xml FILE]      change host-specific parts of its XML to these\n" ARGS_STATE
                             "[--verbose]       show how far it is",
          .summary = "write a guest's memory and state to a file, and stop it",
          .run = save },
        { .name = "restore",
          .group = GROUP_DOMAIN,
          .args = "FILE  a file that 'save' wrote, on the host\n"
                  "[--bypass-cache]  read past the host's cache\n"
                  "[--xml FILE]      change host-specific parts of its XML to these\n" ARGS_STATE
                  "[--reset-nvram]   begin with fresh UEFI variables",
          .summary = "let a saved guest go on",
          .run = restore },
        { .name = "save-image-dumpxml",
          .group = GROUP_DOMAIN,
          .args = "FILE  a file that 'save' wrote\n" ARGS_PRINT,
          .summary = "print the XML inside a saved guest",
          .run = save_image_dumpxml },
        { .name = "save-image-define",
          .group = GROUP_DOMAIN,
          .args = "FILE      a file that 'save' wrote\n"
                  "XML:FILE  the new XML\n" ARGS_STATE,
          .summary = "replace the XML inside a saved guest",
          .run = save_image_define },
        { .name = "save-image-edit",
          .group = GROUP_DOMAIN,
          .args = "FILE  a file that 'save' wrote\n" ARGS_STATE,
          .summary = "change the XML inside a saved guest in an editor",
          .run = save_image_edit },
        { .name = "managedsave",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--bypass-cache]  write past the host's cache\n" ARGS_STATE
                             "[--verbose]       show how far it is",
          .summary = "save a guest where the daemon keeps such files; its next start goes on from there",
          .run = managedsave },
        { .name = "managedsave-remove",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN,
          .summary = "throw a guest's managed saved state away",
          .run = managedsave_remove },
        { .name = "managedsave-dumpxml",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN ARGS_PRINT,
          .summary = "print the XML inside a managed saved state",
          .run = managedsave_dumpxml },
        { .name = "managedsave-define",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "XML:FILE  the new XML\n" ARGS_STATE,
          .summary = "replace the XML inside a managed saved state",
          .run = managedsave_define },
        { .name = "managedsave-edit",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN ARGS_STATE,
          .summary = "change the XML inside a managed saved state in an editor",
          .run = managedsave_edit },
        { .name = "dump",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "FILE  where to, on the host of the guest\n"
                             "[--live]          without pausing it\n"
                             "[--crash]         leave it stopped as crashed\n"
                             "[--bypass-cache]  write past the host's cache\n"
                             "[--reset]         reset it afterwards\n"
                             "[--verbose]       show how far it is\n"
                             "[--memory-only]   an image of the memory for debuggers\n"
                             "[--format FORMAT{elf,kdump-zlib,kdump-lzo,kdump-snappy,win-dmp}]  of that image",
          .summary = "write a guest's memory to a file, to look into it",
          .run = dump },
        { 0 },
};
