/*
 * app/drover/described.c - titles, descriptions and metadata, shown and set
 */
#include "app/drover/described.h"

#include "app/drover/editor.h"
#include "base/str.h"

#include <ctype.h>

static int edited_text(Session *s, const char *before, char **ret, Error *err)
{
        AUTOFREE char *changed = NULL;

        if (editor_run(s, before, ".txt", &changed, err) < 0)
                return -1;
        *ret = changed ? TAKE(changed) : str_dup(before);
        for (size_t n = strlen(*ret); n && (*ret)[n - 1] == '\n'; n--)
                (*ret)[n - 1] = '\0';
        return 0;
}

static int set_words(Session *s, const Args *args, const Described *of, int type, const char *what, Error *err)
{
        AUTOFREE char *text = arg_joined(args, "new-desc");
        char initial = (char)toupper((unsigned char)of->noun[0]);

        if (arg_has(args, "edit")) {
                AUTOFREE char *edited = NULL;
                const char *now = of->words(s, of, type, err);

                if (!now || edited_text(s, text ?: now, &edited, err) < 0)
                        return -1;
                if (str_eq(edited, now)) {
                        out_done(s->out, "%c%s %s not changed", initial, of->noun + 1, what);
                        return 0;
                }
                free(text);
                text = TAKE(edited);
        }
        if (of->set(s, of, type, text, NULL, NULL, err) < 0)
                return fail(err, "Failed to set new %s %s", of->noun, what);
        out_done(s->out, "%c%s %s updated successfully", initial, of->noun + 1, what);
        return 0;
}

int described_desc(Session *s, const Args *args, const Described *of, Error *err)
{
        bool title = arg_has(args, "title");
        const char *what = title ? "title" : "description", *text;
        int type = title ? VIR_DOMAIN_METADATA_TITLE : VIR_DOMAIN_METADATA_DESCRIPTION;

        if (arg_has(args, "edit") || arg_has(args, "new-desc"))
                return set_words(s, args, of, type, what, err);
        text = of->words(s, of, type, err);
        if (!text)
                return -1;
        out_set_text(s->out, what, text);
        if (*text)
                out_print(s->out, "%s\n", text);
        else if (!output_is_json(s->out))
                out_note(s->out, "No %s for %s: %s", what, of->noun, of->name);
        return 0;
}

/* --- elements --- */

typedef struct Element {
        const Described *of;
        const char *key, *uri;
} Element;

static const char *fetch_element(Session *s, void *arg, Error *err)
{
        const Element *element = arg;
        AUTO(Error) why = { 0 };
        const char *text = "";

        if (element->of->get_element(s, element->of, element->uri, &text, &why) < 0 &&
            (int)why.code != element->of->nothing) {
                err_move(err, &why);
                return NULL;
        }
        return *text ? text : "\n";
}

static int apply_element(Session *s, void *arg, const char *text, Error *err)
{
        const Element *element = arg;

        return element->of->set(s, element->of, VIR_DOMAIN_METADATA_ELEMENT, text, element->key, element->uri, err);
}

int described_check_metadata(const Args *args, Error *err)
{
        if (refuse_both(args, "edit", "set", err) < 0 || refuse_both(args, "remove", "set", err) < 0 ||
            refuse_both(args, "remove", "edit", err) < 0)
                return -1;
        if ((arg_has(args, "set") || arg_has(args, "edit")) && !arg_text(args, "key"))
                return err_set(err, ERR_INVALID_ARG, "namespace key is required when modifying metadata");
        return 0;
}

int described_metadata(Session *s, const Args *args, const Described *of, Error *err)
{
        Element element = { .of = of, .key = arg_text(args, "key"), .uri = arg_text(args, "uri") };
        Edit what = { .fetch = fetch_element, .apply = apply_element, .arg = &element };
        const char *text = arg_text(args, "set");

        if (arg_has(args, "edit")) {
                EditResult result = edit(s, &what, err);

                if (result != EDIT_FAILED)
                        out_done(s->out, result == EDIT_APPLIED ? "Metadata modified" : "Metadata not changed");
                return result == EDIT_FAILED ? -1 : 0;
        }
        if (text || arg_has(args, "remove")) {
                if (apply_element(s, &element, text, err) < 0)
                        return -1;
                out_done(s->out, text ? "Metadata modified" : "Metadata removed");
                return 0;
        }
        if (of->get_element(s, of, element.uri, &text, err) < 0)
                return -1;
        out_value(s->out, "metadata", text);
        return 0;
}
