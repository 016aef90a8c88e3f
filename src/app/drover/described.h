#pragma once
/*
 * app/drover/described.h - what the commands for titles, descriptions and metadata share
 */
#include "app/drover/common.h"

/* An object with these three: how they are had and set. type: VIR_DOMAIN_METADATA_*, the same for all objects. */
typedef struct Described Described;
struct Described {
        const char *noun; /* "network" */
        const char *name;
        const void *wire; /* how calls name it */
        uint32_t flags;   /* of which definition */
        int nothing;      /* the code of the error that says there is none */
        /* A title or description; "" when there is none, NULL with err. */
        const char *(*words)(Session *s, const Described *of, int type, Error *err);
        int (*get_element)(Session *s, const Described *of, const char *uri, const char **ret, Error *err);
        int (*set)(Session *s, const Described *of, int type, const char *text, const char *key, const char *uri,
                   Error *err);
};

#define ARGS_DESC                                                                                                    \
        "[--title]        the title instead of the description\n"                                                    \
        "[--edit]         in an editor\n"                                                                            \
        "[NEW-DESC]...    the new text"
#define ARGS_METADATA                                                                                                \
        "[--edit]     in an editor\n"                                                                                \
        "[--key KEY]  prefix for that namespace\n"                                                                   \
        "[--set XML]  the new element\n"                                                                             \
        "[--remove]   take it away"

/* What a command with these arguments does once it has found the object. */
int described_desc(Session *s, const Args *args, const Described *of, Error *err);
int described_metadata(Session *s, const Args *args, const Described *of, Error *err);
/* Arguments that exclude or need each other; before anything is asked. */
int described_check_metadata(const Args *args, Error *err);
