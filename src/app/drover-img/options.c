/*
 * app/drover-img/options.c - creation options: -o name=value,...
 */
#include "app/drover-img/command.h"

#include "base/mem.h"
#include "base/str.h"

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

void options_done(Options *options)
{
        for (size_t i = 0; i < options->len; i++) {
                free(options->items[i].name);
                free(options->items[i].value);
        }
        vec_done(options);
}

static int to_bool(const Option *option, bool *ret, Error *err)
{
        if (str_eq(option->value, "on") || str_eq(option->value, "yes") || str_eq(option->value, "true"))
                *ret = true;
        else if (str_eq(option->value, "off") || str_eq(option->value, "no") || str_eq(option->value, "false"))
                *ret = false;
        else
                return err_set(err, ERR_INVALID_ARG, "Parameter '%s' expects 'on' or 'off'", option->name);
        return 0;
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

static int apply_qcow2(const Option *option, ImageCreate *how, Error *err)
{
        const char *name = option->name, *value = option->value;

        if (str_eq(name, "compat")) {
                how->version = str_eq(value, "0.10") || str_eq(value, "v2")  ? 2
                               : str_eq(value, "1.1") || str_eq(value, "v3") ? 3
                                                                             : 0;
                return how->version ? 0 : err_set(err, ERR_INVALID_ARG, "Invalid compatibility level: '%s'", value);
        }
        if (str_eq(name, "compression_type")) {
                how->zstd = str_eq(value, "zstd");
                return how->zstd || str_eq(value, "zlib")
                               ? 0
                               : err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s' for compression_type", value);
        }
        if (str_eq(name, "cluster_size"))
                return to_number(option, &how->cluster_size, err);
        if (str_eq(name, "refcount_bits"))
                return to_number(option, &how->refcount_bits, err);
        if (str_eq(name, "lazy_refcounts"))
                return to_bool(option, &how->lazy_refcounts, err);
        if (str_eq(name, "extended_l2"))
                return to_bool(option, &how->extended_l2, err);
        if (str_eq(name, "data_file_raw"))
                return to_bool(option, &how->data_file_raw, err);
        if (str_eq(name, "data_file")) {
                how->data_file_name = value;
                return 0;
        }
        if (str_eq(name, "backing_file")) {
                how->backing_file = value;
                return 0;
        }
        if (str_eq(name, "backing_fmt")) {
                how->backing_format = value;
                return 0;
        }
        if (str_starts(name, "encrypt"))
                return err_set(err, ERR_ARGUMENT_UNSUPPORTED, "encrypted images are not supported");
        return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s'", name);
}

int options_apply(const Options *options, ImageFormat format, ImageCreate *how, Error *err)
{
        for (size_t i = 0; i < options->len; i++) {
                const Option *option = &options->items[i];

                if (str_eq(option->name, "preallocation")) {
                        if (preallocation_from_text(option->value, &how->preallocation, err) < 0)
                                return -1;
                } else if (str_eq(option->name, "size")) {
                        if (size_from_text(option->value, "image size", &how->size, err) < 0)
                                return -1;
                } else if (format == IMAGE_FORMAT_QCOW2) {
                        if (apply_qcow2(option, how, err) < 0)
                                return -1;
                } else if (str_eq(option->name, "backing_file") || str_eq(option->name, "backing_fmt")) {
                        return err_set(err, ERR_OPERATION_UNSUPPORTED,
                                       "Backing file not supported for file format '%s'", image_format_name(format));
                } else {
                        return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s'", option->name);
                }
        }
        return 0;
}
