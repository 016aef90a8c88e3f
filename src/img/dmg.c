/*
 * img/dmg.c - Apple disk images (read only, CON-17)
 *
 * Recognised by the 512 bytes at the end of the file. They say where a
 * property list is, or a resource fork; both hold tables ("mish") of chunks.
 * A chunk is zeros, stands as it is, or is compressed with zlib or bzip2; one
 * compressed otherwise is named and refused when it is read.
 */
#include "img/driver.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "img/bytes.h"

#include <bzlib.h>
#include <pthread.h>
#include <zlib.h>

enum {
        TRAILER_SIZE = 512,
        AT_FORK_OFFSET = 0x28,
        AT_FORK_LENGTH = 0x30,
        AT_FORK_START = 0x18, /* of the data */
        AT_XML_OFFSET = 0xd8,
        AT_XML_LENGTH = 0xe0,
        AT_SECTORS = 0x1ec,
        MOST_TABLES = 16 << 20, /* bytes of the property list, or of the fork */
        MISH_HEAD = 204,
        AT_FIRST_SECTOR = 8,
        AT_MISH_DATA = 24,
        AT_CHUNKS = 200,
        CHUNK_SIZE = 40,
        MOST_CHUNKS = 1 << 20,
        MOST_SECTORS = 131072, /* of a compressed chunk */
        MOST_PACKED = 64 << 20,
        SECTOR = 512,
};

typedef enum ChunkKind {
        CHUNK_ZERO = 0x00000000,
        CHUNK_RAW = 0x00000001,
        CHUNK_IGNORE = 0x00000002,
        CHUNK_ZLIB = (int)0x80000005,
        CHUNK_BZIP2 = (int)0x80000006,
        CHUNK_COMMENT = 0x7ffffffe,
        CHUNK_LAST = (int)0xffffffff,
} ChunkKind;

typedef struct Chunk {
        ChunkKind kind;
        uint64_t start, length; /* bytes of the disk */
        uint64_t offset, packed;
} Chunk;

typedef struct Dmg {
        VEC(Chunk) chunks; /* by start, none over another */
        pthread_mutex_t lock;
        const Chunk *loaded; /* what `data` holds */
        uint8_t *data;       /* owned */
} Dmg;

static bool dmg_probe_tail(const uint8_t *tail, size_t n)
{
        return n >= TRAILER_SIZE && memcmp(tail, "koly", 4) == 0;
}

static int read_trailer(ImageFile *file, uint8_t tail[TRAILER_SIZE], uint64_t *at, Error *err)
{
        uint64_t size;

        if (image_file_size(file, &size, err) < 0)
                return -1;
        if (size < TRAILER_SIZE)
                return image_bad_field(err, file, 0, "file", "is too short for a dmg image");
        *at = size - TRAILER_SIZE;
        if (image_file_read(file, *at, tail, TRAILER_SIZE, err) < 0)
                return -1;
        return dmg_probe_tail(tail, TRAILER_SIZE)
                       ? 0
                       : image_bad_field(err, file, *at, "trailer", "is not that of a dmg image");
}

static int dmg_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t tail[TRAILER_SIZE];
        uint64_t at;

        if (read_trailer(file, tail, &at, err) < 0)
                return -1;
        if (mul_overflows(load_be64(tail + AT_SECTORS), SECTOR, &ret->virtual_size))
                return image_bad_field(err, file, at + AT_SECTORS, "sector count", "is too large");
        return 0;
}

