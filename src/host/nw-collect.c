/*
 * host/nw-collect.c - all rules of a filter and of what it takes in, with the values they see
 *
 * A variable '$A' goes through all values that A has; variables with the same
 * iterator go through theirs together, those with different ones in every
 * combination.
 */
#include "host/nw-collect.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

enum {
        DEEPEST = 20,
        MOST_RULES = 5000,
        MOST_FOLLOWED = 5000,
        MOST_HANDED_ON = 1 << 18,
        MOST_COMBINATIONS = 4096,
};

/* --- variables --- */

const NwVar *nw_vars_find(const NwVars *vars, const char *name, size_t len)
{
        size_t place = vars->places ? (size_t)(uintptr_t)map_find(vars->places, name, len) : 0;

        return place ? &vars->list.items[place - 1] : NULL;
}

void nw_vars_add(NwVars *vars, const char *name, const char *value)
{
        NwVar *var = (NwVar *)nw_vars_find(vars, name, strlen(name));

        if (!var) {
                vec_push(&vars->list, ((NwVar){ .name = name }));
                vars->places = vars->places ?: map_new();
                map_put_text(vars->places, name, (void *)(uintptr_t)vars->list.len);
                var = &vars->list.items[vars->list.len - 1];
        }
        vec_push(&var->values, value);
}

void nw_vars_done(NwVars *vars)
{
        for (size_t i = 0; i < vars->list.len; i++)
                vec_done(&vars->list.items[i].values);
        vec_done(&vars->list);
        vars->places = map_free(vars->places);
}

/* What a reference gives is seen unless who refers has a value of its own. */
static const NwVars *vars_below(NwCollection *c, const NwVars *outer, const FilterrefDef *ref, Error *err)
{
        NwVars *vars = mem_new(NwVars);

        vec_push(&c->vars, vars);
        c->handed_on += ref->n_parameters;
        for (size_t i = 0; i < outer->list.len; i++)
                c->handed_on += outer->list.items[i].values.len;
        if (c->handed_on > MOST_HANDED_ON) {
                err_set(err, ERR_CONFIG_UNSUPPORTED, "network filter '%s': more than %d parameters are handed on",
                        ref->filter, MOST_HANDED_ON);
                return NULL;
        }
        for (uint32_t i = 0; i < ref->n_parameters; i++) {
                if (!nw_vars_find(outer, ref->parameters[i]->name, strlen(ref->parameters[i]->name)))
                        nw_vars_add(vars, ref->parameters[i]->name, ref->parameters[i]->value);
        }
        for (size_t i = 0; i < outer->list.len; i++) {
                for (size_t v = 0; v < outer->list.items[i].values.len; v++)
                        nw_vars_add(vars, outer->list.items[i].name, outer->list.items[i].values.items[v]);
        }
        return vars;
}

/* --- rules --- */

int nw_collect(NwCollection *c, const char *name, const NwVars *vars, Error *err)
{
        const NwFilter *filter = c->find(c->arg, name);

        if (!filter)
                return err_set(err, ERR_NO_NWFILTER, "the network filter '%s' is missing", name);
        if (c->depth >= DEEPEST)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "network filters take in one another more than %d deep",
                               DEEPEST);
        /* a few filters that take in one another many times each would keep the daemon busy for ever */
        if (c->followed++ >= MOST_FOLLOWED)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "network filter '%s': more than %d references are followed", name, MOST_FOLLOWED);
        c->depth++;
        for (size_t i = 0; i < filter->n_entries; i++) {
                const NwEntry *entry = &filter->entries[i];
                const NwVars *below = vars;

                if (entry->rule) {
                        if (c->rules.len >= MOST_RULES)
                                return err_set(err, ERR_CONFIG_UNSUPPORTED, "network filter '%s': more than %d rules",
                                               name, MOST_RULES);
                        vec_push(&c->rules, ((NwFound){ filter, entry->rule, vars }));
                        continue;
                }
                if (entry->ref->n_parameters)
                        below = vars_below(c, vars, entry->ref, err);
                if (!below || nw_collect(c, entry->ref->filter, below, err) < 0)
                        return -1;
        }
        c->depth--;
        return 0;
}

void nw_collection_done(NwCollection *c)
{
        for (size_t i = 0; i < c->vars.len; i++) {
                nw_vars_done(c->vars.items[i]);
                free(c->vars.items[i]);
        }
        vec_done(&c->vars);
        vec_done(&c->rules);
}

static int find_missing(const NwFound *found, char **ret)
{
        for (size_t i = 0; i < found->rule->n_values; i++) {
                NwVariable v;

                if (found->rule->values[i].attr->kind == NW_TEXT ||
                    nw_variable_parse(found->rule->values[i].text, &v) < 0 ||
                    nw_vars_find(found->vars, v.name, v.len))
                        continue;
                *ret = str_dup_n(v.name, v.len);
                return 1;
        }
        return 0;
}

