#pragma once
/*
 * app/drover/editor.h - let the user change a text in an editor
 */
#include "app/drover/session.h"

/*
 * Put text in a temporary file with this suffix, run $VISUAL or $EDITOR (else vi) on it, read it back.
 * *changed is NULL when it is as before, else owned.
 */
int editor_run(Session *session, const char *text, const char *suffix, char **changed, Error *err);

typedef enum EditResult {
        EDIT_FAILED = -1,
        EDIT_UNCHANGED,
        EDIT_APPLIED,
} EditResult;

/* The whole of an edit command: fetch a text, edit it, apply it; when that fails, the user may try again. */
typedef struct Edit {
        const char *(*fetch)(Session *session, void *arg, Error *err);
        int (*apply)(Session *session, void *arg, const char *text, Error *err);
        void *arg;
        const char *suffix; /* of the temporary file; NULL: .xml */
} Edit;
EditResult edit(Session *session, const Edit *edit, Error *err);
