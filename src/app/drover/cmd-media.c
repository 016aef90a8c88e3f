/*
 * app/drover/cmd-media.c - change the medium of a drive
 */
#include "app/drover/commands.h"
#include "app/drover/hotplug.h"

#include "base/str.h"

typedef enum MediaChange {
        MEDIA_UPDATE,
        MEDIA_INSERT,
        MEDIA_EJECT,
} MediaChange;

static int change_source(Xml *xml, XmlNode *disk, const Args *args, MediaChange change, Error *err)
{
        const char *target = arg_text(args, "path"), *source = arg_text(args, "source");
        AUTOFREE char *old = xml_text(xml, disk, "source/@file|source/@dev|source/@name");
        AUTOFREE char *device = xml_text(xml, disk, "@device");
        XmlNode *node = xml_find_one(xml, disk, "source");

        if (!str_eq(device, "cdrom") && !str_eq(device, "floppy"))
                return err_set(err, ERR_INVALID_ARG, "No disk found whose source path or target is %s", target);
        if (change == MEDIA_EJECT && !node)
                return err_set(err, ERR_OPERATION_INVALID, "The disk device '%s' doesn't have media", target);
        if (change == MEDIA_INSERT && old)
                return err_set(err, ERR_OPERATION_INVALID, "The disk device '%s' already has media", target);
        if (node)
                xml_remove(node);
        if (change == MEDIA_EJECT || !source)
                return 0;
        bool block = arg_has(args, "block") || hotplug_is_block_device(source);

        xml_set(disk, "type", block ? "block" : "file");
        node = xml_find_one(xml, disk, "target");
        xml_set(node ? xml_add_before(node, "source") : xml_add(disk, "source"), block ? "dev" : "file", source);
        return 0;
}

static int media_change(const Args *args, MediaChange *ret, Error *err)
{
        bool source = arg_has(args, "source");

        if (refuse_both(args, "eject", "insert", err) < 0 || refuse_both(args, "eject", "update", err) < 0 ||
            refuse_both(args, "insert", "update", err) < 0 || refuse_both(args, "eject", "block", err) < 0)
                return -1;
        *ret = arg_has(args, "insert")             ? MEDIA_INSERT
               : arg_has(args, "eject") || !source ? MEDIA_EJECT
                                                   : MEDIA_UPDATE;
        if (arg_has(args, "update"))
                *ret = MEDIA_UPDATE;
        if (*ret == MEDIA_INSERT && !source)
                return err_set(err, ERR_INVALID_ARG, "No disk source specified for inserting");
        if (*ret == MEDIA_EJECT && source)
                return err_set(err, ERR_INVALID_ARG, "--eject takes no source");
        return 0;
}

static int change_media(Session *s, const Args *args, Error *err)
{
        static const char *const done[] = { "updated", "inserted", "ejected" };
        WireDomainUpdateDeviceFlagsArgs call = { 0 };
        MediaChange change;
        AUTO(Xml) *xml = NULL;
        AUTOFREE char *device = NULL;
        const char *text;
        XmlNode *disk;

        if (media_change(args, &change, err) < 0 || affect_flags(args, &call.flags, err) < 0 ||
            find_domain(s, args, &call.dom, err) < 0)
                return -1;
        text = domain_xml(s, &call.dom, call.flags & VIR_DOMAIN_AFFECT_CONFIG ? VIR_DOMAIN_XML_INACTIVE : 0, err);
        xml = text ? xml_read(text, err) : NULL;
        if (!xml)
                return -1;
        disk = hotplug_find_disk(xml, arg_text(args, "path"));
        if (!disk)
                return err_set(err, ERR_INVALID_ARG, "No disk found whose source path or target is %s",
                               arg_text(args, "path"));
        if (change_source(xml, disk, args, change, err) < 0)
                return -1;
        device = xml_format_node(xml, disk);
        if (arg_has(args, "print-xml")) {
                hotplug_print_xml(s, device);
                return 0;
        }
        call.xml = device;
        call.flags |= arg_has(args, "force") ? VIR_DOMAIN_DEVICE_MODIFY_FORCE : 0;
        if (session_call(s, WIRE_PROC_DOMAIN_UPDATE_DEVICE_FLAGS, &call, NULL, err) < 0)
                return fail(err, "Failed to complete '%s' action on media",
                            change == MEDIA_INSERT  ? "insert"
                            : change == MEDIA_EJECT ? "eject"
                                                    : "update");
        out_done(s->out, "Successfully %s media.", done[change]);
        return 0;
}

const Command media_commands[] = {
        { .name = "change-media",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "PATH             target of the drive\n"
                             "[--source FILE]  the new medium\n"
                             "[--eject]        take the medium out\n"
                             "[--insert]       put a medium in\n"
                             "[--update]       put another medium in\n" ARGS_AFFECT
                             "[--force]        also when the guest has locked the drive\n" ARG_PRINT_XML
                             "[--block]        the medium is a block device",
          .summary = "change the medium of a CD or floppy drive",
          .run = change_media },
        { 0 },
};