int nw_rules_missing(const NwPort *port, NwFind *find, void *arg, char **ret, Error *err)
{
        AUTO(NwCollection) c = { .find = find, .arg = arg };

        *ret = NULL;
        if (nw_collect(&c, port->filter, port->vars, err) < 0)
                return -1;
        for (size_t i = 0; i < c.rules.len; i++) {
                AUTOFREE char *name = NULL;

                if (!find_missing(&c.rules.items[i], &name))
                        continue;
                if (*ret && str_eq(name, "IP"))
                        continue; /* what cannot be learned is told first */
                free(*ret);
                *ret = TAKE(name);
                if (!str_eq(*ret, "IP"))
                        break;
        }
        return 0;
}

bool nw_filter_uses(const char *filter, const char *other, NwFind *find, void *arg)
{
        AUTO(Map) *seen = map_new();
        VEC(const char *) names = { 0 }; /* each filter once, however many ways lead to it */
        bool found = false;
        static char mark;

        vec_push(&names, filter);
        for (size_t n = 0; n < names.len && !found; n++) {
                const NwFilter *def = find(arg, names.items[n]);

                for (size_t i = 0; def && i < def->n_entries && !found; i++) {
                        const FilterrefDef *ref = def->entries[i].ref;

                        found = ref && str_eq(ref->filter, other);
                        if (ref && !map_put_text(seen, ref->filter, &mark))
                                vec_push(&names, ref->filter);
                }
        }
        vec_done(&names);
        return found;
}

/* --- combinations --- */

typedef struct Axis {
        uint32_t iterator;
        size_t len, at;
} Axis;

typedef struct Choice {
        const NwVar *var; /* NULL: the text as it is */
        size_t axis;      /* SIZE_MAX: one fixed value */
        uint32_t index;
} Choice;

typedef struct Odometer {
        VEC(Axis) axes;
        VEC(Choice) choices;
} Odometer;

static void odometer_done(Odometer *o)
{
        vec_done(&o->axes);
        vec_done(&o->choices);
}

DEFINE_AUTO_VALUE(Odometer, odometer_done)

static int add_axis(Odometer *o, const NwVariable *v, const NwVar *var, size_t *ret, Error *err)
{
        for (size_t i = 0; i < o->axes.len; i++) {
                if (o->axes.items[i].iterator != v->number)
                        continue;
                if (o->axes.items[i].len != var->values.len)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                                       "variables of one iterator (@%u) must have as many values as one another: "
                                       "'%s' has %zu, not %zu",
                                       v->number, var->name, var->values.len, o->axes.items[i].len);
                *ret = i;
                return 0;
        }
        vec_push(&o->axes, ((Axis){ v->number, var->values.len, 0 }));
        *ret = o->axes.len - 1;
        return 0;
}

static int add_choice(Odometer *o, const NwFound *found, const NwValue *value, Error *err)
{
        Choice choice = { .axis = SIZE_MAX };
        NwVariable v;

        if (value->attr->kind != NW_TEXT && nw_variable_parse(value->text, &v) == 0) {
                choice.var = nw_vars_find(found->vars, v.name, v.len);
                choice.index = v.number;
                if (!choice.var)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                                       "network filter '%s' needs a value for the variable '%.*s'",
                                       found->filter->head->name, (int)v.len, v.name);
                if (v.is_index && v.number >= choice.var->values.len)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                                       "network filter '%s': the variable '%s' has no value number %u",
                                       found->filter->head->name, choice.var->name, v.number);
                if (!v.is_index && add_axis(o, &v, choice.var, &choice.axis, err) < 0)
                        return -1;
        }
        vec_push(&o->choices, choice);
        return 0;
}

/* On to the next combination; false: that was the last. */
static bool turn(Odometer *o)
{
        for (size_t i = 0; i < o->axes.len; i++) {
                if (++o->axes.items[i].at < o->axes.items[i].len)
                        return true;
                o->axes.items[i].at = 0;
        }
        return false;
}

int nw_each_combination(const NwFound *found, int (*each)(void *arg, const NwBound *bound, Error *err), void *arg,
                        Error *err)
{
        const NwRule *rule = found->rule;
        AUTOFREE const char **texts = mem_new_array(const char *, rule->n_values + 1);
        NwBound bound = { .texts = texts };
        AUTO(Odometer) o = { 0 };
        size_t n = 1;

        for (size_t i = 0; i < rule->n_values; i++) {
                if (add_choice(&o, found, &rule->values[i], err) < 0)
                        return -1;
        }
        for (size_t i = 0; i < o.axes.len; i++) {
                n *= o.axes.items[i].len;
                if (n > MOST_COMBINATIONS)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                                       "network filter '%s': a rule's variables have more than %d combinations",
                                       found->filter->head->name, MOST_COMBINATIONS);
        }
        do {
                for (size_t i = 0; i < rule->n_values; i++) {
                        const Choice *c = &o.choices.items[i];

                        texts[i] = !c->var               ? rule->values[i].text
                                   : c->axis == SIZE_MAX ? c->var->values.items[c->index]
                                                         : c->var->values.items[o.axes.items[c->axis].at];
                }
                if (each(arg, &bound, err) < 0)
                        return -1;
        } while (turn(&o));
        return 0;
}
