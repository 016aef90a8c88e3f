/*
 * app/drover/cmd-define.c - change and remove definitions
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/editor.h"
#include "app/drover/xml.h"

#include "base/str.h"
#include "base/vec.h"

typedef struct DefinitionEdit {
        WireDomain dom;
        bool validate;
} DefinitionEdit;

static const char *fetch_definition(Session *s, void *arg, Error *err)
{
        DefinitionEdit *state = arg;

        return domain_xml(s, &state->dom, VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_INACTIVE, err);
}

static int apply_definition(Session *s, void *arg, const char *text, Error *err)
{
        DefinitionEdit *state = arg;
        WireDomainDefineXmlFlagsArgs call = { text, state->validate ? VIR_DOMAIN_DEFINE_VALIDATE : 0 };
        WireDomainDefineXmlFlagsRet ret;

        return session_call(s, WIRE_PROC_DOMAIN_DEFINE_XML_FLAGS, &call, &ret, err);
}

static int edit_definition(Session *s, const Args *args, Error *err)
{
        DefinitionEdit state = { .validate = !arg_has(args, "skip-validate") };
        Edit what = { .fetch = fetch_definition, .apply = apply_definition, .arg = &state };

        if (find_domain(s, args, &state.dom, err) < 0)
                return -1;
        switch (edit(s, &what, err)) {
        case EDIT_FAILED:
                return -1;
        case EDIT_UNCHANGED:
                out_done(s->out, "Domain '%s' XML configuration not changed.", state.dom.name);
                return 0;
        case EDIT_APPLIED:
                out_done(s->out, "Domain '%s' XML configuration edited.", state.dom.name);
                return 0;
        }
        return -1;
}

/* One disk of the guest that undefine removes with it. */
typedef struct Volume {
        const char *target, *source;
        WireStorageVol vol;
} Volume;

typedef VEC(Volume) Volumes; /* texts are the session's arena's */

static bool wants_disk(const Args *args, const char *target, const char *source)
{
        AUTO_STRLIST wanted = NULL;

        if (arg_has(args, "remove-all-storage"))
                return true;
        wanted = str_split(arg_text(args, "storage"), ",");
        for (char **word = wanted; *word; word++)
                if (str_eq(*word, target) || str_eq(*word, source))
                        return true;
        return false;
}

/* A disk that no pool knows is named, and stays; its guest goes all the same. */
static void look_up_volume(Session *s, Volumes *volumes, const char *target, const char *source)
{
        WireStorageVolLookupByPathRet found;
        AUTO(Error) why = { 0 };

        if (session_call(s, WIRE_PROC_STORAGE_VOL_LOOKUP_BY_PATH, &(WireStorageVolLookupByPathArgs){ source }, &found,
                         &why) < 0) {
                fprintf(stderr, "Storage volume '%s'(%s) is not managed by a storage pool. Remove it manually: %s\n",
                        target, source, why.text);
                return;
        }
        vec_push(volumes, ((Volume){ .target = arena_dup(session_arena(s), target),
                                     .source = arena_dup(session_arena(s), source),
                                     .vol = found.vol }));
}

static int find_volumes(Session *s, const Args *args, const WireDomain *dom, Volumes *volumes, Error *err)
{
        const char *text = domain_xml(s, dom, VIR_DOMAIN_XML_INACTIVE, err);
        AUTO(Xml) *xml = text ? xml_read(text, err) : NULL;
        XmlNode *disks[MOST_NODES];
        size_t n;

        if (!xml)
                return -1;
        n = xml_nodes(xml, NULL, "devices/disk", disks, ARRAY_LEN(disks));
        for (size_t i = 0; i < n; i++) {
                AUTOFREE char *target = xml_text(xml, disks[i], "target/@dev");
                AUTOFREE char *source = xml_text(xml, disks[i], "source/@file|source/@dev|source/@dir|source/@name");

                if (target && source && wants_disk(args, target, source))
                        look_up_volume(s, volumes, target, source);
        }
        return 0;
}

static int remove_volume(Session *s, const Args *args, const Volume *volume, Error *err)
{
        uint32_t flags = arg_has(args, "delete-storage-volume-snapshots") ? VIR_STORAGE_VOL_DELETE_WITH_SNAPSHOTS : 0;

        if (arg_has(args, "wipe-storage")) {
                out_done(s->out, "Wiping volume '%s'(%s) ... ", volume->target, volume->source);
                if (session_call(s, WIRE_PROC_STORAGE_VOL_WIPE, &(WireStorageVolWipeArgs){ volume->vol, 0 }, NULL,
                                 err) < 0)
                        return fail(err, "Failed! Volume not removed.");
        }
        if (session_call(s, WIRE_PROC_STORAGE_VOL_DELETE, &(WireStorageVolDeleteArgs){ volume->vol, flags }, NULL,
                         err) < 0)
                return fail(err, "Failed to remove storage volume '%s'(%s)", volume->target, volume->source);
        out_print(s->out, "Volume '%s'(%s) removed.\n", volume->target, volume->source);
        return 0;
}

