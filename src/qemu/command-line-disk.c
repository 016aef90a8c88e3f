/*
 * qemu/command-line-disk.c - disks: the nodes that open a source, and the device the guest sees
 *
 * A disk is a protocol node ("node3-file"), a format node above it ("node3") and a device that names it.
 * The format is always said, never guessed from bytes a guest may have written.
 */
#include "base/str.h"
#include "qemu/command-line-private.h"

static unsigned disk_number(const DomainDef *def, const DiskDef *disk)
{
        if (disk->source.index)
                return disk->source.index;
        for (uint32_t i = 0; i < def->n_disks; i++) {
                if (def->disks[i] == disk)
                        return i + 1;
        }
        return 0;
}

bool qemu_disk_has_medium(const DiskDef *disk)
{
        return disk->source.path || (disk->type == DISK_TYPE_NETWORK && disk->source.protocol) ||
               (disk->type == DISK_TYPE_VOLUME && disk->source.volume);
}

char *qemu_disk_node(const DomainDef *def, const DiskDef *disk)
{
        return qemu_disk_has_medium(disk) ? str_format("node%u", disk_number(def, disk)) : NULL;
}

char *qemu_disk_file_node(const DomainDef *def, const DiskDef *disk)
{
        return qemu_disk_has_medium(disk) ? str_format("node%u-file", disk_number(def, disk)) : NULL;
}

char *qemu_disk_qdev(const DiskDef *disk)
{
        /* of a virtio disk the back end holds the drive, and it has only a path */
        if (disk->target_bus == DISK_BUS_VIRTIO)
                return str_format("/machine/peripheral/%s/virtio-backend", disk->info.alias);
        return str_dup(disk->info.alias);
}

static void number_backing(BackingStoreDef *backing, uint32_t *next)
{
        for (; backing && backing->type; backing = backing->backing) {
                if (!backing->index)
                        backing->index = (*next)++;
        }
}

void qemu_number_sources(DomainDef *def)
{
        uint32_t next = 1;

        for (uint32_t i = 0; i < def->n_disks; i++) {
                next = MAX(next, def->disks[i]->source.index + 1);
                for (const BackingStoreDef *b = def->disks[i]->backing; b; b = b->backing)
                        next = MAX(next, b->index + 1);
        }
        for (uint32_t i = 0; i < def->n_disks; i++) {
                if (!def->disks[i]->source.index && qemu_disk_has_medium(def->disks[i]))
                        def->disks[i]->source.index = next++;
                number_backing(def->disks[i]->backing, &next);
        }
}

/* Sources. */

static void put_server(JsonWriter *w, const char *key, const SourceHostDef *host, const char *default_port)
{
        json_open_object(w, key);
        if (host->transport == HOST_TRANSPORT_UNIX) {
                json_put_text(w, "type", "unix");
                json_put_text(w, "path", host->socket);
        } else {
                json_put_text(w, "type", "inet");
                json_put_text(w, "host", host->name);
                json_put_text(w, "port", host->port ?: default_port);
        }
        json_close_object(w);
}

/* POOL/IMAGE */
static int put_rbd(JsonWriter *w, const SourceDef *s, Error *err)
{
        const char *slash = s->export ? strchr(s->export, '/') : NULL;
        AUTOFREE char *pool = slash ? str_dup_n(s->export, (size_t)(slash - s->export)) : NULL;

        if (!pool)
                return err_set(err, ERR_XML, "the name of an rbd source is POOL/IMAGE, not '%s'", s->export ?: "");
        json_put_text(w, "pool", pool);
        json_put_text(w, "image", slash + 1);
        json_put_text(w, "snapshot", s->snapshot_name);
        json_put_text(w, "conf", s->config_file);
        if (s->n_hosts > 0) {
                json_open_array(w, "server");
                for (uint32_t i = 0; i < s->n_hosts; i++) {
                        json_open_object(w, NULL);
                        json_put_text(w, "host", s->hosts[i]->name);
                        json_put_text(w, "port", s->hosts[i]->port ?: "6789");
                        json_close_object(w);
                }
                json_close_array(w);
        }
        return 0;
}

