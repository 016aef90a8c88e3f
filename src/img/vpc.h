#pragma once
/*
 * img/vpc.h - where things stand in a vpc image
 *
 * For vpc*.c only.
 */
#include "img/block-map.h"

enum {
        FOOTER_SIZE = VPC_FOOTER,
        AT_FEATURES = 8,
        AT_VERSION = 12,
        AT_DATA_OFFSET = 16,
        AT_TIME = 24,
        AT_CREATOR = 28,
        AT_CREATOR_OS = 36,
        AT_ORIGINAL_SIZE = 40,
        AT_CURRENT_SIZE = 48,
        AT_CYLINDERS = 56,
        AT_HEADS = 58,
        AT_SECTORS = 59,
        AT_TYPE = 60,
        AT_CHECKSUM = 64,
        AT_UUID = VPC_AT_ID,
        TYPE_FIXED = 2,
        TYPE_DYNAMIC = 3,
        TYPE_DIFFERENCING = 4,
        DYNAMIC_SIZE = 1024,
        AT_NEXT = 8,
        AT_TABLE = 16,
        AT_HEADER_VERSION = 24,
        AT_TABLE_ENTRIES = 28,
        AT_BLOCK_SIZE = 32,
        AT_HEADER_CHECKSUM = 36,
        AT_PARENT_ID = 40,
        AT_PARENT_TIME = 56,
        AT_PARENT_NAME = 64,
        PARENT_NAME_UNITS = 256,
        AT_LOCATORS = 576,
        LOCATORS = 8,
        LOCATOR_SIZE = 24,
        LOCATOR_NAME_MAX = 2048, /* room for it is counted in sectors by some, in bytes by others */
        LOCATOR_ROOM = LOCATOR_NAME_MAX,
        USUAL_BLOCK = 2 << 20,
        USUAL_TABLE = 3 * 512,
        LARGEST_BLOCK = 1 << 30,
};
#define LARGEST_GEOMETRY (65535ULL * 16 * 255)
#define LARGEST_DISK     (0xff000000ULL * 512)
#define SECONDS_TO_2000  946684800

/* What a footer says of the disk's length. */
uint64_t vpc_size_of(const uint8_t *footer);
int vpc_create(ImageFile *file, const ImageCreate *how, Error *err);
