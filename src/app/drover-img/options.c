/*
 * app/drover-img/options.c - creation options: -o name=value,...
 *
 * One table says which options a format has, what their values are, where they
 * go and what -o help says of them.
 */
#include "app/drover-img/command.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>

static void option_put(Options *options, Buf *name, Buf *value, bool has_value)
{
        Option option = { .name = str_dup(buf_text(name)), .value = str_dup(has_value ? buf_text(value) : "on") };

        vec_push(options, option);
        buf_clear(name);
        buf_clear(value);
}

int options_add(Options *options, const char *text, Error *err)
{
        AUTO(Buf) name = { 0 }, value = { 0 };
        bool has_value = false;

        for (const char *p = text; *p; p++) {
                if (*p == ',' && p[1] == ',') {
                        buf_put_char(has_value ? &value : &name, *p++);
                } else if (*p == ',') {
                        option_put(options, &name, &value, has_value);
                        has_value = false;
                } else if (*p == '=' && !has_value) {
                        has_value = true;
                } else {
                        buf_put_char(has_value ? &value : &name, *p);
                }
        }
        if (name.len == 0)
                return err_set(err, ERR_INVALID_ARG, "Invalid option list: %s", text);
        option_put(options, &name, &value, has_value);
        return 0;
}

const char *options_find(const Options *options, const char *name)
{
        for (size_t i = options->len; i > 0; i--)
                if (str_eq(options->items[i - 1].name, name))
                        return options->items[i - 1].value;
        return NULL;
}

const char *options_take(Options *options, const char *name)
{
        const char *found = NULL;

        for (size_t i = 0; i < options->len; i++) {
                if (str_eq(options->items[i].name, name)) {
                        options->items[i].used = true;
                        found = options->items[i].value;
                }
        }
        return found;
}

const Option *options_unused(const Options *options)
{
        for (size_t i = 0; i < options->len; i++)
                if (!options->items[i].used)
                        return &options->items[i];
        return NULL;
}

void options_done(Options *options)
{
        for (size_t i = 0; i < options->len; i++) {
                free(options->items[i].name);
                free(options->items[i].value);
        }
        vec_done(options);
}

int preallocation_from_text(const char *text, ImagePreallocation *ret, Error *err)
{
        static const char *const names[] = { "off", "metadata", "falloc", "full" };

        for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
                if (str_eq(text, names[i])) {
                        *ret = i;
                        return 0;
                }
        }
        return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s' for preallocation", text);
}

/* What an option's value is, and how it goes into ImageCreate. */
typedef enum OptionKind {
        OPTION_SIZE,   /* uint64_t */
        OPTION_UNIT,   /* a size in an unsigned */
        OPTION_NUMBER, /* unsigned */
        OPTION_BOOL,   /* bool */
        OPTION_TEXT,   /* const char *, which stays the Options' */
        OPTION_PREALLOCATION,
        OPTION_COMPAT,
        OPTION_COMPRESSION,
        OPTION_SECRET,         /* const ImageSecret *, by its id */
        OPTION_ENCRYPT_FORMAT, /* bool: luks */
        OPTION_OLD_ENCRYPTION, /* bool: must be off */
} OptionKind;

typedef struct OptionRow {
        ImageFormat format;
        const char *name;
        OptionKind kind;
        size_t at;
        const char *usual; /* what qemu-img prints when nobody gave it; NULL: nothing */
        const char *help;
} OptionRow;

#define USUAL(format, name, kind, field, usual, help)                                                                \
        {                                                                                                            \
                IMAGE_FORMAT_##format, name, OPTION_##kind, offsetof(ImageCreate, field), usual, help                \
        }
#define ROW(format, name, kind, field, help) USUAL(format, name, kind, field, NULL, help)

#define LUKS_ROWS(format, prefix)                                                                                    \
        ROW(format, prefix "key-secret", SECRET, luks.secret, "ID of the secret that holds the password"),           \
                ROW(format, prefix "cipher-alg", TEXT, luks.cipher, "Name of encryption cipher algorithm"),          \
                ROW(format, prefix "cipher-mode", TEXT, luks.mode, "Name of encryption cipher mode"),                \
                ROW(format, prefix "ivgen-alg", TEXT, luks.iv, "Name of IV generator algorithm"),                    \
                ROW(format, prefix "ivgen-hash-alg", TEXT, luks.iv_digest, "Name of IV generator hash algorithm"),   \
                ROW(format, prefix "hash-alg", TEXT, luks.digest, "Name of hash of the password"),                   \
                ROW(format, prefix "iter-time", NUMBER, luks.iter_time_ms, "Time to spend on a password in ms")

