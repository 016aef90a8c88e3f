/*
 * Definitions made out of the tables: many rows at once, with values at their limits. What is written is read back as it
 * was, by a client, by the next start of the daemon, and once more.
 */
#include "test.h"

#include "base/str.h"
#include "model/domain.h"
#include "model/fields-internal.h"

enum { DEFINITIONS = 2000, DEEPEST = 5 };

static uint64_t drawn;     /* of what is drawn; each definition begins with its number */
static Arena *arena;       /* of the definition that is being made */
static unsigned density;   /* percent of the rows that it sets */
static bool is_normal;     /* its texts are as drover writes them: nothing of it may be lost */
static const char *tested; /* "definition 17, inactive", for complaints */

static uint64_t draw(uint64_t below)
{
        drawn ^= drawn << 13;
        drawn ^= drawn >> 7;
        drawn ^= drawn << 17;
        return (drawn * 0x2545f4914f6cdd1dULL >> 11) % below;
}

static bool is_drawn(unsigned percent)
{
        return draw(100) < percent;
}

static void *make_struct(const StructInfo *info, unsigned depth);

/* --- values --- */

static const char *draw_word(const char *const *words, size_t n)
{
        return words[draw(n)];
}

/* The words that other rows wait for, if a condition looks at this text. */
static const char *draw_condition(const Field *field, const StructInfo *info)
{
        const char *word = NULL;
        unsigned n = 0;

        for (size_t i = 0; i < info->n_fields; i++) {
                const FieldWhen *when = info->fields[i].notes->when;

                for (size_t j = 0; when && when->words && when->offset == field->offset && when->words[j]; j++) {
                        if (!draw(++n))
                                word = when->words[j];
                }
        }
        return word;
}

static const char *draw_text(const Field *field, const StructInfo *info)
{
        static const char *const names[] = { "ua-a.b_1", "ua-", "ua-0123456789" };
        static const char *const special[][2] = {
                { "wwn", "5000c50015ea71aa" }, { "@class", "0x08" },  { "@vendor", "0xffff" },
                { "@product", "-1" },          { "@version", "2.0" },
        };
        static const char *const normal[] = {
                "a",           "a<>&'\"b",         "]]>",  "-->", "a  b", "a\tb\nc\rd", "&amp;", "%s%n",
                "/a/\xc3\xa9", "\xf0\x9f\x98\x80", "vnet", "0",
        };
        static const char *const odd[] = {
                " a", "a ", "\na\n", "", " ", "\t", "\x01\x02", "a\x7f\x1f", "\xef\xbf\xbf", "\xef\xbf\xbe ",
        };
        const char *condition = draw_condition(field, info);

        for (size_t i = 0; i < ARRAY_LEN(special); i++) {
                if (str_eq(field->path, special[i][0]))
                        return special[i][1];
        }
        if (field->notes->kept_prefix)
                return draw_word(names, ARRAY_LEN(names));
        if (condition && is_drawn(90))
                return condition;
        if (field->notes->live_prefix && is_drawn(50))
                return arena_format(arena, "%s7", field->notes->live_prefix);
        if (is_drawn(2)) {
                char *text = arena_alloc(arena, 5001);

                memset(text, 'x', 5000);
                return text;
        }
        /* without a text where there is a default a definition is completed (model/complete-devices.c) */
        if (is_normal || field->required || field->fallback || is_drawn(50))
                return draw_word(normal, ARRAY_LEN(normal));
        return draw_word(odd, ARRAY_LEN(odd));
}

static const char *draw_xml(void)
{
        static const char *const normal[] = {
                "    <x xmlns='urn:x' k='v'/>\n",
                "    <a xmlns='urn:a'>\n      <b/>\n    </a>\n    <c:d xmlns:c='urn:c'>t&lt;<c:e/> u</c:d>\n",
                "    <a>]]&gt;&#13;</a>\n",
        };
        static const char *const odd[] = {
                "<x   a = \"1\">\n\n  <y/> text </x><!-- c --><z xmlns:q='urn:q' q:k='&#10;&#9;'/>",
                "<a><![CDATA[<b>]]> </a>text<b>\t</b>",
                "<a xmlns='urn:a'><b xmlns=''/></a>",
        };

        return is_normal ? draw_word(normal, ARRAY_LEN(normal)) : draw_word(odd, ARRAY_LEN(odd));
}

static const char *draw_cpuset(void)
{
        static const char *const sets[] = { "0", "4095", "0-4095", "1,3,5-7", "0-1,64,127-128" };

        return draw_word(sets, ARRAY_LEN(sets));
}

static uint64_t most_of(const Field *field)
{
        switch (field->type) {
        case FIELD_MEMORY:
                return (UINT64_MAX - 1023) / 1024;
        case FIELD_BYTES:
                return UINT64_MAX - 1023;
        case FIELD_I64:
                return INT64_MAX;
        case FIELD_U64:
                return field->range->max ? field->range->max : UINT64_MAX;
        default:
                return field->range->max;
        }
}

