#pragma once
/*
 * daemon/def-index.h - which definitions were in their files when these were read last
 *
 * A copy of what reading them all would show: the name and UUID of each, and the stamp of its file. A file that still has
 * its stamp need not be read to say who is there. The files are the truth: an index that is missing, damaged, cut, of
 * another program or in disorder is no index, and all files are read.
 */
#include "base/buf.h"
#include "base/uuid.h"
#include "base/vec.h"

#include <sys/stat.h>

/* Whatever is written to a file, put in its place or renamed over it changes one of these. */
typedef struct FileStamp {
        uint64_t inode, size;
        int64_t mtime_ns, ctime_ns;
} FileStamp;

typedef struct IndexRow {
        const char *name; /* of the file, without .xml; in the index's text */
        Uuid uuid;
        FileStamp stamp;
} IndexRow;

typedef struct DefIndex {
        Buf text;
        VEC(IndexRow) rows; /* by name */
} DefIndex;

FileStamp file_stamp_of(const struct stat *st);
bool file_stamp_eq(const FileStamp *a, const FileStamp *b);
/*
 * A change after now_ns (wall clock) will show in the stamp. One that follows the last within a tick of the file system's
 * clock need not.
 */
bool file_stamp_is_settled(const FileStamp *stamp, int64_t now_ns);

/*
 * Take an index apart; `facts` must be the one line that it was made with. text is taken, whatever happens. -1: it is of
 * no use, and ret is empty.
 */
int def_index_parse(Buf *text, const char *facts, DefIndex *ret);
const IndexRow *def_index_find(const DefIndex *index, const char *name); /* NULL: it is not there */
void def_index_done(DefIndex *index);

/* Write one: begin, each row by name, end. */
void def_index_begin(Buf *ret, const char *facts);
void def_index_put(Buf *ret, const IndexRow *row);
void def_index_end(Buf *ret);

DEFINE_AUTO_VALUE(DefIndex, def_index_done)
