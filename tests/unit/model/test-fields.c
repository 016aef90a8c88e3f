/*
 * Every row of the tables, alone: set, written, read back, compared, copied. The tables are walked from the root, so
 * a new row is tested the moment it is there.
 */
#include "test.h"

#include "base/str.h"
#include "model/domain.h"
#include "model/fields-internal.h"

static Arena *arena; /* of the running test */

static void set_sample(const Field *field, const StructInfo *info, void *def);
static void *sample_struct(const StructInfo *info);

/* Members that rules tie to each other. */
static void prepare(const StructInfo *info, void *at)
{
        if (info == &domain_def_info) {
                DomainDef *def = at;

                def->vcpus_max = 4;
                def->memory_kib = 4096;
        } else if (info == &interface_def_info) {
                InterfaceDef *interface = at;

                if (interface->type == INTERFACE_TYPE_NETWORK)
                        interface->network = "word";
                else if (interface->type == INTERFACE_TYPE_BRIDGE)
                        interface->bridge = "word";
                else if (interface->type == INTERFACE_TYPE_DIRECT || interface->type == INTERFACE_TYPE_VDPA)
                        interface->source_dev = "word";
                else if (interface->type == INTERFACE_TYPE_VHOSTUSER)
                        interface->source_path = "word";
                else if (interface->type == INTERFACE_TYPE_HOSTDEV && !interface->host_address)
                        interface->host_address = sample_struct(&device_address_info);
        } else if (info == &disk_def_info) {
                DiskDef *disk = at;

                if (disk->type == DISK_TYPE_NETWORK)
                        disk->source.protocol = NET_PROTOCOL_NBD;
        }
}

static const char *sample_text(const Field *field)
{
        static const char *const special[][2] = {
                { "wwn", "5000c50015ea71aa" }, { "@class", "0x08" },  { "@vendor", "0x1234" },
                { "@product", "-1" },          { "@version", "2.0" },
        };

        for (size_t i = 0; i < ARRAY_LEN(special); i++) {
                if (str_eq(field->path, special[i][0]))
                        return special[i][1];
        }
        if (field->notes->kept_prefix)
                return "ua-a.b_1"; /* a plain word, as it is a name towards QEMU */
        return "a<>&'\"b";
}

static void set_number(const Field *field, void *def, int64_t value)
{
        void *at = field_at(field, def);

        if (field->range->max && (uint64_t)value > field->range->max)
                value = (int64_t)field->range->max;
        if (field_size(field) == 4)
                *(int32_t *)at = (int32_t)value;
        else
                *(int64_t *)at = value;
        if (field->extra)
                *((bool *)def + field->extra) = true;
}

/* The condition holds: what it looks at gets the first value that is right. */
static void satisfy(const Field *field, const StructInfo *info, void *def)
{
        const FieldWhen *when = field->notes->when;

        for (size_t i = 0; when && i < info->n_fields; i++) {
                const Field *other = &info->fields[i];

                if (other->offset != when->offset || other == field)
                        continue;
                satisfy(other, info, def);
                if (when->words)
                        *(const char **)field_at(other, def) = when->words[0];
                else
                        *(uint8_t *)field_at(other, def) = (uint8_t)__builtin_ctzll(when->mask);
                return;
        }
}

static void fill_required(const StructInfo *info, void *def)
{
        for (size_t i = 0; i < info->n_fields; i++) {
                const Field *field = &info->fields[i];

                if (field->required && field->type == FIELD_ENUM)
                        *(uint8_t *)field_at(field, def) = 1;
                else if (field->required)
                        set_sample(field, info, def);
        }
}

/* One with something in it. */
static void *sample_struct(const StructInfo *info)
{
        void *def = fields_new(arena, info);
        bool any = false;

        fill_required(info, def);
        for (size_t i = 0; i < info->n_fields; i++)
                any = any || (info->fields[i].required && info->fields[i].type != FIELD_LIST);
        for (size_t i = 0; !any && i < info->n_fields; i++) {
                const Field *field = &info->fields[i];

                if (field->notes->when || field->type == FIELD_STRUCT ||
                    (field->type == FIELD_LIST && i + 1 < info->n_fields))
                        continue;
                set_sample(field, info, def);
                any = true;
        }
        prepare(info, def);
        return def;
}

