/*
 * img/vhdx-log.c - the headers of a Hyper-V disk, and its log
 *
 * Two headers take turns; the one with the higher sequence number counts. The
 * log is a ring of entries, each a list of sectors. What counts in it is the
 * sequence of entries that ends with the highest number and reaches back to
 * the entry that this last one names as its tail.
 */
#include "img/vhdx.h"

#include "base/mem.h"
#include "img/bytes.h"

#include <isa-l/crc.h>

enum {
        AT_CHECKSUM = 4,
        ENTRY_HEADER = 64,
        AT_ENTRY_LENGTH = 8,
        AT_TAIL = 12,
        AT_ENTRY_SEQUENCE = 16,
        AT_DESCRIPTORS = 24,
        AT_ENTRY_GUID = 32,
        AT_LAST_OFFSET = 56,
        DESCRIPTOR = 32,
        LEADING = 8,
        TRAILING = 4,
        MOST_READ = 16, /* times the log's length: what may be read while looking for entries */
};

typedef struct Entry {
        uint32_t at, length, tail;
        uint64_t sequence;
} Entry;

typedef struct LogReader {
        ImageFile *file;
        uint64_t offset;
        uint32_t length;
        uint8_t guid[16];
        uint8_t *ring; /* owned */
        VEC(Entry) entries;
} LogReader;

static uint32_t checksum_of(const uint8_t *data, size_t n)
{
        static uint8_t zeros[4];
        uint32_t sum = 0xffffffff;

        sum = crc32_iscsi((uint8_t *)(uintptr_t)data, AT_CHECKSUM, sum);
        sum = crc32_iscsi(zeros, sizeof(zeros), sum);
        return ~crc32_iscsi((uint8_t *)(uintptr_t)data + AT_CHECKSUM + 4, (int)(n - AT_CHECKSUM - 4), sum);
}

void vhdx_put_checksum(uint8_t *data, size_t n)
{
        store_le32(data + AT_CHECKSUM, checksum_of(data, n));
}

bool vhdx_checksum_fits(const uint8_t *data, size_t n)
{
        return load_le32(data + AT_CHECKSUM) == checksum_of(data, n);
}

int vhdx_header_read(ImageFile *file, uint8_t head[VHDX_HEADER_SIZE], uint64_t *at, Error *err)
{
        static const uint64_t places[] = { VHDX_HEADER_1, VHDX_HEADER_2 };
        uint8_t other[VHDX_HEADER_SIZE];
        bool found = false;

        for (size_t i = 0; i < ARRAY_LEN(places); i++) {
                if (image_file_read(file, places[i], other, sizeof(other), err) < 0)
                        return -1;
                if (memcmp(other, "head", 4) != 0 || !vhdx_checksum_fits(other, sizeof(other)) ||
                    (found && load_le64(other + VHDX_AT_SEQUENCE) <= load_le64(head + VHDX_AT_SEQUENCE)))
                        continue;
                memcpy(head, other, sizeof(other));
                *at = places[i];
                found = true;
        }
        if (!found)
                return image_bad_field(err, file, VHDX_HEADER_1, "header",
                                       "has a wrong checksum, and so has its twin");
        if (load_le16(head + VHDX_AT_VERSION) != 1)
                return image_bad_field(err, file, *at + VHDX_AT_VERSION, "version", "is %u: 1 is known",
                                       load_le16(head + VHDX_AT_VERSION));
        return 0;
}

int vhdx_header_write(ImageFile *file, uint8_t head[VHDX_HEADER_SIZE], uint64_t *at, Error *err)
{
        for (unsigned i = 0; i < 2; i++) {
                *at = *at == VHDX_HEADER_1 ? VHDX_HEADER_2 : VHDX_HEADER_1;
                store_le64(head + VHDX_AT_SEQUENCE, load_le64(head + VHDX_AT_SEQUENCE) + 1);
                vhdx_put_checksum(head, VHDX_HEADER_SIZE);
                if (image_file_flush(file, err) < 0 || image_file_write(file, *at, head, VHDX_HEADER_SIZE, err) < 0)
                        return -1;
        }
        return image_file_flush(file, err);
}

/* n bytes of the ring. */
static void ring_copy(const LogReader *r, uint32_t at, void *data, uint32_t n)
{
        uint32_t first = MIN(n, r->length - at);

        memcpy(data, r->ring + at, first);
        memcpy((uint8_t *)data + first, r->ring, n - first);
}