/* TARGET/LUN */
static int put_iscsi(JsonWriter *w, const SourceDef *s, Error *err)
{
        const char *slash = s->export ? strrchr(s->export, '/') : NULL;
        AUTOFREE char *target =
                s->export ? str_dup_n(s->export, slash ? (size_t)(slash - s->export) : strlen(s->export)) : NULL;
        uint32_t lun = 0;

        if (!target || s->n_hosts != 1 || (slash && str_to_u32(slash + 1, &lun) < 0))
                return err_set(err, ERR_XML, "an iscsi source needs one host and a name TARGET/LUN");
        json_put_format(w, "portal", "%s:%s", s->hosts[0]->name, s->hosts[0]->port ?: "3260");
        json_put_text(w, "target", target);
        json_put_u64(w, "lun", lun);
        json_put_text(w, "transport", "tcp");
        json_put_text(w, "initiator-name", s->initiator_iqn);
        return 0;
}

static int put_url(JsonWriter *w, const SourceDef *s, const char *scheme, Error *err)
{
        const SourceHostDef *host = s->n_hosts == 1 ? s->hosts[0] : NULL;
        const char *path = s->export ?: "", *colon = "", *port = "";

        if (!host || !host->name)
                return err_set(err, ERR_XML, "an %s source needs one host", scheme);
        if (host->port) {
                colon = ":";
                port = host->port;
        }
        json_put_format(w, "url", "%s://%s%s%s/%s%s%s", scheme, host->name, colon, port, path + (*path == '/'),
                        s->query ? "?" : "", s->query ?: "");
        if (s->readahead_bytes)
                json_put_u64(w, "readahead", s->readahead_bytes);
        if (s->timeout_s)
                json_put_u64(w, "timeout", s->timeout_s);
        put_bool(w, "sslverify", s->ssl_verify);
        return 0;
}

static int put_network(JsonWriter *w, const SourceDef *s, Error *err)
{
        const char *protocol = net_protocol_text(s->protocol);

        if (s->auth)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "%s sources with a secret are not supported", protocol);
        part_open(w, "driver", protocol);
        switch (s->protocol) {
        case NET_PROTOCOL_RBD:
                return put_rbd(w, s, err);
        case NET_PROTOCOL_ISCSI:
                return put_iscsi(w, s, err);
        case NET_PROTOCOL_HTTP:
        case NET_PROTOCOL_HTTPS:
        case NET_PROTOCOL_FTP:
        case NET_PROTOCOL_FTPS:
                return put_url(w, s, protocol, err);
        case NET_PROTOCOL_NBD:
        case NET_PROTOCOL_SSH:
                if (s->n_hosts != 1)
                        return err_set(err, ERR_XML, "an %s source needs one host", protocol);
                put_server(w, "server", s->hosts[0], s->protocol == NET_PROTOCOL_NBD ? "10809" : "22");
                json_put_text(w, s->protocol == NET_PROTOCOL_NBD ? "export" : "path", s->export);
                return 0;
        case NET_PROTOCOL_NFS:
                if (s->n_hosts != 1)
                        return err_set(err, ERR_XML, "an nfs source needs one host");
                json_open_object(w, "server");
                json_put_text(w, "host", s->hosts[0]->name);
                json_put_text(w, "type", "inet");
                json_close_object(w);
                json_put_text(w, "path", s->export);
                return 0;
        default:
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "disks over '%s' are not supported", protocol ?: "?");
        }
}

/* Pools that are no directories have their volumes below /dev. */
static bool is_device_path(const char *path)
{
        return str_starts(path, "/dev/") && !str_starts(path, "/dev/shm/");
}