static void set_sample(const Field *field, const StructInfo *info UNUSED, void *def)
{
        void *at = field_at(field, def);

        switch (field->type) {
        case FIELD_STRING:
                *(const char **)at = sample_text(field);
                break;
        case FIELD_XML:
                *(const char **)at = "    <x xmlns='urn:x' k='v'/>\n";
                break;
        case FIELD_CPUSET:
                *(const char **)at = "1-3";
                break;
        case FIELD_FLAG:
                *(bool *)at = true;
                break;
        case FIELD_ONOFF:
        case FIELD_YESNO:
                *(Switch *)at = SWITCH_OFF;
                break;
        case FIELD_ENUM:
                *(uint8_t *)at = (uint8_t)field->words->n_words;
                break;
        case FIELD_UINT:
        case FIELD_HEX:
        case FIELD_INT:
        case FIELD_U64:
        case FIELD_I64:
        case FIELD_MEMORY:
        case FIELD_BYTES:
                set_number(field, def, MAX(field->range->min, (int64_t)1) + 1);
                break;
        case FIELD_UUID:
                memset(at, 7, sizeof(Uuid));
                if (field->extra)
                        *((bool *)def + field->extra) = true;
                break;
        case FIELD_MAC:
                memset(at, 2, sizeof(Mac));
                break;
        case FIELD_STRUCT:
                *(void **)at = sample_struct(field->of);
                break;
        case FIELD_LIST:
                *(void ***)at = arena_new_array(arena, void *, 1);
                **(void ***)at = sample_struct(field->of);
                *(uint32_t *)((char *)def + field->extra) = 1;
                break;
        }
}

/* What is inside an element brings the element with it. */
static void set_flags_above(const Field *field, const StructInfo *info, void *def)
{
        for (size_t i = 0; i < info->n_fields; i++) {
                const Field *flag = &info->fields[i];
                size_t n = strlen(flag->path);

                if (flag->type == FIELD_FLAG && str_starts(field->path, flag->path) && field->path[n] == '/')
                        *(bool *)field_at(flag, def) = true;
        }
}

/* What does not apply any more is not written, so it must not be set. */
static void clear_others(const StructInfo *info, void *def)
{
        for (size_t i = 0; i < info->n_fields; i++) {
                bool applies = false;

                for (size_t j = 0; j < info->n_fields; j++)
                        applies = applies || (info->fields[j].offset == info->fields[i].offset &&
                                              field_applies(&info->fields[j], def));
                if (!applies)
                        memset(field_at(&info->fields[i], def), 0, field_size(&info->fields[i]));
        }
}

static void check_row(const StructInfo *info, const Field *field)
{
        void *def = fields_new(arena, info), *before, *copy, *again;
        AUTO(Warnings) warnings = { 0 };
        AUTO(XmlDoc) doc = { 0 };
        AUTO(Error) err = { 0 };
        AUTO(Buf) bare = { 0 };
        AUTO(Buf) text = { 0 };
        FieldsReader reader = { arena, 0, &warnings, &err };

        fill_required(info, def);
        satisfy(field, info, def);
        set_flags_above(field, info, def);
        prepare(info, def);
        fields_format(info, def, info->element, " xmlns:qemu='" XML_NS_QEMU "'", 0, DEF_FORMAT_SECURE, &bare);
        before = fields_copy(info, def, arena);
        set_sample(field, info, def);
        prepare(info, def);
        clear_others(info, def);
        fields_format(info, def, info->element, " xmlns:qemu='" XML_NS_QEMU "'", 0, DEF_FORMAT_SECURE, &text);
        if (!fields_equal(info, before, def) && str_eq(buf_text(&bare), buf_text(&text)))
                fail_msg("%s %s: was not written:\n%s", info->name, field->path, buf_text(&text));

        CHECK_INT(xml_parse(text.data, text.len, "row", &doc, &err), 0);
        again = fields_new(arena, info);
        if (fields_parse(info, doc.root, again, &reader) < 0)
                fail_msg("%s %s: %s\n%s", info->name, field->path, err.text, buf_text(&text));
        CHECK_INT(fields_report_unknown(doc.root, &reader), 0);
        if (warnings.list.len)
                fail_msg("%s %s: %s\n%s", info->name, field->path, warnings.list.items[0], buf_text(&text));
        if (!fields_equal(info, def, again))
                fail_msg("%s %s: did not come back:\n%s", info->name, field->path, buf_text(&text));

        copy = fields_copy(info, def, arena);
        CHECK(fields_equal(info, def, copy));
}