/* An entry at this place that is whole; its bytes are then the caller's. */
static bool read_entry(const LogReader *r, uint32_t at, Entry *entry, uint8_t **bytes, uint64_t *budget)
{
        uint8_t head[ENTRY_HEADER];
        AUTOFREE uint8_t *whole = NULL;

        ring_copy(r, at, head, sizeof(head));
        *entry = (Entry){ .at = at, .length = load_le32(head + AT_ENTRY_LENGTH), .tail = load_le32(head + AT_TAIL) };
        entry->sequence = load_le64(head + AT_ENTRY_SEQUENCE);
        if (memcmp(head, "loge", 4) != 0 || memcmp(head + AT_ENTRY_GUID, r->guid, 16) != 0 || entry->sequence == 0 ||
            entry->length == 0 || entry->length % VHDX_LOG_SECTOR || entry->length > r->length ||
            entry->tail % VHDX_LOG_SECTOR || entry->tail >= r->length || entry->length > *budget)
                return false;
        *budget -= entry->length;
        whole = mem_try(entry->length);
        if (!whole)
                return false;
        ring_copy(r, at, whole, entry->length);
        if (!vhdx_checksum_fits(whole, entry->length))
                return false;
        if (bytes)
                *bytes = TAKE(whole);
        return true;
}

static void find_entries(LogReader *r)
{
        uint64_t budget = (uint64_t)r->length * MOST_READ;
        uint32_t at = 0;

        while (at < r->length) {
                Entry entry;

                if (!read_entry(r, at, &entry, NULL, &budget)) {
                        at += VHDX_LOG_SECTOR;
                        continue;
                }
                vec_push(&r->entries, entry);
                at += entry.length;
        }
}

/* The entry that begins here; entries stand in the order of the ring. */
static const Entry *entry_at(const LogReader *r, uint32_t at)
{
        size_t low = 0, high = r->entries.len;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (r->entries.items[middle].at < at)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < r->entries.len && r->entries.items[low].at == at ? &r->entries.items[low] : NULL;
}

/* How many entries lead from the tail of this one to it, each where the last one ends; 0: not all are there. */
static uint64_t length_of_sequence(const LogReader *r, const Entry *head)
{
        const Entry *entry = entry_at(r, head->tail);

        for (uint64_t n = 1; entry && n <= r->entries.len; n++) {
                const Entry *next;

                if (entry == head)
                        return n;
                /* The next in the ring is the only one that can begin where this one ends. */
                next = entry + 1 == r->entries.items + r->entries.len ? r->entries.items : entry + 1;
                if (next->at != (entry->at + entry->length) % r->length || next->sequence != entry->sequence + 1)
                        return 0;
                entry = next;
        }
        return 0;
}

static const Entry *find_head(const LogReader *r)
{
        const Entry *best = NULL;

        for (size_t i = 0; i < r->entries.len; i++) {
                const Entry *entry = &r->entries.items[i];

                if ((!best || entry->sequence > best->sequence) && length_of_sequence(r, entry))
                        best = entry;
        }
        return best;
}

static int bad_entry(const LogReader *r, const Entry *entry, const char *what, Error *err)
{
        return image_bad_field(err, r->file, r->offset + entry->at, "log entry", "%s", what);
}

static int take_descriptors(const LogReader *r, const Entry *entry, const uint8_t *bytes, VhdxLog *ret, Error *err)
{
        uint32_t n = load_le32(bytes + AT_DESCRIPTORS);
        uint64_t data = round_up(ENTRY_HEADER + (uint64_t)n * DESCRIPTOR, VHDX_LOG_SECTOR);

        if (data > entry->length)
                return bad_entry(r, entry, "has more descriptors than room", err);
        for (uint32_t i = 0; i < n; i++) {
                const uint8_t *d = bytes + ENTRY_HEADER + (size_t)i * DESCRIPTOR;
                VhdxPatch patch = { .offset = load_le64(d + 16), .length = VHDX_LOG_SECTOR };
                bool zero = memcmp(d, "zero", 4) == 0;

                if (zero)
                        patch.length = load_le64(d + 8);
                if (load_le64(d + 24) != entry->sequence || patch.offset > INT64_MAX / 2 ||
                    patch.length > INT64_MAX / 2)
                        return bad_entry(r, entry, "has a descriptor of another entry", err);
                if (!zero) {
                        const uint8_t *sector = bytes + data;

                        if (memcmp(d, "desc", 4) != 0 || data + VHDX_LOG_SECTOR > entry->length ||
                            memcmp(sector, "data", 4) != 0)
                                return bad_entry(r, entry, "has a descriptor without data", err);
                        patch.data = mem_dup(sector, VHDX_LOG_SECTOR);
                        memcpy(patch.data, d + 8, LEADING);
                        memcpy(patch.data + VHDX_LOG_SECTOR - TRAILING, d + 4, TRAILING);
                        data += VHDX_LOG_SECTOR;
                }
                vec_push(&ret->patches, patch);
        }
        ret->file_size = MAX(ret->file_size, load_le64(bytes + AT_LAST_OFFSET));
        return ret->file_size > INT64_MAX / 2 ? bad_entry(r, entry, "says that the file is too long", err) : 0;
}

