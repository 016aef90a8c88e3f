/*
 * img/vmdk-text.c - the descriptor of a VMware disk: which files hold what
 */
#include "img/vmdk.h"

#include "base/buf.h"
#include "base/str.h"
#include "base/uuid.h"
#include "img/bytes.h"

#include <stdlib.h>
#include <strings.h>

enum { MAX_EXTENTS = 4096, IDE_HEADS = 16, OTHER_HEADS = 255, PER_TRACK = 63, MOST_CYLINDERS = 16383 };

bool vmdk_starts_descriptor(const uint8_t *head, size_t n)
{
        const char *text = (const char *)head;
        size_t at = 0;

        /* Comments and empty lines may stand first; then comes a version. */
        while (at < n && (text[at] == '#' || text[at] == ' ' || text[at] == '\n' || text[at] == '\r')) {
                const char *end = memchr(text + at, '\n', n - at);

                if (n - at > 21 && strncasecmp(text + at, "# Disk DescriptorFile", 21) == 0)
                        return true;
                if (!end)
                        return false;
                at = (size_t)(end - text) + 1;
        }
        return n - at >= 9 && (strncmp(text + at, "version=1", 9) == 0 || strncmp(text + at, "version=2", 9) == 0 ||
                               strncmp(text + at, "version=3", 9) == 0);
}

/* What stands between the first pair of quotes. */
static char *quoted(const char *line, const char **after)
{
        const char *open = strchr(line, '"');
        const char *end = open ? strchr(open + 1, '"') : NULL;

        if (after)
                *after = end ? end + 1 : NULL;
        return end && end - open - 1 <= IMAGE_NAME_MAX ? str_dup_n(open + 1, (size_t)(end - open - 1)) : NULL;
}

static int bad_extent(const ImageFile *file, const char *line, const char *why, Error *err)
{
        return err_set(err, ERR_OPERATION_FAILED, "'%s': the extent line '%.200s' %s", file->name, line, why);
}

/* ACCESS SECTORS KIND "name" [offset] */
static int add_extent(const ImageFile *file, const char *line, bool embedded, ImageDescription *ret, Error *err)
{
        static const char *const kinds[] = { "FLAT", "SPARSE", "ZERO", "VMFS", "VMFSSPARSE" };
        AUTO_STRLIST words = str_split(line, " \t");
        VmdkExtent extent = { 0 };
        const char *after = NULL;
        uint64_t sectors, offset = 0;
        bool known = false;

        if (str_list_len(words) < 3 || str_to_u64(words[1], &sectors) < 0 || sectors > INT64_MAX / 512 ||
            add_overflows(ret->virtual_size, sectors * 512, &ret->virtual_size))
                return bad_extent(file, line, "is wrong", err);
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                known |= str_eq(words[2], kinds[i]);
        if (!known)
                return bad_extent(file, line, "is of a kind that is not known here", err);
        extent.size = sectors * 512;
        if (!str_eq(words[2], "ZERO")) {
                extent.name = quoted(line, &after);
                if (!extent.name)
                        return bad_extent(file, line, "has no file name", err);
        }
        while (after && (*after == ' ' || *after == '\t'))
                after++;
        if (after && *after)
                offset = strtoull(after, NULL, 10);
        if (offset > INT64_MAX / 1024) {
                free(extent.name);
                return bad_extent(file, line, "starts too far into its file", err);
        }
        extent.offset = offset * 512;
        extent.kind = str_dup(words[2]);
        vec_push(&ret->vmdk->extents, extent);
        if (!embedded && extent.name)
                vec_push(&ret->data_files, str_dup(extent.name));
        if (ret->vmdk->extents.len > MAX_EXTENTS)
                return err_set(err, ERR_OPERATION_FAILED, "'%s' has over %d extents", file->name, MAX_EXTENTS);
        return 0;
}

/* A number of eight hex digits; what is no number is 0xffffffff, as nothing. */
static uint32_t hex_of(const char *text)
{
        char *end;
        unsigned long value = strtoul(text, &end, 16);

        return end == text || value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

int vmdk_text_parse(const ImageFile *file, const char *text, bool embedded, ImageDescription *ret, Error *err)
{
        AUTO_STRLIST lines = str_split(text, "\r\n");

        ret->vmdk = mem_new(VmdkDescription);
        ret->vmdk->cid = ret->vmdk->parent_cid = UINT32_MAX;
        for (char **line = lines; *line; line++) {
                if (str_starts(*line, "RW ") || str_starts(*line, "RDONLY ") || str_starts(*line, "NOACCESS ")) {
                        if (add_extent(file, *line, embedded, ret, err) < 0)
                                return -1;
                } else if (str_starts(*line, "parentFileNameHint")) {
                        free(ret->backing_file);
                        ret->backing_file = quoted(*line, NULL);
                        str_replace(&ret->backing_format, "vmdk");
                } else if (str_starts(*line, "CID=")) {
                        ret->vmdk->cid = hex_of(*line + strlen("CID="));
                } else if (str_starts(*line, "parentCID=")) {
                        ret->vmdk->parent_cid = hex_of(*line + strlen("parentCID="));
                } else if (str_starts(*line, "createType")) {
                        free(ret->vmdk->create_type);
                        ret->vmdk->create_type = quoted(*line, NULL);
                }
        }
        return 0;
}

char *vmdk_text_make(const ImageCreate *how, const char *type, char *const *names, size_t n, uint64_t per_extent)
{
        const char *adapter = how->adapter_type ?: "ide";
        unsigned heads = str_eq(adapter, "ide") ? IDE_HEADS : OTHER_HEADS;
        const char *hardware = how->hardware_version ?: how->compat6 ? "6" : "4";
        bool flat = str_ends(type, "Flat");
        uint64_t left = round_up(how->size, 512);
        AUTO(Buf) text = { 0 };
        uint32_t cid;
        Uuid random;

        uuid_new_random(&random);
        memcpy(&cid, random.bytes, sizeof(cid));
        buf_format(&text, "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\ncreateType=\"%s\"\n",
                   cid & 0xfffffffeU, how->backing_file ? how->parent_cid : UINT32_MAX, type);
        if (how->backing_file)
                buf_format(&text, "parentFileNameHint=\"%s\"\n", how->backing_file);
        buf_put_text(&text, "\n# Extent description\n");
        for (size_t i = 0; i < n; i++) {
                uint64_t size = MIN(left, per_extent);

                buf_format(&text, "RW %llu %s \"%s\"%s\n", (unsigned long long)(size / 512), flat ? "FLAT" : "SPARSE",
                           names[i], flat ? " 0" : "");
                left -= size;
        }
        buf_format(
                &text,
                "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"%s\"\nddb.geometry.cylinders = \"%llu\"\n"
                "ddb.geometry.heads = \"%u\"\nddb.geometry.sectors = \"%d\"\nddb.adapterType = \"%s\"\n"
                "ddb.toolsVersion = \"%s\"\n",
                hardware,
                MIN((unsigned long long)(how->size / 512 / heads / PER_TRACK), (unsigned long long)MOST_CYLINDERS),
                heads, PER_TRACK, adapter, how->tools_version ?: "2147483647");
        return buf_take(&text);
}