static int open_source(JsonWriter *w, DiskType type, const SourceDef *s, Error *err)
{
        switch (type) {
        case DISK_TYPE_FILE:
        case DISK_TYPE_BLOCK:
                part_open(w, "driver", type == DISK_TYPE_FILE ? "file" : "host_device");
                json_put_text(w, "filename", s->path);
                return 0;
        case DISK_TYPE_DIR:
                part_open(w, "driver", "vvfat");
                json_put_text(w, "dir", s->path);
                return 0;
        case DISK_TYPE_NETWORK:
                return put_network(w, s, err);
        case DISK_TYPE_VOLUME:
                if (s->path) {
                        part_open(w, "driver", is_device_path(s->path) ? "host_device" : "file");
                        json_put_text(w, "filename", s->path);
                        return 0;
                }
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "the volume '%s' of pool '%s' was not looked up",
                               s->volume ?: "?", s->pool ?: "?");
        default:
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "disks of type '%s' are not supported",
                               disk_type_text(type) ?: "?");
        }
}

/* Nodes. */

static bool is_readonly(const DiskDef *disk)
{
        return disk->readonly || disk->device == DISK_DEVICE_CDROM;
}

static void put_cache(JsonWriter *w, DiskCache cache)
{
        if (cache == DISK_CACHE_UNSET || cache == DISK_CACHE_DEFAULT)
                return;
        json_open_object(w, "cache");
        json_put_bool(w, "direct", cache == DISK_CACHE_NONE || cache == DISK_CACHE_DIRECTSYNC);
        json_put_bool(w, "no-flush", cache == DISK_CACHE_UNSAFE);
        json_close_object(w);
}

static const char *format_driver(DiskFormat format)
{
        switch (format) {
        case DISK_FORMAT_UNSET:
        case DISK_FORMAT_RAW:
        case DISK_FORMAT_ISO:
        case DISK_FORMAT_AIO:
        case DISK_FORMAT_FAT:
        case DISK_FORMAT_DIR:
                return "raw";
        default:
                return disk_format_text(format);
        }
}

/* Formats whose header can name an image below. */
static bool can_have_backing(DiskFormat format)
{
        return format == DISK_FORMAT_QCOW2 || format == DISK_FORMAT_QCOW || format == DISK_FORMAT_QED ||
               format == DISK_FORMAT_VMDK;
}

/* The chain below, when the definition says what it is; left out, QEMU follows the image's header. */
static int put_backing(const DiskDef *disk, const BackingStoreDef *backing, QemuParts *ret, char **name, Error *err)
{
        AUTOFREE char *below = NULL, *file = NULL;
        AUTO(JsonWriter) w = { 0 };

        if (!backing || !backing->type)
                return 0;
        if (put_backing(disk, backing->backing, ret, &below, err) < 0)
                return -1;
        file = str_format("node%u-file", backing->index);
        if (open_source(&w, backing->type, &backing->source, err) < 0)
                return -1;
        json_put_text(&w, "node-name", file);
        json_put_bool(&w, "read-only", true);
        json_put_bool(&w, "auto-read-only", true);
        put_cache(&w, disk->cache);
        part_close(&w, ret, QEMU_PART_BLOCKDEV, file);
        *name = str_format("node%u", backing->index);
        part_open(&w, "driver", format_driver(backing->format));
        json_put_text(&w, "node-name", *name);
        json_put_bool(&w, "read-only", true);
        put_cache(&w, disk->cache);
        json_put_text(&w, "file", file);
        if (below)
                json_put_text(&w, "backing", below);
        else if (backing->backing && can_have_backing(backing->format))
                json_put_null(&w, "backing");
        part_close(&w, ret, QEMU_PART_BLOCKDEV, *name);
        return 0;
}

const EncryptionDef *qemu_disk_encryption(const DiskDef *disk)
{
        return disk->source.encryption ?: disk->encryption;
}

char *qemu_disk_key(const DomainDef *def, const DiskDef *disk)
{
        AUTOFREE char *node = qemu_disk_encryption(disk) ? qemu_disk_node(def, disk) : NULL;

        return node ? str_format("%s-key", node) : NULL;
}