/* The creation options of every format that is written, in the order in which qemu-img prints them. */
static const OptionRow rows[] = {
        ROW(RAW, "size", SIZE, size, "Virtual disk size"),
        ROW(RAW, "preallocation", PREALLOCATION, preallocation, "Preallocation mode (off, falloc, full)"),
        ROW(QCOW2, "encryption", OLD_ENCRYPTION, encrypt, "Old AES encryption, which is only read: off"),
        ROW(QCOW2, "encrypt.format", ENCRYPT_FORMAT, encrypt, "Encrypt the image (luks)"),
        LUKS_ROWS(QCOW2, "encrypt."),
        USUAL(QCOW2, "cluster_size", UNIT, cluster_size, "65536", "qcow2 cluster size"),
        USUAL(QCOW2, "extended_l2", BOOL, extended_l2, "off", "Extended L2 tables"),
        ROW(QCOW2, "preallocation", PREALLOCATION, preallocation, "Preallocation mode (off, metadata, falloc, full)"),
        USUAL(QCOW2, "compression_type", COMPRESSION, zstd, "zlib", "How clusters are compressed (zlib, zstd)"),
        ROW(QCOW2, "size", SIZE, size, "Virtual disk size"),
        ROW(QCOW2, "compat", COMPAT, version, "Compatibility level (v2 [0.10] or v3 [1.1])"),
        ROW(QCOW2, "backing_file", TEXT, backing_file, "File name of a base image"),
        ROW(QCOW2, "backing_fmt", TEXT, backing_format, "Image format of the base image"),
        ROW(QCOW2, "data_file", TEXT, data_file_name, "File name of an external data file"),
        ROW(QCOW2, "data_file_raw", BOOL, data_file_raw, "The external data file must stay valid as a raw image"),
        USUAL(QCOW2, "lazy_refcounts", BOOL, lazy_refcounts, "off", "Postpone refcount updates"),
        USUAL(QCOW2, "refcount_bits", NUMBER, refcount_bits, "16", "Width of a reference count entry in bits"),
        ROW(LUKS, "size", SIZE, size, "Virtual disk size"),
        LUKS_ROWS(LUKS, ""),
        ROW(LUKS, "preallocation", PREALLOCATION, preallocation, "Preallocation mode (off, falloc, full)"),
        ROW(QCOW, "size", SIZE, size, "Virtual disk size"),
        ROW(QCOW, "backing_file", TEXT, backing_file, "File name of a base image"),
        ROW(QCOW, "backing_fmt", TEXT, backing_format, "Format of the backing image; the header does not keep it"),
        ROW(VMDK, "size", SIZE, size, "Virtual disk size"),
        ROW(VMDK, "adapter_type", TEXT, adapter_type,
            "Virtual adapter: ide (default), lsilogic, buslogic or legacyESX"),
        ROW(VMDK, "backing_file", TEXT, backing_file, "File name of a base image"),
        ROW(VMDK, "backing_fmt", TEXT, backing_format, "Must be 'vmdk' if present"),
        USUAL(VMDK, "compat6", BOOL, compat6, "off", "VMDK version 6 image"),
        USUAL(VMDK, "hwversion", TEXT, hardware_version, "undefined", "VMDK hardware version"),
        ROW(VMDK, "toolsversion", TEXT, tools_version, "VMware guest tools version"),
        ROW(VMDK, "subformat", TEXT, subformat,
            "Files of the disk: monolithicSparse (default), monolithicFlat, twoGbMaxExtentSparse, twoGbMaxExtentFlat or "
            "streamOptimized"),
        ROW(VMDK, "zeroed_grain", BOOL, zeroed_grain, "Zeros can be told by the table alone"),
        ROW(VDI, "size", SIZE, size, "Virtual disk size"),
        USUAL(VDI, "static", BOOL, is_static, "off", "VDI static (pre-allocated) image"),
        ROW(VDI, "preallocation", PREALLOCATION, preallocation, "Preallocation mode (off, metadata: as static)"),
        ROW(VPC, "size", SIZE, size, "Virtual disk size"),
        ROW(VPC, "backing_file", TEXT, backing_file, "File name of a base image"),
        ROW(VPC, "backing_fmt", TEXT, backing_format, "Must be 'vpc' if present"),
        ROW(VPC, "subformat", TEXT, subformat, "Kind of image: dynamic (default) or fixed"),
        ROW(VPC, "force_size", BOOL, force_size, "Take exactly this size, not the next one that has a geometry"),
        ROW(VHDX, "size", SIZE, size, "Virtual disk size; max of 64TB"),
        USUAL(VHDX, "log_size", SIZE, log_size, "1048576", "Log size; min 1MB"),
        USUAL(VHDX, "block_size", UNIT, cluster_size, "0",
              "Block size; min 1MB, max 256MB; 0: chosen by the image's size"),
        ROW(VHDX, "subformat", TEXT, subformat, "Kind of image: dynamic (default) or fixed"),
        ROW(VHDX, "block_state_zero", BOOL, zero_blocks, "Taken, of no effect: what is not written has no block"),
        ROW(PARALLELS, "size", SIZE, size, "Virtual disk size"),
        USUAL(PARALLELS, "cluster_size", UNIT, cluster_size, "1048576", "Parallels image cluster size"),
};

