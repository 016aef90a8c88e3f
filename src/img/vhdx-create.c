/*
 * img/vhdx-create.c - a new Hyper-V disk: headers, an empty log, metadata, a table of blocks
 */
#include "img/vhdx.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"

enum {
        MIB = 1 << 20,
        METADATA_SIZE = MIB,
        FIRST_ITEM = VHDX_METADATA_TABLE,
        IS_VIRTUAL_DISK = 2,
        IS_REQUIRED = 4,
        LEAVE_ALLOCATED = 1,
        SECTOR = 512,
        PHYSICAL_SECTOR = 4096,
        FULLY_PRESENT = 6,
        MOST_BLOCK = 256,
};
#define MOST_SIZE (64ULL << 40)

typedef struct Plan {
        uint64_t size, block, log, metadata_at, bat_at, bat_length, blocks, ratio, data_at;
        bool fixed;
} Plan;

static int plan(const ImageCreate *how, Plan *p, Error *err)
{
        uint64_t size = round_up(how->size, SECTOR);

        if (how->subformat && !str_eq(how->subformat, "dynamic") && !str_eq(how->subformat, "fixed"))
                return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s'", how->subformat);
        if (size > MOST_SIZE)
                return err_set(err, ERR_INVALID_ARG, "Image size too large; max of 64TB");
        *p = (Plan){ .size = size, .fixed = str_eq(how->subformat, "fixed"), .block = how->cluster_size };
        if (!p->block)
                p->block = (size > 32ULL << 40    ? 64ULL
                            : size > 100ULL << 30 ? 32ULL
                            : size > 1ULL << 30   ? 16ULL
                                                  : 8ULL) *
                           MIB;
        if (p->block < MIB || p->block > (uint64_t)MOST_BLOCK * MIB || (p->block & (p->block - 1)))
                return err_set(err, ERR_INVALID_ARG, "block_size must be a power of two between 1M and 256M");
        p->log = MAX(round_up(how->log_size, MIB), (uint64_t)MIB);
        if (p->log > VHDX_MOST_LOG)
                return err_set(err, ERR_INVALID_ARG, "log_size must be 32M at most");
        p->blocks = div_up(size, p->block);
        p->ratio = (1ULL << 23) * SECTOR / p->block;
        p->metadata_at = MIB + p->log;
        p->bat_at = p->metadata_at + METADATA_SIZE;
        p->bat_length = MAX(round_up(8 * (p->blocks + p->blocks / p->ratio + 1), MIB), (uint64_t)MIB);
        p->data_at = p->bat_at + p->bat_length;
        return 0;
}

static void put_row(uint8_t *row, const uint8_t id[16], uint64_t a, uint32_t b, uint32_t c)
{
        memcpy(row, id, 16);
        store_le64(row + 16, a);
        store_le32(row + 24, b);
        store_le32(row + 28, c);
}

static int write_regions(ImageFile *file, const Plan *p, Error *err)
{
        AUTOFREE uint8_t *table = mem_alloc(VHDX_REGIONS_SIZE);

        memcpy(table, "regi", 4);
        store_le32(table + 8, 2);
        put_row(table + 16, vhdx_bat_region, p->bat_at, (uint32_t)p->bat_length, 1);
        put_row(table + 16 + VHDX_ROW_SIZE, vhdx_metadata_region, p->metadata_at, METADATA_SIZE, 1);
        vhdx_put_checksum(table, VHDX_REGIONS_SIZE);
        if (image_file_write(file, VHDX_REGIONS_1, table, VHDX_REGIONS_SIZE, err) < 0)
                return -1;
        return image_file_write(file, VHDX_REGIONS_2, table, VHDX_REGIONS_SIZE, err);
}

