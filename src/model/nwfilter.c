/*
 * model/nwfilter.c - the definition of a network filter, and of what it is bound to
 */
#include "model/nwfilter.h"

#include "base/mem.h"
#include "base/str.h"
#include "model/def.h"

#include <ctype.h>
#include <strings.h>

enum { MOST_ENTRIES = 4096, LONGEST_CHAIN = 30 };

/* --- chains --- */

const NwChain *nw_chain_find(const char *name)
{
        const NwChain *found = NULL;

        if (strlen(name) > LONGEST_CHAIN)
                return NULL;
        for (const char *c = name; *c; c++) {
                if (!isalnum((unsigned char)*c) && !strchr("_.:-", *c))
                        return NULL;
        }
        for (size_t i = 0; i < N_NW_CHAINS; i++) {
                size_t n = strlen(nw_chains[i].name);

                if (strncmp(name, nw_chains[i].name, n) == 0 && (!name[n] || i > 0) &&
                    (!found || n > strlen(found->name)))
                        found = &nw_chains[i];
        }
        return found;
}

int nw_filter_priority(const NwFilter *filter)
{
        return filter->head->has_priority ? filter->head->priority : nw_chain_find(filter->head->chain)->priority;
}

/* --- reading --- */

static const NwProtocol *find_protocol(const char *name)
{
        for (size_t i = 0; i < N_NW_PROTOCOLS; i++) {
                if (str_eq(nw_protocols[i].name, name))
                        return &nw_protocols[i];
        }
        return NULL;
}

static int check_value(const XmlNode *node, const NwAttr *attr, const char *text, FieldsReader *reader)
{
        NwVariable variable;
        NwLiteral literal;

        if (*text == '$' && attr->kind != NW_TEXT) {
                if (attr->kind == NW_TCPFLAGS || attr->kind == NW_STATE || attr->kind == NW_IPSETFLAGS ||
                    attr->kind == NW_BOOL)
                        return fields_refuse(node, reader, "'@%s' cannot be a variable", attr->name);
                return nw_variable_parse(text, &variable) < 0
                               ? fields_refuse(node, reader, "'@%s': '%s' is not a variable", attr->name, text)
                               : 0;
        }
        return nw_literal_parse(attr->kind, text, &literal) < 0
                       ? fields_refuse(node, reader, "'@%s' cannot be '%s'", attr->name, text)
                       : 0;
}

/* Masks and ends of ranges stand for nothing alone. */
static int check_followers(const XmlNode *node, const NwRule *rule, FieldsReader *reader)
{
        for (size_t i = 0; i < rule->protocol->n_attrs; i++) {
                const NwAttr *attr = &rule->protocol->attrs[i];
                int followers[] = { attr->mask, attr->last };

                for (size_t f = 0; f < ARRAY_LEN(followers); f++) {
                        const char *name = followers[f] < 0 ? NULL : rule->protocol->attrs[followers[f]].name;

                        if (name && nw_rule_value(rule, name) && !nw_rule_value(rule, attr->name))
                                return fields_refuse(node, reader, "'@%s' needs '@%s'", name, attr->name);
                }
        }
        if (nw_rule_value(rule, "ipset") && !nw_rule_value(rule, "ipsetflags"))
                return fields_refuse(node, reader, "'@ipset' needs '@ipsetflags'");
        return 0;
}

static int read_protocol(XmlNode *node, const NwProtocol *protocol, NwRule *rule, FieldsReader *reader)
{
        const char *match = xml_attr(node, "match");

        if (rule->protocol)
                return fields_refuse(node, reader,
                                     "a rule has one element that says what it matches; this one has "
                                     "<%s> too",
                                     rule->protocol->name);
        node->seen = true;
        rule->protocol = protocol;
        if (match && !str_eq(match, "yes") && !str_eq(match, "no"))
                return fields_refuse(node, reader, "'@match' cannot be '%s'", match);
        rule->negated = str_eq(match, "no");
        rule->values = arena_new_array(reader->arena, NwValue, protocol->n_attrs);
        for (size_t i = 0; i < protocol->n_attrs; i++) {
                const char *text = xml_attr(node, protocol->attrs[i].name);

                if (!text)
                        continue;
                if (check_value(node, &protocol->attrs[i], text, reader) < 0)
                        return -1;
                rule->values[rule->n_values++] = (NwValue){ &protocol->attrs[i], arena_dup(reader->arena, text) };
        }
        return check_followers(node, rule, reader);
}

