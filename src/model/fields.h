#pragma once
/*
 * model/fields.h - the walker over tables of fields
 *
 * A definition is a plain C struct; a generated table says for each member
 * where it stands in the XML, of what type it is and which rules it has. One
 * walker reads, writes, copies and compares any such struct. Members live in an
 * arena, and a definition that is shared is never changed.
 *
 * Unset is 0: NULL, the enum's UNSET, SWITCH_DEFAULT, the number 0. Where 0 is
 * a value of its own a member has_X says whether it was given.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mac.h"
#include "base/uuid.h"
#include "model/warnings.h"
#include "model/xml.h"

typedef enum Switch {
        SWITCH_DEFAULT = 0, /* not given */
        SWITCH_ON,          /* on, yes */
        SWITCH_OFF,         /* off, no */
} __attribute__((packed)) Switch;

typedef enum FieldType {
        FIELD_STRING,
        FIELD_XML,    /* what is inside the element, word for word */
        FIELD_CPUSET, /* canonical text; base/bitmap.h reads it */
        FIELD_FLAG,   /* the element is there */
        FIELD_ONOFF,
        FIELD_YESNO,
        FIELD_ENUM,
        FIELD_UINT,
        FIELD_HEX,
        FIELD_INT,
        FIELD_U64,
        FIELD_I64,
        FIELD_MEMORY, /* KiB, with a unit in the XML */
        FIELD_BYTES,  /* bytes, with a unit in the XML */
        FIELD_UUID,
        FIELD_MAC,
        FIELD_STRUCT, /* a pointer to a struct with a table of its own */
        FIELD_LIST,   /* a counted array of such pointers */
} __attribute__((packed)) FieldType;

typedef struct EnumWords {
        const char *name;
        const char *const *words; /* the word of value 1 comes first */
        unsigned n_words;
} EnumWords;

/* The field applies while an enum member has one of the values in mask (bit 0: unset), or a text is one of words. */
typedef struct FieldWhen {
        uint16_t offset;
        uint64_t mask;
        const char *const *words;
        const char *text; /* as the fact says it */
} FieldWhen;

typedef struct StructInfo StructInfo;

/* What numbers may be: without pointers, so that these are shared by all who run the program. */
typedef struct FieldRange {
        uint64_t unit; /* bytes that a number without a unit counts */
        int64_t min;
        uint64_t max;
} FieldRange;

/* What few fields have. */
typedef struct FieldNotes {
        const char *kept_prefix; /* only values with this prefix outlive a run */
        const char *live_prefix; /* values with this prefix do not */
        const FieldWhen *when;
        const char *idle;  /* why it has no effect */
        const char *unmet; /* why it cannot be had */
        const char *only;  /* ... when it is one of these words */
} FieldNotes;

/* There are over a thousand, and the loader writes each pointer of theirs: all that is rare stands elsewhere. */
typedef struct Field {
        const char *path;   /* 'driver/@queues', below the element of the struct */
        const char *member; /* name of the C member */
        FieldType type;
        uint16_t offset;
        uint16_t extra; /* offset of has_X or of the list's count; 0: there is none */
        uint8_t width;  /* hex digits */
        bool required : 1, keep : 1, always : 1, runtime : 1, secret : 1, abi : 1, live : 1, verbatim : 1, placed : 1;
        bool shared : 1;        /* an earlier field has the same member, under another condition */
        const EnumWords *words; /* of an enum; else NULL */
        const StructInfo *of;   /* of a struct or list; else NULL */
        const char *fallback;
        const FieldRange *range; /* never NULL */
        const FieldNotes *notes; /* never NULL */
} Field;

extern const FieldRange field_any_range;
extern const FieldNotes field_no_notes;

/* One element of the XML below a struct's own: its fields and children are runs in the tables. */
typedef struct FieldNode {
        const char *name;
        uint16_t first_attr, n_attrs;
        uint16_t first_content, n_content;
        uint16_t first_child, n_children;
        bool whole; /* the element belongs to another struct, or is kept word for word */
} FieldNode;

