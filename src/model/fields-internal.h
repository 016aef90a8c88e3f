#pragma once
/*
 * model/fields-internal.h - shared by the files of the walker only
 */
#include "model/fields.h"

static inline void *field_at(const Field *field, void *def)
{
        return (char *)def + field->offset;
}
static inline const void *field_at_const(const Field *field, const void *def)
{
        return (const char *)def + field->offset;
}
static inline const char *field_text_of(const Field *field, const void *def)
{
        return *(const char *const *)field_at_const(field, def);
}
static inline uint32_t field_list_len(const Field *field, const void *def)
{
        return *(const uint32_t *)((const char *)def + field->extra);
}
static inline void *field_pointer(const Field *field, const void *def)
{
        return *(void *const *)field_at_const(field, def);
}
bool field_is_set(const Field *field, const void *def);
/* Fit for a name towards QEMU: it stands among options and in paths, where a comma or a slash would begin another one. */
bool field_is_plain_name(const char *text);
size_t field_size(const Field *field);