static int read_rule(XmlNode *node, NwRule **ret, FieldsReader *reader)
{
        NwRule *rule = arena_new_one(reader->arena, NwRule);
        const char *statematch;

        fields_set_defaults(&nw_rule_def_info, &rule->head, reader->arena);
        if (fields_parse(&nw_rule_def_info, node, &rule->head, reader) < 0)
                return -1;
        statematch = rule->head.statematch;
        if (statematch && !str_eq(statematch, "0") && strcasecmp(statematch, "false") != 0)
                return fields_refuse(node, reader, "'@statematch' cannot be '%s' (only 0 or false)", statematch);
        for (XmlNode *n = node->first; n; n = n->next) {
                const NwProtocol *protocol = n->name ? find_protocol(n->name) : NULL;

                if (protocol && read_protocol(n, protocol, rule, reader) < 0)
                        return -1;
        }
        *ret = rule;
        return 0;
}

static int read_ref(XmlNode *node, FilterrefDef **ret, FieldsReader *reader)
{
        FilterrefDef *ref = fields_new(reader->arena, &filterref_def_info);

        if (fields_parse(&filterref_def_info, node, ref, reader) < 0)
                return -1;
        *ret = ref;
        return 0;
}

static int check_head(const XmlNode *node, const NwfilterDef *head, FieldsReader *reader)
{
        if (!*head->name || strchr(head->name, '/') || strchr(head->name, '\n'))
                return fields_refuse(node, reader, "a name cannot be empty or contain '/' or a line break: '%s'",
                                     head->name);
        if (!head->chain || !nw_chain_find(head->chain))
                return fields_refuse(node, reader,
                                     "'@chain' cannot be '%s': it is root, or begins with mac, stp, vlan, arp, rarp, "
                                     "ipv4 or ipv6, and has at most %d letters, digits, '_', '.', ':' and '-'",
                                     head->chain ?: "", LONGEST_CHAIN);
        return 0;
}

static int read_entries(XmlNode *root, NwFilter *filter, FieldsReader *reader)
{
        size_t n = 0;

        for (XmlNode *x = root->first; x; x = x->next)
                n += str_eq(x->name, "rule") || str_eq(x->name, "filterref");
        if (n > MOST_ENTRIES)
                return fields_refuse(root, reader, "there can be only %d rules and references", MOST_ENTRIES);
        filter->entries = arena_new_array(reader->arena, NwEntry, n);
        for (XmlNode *x = root->first; x; x = x->next) {
                bool is_rule = str_eq(x->name, "rule");
                NwEntry *entry = &filter->entries[filter->n_entries];

                if (!is_rule && !str_eq(x->name, "filterref"))
                        continue;
                x->seen = true;
                if ((is_rule ? read_rule(x, &entry->rule, reader) : read_ref(x, &entry->ref, reader)) < 0)
                        return -1;
                if (entry->ref && str_eq(entry->ref->filter, filter->head->name))
                        return fields_refuse(x, reader, "the filter takes in itself");
                filter->n_entries++;
        }
        return 0;
}

int nw_filter_parse(const char *xml, size_t len, unsigned flags, NwFilter **ret, Warnings *warnings, Error *err)
{
        static const char what[] = "network filter definition";
        AUTO(NwFilter) *filter = NULL;
        AUTO(Warnings) own = { 0 };
        AUTO(XmlDoc) doc = { 0 };
        FieldsReader reader = { .flags = flags, .warnings = warnings ?: &own, .err = err };

        if (xml_parse(xml, len, what, &doc, err) < 0)
                return -1;
        if (!str_eq(doc.root->name, "filter"))
                return err_set(err, ERR_XML, "(%s) the root element is <%s>, not <filter>", what, doc.root->qname);
        filter = mem_new(NwFilter);
        filter->refs = 1;
        filter->head = def_new(&nwfilter_def_info);
        reader.arena = filter->head->head.arena;
        if (fields_parse(&nwfilter_def_info, doc.root, filter->head, &reader) < 0 ||
            check_head(doc.root, filter->head, &reader) < 0 || read_entries(doc.root, filter, &reader) < 0 ||
            fields_report_unknown(doc.root, &reader) < 0)
                return err_is_set(err) && err->code == ERR_XML ? err_prefix(err, "(%s)", what) : -1;
        *ret = TAKE(filter);
        return 0;
}