/* {"driver": ..., and what it needs to decrypt: left open. The key is an object that QEMU has by then. */
static int open_format(JsonWriter *w, const DomainDef *def, const DiskDef *disk, Error *err)
{
        const EncryptionDef *encryption = qemu_disk_encryption(disk);
        const char *driver = format_driver(disk->format);
        AUTOFREE char *key = qemu_disk_key(def, disk);

        if (!encryption) {
                part_open(w, "driver", driver);
                return 0;
        }
        if (encryption->format != ENCRYPTION_FORMAT_LUKS || encryption->n_secrets != 1 ||
            disk->device != DISK_DEVICE_DISK)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "'%s' cannot be encrypted: only a disk can, with format 'luks' and one secret",
                               disk->target_dev);
        if (str_eq(driver, "raw")) {
                part_open(w, "driver", "luks");
                json_put_text(w, "key-secret", key);
                return 0;
        }
        if (disk->format != DISK_FORMAT_QCOW2)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "the disk '%s' has format '%s', which knows no encryption", disk->target_dev, driver);
        part_open(w, "driver", driver);
        json_open_object(w, "encrypt");
        json_put_text(w, "format", "luks");
        json_put_text(w, "key-secret", key);
        json_close_object(w);
        return 0;
}

static int put_nodes(const DomainDef *def, const DiskDef *disk, QemuParts *ret, Error *err)
{
        AUTOFREE char *node = qemu_disk_node(def, disk), *file = qemu_disk_file_node(def, disk), *below = NULL;
        AUTO(JsonWriter) w = { 0 };

        if (put_backing(disk, disk->backing, ret, &below, err) < 0 ||
            open_source(&w, disk->type, &disk->source, err) < 0)
                return -1;
        if (disk->io != DISK_IO_UNSET && (disk->type == DISK_TYPE_FILE || disk->type == DISK_TYPE_BLOCK))
                json_put_text(&w, "aio", disk_io_text(disk->io));
        json_put_text(&w, "node-name", file);
        put_cache(&w, disk->cache);
        json_put_bool(&w, "auto-read-only", true);
        json_put_text(&w, "discard", "unmap");
        part_close(&w, ret, QEMU_PART_BLOCKDEV, file);

        if (open_format(&w, def, disk, err) < 0)
                return -1;
        json_put_text(&w, "node-name", node);
        json_put_bool(&w, "read-only", is_readonly(disk));
        if (disk->discard)
                json_put_text(&w, "discard", disk_discard_text(disk->discard));
        if (disk->detect_zeroes)
                json_put_text(&w, "detect-zeroes", disk_detect_zeroes_text(disk->detect_zeroes));
        put_cache(&w, disk->cache);
        json_put_text(&w, "file", file);
        if (below)
                json_put_text(&w, "backing", below);
        else if (disk->backing && can_have_backing(disk->format))
                json_put_null(&w, "backing"); /* <backingStore/>: the definition says there is none */
        part_close(&w, ret, QEMU_PART_BLOCKDEV, node);
        return 0;
}

/* Devices. */

static const char *scsi_driver(const DiskDef *disk)
{
        return disk->device == DISK_DEVICE_CDROM ? "scsi-cd"
               : disk->device == DISK_DEVICE_LUN ? "scsi-block"
                                                 : "scsi-hd";
}