static int write_metadata(ImageFile *file, const Plan *p, Error *err)
{
        uint8_t parameters[8] = { 0 }, size[8], logical[4], physical[4];
        AUTOFREE uint8_t *table = mem_alloc(VHDX_METADATA_TABLE + 4096);
        Uuid disk;
        const struct {
                const uint8_t *id;
                const void *data;
                uint32_t n, flags;
        } items[] = {
                { vhdx_file_parameters, parameters, sizeof(parameters), IS_REQUIRED },
                { vhdx_disk_size, size, sizeof(size), IS_VIRTUAL_DISK | IS_REQUIRED },
                { vhdx_page_83, disk.bytes, sizeof(disk.bytes), IS_VIRTUAL_DISK | IS_REQUIRED },
                { vhdx_logical_sector, logical, sizeof(logical), IS_VIRTUAL_DISK | IS_REQUIRED },
                { vhdx_physical_sector, physical, sizeof(physical), IS_VIRTUAL_DISK | IS_REQUIRED },
        };
        uint32_t at = FIRST_ITEM;

        uuid_new_random(&disk);
        store_le32(parameters, (uint32_t)p->block);
        store_le32(parameters + 4, p->fixed ? LEAVE_ALLOCATED : 0);
        store_le64(size, p->size);
        store_le32(logical, SECTOR);
        store_le32(physical, PHYSICAL_SECTOR);
        memcpy(table, "metadata", 8);
        store_le16(table + 10, ARRAY_LEN(items));
        for (size_t i = 0; i < ARRAY_LEN(items); i++) {
                uint8_t *row = table + VHDX_ROW_SIZE * (i + 1);

                memcpy(row, items[i].id, 16);
                store_le32(row + 16, at);
                store_le32(row + 20, items[i].n);
                store_le32(row + 24, items[i].flags);
                memcpy(table + at, items[i].data, items[i].n);
                at += items[i].n;
        }
        return image_file_write(file, p->metadata_at, table, VHDX_METADATA_TABLE + 4096, err);
}

/* Fixed: every block has its place from the start. */
static int write_bat(ImageFile *file, const Plan *p, Error *err)
{
        AUTOFREE uint8_t *bat = p->fixed ? mem_try(p->bat_length) : NULL;

        if (!p->fixed)
                return image_file_truncate(file, p->data_at, err);
        if (!bat)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for its table of blocks", file->name);
        for (uint64_t i = 0; i < p->blocks; i++)
                store_le64(bat + 8 * (i + i / p->ratio), (p->data_at + i * p->block) | FULLY_PRESENT);
        if (image_file_truncate(file, p->data_at + p->blocks * p->block, err) < 0)
                return -1;
        return image_file_write(file, p->bat_at, bat, p->bat_length, err);
}

static int write_headers(ImageFile *file, const Plan *p, Error *err)
{
        uint8_t head[VHDX_HEADER_SIZE] = { 0 };
        uint64_t at = VHDX_HEADER_2;
        Uuid random;

        memcpy(head, "head", 4);
        uuid_new_random(&random);
        memcpy(head + VHDX_AT_FILE_WRITE, random.bytes, sizeof(random.bytes));
        uuid_new_random(&random);
        memcpy(head + VHDX_AT_DATA_WRITE, random.bytes, sizeof(random.bytes));
        store_le16(head + VHDX_AT_VERSION, 1);
        store_le32(head + VHDX_AT_LOG_LENGTH, (uint32_t)p->log);
        store_le64(head + VHDX_AT_LOG_OFFSET, MIB);
        return vhdx_header_write(file, head, &at, err);
}

int vhdx_create(ImageFile *file, const ImageCreate *how, Error *err)
{
        static const char creator[] = "drover";
        uint8_t id[8 + 2 * sizeof(creator)] = { 0 };
        Plan p;

        if (plan(how, &p, err) < 0)
                return -1;
        memcpy(id, "vhdxfile", 8);
        for (size_t i = 0; i < sizeof(creator); i++)
                id[8 + 2 * i] = (uint8_t)creator[i];
        if (write_bat(file, &p, err) < 0 || write_metadata(file, &p, err) < 0 || write_regions(file, &p, err) < 0 ||
            image_file_write(file, 0, id, sizeof(id), err) < 0)
                return -1;
        return write_headers(file, &p, err);
}
