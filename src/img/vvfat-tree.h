#pragma once
/*
 * img/vvfat-tree.h - the files of a directory, with their names and entries in FAT
 *
 * For vvfat*.c only.
 */
#include "base/err.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum { FAT_ENTRY = 32, FAT_SHORT_NAME = 11 };

typedef struct FatNode FatNode;
typedef VEC(FatNode *) FatNodes;
struct FatNode {
        char *path, *name; /* owned */
        char short_name[FAT_SHORT_NAME];
        bool directory;
        uint32_t size;
        time_t changed;
        FatNode *parent;
        FatNodes children;
        uint32_t cluster, clusters; /* where its content stands; 0: it has none */
};

/* The directory and all below it. Owned. Blocks. */
FatNode *fat_tree_read(const char *directory, Error *err);
FatNode *fat_node_free(FatNode *node); /* returns NULL */
/* Bytes of a directory's entries; label: the root's has an entry for it. */
uint32_t fat_directory_size(const FatNode *node);
/* Write them. data: fat_directory_size() bytes, zeroed. */
void fat_directory_put(const FatNode *node, const char label[FAT_SHORT_NAME], uint8_t *data);

DEFINE_AUTO(FatNode, fat_node_free)