/* One chunk of a table, which begins at `first` of the disk; data_at: what its offset counts from. */
static int add_chunk(Image *image, const uint8_t *row, uint64_t first, uint64_t data_at, uint64_t where, Error *err)
{
        Dmg *d = image->state;
        uint64_t sector = load_be64(row + 8), sectors = load_be64(row + 16);
        Chunk chunk = { .kind = (ChunkKind)(int)load_be32(row), .packed = load_be64(row + 32) };
        bool packed;

        if (chunk.kind == CHUNK_COMMENT || chunk.kind == CHUNK_LAST || sectors == 0)
                return 0;
        if (add_overflows(sector, first, &sector) || sector > INT64_MAX / 1024 || sectors > INT64_MAX / 1024 ||
            (sector + sectors) * SECTOR > image->size)
                return image_bad_field(err, image->file, where, "chunk",
                                       "of %llu sectors at sector %llu is not on the disk",
                                       (unsigned long long)sectors, (unsigned long long)sector);
        if (add_overflows(load_be64(row + 24), data_at, &chunk.offset) || chunk.offset > INT64_MAX / 2)
                return image_bad_field(err, image->file, where, "chunk", "stands too far into the file");
        packed = chunk.kind != CHUNK_ZERO && chunk.kind != CHUNK_IGNORE && chunk.kind != CHUNK_RAW;
        if (packed && (sectors > MOST_SECTORS || chunk.packed > MOST_PACKED))
                return image_bad_field(err, image->file, where, "chunk", "has %llu sectors in %llu bytes: too large",
                                       (unsigned long long)sectors, (unsigned long long)chunk.packed);
        if (chunk.kind == CHUNK_RAW && chunk.packed < sectors * SECTOR)
                return image_bad_field(err, image->file, where, "chunk", "of %llu sectors has %llu bytes",
                                       (unsigned long long)sectors, (unsigned long long)chunk.packed);
        chunk.start = sector * SECTOR;
        chunk.length = sectors * SECTOR;
        if (d->chunks.len >= MOST_CHUNKS)
                return image_bad_field(err, image->file, where, "table of chunks", "has over %d", MOST_CHUNKS);
        vec_push(&d->chunks, chunk);
        return 0;
}

static int add_table(Image *image, const uint8_t *table, size_t n, uint64_t data_start, uint64_t where, Error *err)
{
        uint64_t data_at;
        uint32_t chunks;

        if (n < MISH_HEAD || memcmp(table, "mish", 4) != 0)
                return 0; /* another resource */
        if (add_overflows(data_start, load_be64(table + AT_MISH_DATA), &data_at))
                return image_bad_field(err, image->file, where, "table of chunks", "stands too far into the file");
        chunks = load_be32(table + AT_CHUNKS);
        if (chunks > (n - MISH_HEAD) / CHUNK_SIZE)
                return image_bad_field(err, image->file, where, "table of chunks", "has %u chunks in %zu bytes",
                                       chunks, n);
        for (uint32_t i = 0; i < chunks; i++)
                if (add_chunk(image, table + MISH_HEAD + (size_t)i * CHUNK_SIZE, load_be64(table + AT_FIRST_SECTOR),
                              data_at, where, err) < 0)
                        return -1;
        return 0;
}

/* Every <data> of the property list; those that are no tables are passed over. */
static int add_property_list(Image *image, char *text, uint64_t where, uint64_t data_start, Error *err)
{
        static const char open[] = "<data>", close[] = "</data>";
        char *at = strstr(text, "<key>blkx</key>"), *list_end = at ? strstr(at, "</array>") : NULL;

        while (at && (at = strstr(at, open)) && (!list_end || at < list_end)) {
                char *from = at + strlen(open), *end = strstr(from, close);
                uint64_t place = where + (uint64_t)(at - text);
                AUTOFREE uint8_t *data = NULL;
                size_t n;

                if (!end)
                        return image_bad_field(err, image->file, place, "property list", "ends inside <data>");
                *end = '\0';
                data = mem_alloc((size_t)(end - from) + 3);
                if (str_from_base64(from, data, &n) < 0)
                        return image_bad_field(err, image->file, place, "property list",
                                               "has <data> that is not base64");
                if (add_table(image, data, n, data_start, place, err) < 0)
                        return -1;
                at = end + 1;
        }
        return 0;
}