/* What the file of an image takes, whatever its format is. */
static const OptionRow file_rows[] = {
        ROW(RAW, "extent_size_hint", SIZE, extent_size_hint,
            "In what steps a file of XFS takes room; 0: as it likes"),
        ROW(RAW, "nocow", BOOL, nocow, "A file of btrfs is written in place"),
};

static const OptionRow *find_row(ImageFormat format, const char *name)
{
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (rows[i].format == format && str_eq(rows[i].name, name))
                        return &rows[i];
        for (size_t i = 0; i < ARRAY_LEN(file_rows); i++)
                if (str_eq(file_rows[i].name, name))
                        return &file_rows[i];
        return NULL;
}

static const char *kind_text(OptionKind kind)
{
        switch (kind) {
        case OPTION_SIZE:
        case OPTION_UNIT:
                return "size";
        case OPTION_NUMBER:
                return "num";
        case OPTION_BOOL:
        case OPTION_OLD_ENCRYPTION:
                return "bool (on/off)";
        default:
                return "str";
        }
}

bool options_help_wanted(const Options *options)
{
        return options_find(options, "help") || options_find(options, "?");
}

static int by_name(const void *a, const void *b)
{
        const OptionRow *const *x = a, *const *y = b;

        return strcmp((*x)->name, (*y)->name);
}

static void print_row(const char *name, const char *kind, const char *help)
{
        AUTOFREE char *value = str_format("%s=<%s>", name, kind);

        printf("  %-22s - %s\n", value, help);
}

int options_help(const char *format_name, bool file_named, Error *err)
{
        const OptionRow *listed[ARRAY_LEN(rows) + ARRAY_LEN(file_rows)];
        ImageFormat format;
        size_t n = 0;

        if (image_format_from_name(format_name, &format, err) < 0)
                return -1;
        /* Those of the file are told when it is named; how much room raw takes at once is one of them. */
        if (file_named)
                printf("Supported options:\n");
        else
                printf("Supported %s options:\n", format_name);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (rows[i].format == format &&
                    (file_named || format != IMAGE_FORMAT_RAW || rows[i].kind != OPTION_PREALLOCATION))
                        listed[n++] = &rows[i];
        for (size_t i = 0; i < ARRAY_LEN(file_rows) && file_named; i++)
                listed[n++] = &file_rows[i];
        qsort(listed, n, sizeof(listed[0]), by_name);
        for (size_t i = 0; i < n; i++)
                print_row(listed[i]->name, kind_text(listed[i]->kind), listed[i]->help);
        if (!file_named)
                printf("\nThe protocol level may support further options.\n"
                       "Specify the target filename to include those options.\n");
        return 0;
}

/* In qemu-img's order. Those of a key slot have a kind and a help text of their own, the others what they have for `create`. */
static const struct {
        const char *name, *key_kind, *key_help;
} amends[] = {
        { "backing_file" },
        { "backing_fmt" },
        { "compat" },
        { "data_file" },
        { "data_file_raw" },
        { "iter-time", "num", "Time to spend on a password in ms" },
        { "keyslot", "num", "The one key slot to change" },
        { "new-secret", "str", "ID of the secret with the password to take in" },
        { "old-secret", "str", "ID of the secret with the password whose slots are changed" },
        { "state", "str", "active: take the password in; inactive: shut the slots" },
        { "lazy_refcounts" },
        { "refcount_bits" },
        { "size" },
};