NwFilter *nw_filter_ref(NwFilter *filter)
{
        filter->refs++;
        return filter;
}

NwFilter *nw_filter_unref(NwFilter *filter)
{
        if (!filter || --filter->refs)
                return NULL;
        def_unref(filter->head);
        free(filter);
        return NULL;
}

const NwValue *nw_rule_value(const NwRule *rule, const char *name)
{
        for (size_t i = 0; i < rule->n_values; i++) {
                if (str_eq(rule->values[i].attr->name, name))
                        return &rule->values[i];
        }
        return NULL;
}

/* --- writing --- */

static void put_attr(Buf *ret, const char *name, const char *value)
{
        buf_format(ret, " %s='", name);
        xml_put_escaped(ret, value);
        buf_put_char(ret, '\'');
}

static void put_rule(const NwRule *rule, Buf *ret)
{
        buf_format(ret, "  <rule action='%s' direction='%s' priority='%d'", nw_action_text(rule->head.action),
                   nw_direction_text(rule->head.direction), rule->head.priority);
        if (rule->head.statematch)
                buf_put_text(ret, " statematch='false'");
        if (!rule->protocol) {
                buf_put_text(ret, "/>\n");
                return;
        }
        buf_format(ret, ">\n    <%s", rule->protocol->name);
        if (rule->negated)
                put_attr(ret, "match", "no");
        for (size_t i = 0; i < rule->n_values; i++)
                put_attr(ret, rule->values[i].attr->name, rule->values[i].text);
        buf_put_text(ret, "/>\n  </rule>\n");
}

void nw_filter_format(const NwFilter *filter, Buf *ret)
{
        const NwfilterDef *head = filter->head;
        int priority = nw_filter_priority(filter);
        char text[UUID_TEXT_LEN + 1];

        buf_put_text(ret, "<filter");
        put_attr(ret, "name", head->name);
        put_attr(ret, "chain", head->chain);
        if (priority)
                buf_format(ret, " priority='%d'", priority);
        buf_put_text(ret, ">\n");
        if (!uuid_is_null(&head->uuid))
                buf_format(ret, "  <uuid>%s</uuid>\n", uuid_format(&head->uuid, text));
        for (size_t i = 0; i < filter->n_entries; i++) {
                if (filter->entries[i].rule)
                        put_rule(filter->entries[i].rule, ret);
                else
                        fields_format(&filterref_def_info, filter->entries[i].ref, "filterref", NULL, 1, 0, ret);
        }
        buf_put_text(ret, "</filter>\n");
}

/* --- bindings --- */

int nw_binding_parse(const char *xml, size_t len, unsigned flags, NwBindingDef **ret, Warnings *warnings, Error *err)
{
        static const char what[] = "filter binding definition";
        AUTO(NwBindingDef) *binding = NULL;
        void *def;

        if (def_parse(&nw_binding_def_info, what, xml, len, flags, &def, warnings, err) < 0)
                return -1;
        binding = def;
        if (!*binding->portdev || strlen(binding->portdev) > 15 || strpbrk(binding->portdev, "/: \t\n\v\f\r\"\\"))
                return err_set(err, ERR_XML, "(%s) 'portdev/@name' cannot be '%s': it is a device's name", what,
                               binding->portdev);
        *ret = TAKE(binding);
        return 0;
}

void nw_binding_format(const NwBindingDef *def, Buf *ret)
{
        fields_format(&nw_binding_def_info, def, "filterbinding", NULL, 0, 0, ret);
}

NwBindingDef *nw_binding_unref(NwBindingDef *def)
{
        return def_unref(def);
}
