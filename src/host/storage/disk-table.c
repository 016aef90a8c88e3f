/*
 * host/storage/disk-table.c - what parted says about a disk
 *
 * "BYT;", a line about the disk, a line for each partition and free part. Its
 * numbers come from a table that anybody may have written: parts that lie
 * outside of the disk are left out, so that what is computed here does not
 * overflow.
 */
#include "host/storage/disk-table.h"

#include "base/str.h"
#include "host/storage/backend.h"

#include <stdio.h>

enum { MOST_PARTS = 1024, ALIGN = 1 << 20, FIRST_LOGICAL = 5, PRIMARIES = 4 };

void disk_table_done(DiskTable *table)
{
        vec_done(&table->parts);
        vec_done(&table->room);
}

/* "1048576B" */
static int bytes_of(char *text, uint64_t *ret)
{
        size_t n = strlen(text);

        if (!n || text[n - 1] != 'B')
                return -1;
        text[n - 1] = '\0';
        return str_to_u64(text, ret);
}

/* Where ":134217728B:" begins: the path before it and the model behind it may hold colons too. */
static char *find_size(char *line)
{
        for (char *colon = strchr(line, ':'); colon; colon = strchr(colon + 1, ':')) {
                size_t digits = strspn(colon + 1, "0123456789");

                if (digits && str_starts(colon + 1 + digits, "B:"))
                        return colon + 1;
        }
        return NULL;
}

/* /dev/vdb:134217728B:virtblk:512:512:gpt:Model:flags; */
static int parse_disk(char *line, DiskTable *table)
{
        enum { SIZE, TRANSPORT, SECTOR, PHYSICAL, LABEL, REST, N };
        char *fields[N], *text = find_size(line);

        if (!text || storage_next_row(&text, ':', fields, N) != N || bytes_of(fields[SIZE], &table->size) < 0 ||
            str_to_u32(fields[SECTOR], &table->sector) < 0 || !table->sector || table->sector > ALIGN ||
            strlen(fields[LABEL]) >= sizeof(table->label))
                return -1;
        snprintf(table->label, sizeof(table->label), "%s", fields[LABEL]);
        return 0;
}

static void parse_part(char *line, DiskTable *table)
{
        enum { NUMBER, START, END, SIZE, KIND, REST, N };
        DiskPart part = { 0 };
        char *fields[N], *text = line;

        if (storage_next_row(&text, ':', fields, N) < 5 || str_to_u32(fields[NUMBER], &part.number) < 0 ||
            bytes_of(fields[START], &part.start) < 0 || bytes_of(fields[END], &part.end) < 0 ||
            part.end >= table->size || part.start > part.end)
                return;
        part.end++;
        if (str_starts(fields[KIND], "free")) {
                part.number = 0;
                if (table->room.len < MOST_PARTS)
                        vec_push(&table->room, part);
        } else if (part.number && table->parts.len < MOST_PARTS) {
                vec_push(&table->parts, part);
        }
}

static bool lies_in(const DiskPart *inner, const DiskPart *outer)
{
        return inner != outer && inner->start >= outer->start && inner->end <= outer->end;
}

/* Of the four that a DOS table holds, the one that holds others, or free parts. */
static void mark_extended(DiskTable *table)
{
        for (size_t i = 0; i < table->parts.len; i++) {
                DiskPart *part = &table->parts.items[i];

                if (part->number > PRIMARIES || !str_eq(table->label, "msdos"))
                        continue;
                for (size_t j = 0; j < table->parts.len; j++)
                        part->extended |= lies_in(&table->parts.items[j], part);
                for (size_t j = 0; j < table->room.len; j++)
                        part->extended |= lies_in(&table->room.items[j], part);
        }
}

int disk_table_parse(char *text, DiskTable *ret, Error *err)
{
        AUTO(DiskTable) table = { 0 };
        char *line;

        if (storage_next_row(&text, '\0', &line, 1) != 1 || !str_eq(line, "BYT;") ||
            storage_next_row(&text, '\0', &line, 1) != 1 || parse_disk(line, &table) < 0)
                return err_set(err, ERR_INTERNAL, "parted does not describe the disk");
        while (storage_next_row(&text, '\0', &line, 1) == 1)
                parse_part(line, &table);
        mark_extended(&table);
        *ret = table;
        table = (DiskTable){ 0 };
        return 0;
}

static unsigned next_number(const DiskTable *table, bool logical)
{
        unsigned number = logical ? FIRST_LOGICAL : 1;

        for (size_t i = 0; i < table->parts.len;) {
                if (table->parts.items[i].number == number) {
                        number++;
                        i = 0;
                } else {
                        i++;
                }
        }
        return number;
}

static const DiskPart *find_extended(const DiskTable *table)
{
        for (size_t i = 0; i < table->parts.len; i++) {
                if (table->parts.items[i].extended)
                        return &table->parts.items[i];
        }
        return NULL;
}

int disk_table_find_room(const DiskTable *table, uint64_t bytes, bool extended, DiskPart *ret, bool *is_logical,
                         Error *err)
{
        const DiskPart *outer = find_extended(table);
        bool logical = outer && !extended, found = false;
        uint64_t taken = (bytes + table->sector - 1) / table->sector * table->sector;

        if (extended && outer)
                return err_set(err, ERR_OPERATION_INVALID, "there is an extended partition already");
        if (!bytes || bytes > table->size)
                return err_set(err, ERR_OPERATION_FAILED, "no room for a partition of %llu bytes",
                               (unsigned long long)bytes);
        for (size_t i = 0; i < table->room.len; i++) {
                const DiskPart *room = &table->room.items[i];
                /* a logical partition has a sector of its own before it */
                uint64_t start = (room->start + (logical ? table->sector : 0) + ALIGN - 1) / ALIGN * ALIGN;

                if (logical != (outer && lies_in(room, outer)) || start > room->end || taken > room->end - start)
                        continue;
                if (found && room->end - room->start >= ret->end - ret->start)
                        continue;
                *ret = *room; /* the tightest */
                found = true;
        }
        if (!found)
                return err_set(err, ERR_OPERATION_FAILED,
                               "no free part is large enough for a partition of %llu bytes",
                               (unsigned long long)bytes);
        ret->start = (ret->start + (logical ? table->sector : 0) + ALIGN - 1) / ALIGN * ALIGN;
        ret->end = ret->start + taken;
        ret->number = next_number(table, logical);
        *is_logical = logical;
        if (!logical && str_eq(table->label, "msdos") && ret->number > PRIMARIES)
                return err_set(err, ERR_OPERATION_FAILED, "the table holds no more than four partitions");
        return 0;
}