static int check_managed_save(Session *s, const Args *args, const WireDomain *dom, Error *err)
{
        WireDomainHasManagedSaveImageRet saved;

        if (arg_has(args, "managed-save") ||
            session_call(s, WIRE_PROC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, &(WireDomainHasManagedSaveImageArgs){ *dom, 0 },
                         &saved, NULL) < 0 ||
            saved.result <= 0)
                return 0;
        return err_set(err, ERR_OPERATION_INVALID, "Refusing to undefine while domain managed save image exists");
}

/* The definition first: disks of a guest that stays are not removed. */
static int undefine_with(Session *s, const Args *args, const WireDomainUndefineFlagsArgs *call,
                         const Volumes *volumes, Error *err)
{
        int result = 0;

        if (session_call(s, WIRE_PROC_DOMAIN_UNDEFINE_FLAGS, call, NULL, err) < 0)
                return fail(err, "Failed to undefine domain '%s'", call->dom.name);
        out_done(s->out, "Domain '%s' has been undefined", call->dom.name);
        for (size_t i = 0; i < volumes->len && result == 0; i++)
                result = remove_volume(s, args, &volumes->items[i], err);
        return result;
}

static int undefine(Session *s, const Args *args, Error *err)
{
        static const SwitchFlag switches[] = {
                { "managed-save", VIR_DOMAIN_UNDEFINE_MANAGED_SAVE },
                { "snapshots-metadata", VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA },
                { "checkpoints-metadata", VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA },
                { "nvram", VIR_DOMAIN_UNDEFINE_NVRAM },
                { "keep-nvram", VIR_DOMAIN_UNDEFINE_KEEP_NVRAM },
                { "tpm", VIR_DOMAIN_UNDEFINE_TPM },
                { "keep-tpm", VIR_DOMAIN_UNDEFINE_KEEP_TPM },
                { 0 },
        };
        bool storage = arg_has(args, "storage") || arg_has(args, "remove-all-storage");
        WireDomainUndefineFlagsArgs call = { .flags = switch_flags(args, switches) };
        Volumes volumes = { 0 };
        bool active = false;
        int result;

        if (refuse_both(args, "storage", "remove-all-storage", err) < 0 ||
            refuse_both(args, "nvram", "keep-nvram", err) < 0 || refuse_both(args, "tpm", "keep-tpm", err) < 0 ||
            need_other(args, "delete-storage-volume-snapshots", "remove-all-storage", err) < 0)
                return -1;
        if (arg_has(args, "wipe-storage") && !storage)
                return err_set(err, ERR_INVALID_ARG,
                               "'--wipe-storage' requires '--storage <string>' or '--remove-all-storage'");
        if (find_domain(s, args, &call.dom, err) < 0 || domain_is_active(s, &call.dom, &active, err) < 0)
                return -1;
        if (active && storage)
                return err_set(err, ERR_OPERATION_INVALID,
                               "Storage volume deletion is supported only on stopped domains");
        if (!active && check_managed_save(s, args, &call.dom, err) < 0)
                return -1;
        result = storage ? find_volumes(s, args, &call.dom, &volumes, err) : 0;
        if (result == 0)
                result = undefine_with(s, args, &call, &volumes, err);
        vec_done(&volumes);
        return result;
}

const Command define_commands[] = {
        { .name = "edit",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--skip-validate]  take what the schema does not know",
          .summary = "change a guest's definition in an editor",
          .text = "Uses $VISUAL or $EDITOR, else vi. A running guest sees the change when it starts the next time.",
          .run = edit_definition },
        { .name = "undefine",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--managed-save]          its saved state goes too\n"
                             "[--storage DISKS]         these disks go too: targets or paths, with commas between\n"
                             "[--remove-all-storage]    all its disks go too, where a storage pool has them\n"
                             "[--delete-storage-volume-snapshots]  and their snapshots\n"
                             "[--wipe-storage]          overwrite the disks before they go\n"
                             "[--snapshots-metadata]    what is known of its snapshots goes too\n"
                             "[--checkpoints-metadata]  what is known of its checkpoints goes too\n"
                             "[--nvram]                 its UEFI variables go too\n"
                             "[--keep-nvram]            its UEFI variables stay\n"
                             "[--tpm]                   its TPM state goes too\n"
                             "[--keep-tpm]              its TPM state stays",
          .summary = "remove a guest's definition",
          .text = "Its disks stay, unless told otherwise. A running guest goes on without a definition.",
          .run = undefine },
        { 0 },
};