typedef struct FieldsReader {
        Arena *arena;       /* where the definition lives */
        unsigned flags;     /* DEF_PARSE_... */
        Warnings *warnings; /* what no row knows; may be NULL */
        Error *err;
} FieldsReader;

struct StructInfo {
        const char *name;
        const char *element;
        size_t size;
        const Field *fields;
        size_t n_fields;
        const FieldNode *nodes; /* the first is the element itself */
        const uint16_t *early;  /* fields that conditions look at: read first */
        size_t n_early;
        int (*parsed)(void *def, const XmlNode *node, FieldsReader *reader); /* irregular rules, after the rows */
        void (*shown)(void *def, unsigned flags); /* what is shown differs: gets a shallow copy to change */
};

enum {
        DEF_PARSE_INACTIVE = 1 << 0, /* leave out what belongs to a run */
        DEF_PARSE_VALIDATE = 1 << 1, /* what no row knows is an error */
        DEF_FORMAT_INACTIVE = 1 << 4,
        DEF_FORMAT_SECURE = 1 << 5,     /* with passwords */
        DEF_FORMAT_MIGRATABLE = 1 << 6, /* for a peer: with passwords too */
};

/* Where the lists of one kind of device are in a DomainDef, and what the devices have in common. */
typedef struct DeviceList {
        const char *element;
        const StructInfo *of;
        uint16_t list, count;
        uint16_t info; /* of its DeviceInfo, or NO_DEVICE_INFO */
        uint16_t most; /* how many a guest may have; 0: any number */
} DeviceList;

#define NO_DEVICE_INFO UINT16_MAX

/* What a shared definition begins with. */
typedef struct DefHeader {
        Arena *arena;
        unsigned refs;
        const char **warnings; /* of its XML, kept with it; copies have them too */
        uint32_t n_warnings;
} DefHeader;

const char *enum_text(const EnumWords *words, unsigned value); /* NULL for 0 */
unsigned enum_find(const EnumWords *words, const char *text);  /* 0: no such word */

/* A zeroed struct with its defaults filled in. */
void *fields_new(Arena *arena, const StructInfo *info);
void fields_set_defaults(const StructInfo *info, void *def, Arena *arena);

/* Read node into def, which has its defaults. Problems name line and path. */
int fields_parse(const StructInfo *info, XmlNode *node, void *def, FieldsReader *reader);
/* After everything was read: warn of what nobody looked at; an error when the reader validates. */
int fields_report_unknown(const XmlNode *root, FieldsReader *reader);
/* An error that names the line and the element; code ERR_XML. Always -1. */
int fields_refuse(const XmlNode *node, FieldsReader *reader, const char *fmt, ...) PRINTF(3, 4);
/* Write def as <name ...>; extra is put among the attributes, or NULL. */
void fields_format(const StructInfo *info, const void *def, const char *name, const char *extra, unsigned depth,
                   unsigned flags, Buf *ret);
/* A deep copy; what it points to is in arena. */
void *fields_copy(const StructInfo *info, const void *def, Arena *arena);
/* For every field that a guest could notice (abi) and that differs: a line 'path: old, not new' in ret. */
void fields_compare_abi(const StructInfo *info, const void *old, const void *new, const char *path, Buf *ret);
bool fields_equal(const StructInfo *info, const void *a, const void *b);
/* The first field that differs and may not change while the guest runs; NULL: none. */
const Field *fields_find_fixed(const StructInfo *info, const void *old, const void *new);

/* A warning for each field that is given and has no effect, or that will prevent a start. */
void fields_warn_idle(const StructInfo *info, const void *def, Warnings *ret);
/* ERR_CONFIG_UNSUPPORTED when def asks for something that cannot be had: it names it and says why. */
int fields_check_met(const StructInfo *info, const void *def, Error *err);

bool field_applies(const Field *field, const void *def);
/* One value from its text; the error names the field's path. */
int field_parse_text(const Field *field, const char *text, const char *unit, void *def, Arena *arena, Error *err);
/* The value as text without escaping; false: it is not given. */
bool field_format_text(const Field *field, const void *def, Buf *ret);