static int open_drive(JsonWriter *w, const DomainDef *def, const DiskDef *disk, Error *err)
{
        const DeviceAddress *a = disk->info.address;
        const ControllerDef *c;
        ControllerType type = disk->target_bus == DISK_BUS_SCSI   ? CONTROLLER_TYPE_SCSI
                              : disk->target_bus == DISK_BUS_SATA ? CONTROLLER_TYPE_SATA
                              : disk->target_bus == DISK_BUS_FDC  ? CONTROLLER_TYPE_FDC
                                                                  : CONTROLLER_TYPE_IDE;

        if (!a || a->type != ADDRESS_TYPE_DRIVE)
                return err_set(err, ERR_INTERNAL, "the disk '%s' has no drive address", disk->target_dev);
        c = line_find_controller(def, type, a->controller);
        part_open(w, "driver",
                  type == CONTROLLER_TYPE_SCSI        ? scsi_driver(disk)
                  : type == CONTROLLER_TYPE_FDC       ? "floppy"
                  : disk->device == DISK_DEVICE_CDROM ? "ide-cd"
                                                      : "ide-hd");
        if (type == CONTROLLER_TYPE_SCSI) {
                json_put_format(w, "bus", "%s.0", c && c->info.alias ? c->info.alias : "scsi0");
                json_put_u64(w, "channel", a->bus);
                json_put_u64(w, "scsi-id", a->target);
                json_put_u64(w, "lun", a->unit);
        } else if (type == CONTROLLER_TYPE_FDC) {
                if (machine_is_q35(def))
                        json_put_format(w, "bus", "%s.0", c && c->info.alias ? c->info.alias : "fdc0");
                json_put_u64(w, "unit", a->unit);
        } else if (type == CONTROLLER_TYPE_SATA) {
                /* the machine q35 brings the first controller itself, with this name */
                if (machine_is_q35(def) && a->controller == 0)
                        json_put_format(w, "bus", "ide.%u", a->unit);
                else
                        json_put_format(w, "bus", "%s.%u", c && c->info.alias ? c->info.alias : "sata0", a->unit);
        } else {
                json_put_format(w, "bus", "ide.%u", a->bus);
                json_put_u64(w, "unit", a->unit);
        }
        return 0;
}

static int open_virtio(JsonWriter *w, const DomainDef *def, const DiskDef *disk, Error *err)
{
        char room[64];

        if (part_open_device(w, virtio_driver("virtio-blk", disk_model_text(disk->model), room), def, &disk->info,
                             err) < 0)
                return -1;
        put_virtio(w, &disk->virtio);
        if (disk->iothread)
                json_put_format(w, "iothread", "iothread%u", disk->iothread);
        put_u32(w, "num-queues", disk->queues);
        put_u32(w, "queue-size", disk->queue_size);
        put_bool(w, "ioeventfd", disk->ioeventfd);
        put_bool(w, "event_idx", disk->event_idx);
        return 0;
}

static void put_policy(JsonWriter *w, const DiskDef *disk)
{
        const char *write = disk_error_policy_text(disk->error_policy);
        const char *read = disk_error_policy_text(disk->rerror_policy) ?: write;

        if (disk->device == DISK_DEVICE_LUN)
                return;
        if (write && !str_eq(write, "default"))
                json_put_text(w, "werror", str_eq(write, "enospace") ? "enospc" : write);
        /* reading cannot run out of space */
        if (read && !str_eq(read, "default"))
                json_put_text(w, "rerror", str_eq(read, "enospace") ? "report" : read);
}

static void put_common(JsonWriter *w, const DomainDef *def, const DiskDef *disk, const char *node)
{
        bool hard = disk->device == DISK_DEVICE_DISK;
        AUTOFREE char *hex = disk->wwn ? str_format("0x%s", str_starts(disk->wwn, "0x") ? disk->wwn + 2 : disk->wwn)
                                       : NULL;
        uint64_t wwn;

        json_put_text(w, "drive", node);
        if (disk->target_bus == DISK_BUS_FDC)
                return; /* its controller knows its place in the order of boot */
        put_u32(w, "bootindex", boot_index_disk(def, disk));
        if (disk->device == DISK_DEVICE_LUN)
                return;
        if (disk->cache > DISK_CACHE_DEFAULT && node)
                json_put_text(w, "write-cache",
                              disk->cache == DISK_CACHE_WRITETHROUGH || disk->cache == DISK_CACHE_DIRECTSYNC ? "off"
                                                                                                             : "on");
        put_u32(w, "logical_block_size", disk->logical_block_size);
        put_u32(w, "physical_block_size", disk->physical_block_size);
        if (disk->has_discard_granularity)
                json_put_u64(w, "discard_granularity", disk->discard_granularity);
        json_put_text(w, "serial", disk->serial);
        if (disk->shareable)
                json_put_bool(w, "share-rw", true);
        if (disk->target_bus == DISK_BUS_VIRTIO || disk->target_bus == DISK_BUS_USB)
                return;
        if (hex && str_to_u64_hex(hex, &wwn) == 0)
                json_put_u64(w, "wwn", wwn);
        if (disk->target_bus == DISK_BUS_SCSI) {
                json_put_text(w, "vendor", disk->vendor);
                json_put_text(w, "product", disk->product);
        }
        if (hard)
                put_u32(w, "rotation_rate", disk->target_rotation_rate);
}