static void set_number(const Field *field, void *def)
{
        bool sized = field->type == FIELD_MEMORY || field->type == FIELD_BYTES;
        int64_t least = field->type == FIELD_I64 ? INT64_MIN : sized ? 0 : field->range->min;
        uint64_t most = most_of(field), span = most - (uint64_t)least, value = 0;
        void *at = field_at(field, def);

        switch (draw(5)) {
        case 0:
                break;
        case 1:
                value = MIN(span, (uint64_t)1);
                break;
        case 2:
                value = span;
                break;
        case 3:
                value = span - MIN(span, (uint64_t)1);
                break;
        default:
                value = draw(MIN(span, (uint64_t)5000) + 1);
        }
        value += (uint64_t)least;
        if (field_size(field) == 4)
                *(uint32_t *)at = (uint32_t)value;
        else
                *(uint64_t *)at = value;
        if (field->extra)
                *((bool *)def + field->extra) = true;
}

static void set_list(const Field *field, void *def, unsigned depth)
{
        uint32_t n = is_drawn(3) ? 20 : 1 + (uint32_t)draw(3);
        void **items;

        if (field->range->max)
                n = MIN(n, (uint32_t)field->range->max);
        items = arena_new_array(arena, void *, n);
        for (uint32_t i = 0; i < n; i++)
                items[i] = make_struct(field->of, depth + 1);
        *(void ***)field_at(field, def) = items;
        *(uint32_t *)((char *)def + field->extra) = n;
}

static void set_value(const Field *field, const StructInfo *info, void *def, unsigned depth)
{
        void *at = field_at(field, def);

        switch (field->type) {
        case FIELD_STRING:
                *(const char **)at = draw_text(field, info);
                break;
        case FIELD_XML:
                *(const char **)at = draw_xml();
                break;
        case FIELD_CPUSET:
                *(const char **)at = draw_cpuset();
                break;
        case FIELD_FLAG:
                *(bool *)at = true;
                break;
        case FIELD_ONOFF:
        case FIELD_YESNO:
                *(Switch *)at = is_drawn(50) ? SWITCH_ON : SWITCH_OFF;
                break;
        case FIELD_ENUM:
                *(uint8_t *)at = (uint8_t)(1 + draw(field->words->n_words));
                break;
        case FIELD_UINT:
        case FIELD_HEX:
        case FIELD_INT:
        case FIELD_U64:
        case FIELD_I64:
        case FIELD_MEMORY:
        case FIELD_BYTES:
                set_number(field, def);
                break;
        case FIELD_UUID:
                memset(at, (int)(1 + draw(255)), sizeof(Uuid));
                if (field->extra)
                        *((bool *)def + field->extra) = true;
                break;
        case FIELD_MAC:
                memset(at, (int)(2 * draw(128)), sizeof(Mac)); /* none is a multicast address */
                break;
        case FIELD_STRUCT:
                *(void **)at = make_struct(field->of, depth + 1);
                break;
        case FIELD_LIST:
                set_list(field, def, depth);
                break;
        }
}

/* --- definitions --- */

/* Rules that are no row's (model/hooks.c). */
static void keep_disk_rules(DiskDef *disk)
{
        if (disk->serial && strlen(disk->serial) > 255)
                disk->serial = NULL;
        if (disk->vendor && strlen(disk->vendor) > 8)
                disk->vendor = NULL;
        if (disk->product && strlen(disk->product) > 16)
                disk->product = NULL;
        if (disk->type == DISK_TYPE_NETWORK && !disk->source.protocol)
                disk->source.protocol = NET_PROTOCOL_NBD;
        if (disk->device == DISK_DEVICE_CDROM)
                disk->readonly = true;
}

static void keep_interface_rules(InterfaceDef *interface, unsigned depth)
{
        if (interface->type == INTERFACE_TYPE_NETWORK)
                interface->network = "word";
        else if (interface->type == INTERFACE_TYPE_BRIDGE)
                interface->bridge = "word";
        else if (interface->type == INTERFACE_TYPE_DIRECT || interface->type == INTERFACE_TYPE_VDPA)
                interface->source_dev = "word";
        else if (interface->type == INTERFACE_TYPE_VHOSTUSER)
                interface->source_path = "word";
        else if (interface->type == INTERFACE_TYPE_HOSTDEV && !interface->host_address)
                interface->host_address = make_struct(&device_address_info, depth + 1);
}

static void keep_domain_rules(DomainDef *def)
{
        def->name = "g &<'\"> \xc3\xa9";
        if (def->title && strchr(def->title, '\n'))
                def->title = NULL;
        def->id = MAX(def->id, 0);
        if (def->qemu_commandline && !def->qemu_commandline->n_args && !def->qemu_commandline->n_envs)
                def->qemu_commandline = NULL;
        def->vcpu_current = MIN(def->vcpu_current, def->vcpus_max);
        if (!(def->cpu && def->cpu->n_cells))
                def->current_memory_kib = MIN(def->current_memory_kib, def->memory_kib);
}