/* The resource fork: a list of resources, each with its length before it. */
static int add_fork(Image *image, const uint8_t *fork, size_t n, uint64_t where, uint64_t data_start, Error *err)
{
        uint64_t at = n >= 16 ? load_be32(fork) : n, end;

        end = n >= 16 ? at + load_be32(fork + 8) : 0;
        if (n < 16 || end > n)
                return image_bad_field(err, image->file, where, "resource fork", "is cut off");
        while (at + 4 <= end) {
                uint64_t length = load_be32(fork + at);

                if (length > end - at - 4)
                        return image_bad_field(err, image->file, where + at, "resource", "has %llu bytes",
                                               (unsigned long long)length);
                if (add_table(image, fork + at + 4, length, data_start, where + at, err) < 0)
                        return -1;
                at += 4 + length;
        }
        return 0;
}

static int by_start(const void *a, const void *b)
{
        const Chunk *x = a, *y = b;

        return x->start < y->start ? -1 : x->start > y->start;
}

static int sort_chunks(Image *image, uint64_t where, Error *err)
{
        Dmg *d = image->state;

        if (d->chunks.len)
                qsort(d->chunks.items, d->chunks.len, sizeof(Chunk), by_start);
        for (size_t i = 1; i < d->chunks.len; i++)
                if (d->chunks.items[i - 1].start + d->chunks.items[i - 1].length > d->chunks.items[i].start)
                        return image_bad_field(err, image->file, where, "table of chunks",
                                               "has two chunks for byte %llu of the disk",
                                               (unsigned long long)d->chunks.items[i].start);
        return 0;
}

static int read_tables(Image *image, Error *err)
{
        AUTOFREE uint8_t *tables = NULL;
        uint8_t tail[TRAILER_SIZE];
        uint64_t trailer, at, n, data_start;
        bool xml;
        int r;

        if (read_trailer(image->file, tail, &trailer, err) < 0)
                return -1;
        data_start = load_be64(tail + AT_FORK_START);
        xml = load_be64(tail + AT_XML_LENGTH) != 0;
        at = load_be64(tail + (xml ? AT_XML_OFFSET : AT_FORK_OFFSET));
        n = load_be64(tail + (xml ? AT_XML_LENGTH : AT_FORK_LENGTH));
        if (n == 0 || n > MOST_TABLES || at > trailer || n > trailer - at || data_start > INT64_MAX / 2)
                return image_bad_field(err, image->file, trailer + (xml ? AT_XML_OFFSET : AT_FORK_OFFSET),
                                       xml ? "property list" : "resource fork", "has %llu bytes at offset %llu",
                                       (unsigned long long)n, (unsigned long long)at);
        tables = mem_try(n + 1);
        if (!tables)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for its tables", image_name(image));
        if (image_file_read(image->file, at, tables, n, err) < 0)
                return -1;
        r = xml ? add_property_list(image, (char *)tables, at, data_start, err)
                : add_fork(image, tables, n, at, data_start, err);
        return r < 0 ? -1 : sort_chunks(image, at, err);
}

static int dmg_close(Image *image, Error *err)
{
        Dmg *d = image->state;

        (void)err;
        vec_done(&d->chunks);
        free(d->data);
        pthread_mutex_destroy(&d->lock);
        free(d);
        image->state = NULL;
        return 0;
}

static int dmg_open(Image *image, Error *err)
{
        Dmg *d = mem_new(Dmg);

        pthread_mutex_init(&d->lock, NULL);
        image->state = d;
        if (read_tables(image, err) == 0)
                return 0;
        dmg_close(image, NULL);
        return -1;
}

/* The chunk at offset, or the next one behind it; NULL: there is none. */
static const Chunk *chunk_at(const Dmg *d, uint64_t offset)
{
        size_t low = 0, high = d->chunks.len;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (d->chunks.items[middle].start + d->chunks.items[middle].length <= offset)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < d->chunks.len ? &d->chunks.items[low] : NULL;
}