static void check_table(const StructInfo *info, const StructInfo **done, size_t *n_done)
{
        for (size_t i = 0; i < *n_done; i++) {
                if (done[i] == info)
                        return;
        }
        done[(*n_done)++] = info;
        for (size_t i = 0; i < info->n_fields; i++)
                check_row(info, &info->fields[i]);
        for (size_t i = 0; i < info->n_fields; i++) {
                if (info->fields[i].of)
                        check_table(info->fields[i].of, done, n_done);
        }
}

TEST(every_row_survives_writing_and_reading)
{
        const StructInfo *done[200];
        size_t n_done = 0;

        arena = arena_new();
        check_table(&domain_def_info, done, &n_done);
        arena = arena_free(arena);
        CHECK(n_done > 60);
}

/* A value of the wrong kind is an error with line, element and path; the words of an enum are named. */
TEST(values_are_checked)
{
        static const struct {
                const char *xml, *complaint; /* NULL: accepted */
        } cases[] = {
                { "<disk><target dev='vda' bus='virtio'/></disk>", NULL },
                { "<disk><target dev='vda' bus='virtio'/><driver queues='-1'/></disk>",
                  "line 1: <disk>: 'driver/@queues' cannot be '-1'" },
                { "<disk>\n<target dev='vda'/>\n<driver queues='1025'/></disk>",
                  "line 3: <disk>: 'driver/@queues' cannot be '1025'" },
                { "<disk device='tape'><target dev='vda'/></disk>",
                  "line 1: <disk>: '@device' cannot be 'tape' (it is one of: disk, cdrom, floppy, lun)" },
                { "<disk/>", "line 1: <disk>: 'target/@dev' is missing" },
                { "<disk><target dev='vda'/><wwn>123</wwn></disk>",
                  "line 1: <disk>: 'wwn' must be 16 hex digits, not '123'" },
                { "<disk><target dev='vda'/><readonly/><readonly/></disk>", NULL },
                { "<disk><target dev='vda'/><address type='pci' slot='0x20'/></disk>",
                  "line 1: <address>: '@slot' cannot be '0x20'" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Error) err = { 0 };
                AUTO(XmlDoc) doc = { 0 };
                FieldsReader reader = { .err = &err };

                arena = reader.arena = arena_new();
                CHECK_INT(xml_parse(cases[i].xml, strlen(cases[i].xml), "test", &doc, &err), 0);
                fields_parse(&disk_def_info, doc.root, fields_new(arena, &disk_def_info), &reader);
                CHECK_STR(err.text ?: "accepted", cases[i].complaint ?: "accepted");
                arena = arena_free(arena);
        }
}

TEST(what_no_row_knows_is_reported_with_line_and_path)
{
        static const char text[] = "<disk type='file' colour='red'>\n"
                                   "  <target dev='sda' bus='sata'/>\n"
                                   "  <source dev='/dev/x'/>\n"
                                   "  <driver name='qemu' queues='4'/>\n"
                                   "  <smell>old</smell>\n"
                                   "  words\n"
                                   "  <serial>1</serial><serial>2</serial>\n"
                                   "</disk>";
        static const char *const expected[] = {
                "line 4: /disk/driver/@queues is ignored: it applies only when target_bus = virtio",
                "line 3: /disk/source/@dev is ignored: it applies only when type = block",
                "line 1: /disk/@colour is not known",
                "line 5: /disk/smell is not known",
                "line 7: text in /disk is not known",
                "line 7: /disk/serial[2] is not known",
        };
        AUTO(Warnings) warnings = { 0 };
        AUTO(Error) err = { 0 };
        AUTO(XmlDoc) doc = { 0 };
        FieldsReader reader = { arena_new(), DEF_PARSE_VALIDATE, &warnings, &err };

        CHECK_INT(xml_parse(text, strlen(text), "test", &doc, &err), 0);
        CHECK_INT(fields_parse(&disk_def_info, doc.root, fields_new(reader.arena, &disk_def_info), &reader), 0);
        CHECK_INT(fields_report_unknown(doc.root, &reader), -1);
        CHECK_INT(err.code, ERR_XML_INVALID_SCHEMA);
        CHECK_INT(warnings.list.len, ARRAY_LEN(expected));
        for (size_t i = 0; i < ARRAY_LEN(expected); i++)
                CHECK_STR(warnings.list.items[i], expected[i]);
        arena_free(reader.arena);
}