static void keep_rules(const StructInfo *info, void *at, unsigned depth)
{
        if (info == &domain_def_info) {
                keep_domain_rules(at);
        } else if (info == &disk_def_info) {
                keep_disk_rules(at);
        } else if (info == &interface_def_info) {
                keep_interface_rules(at, depth);
        } else if (info == &timer_def_info) {
                TimerDef *timer = at;

                if (timer->name != TIMER_NAME_TSC) {
                        timer->frequency = 0;
                        timer->mode = TIMER_MODE_UNSET;
                }
        } else if (info == &chardev_def_info) {
                ChardevDef *chardev = at;

                if (chardev->type == CHARDEV_TYPE_PTY && !chardev->tty && chardev->source.n_endpoints)
                        chardev->tty = chardev->source.endpoints[0]->path;
        } else if (info == &graphics_def_info) {
                GraphicsDef *graphics = at;

                if (graphics->port == -1 && !graphics->autoport)
                        graphics->autoport = SWITCH_ON;
        }
}

static bool is_early(const StructInfo *info, size_t i)
{
        for (size_t j = 0; j < info->n_early; j++) {
                if (info->early[j] == i)
                        return true;
        }
        return false;
}

/* What conditions look at first, and then what applies. */
static void fill(const StructInfo *info, void *def, unsigned depth)
{
        for (size_t i = 0; i < info->n_early; i++) {
                const Field *field = &info->fields[info->early[i]];

                if (field_applies(field, def) && (field->required || is_drawn(70)))
                        set_value(field, info, def, depth);
        }
        for (size_t i = 0; i < info->n_fields; i++) {
                const Field *field = &info->fields[i];
                bool nests = field->type == FIELD_STRUCT || field->type == FIELD_LIST;

                if (is_early(info, i) || !field_applies(field, def))
                        continue;
                if (field->required || (is_drawn(depth ? 30 : density) && !(nests && depth >= DEEPEST)))
                        set_value(field, info, def, depth);
        }
        keep_rules(info, def, depth);
}

static void *make_struct(const StructInfo *info, unsigned depth)
{
        void *def = fields_new(arena, info);

        fill(info, def, depth);
        return def;
}

static DomainDef *make_definition(unsigned number)
{
        static const unsigned densities[] = { 2, 10, 25 };
        DomainDef *def = domain_def_new();

        drawn = number * 0x9e3779b97f4a7c15ULL + 1;
        arena = domain_def_arena(def);
        is_normal = number % 2;
        density = number % 50 ? densities[draw(ARRAY_LEN(densities))] : 90;
        fill(&domain_def_info, def, 0);
        arena = NULL;
        return def;
}

/* --- the way there and back --- */

static DomainDef *read_back(const Buf *text, unsigned flags)
{
        AUTO(Error) err = { 0 };
        DomainDef *def = NULL;

        /* what drover writes it knows, and it applies */
        if (domain_def_parse(text->data, text->len, flags | DEF_PARSE_VALIDATE, &def, NULL, &err) < 0)
                fail_msg("%s: %s\n%.*s", tested, err.text, (int)MIN(text->len, (size_t)20000), text->data);
        return def;
}

static void check_same(const Buf *text, const Buf *again)
{
        const char *a = text->data, *b = again->data;
        size_t same = 0, from;

        while (same < MIN(text->len, again->len) && a[same] == b[same])
                same++;
        if (same == text->len && same == again->len)
                return;
        from = same - MIN(same, (size_t)300);
        fail_msg("%s changed\n... %.*s\nto\n... %.*s", tested, (int)MIN(text->len - from, (size_t)600), a + from,
                 (int)MIN(again->len - from, (size_t)600), b + from);
}

/* Written, read and written, twice. all_of_it: nothing may be lost the first time either. */
static void check_way(const DomainDef *def, unsigned format, unsigned parse, bool all_of_it)
{
        AUTO(Buf) first = { 0 };
        AUTO(Buf) second = { 0 };
        AUTO(Buf) third = { 0 };
        AUTO(DomainDef) *one = NULL;
        AUTO(DomainDef) *two = NULL;
        AUTO(DomainDef) *copy = NULL;

        domain_def_format(def, format, &first);
        one = read_back(&first, parse);
        domain_def_format(one, format, &second);
        if (all_of_it)
                check_same(&first, &second);
        two = read_back(&second, parse);
        domain_def_format(two, format, &third);
        check_same(&second, &third);
        CHECK(!all_of_it || fields_equal(&domain_def_info, one, two)); /* an element may have lost all it had */
        copy = domain_def_copy(two);
        CHECK(fields_equal(&domain_def_info, two, copy));
}

TEST(what_is_written_of_many_rows_is_read_back)
{
        for (unsigned i = 1; i <= DEFINITIONS; i++) {
                AUTO(DomainDef) *def = make_definition(i);
                AUTOFREE char *live = str_format("definition %u", i),
                              *stored = str_format("definition %u, inactive", i);

                tested = live;
                check_way(def, DEF_FORMAT_SECURE, 0, is_normal);
                tested = stored;
                check_way(def, DEF_FORMAT_SECURE | DEF_FORMAT_INACTIVE, DEF_PARSE_INACTIVE, is_normal);
        }
}
