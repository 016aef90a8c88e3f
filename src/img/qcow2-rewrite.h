#pragma once
/*
 * img/qcow2-rewrite.h - change many tables at once, safely
 *
 * A Rewrite holds the counts of all clusters as they shall be. New tables go
 * to clusters that the image on disk does not use; rewrite_finish() writes the
 * counts to such clusters too and then switches the header with one sector.
 * Until that write lands the old image is whole, afterwards the new one is:
 * nothing in between, and nothing leaks.
 */
#include "img/qcow2.h"

typedef struct Rewrite {
        Qcow2 *q;
        uint16_t *counts; /* as they shall be */
        uint8_t *busy;    /* one bit a cluster: used by the image on disk */
        uint64_t n, room; /* clusters */
        uint64_t hint;
} Rewrite;

/* From the counts on disk. Everything pending is written first. No other request may be under way. */
int rewrite_begin(Rewrite *rewrite, Qcow2 *q, Error *err);
/* From counts the caller found by looking (taken): what is counted there is what the image on disk uses. */
int rewrite_begin_with(Rewrite *rewrite, Qcow2 *q, uint16_t *counts, uint64_t n, Error *err);
int rewrite_alloc(Rewrite *rewrite, uint64_t n, uint64_t *ret_offset, Error *err);
int rewrite_add(Rewrite *rewrite, uint64_t cluster, uint64_t n, int delta, Error *err);
/* What an L2 entry uses, counted up or down. */
int rewrite_add_entry(Rewrite *rewrite, uint64_t entry, int delta, Error *err);
/*
 * Switch to header, whose refcount table fields are filled in; q is then as if opened anew. Its refcount_order may be another
 * one, if that has room for all counts.
 */
int rewrite_finish(Rewrite *rewrite, Qcow2Header *header, bool old_counts_listed, Error *err);
void rewrite_done(Rewrite *rewrite);

DEFINE_AUTO_VALUE(Rewrite, rewrite_done)