static int take_sequence(const LogReader *r, const Entry *head, VhdxLog *ret, Error *err)
{
        uint64_t n = length_of_sequence(r, head), budget = UINT64_MAX;
        uint32_t at = head->tail;

        for (uint64_t i = 0; i < n; i++) {
                AUTOFREE uint8_t *bytes = NULL;
                Entry entry;

                if (!read_entry(r, at, &entry, &bytes, &budget))
                        return bad_entry(r, head, "cannot be read again", err);
                if (take_descriptors(r, &entry, bytes, ret, err) < 0)
                        return -1;
                at = (at + entry.length) % r->length;
        }
        return 0;
}

int vhdx_log_read(ImageFile *file, const uint8_t head[VHDX_HEADER_SIZE], VhdxLog *ret, Error *err)
{
        AUTO(VhdxLog) log = { 0 };
        LogReader r = { .file = file, .offset = load_le64(head + VHDX_AT_LOG_OFFSET) };
        static const uint8_t none[16];
        const Entry *last;
        int result = -1;

        r.length = load_le32(head + VHDX_AT_LOG_LENGTH);
        memcpy(r.guid, head + VHDX_AT_LOG_GUID, sizeof(r.guid));
        *ret = (VhdxLog){ 0 };
        if (memcmp(r.guid, none, sizeof(none)) == 0)
                return 0;
        if (r.length == 0 || r.length > VHDX_MOST_LOG || r.length % VHDX_LOG_SECTOR || r.offset > INT64_MAX / 2)
                return image_bad_field(err, file, VHDX_HEADER_1 + VHDX_AT_LOG_LENGTH, "log length",
                                       "is %u at offset %llu", r.length, (unsigned long long)r.offset);
        r.ring = mem_try(r.length);
        if (!r.ring)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for its log", file->name);
        if (image_file_read(file, r.offset, r.ring, r.length, err) == 0) {
                find_entries(&r);
                last = find_head(&r);
                result = last ? take_sequence(&r, last, &log, err)
                              : image_bad_field(err, file, r.offset, "log", "has no whole sequence of entries");
        }
        free(r.ring);
        vec_done(&r.entries);
        if (result < 0)
                return -1;
        *ret = log;
        log = (VhdxLog){ 0 };
        return 0;
}

void vhdx_log_done(VhdxLog *log)
{
        for (size_t i = 0; i < log->patches.len; i++)
                free(log->patches.items[i].data);
        vec_done(&log->patches);
        *log = (VhdxLog){ 0 };
}

void vhdx_log_apply(const VhdxLog *log, uint64_t offset, uint8_t *data, size_t n)
{
        for (size_t i = 0; i < log->patches.len; i++) {
                const VhdxPatch *p = &log->patches.items[i];
                uint64_t from = MAX(offset, p->offset), to = MIN(offset + n, p->offset + p->length);

                if (from >= to)
                        continue;
                if (p->data)
                        memcpy(data + (from - offset), p->data + (from - p->offset), (size_t)(to - from));
                else
                        memset(data + (from - offset), 0, (size_t)(to - from));
        }
}

int vhdx_log_replay(const VhdxLog *log, ImageFile *file, Error *err)
{
        uint64_t size;

        if (image_file_size(file, &size, err) < 0 ||
            (size < log->file_size && image_file_truncate(file, log->file_size, err) < 0))
                return -1;
        for (size_t i = 0; i < log->patches.len; i++) {
                const VhdxPatch *p = &log->patches.items[i];

                if ((p->data ? image_file_write(file, p->offset, p->data, p->length, err)
                             : image_file_zero(file, p->offset, p->length, false, err)) < 0)
                        return -1;
        }
        return image_file_flush(file, err);
}