int options_amend_help(ImageFormat format, Error *err)
{
        bool qcow2 = format == IMAGE_FORMAT_QCOW2;

        if (!qcow2 && format != IMAGE_FORMAT_LUKS)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "Format driver '%s' does not support option amendment",
                               image_format_name(format));
        printf("Amend options for '%s':\n", image_format_name(format));
        for (size_t i = 0; i < ARRAY_LEN(amends); i++) {
                if (amends[i].key_kind) {
                        AUTOFREE char *name = str_format("%s%s", qcow2 ? "encrypt." : "", amends[i].name);

                        print_row(name, amends[i].key_kind, amends[i].key_help);
                } else if (qcow2) {
                        const OptionRow *row = find_row(format, amends[i].name);

                        print_row(row->name, kind_text(row->kind), row->help);
                }
        }
        return 0;
}

/* One option as it came to be: what stands in `how`, or what was written. */
static void announce_one(const OptionRow *row, const char *given, const ImageCreate *how)
{
        const void *field = (const char *)how + row->at;

        if (row->at == offsetof(ImageCreate, size)) {
                printf(" size=%llu", (unsigned long long)how->size);
        } else if (row->at == offsetof(ImageCreate, backing_file) ||
                   row->at == offsetof(ImageCreate, backing_format)) {
                if (*(const char *const *)field)
                        printf(" %s=%s", row->name, *(const char *const *)field);
        } else if (given && row->kind == OPTION_SIZE) {
                printf(" %s=%llu", row->name, (unsigned long long)*(const uint64_t *)field);
        } else if (given && (row->kind == OPTION_UNIT || row->kind == OPTION_NUMBER)) {
                printf(" %s=%u", row->name, *(const unsigned *)field);
        } else if (given && row->kind == OPTION_BOOL) {
                printf(" %s=%s", row->name, *(const bool *)field ? "on" : "off");
        } else if (given || row->usual) {
                printf(" %s=%s", row->name, given ?: row->usual);
        }
}

void options_announce(const Options *options, const char *path, ImageFormat format, const ImageCreate *how)
{
        printf("Formatting '%s', fmt=%s", path, image_format_name(format));
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (rows[i].format == format)
                        announce_one(&rows[i], options_find(options, rows[i].name), how);
        for (size_t i = 0; i < ARRAY_LEN(file_rows); i++)
                announce_one(&file_rows[i], options_find(options, file_rows[i].name), how);
        printf("\n");
}

int bool_from_text(const char *name, const char *value, bool *ret, Error *err)
{
        if (str_eq(value, "on") || str_eq(value, "yes") || str_eq(value, "true") || str_eq(value, "y"))
                *ret = true;
        else if (str_eq(value, "off") || str_eq(value, "no") || str_eq(value, "false") || str_eq(value, "n"))
                *ret = false;
        else
                return err_set(err, ERR_INVALID_ARG, "Parameter '%s' expects 'on' or 'off'", name);
        return 0;
}

static int to_bool(const Option *option, bool *ret, Error *err)
{
        return bool_from_text(option->name, option->value, ret, err);
}

static int to_number(const Option *option, unsigned *ret, Error *err)
{
        uint64_t value;

        if (size_from_text(option->value, option->name, &value, err) < 0)
                return -1;
        if (value > 1 << 30)
                return err_set(err, ERR_INVALID_ARG, "'%s' is too large for '%s'", option->value, option->name);
        *ret = (unsigned)value;
        return 0;
}

static int to_compat(const Option *option, unsigned *ret, Error *err)
{
        const char *value = option->value;

        *ret = str_eq(value, "0.10") || str_eq(value, "v2") ? 2 : str_eq(value, "1.1") || str_eq(value, "v3") ? 3 : 0;
        return *ret ? 0 : err_set(err, ERR_INVALID_ARG, "Invalid compatibility level: '%s'", value);
}

static int to_compression(const Option *option, bool *zstd, Error *err)
{
        *zstd = str_eq(option->value, "zstd");
        if (*zstd || str_eq(option->value, "zlib"))
                return 0;
        return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s' for compression_type", option->value);
}

static int old_encryption(Error *err)
{
        return err_set(err, ERR_ARGUMENT_UNSUPPORTED,
                       "the old AES encryption protects little and can only be read: use "
                       "encrypt.format=luks,encrypt.key-secret=ID");
}