static int dmg_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        const Chunk *chunk = chunk_at(image->state, offset);

        (void)err;
        *ret = (ImageExtent){ .start = offset, .length = length, .present = true, .zero = true };
        if (!chunk)
                return 0;
        if (chunk->start > offset) {
                ret->length = MIN(length, chunk->start - offset);
                return 0;
        }
        ret->length = MIN(length, chunk->start + chunk->length - offset);
        ret->zero = chunk->kind == CHUNK_ZERO || chunk->kind == CHUNK_IGNORE;
        ret->data = !ret->zero;
        ret->has_offset = chunk->kind == CHUNK_RAW;
        ret->compressed = ret->data && !ret->has_offset;
        ret->offset = ret->has_offset ? chunk->offset + (offset - chunk->start) : 0;
        return 0;
}

static const char *kind_name(ChunkKind kind)
{
        switch ((uint32_t)kind) {
        case 0x80000004:
                return "ADC";
        case 0x80000007:
                return "LZFSE";
        case 0x80000008:
                return "LZMA";
        default:
                return "a way that is not known here";
        }
}

/* The whole chunk into d->data. */
static int unpack(Image *image, const Chunk *chunk, Error *err)
{
        AUTOFREE uint8_t *packed = mem_try(chunk->packed);
        uint8_t *data = mem_try(chunk->length);
        Dmg *d = image->state;
        bool good = false;

        free(d->data);
        d->data = data;
        d->loaded = NULL;
        if (chunk->kind != CHUNK_ZLIB && chunk->kind != CHUNK_BZIP2)
                return err_set(
                        err, ERR_OPERATION_UNSUPPORTED,
                        "'%s': the chunk at offset %llu is compressed with %s (type 0x%x), which is not read here",
                        image_name(image), (unsigned long long)chunk->offset, kind_name(chunk->kind),
                        (unsigned)chunk->kind);
        if (!packed || !data)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a chunk", image_name(image));
        if (image_file_read(image->file, chunk->offset, packed, chunk->packed, err) < 0)
                return -1;
        if (chunk->kind == CHUNK_ZLIB) {
                uLongf n = (uLongf)chunk->length;

                good = uncompress(data, &n, packed, (uLong)chunk->packed) == Z_OK && n == chunk->length;
        } else {
                unsigned n = (unsigned)chunk->length;

                good = BZ2_bzBuffToBuffDecompress((char *)data, &n, (char *)packed, (unsigned)chunk->packed, 0, 0) ==
                               BZ_OK &&
                       n == chunk->length;
        }
        if (!good)
                return err_set(err, ERR_OPERATION_FAILED, "'%s': the chunk at offset %llu is damaged",
                               image_name(image), (unsigned long long)chunk->offset);
        d->loaded = chunk;
        return 0;
}

static int dmg_read(Image *image, uint64_t offset, void *data, size_t n, Error *err)
{
        Dmg *d = image->state;

        while (n) {
                const Chunk *chunk = chunk_at(d, offset);
                ImageExtent extent;
                size_t step;
                int r = 0;

                dmg_map(image, offset, n, &extent, err);
                step = (size_t)extent.length;
                if (extent.zero) {
                        memset(data, 0, step);
                } else if (extent.has_offset) {
                        r = image_file_read(image->file, extent.offset, data, step, err);
                } else {
                        pthread_mutex_lock(&d->lock);
                        if (d->loaded != chunk)
                                r = unpack(image, chunk, err);
                        if (r == 0)
                                memcpy(data, d->data + (offset - chunk->start), step);
                        pthread_mutex_unlock(&d->lock);
                }
                if (r < 0)
                        return -1;
                offset += step;
                data = (char *)data + step;
                n -= step;
        }
        return 0;
}

const ImageDriver image_driver_dmg = {
        .name = "dmg",
        .probe_tail = dmg_probe_tail,
        .describe = dmg_describe,
        .open = dmg_open,
        .close = dmg_close,
        .map = dmg_map,
        .read = dmg_read,
};