int qemu_disk_parts(const DomainDef *def, const DiskDef *disk, QemuParts *ret, Error *err)
{
        bool has_medium = qemu_disk_has_medium(disk);
        AUTOFREE char *node = qemu_disk_node(def, disk);
        AUTO(JsonWriter) w = { 0 };

        if (!has_medium && disk->device != DISK_DEVICE_CDROM && disk->device != DISK_DEVICE_FLOPPY)
                return err_set(err, ERR_XML, "the disk '%s' has no source", disk->target_dev);
        if (has_medium && put_nodes(def, disk, ret, err) < 0)
                return -1;
        switch (disk->target_bus) {
        case DISK_BUS_VIRTIO:
                if (open_virtio(&w, def, disk, err) < 0)
                        return -1;
                break;
        case DISK_BUS_USB:
                if (part_open_device(&w, "usb-storage", def, &disk->info, err) < 0)
                        return -1;
                put_bool(&w, "removable", disk->target_removable);
                break;
        case DISK_BUS_IDE:
        case DISK_BUS_SATA:
        case DISK_BUS_SCSI:
        case DISK_BUS_FDC:
                if (open_drive(&w, def, disk, err) < 0)
                        return -1;
                json_put_text(&w, "id", disk->info.alias);
                break;
        default:
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "the disk '%s' cannot be on the bus '%s'",
                               disk->target_dev, disk_bus_text(disk->target_bus) ?: "?");
        }
        put_common(&w, def, disk, node);
        put_policy(&w, disk);
        part_close(&w, ret, QEMU_PART_DEVICE, disk->info.alias);
        return 0;
}

static void need_backing(CommandLine *line, const BackingStoreDef *backing)
{
        for (; backing; backing = backing->backing) {
                if (backing->source.path)
                        command_line_need_file(line, backing->source.path, false);
        }
}

/* QEMU reads it once, while it opens the disk; nobody sees it in the arguments. */
static void put_key(CommandLine *line, const DiskKeyFd *key)
{
        AUTO(QemuParts) parts = { 0 };
        AUTO(JsonWriter) w = { 0 };

        part_open(&w, "qom-type", "secret");
        json_put_text(&w, "id", key->id);
        json_put_format(&w, "file", "/proc/self/fd/%d", line_put_fd(line, key->fd));
        part_close(&w, &parts, QEMU_PART_OBJECT, key->id);
        line_put_parts(line, &parts);
}

int command_line_disks(const CommandLineSpec *spec, CommandLine *line, Error *err)
{
        for (size_t i = 0; i < spec->n_keys; i++)
                put_key(line, &spec->keys[i]);
        for (uint32_t i = 0; i < spec->def->n_disks; i++) {
                const DiskDef *disk = spec->def->disks[i];
                AUTO(QemuParts) parts = { 0 };

                if (qemu_disk_parts(spec->def, disk, &parts, err) < 0)
                        return -1;
                line_put_parts(line, &parts);
                if (disk->source.path && disk->type != DISK_TYPE_DIR)
                        command_line_need_file(line, disk->source.path, !is_readonly(disk));
                need_backing(line, disk->backing);
        }
        return 0;
}