static int to_encrypt_format(const Option *option, bool *encrypt, Error *err)
{
        if (str_eq(option->value, "aes"))
                return old_encryption(err);
        *encrypt = str_eq(option->value, "luks");
        return *encrypt ? 0
                        : err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s' for encrypt.format", option->value);
}

static int apply(const OptionRow *row, const Option *option, ImageCreate *how, Error *err)
{
        void *field = (char *)how + row->at;
        bool on;
        int r;

        switch (row->kind) {
        case OPTION_SIZE:
                return size_from_text(option->value,
                                      row->at == offsetof(ImageCreate, size) ? "image size" : row->name, field, err);
        case OPTION_UNIT:
        case OPTION_NUMBER:
                return to_number(option, field, err);
        case OPTION_BOOL:
                return to_bool(option, field, err);
        case OPTION_TEXT:
                *(const char **)field = option->value;
                return 0;
        case OPTION_PREALLOCATION:
                return preallocation_from_text(option->value, field, err);
        case OPTION_COMPAT:
                return to_compat(option, field, err);
        case OPTION_COMPRESSION:
                return to_compression(option, field, err);
        case OPTION_SECRET:
                *(const ImageSecret **)field = secret_find(option->value, err);
                return *(const ImageSecret **)field ? 0 : -1;
        case OPTION_ENCRYPT_FORMAT:
                return to_encrypt_format(option, field, err);
        case OPTION_OLD_ENCRYPTION:
                r = to_bool(option, &on, err);
                return r == 0 && on ? old_encryption(err) : r;
        }
        return 0;
}

int options_apply(const Options *options, ImageFormat format, ImageCreate *how, Error *err)
{
        for (size_t i = 0; i < options->len; i++) {
                const Option *option = &options->items[i];
                const OptionRow *row = find_row(format, option->name);

                if (!row && (str_eq(option->name, "backing_file") || str_eq(option->name, "backing_fmt")))
                        return err_set(err, ERR_OPERATION_UNSUPPORTED,
                                       "Backing file not supported for file format '%s'", image_format_name(format));
                if (!row)
                        return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s'", option->name);
                if (apply(row, option, how, err) < 0)
                        return -1;
        }
        if (how->backing_file && !find_row(format, "backing_file"))
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "Backing file not supported for file format '%s'",
                               image_format_name(format));
        if (how->luks.secret && format == IMAGE_FORMAT_QCOW2 && !how->encrypt)
                return err_set(err, ERR_INVALID_ARG,
                               "Parameter 'encrypt.format' is required with encrypt.key-secret");
        return 0;
}

/* The option of this name behind the prefix. */
static const char *find_behind(const Options *options, const char *prefix, const char *name)
{
        AUTOFREE char *whole = str_format("%s%s", prefix, name);

        return options_find(options, whole);
}

static int find_secret(const Options *options, const char *prefix, const char *name, const ImageSecret **ret,
                       Error *err)
{
        const char *id = find_behind(options, prefix, name);

        *ret = id ? secret_find(id, err) : NULL;
        return id && !*ret ? -1 : 0;
}

int options_key_change(const Options *options, const char *prefix, LuksKeyChange *change, bool *ret, Error *err)
{
        const char *state = find_behind(options, prefix, "state");
        const char *slot = find_behind(options, prefix, "keyslot");
        const char *time = find_behind(options, prefix, "iter-time");
        uint64_t number = 0;

        *ret = state || slot || find_behind(options, prefix, "new-secret") ||
               find_behind(options, prefix, "old-secret");
        if (!*ret)
                return 0;
        if (!state || (!str_eq(state, "active") && !str_eq(state, "inactive")))
                return state ? err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s' for %sstate", state, prefix)
                             : err_set(err, ERR_INVALID_ARG, "Parameter '%sstate' is missing", prefix);
        change->activate = str_eq(state, "active");
        change->slot = -1;
        if (slot && (str_to_u64(slot, &number) < 0 || number > INT32_MAX))
                return err_set(err, ERR_INVALID_ARG, "Parameter '%skeyslot' expects a number", prefix);
        if (slot)
                change->slot = (int)number;
        if (time && (str_to_u64(time, &number) < 0 || number == 0 || number > UINT32_MAX))
                return err_set(err, ERR_INVALID_ARG, "Parameter '%siter-time' expects a number of milliseconds",
                               prefix);
        if (time)
                change->iter_time_ms = (unsigned)number;
        if (find_secret(options, prefix, "new-secret", &change->new_secret, err) < 0)
                return -1;
        return find_secret(options, prefix, "old-secret", &change->old_secret, err);
}
