#pragma once
/*
 * nbd/protocol.h - the numbers of the NBD protocol, and the limits this server keeps
 *
 * Everything on the wire is big-endian. The public document of the protocol is
 * the authority: fixed newstyle haggling, simple and structured replies.
 */
#include <stdint.h>

#define NBD_MAGIC         0x4e42444d41474943ULL /* "NBDMAGIC" */
#define NBD_OPTION_MAGIC  0x49484156454f5054ULL /* "IHAVEOPT" */
#define NBD_REPLY_MAGIC   0x0003e889045565a9ULL /* of an answer to an option */
#define NBD_REQUEST_MAGIC 0x25609513U
#define NBD_SIMPLE_MAGIC  0x67446698U
#define NBD_CHUNK_MAGIC   0x668e33efU

enum { /* handshake flags, both ways */
       NBD_FIXED_NEWSTYLE = 1 << 0,
       NBD_NO_ZEROES = 1 << 1,
};

enum { /* options */
       NBD_OPT_EXPORT_NAME = 1,
       NBD_OPT_ABORT = 2,
       NBD_OPT_LIST = 3,
       NBD_OPT_STARTTLS = 5,
       NBD_OPT_INFO = 6,
       NBD_OPT_GO = 7,
       NBD_OPT_STRUCTURED_REPLY = 8,
       NBD_OPT_LIST_META_CONTEXT = 9,
       NBD_OPT_SET_META_CONTEXT = 10,
};

#define NBD_REP_ACK          1U
#define NBD_REP_SERVER       2U
#define NBD_REP_INFO         3U
#define NBD_REP_META_CONTEXT 4U
#define NBD_REP_ERR_UNSUP    0x80000001U
#define NBD_REP_ERR_INVALID  0x80000003U
#define NBD_REP_ERR_TLS_REQD 0x80000005U
#define NBD_REP_ERR_UNKNOWN  0x80000006U
#define NBD_REP_ERR_TOO_BIG  0x80000009U

enum { /* pieces of information about an export */
       NBD_INFO_EXPORT = 0,
       NBD_INFO_NAME = 1,
       NBD_INFO_DESCRIPTION = 2,
       NBD_INFO_BLOCK_SIZE = 3,
};

enum { /* what an export can do */
       NBD_HAS_FLAGS = 1 << 0,
       NBD_READ_ONLY = 1 << 1,
       NBD_SEND_FLUSH = 1 << 2,
       NBD_SEND_FUA = 1 << 3,
       NBD_SEND_TRIM = 1 << 5,
       NBD_SEND_WRITE_ZEROES = 1 << 6,
       NBD_SEND_DF = 1 << 7,
       NBD_CAN_MULTI_CONN = 1 << 8,
       NBD_SEND_CACHE = 1 << 10,
       NBD_SEND_FAST_ZERO = 1 << 11,
};

enum { /* requests */
       NBD_CMD_READ = 0,
       NBD_CMD_WRITE = 1,
       NBD_CMD_DISC = 2,
       NBD_CMD_FLUSH = 3,
       NBD_CMD_TRIM = 4,
       NBD_CMD_CACHE = 5,
       NBD_CMD_WRITE_ZEROES = 6,
       NBD_CMD_BLOCK_STATUS = 7,
};

enum { /* of a request */
       NBD_FLAG_FUA = 1 << 0,
       NBD_FLAG_NO_HOLE = 1 << 1,
       NBD_FLAG_DF = 1 << 2,
       NBD_FLAG_REQ_ONE = 1 << 3,
       NBD_FLAG_FAST_ZERO = 1 << 4,
};

enum {                          /* chunks of structured replies */
       NBD_CHUNK_DONE = 1 << 0, /* flag: the last one */
       NBD_CHUNK_NONE = 0,
       NBD_CHUNK_DATA = 1,
       NBD_CHUNK_HOLE = 2,
       NBD_CHUNK_STATUS = 5,
       NBD_CHUNK_ERROR = (1 << 15) + 1,
};

enum { /* errors in replies */
       NBD_EPERM = 1,
       NBD_EIO = 5,
       NBD_ENOMEM = 12,
       NBD_EINVAL = 22,
       NBD_ENOSPC = 28,
       NBD_EOVERFLOW = 75,
       NBD_ENOTSUP = 95,
       NBD_ESHUTDOWN = 108,
};

enum { /* block status */
       NBD_STATE_HOLE = 1 << 0,
       NBD_STATE_ZERO = 1 << 1,
};

enum {
        NBD_MOST_PAYLOAD = 32 << 20, /* bytes in a read or write */
        NBD_MOST_STRING = 4096,
        NBD_MOST_OPTION = 65536,  /* bytes in an option */
        NBD_MOST_OPTIONS = 1024,  /* options of a client before it is sent away */
        NBD_MOST_QUERIES = 128,   /* metadata contexts asked for in one option */
        NBD_MOST_EXTENTS = 8192,  /* in an answer about block status */
        NBD_MOST_THREADS = 16,    /* requests of one connection worked on at a time */
        NBD_MOST_HELD = 64 << 20, /* bytes of requests of one connection in memory */
        NBD_HAGGLE_SECONDS = 10,  /* from connecting to the first request */
        NBD_STALL_SECONDS = 300,  /* that a client may stop in the middle of a request or of taking an answer */
};
