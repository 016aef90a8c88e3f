#pragma once
/*
 * model/metadata.h - what people and applications note about an object: title, description, elements
 *
 * Guests and networks have the same three; a Metadata says where in a definition they are.
 */
#include "base/arena.h"
#include "base/err.h"
#include "model/domain-def.h"

typedef enum MetadataKind { /* as VIR_DOMAIN_METADATA_* and VIR_NETWORK_METADATA_* */
                            METADATA_DESCRIPTION = 0,
                            METADATA_TITLE = 1,
                            METADATA_ELEMENT = 2,
} MetadataKind;

/* As a definition has them, whose arena owns the texts; NULL: not there. */
typedef struct Metadata {
        const char *title, *description, *elements;
} Metadata;

/* A kind there is, with the namespace that an element needs; kind is what a client said. */
int metadata_check_kind(int kind, const char *uri, Error *err);
/*
 * Set one of them; NULL (a text: empty) takes it away. An element is given without its namespace uri and gets it under
 * the prefix key. What is new is in the arena.
 */
int metadata_set(Metadata *of, Arena *arena, int kind, const char *uri, const char *key, const char *given,
                 Error *err);
/* *ret is the caller's, an element without its namespace; NULL: there is none. */
int metadata_get(const Metadata *of, int kind, const char *uri, char **ret, Error *err);

static inline Metadata domain_def_metadata(const DomainDef *def)
{
        return (Metadata){ def->title, def->description, def->metadata };
}

static inline Metadata network_def_metadata(const NetworkDef *def)
{
        return (Metadata){ def->title, def->description, def->metadata };
}

static inline void domain_def_put_metadata(DomainDef *def, const Metadata *new)
{
        def->title = new->title;
        def->description = new->description;
        def->metadata = new->elements;
}

static inline void network_def_put_metadata(NetworkDef *def, const Metadata *new)
{
        def->title = new->title;
        def->description = new->description;
        def->metadata = new->elements;
}
