#include "memory-channel.h"
#include "talk.h"
#include "test.h"

#include <string.h>

static int transmit(Talk *talk, unsigned threads)
{
        talk->session.channel = memory_channel_new(talk->said.data, talk->said.len, &talk->sent);
        return nbd_transmit(&talk->session, threads, NULL);
}

/* A simple answer to this request. */
static uint32_t answered(Talk *talk, uint64_t handle)
{
        uint32_t error;

        CHECK(heard(talk, 4) == NBD_SIMPLE_MAGIC);
        error = (uint32_t)heard(talk, 4);
        CHECK(heard(talk, 8) == handle);
        return error;
}

/* A chunk of an answer; returns its length. */
static uint32_t chunk(Talk *talk, uint64_t handle, uint16_t flags, uint16_t type)
{
        CHECK(heard(talk, 4) == NBD_CHUNK_MAGIC);
        CHECK_INT(heard(talk, 2), flags);
        CHECK_INT(heard(talk, 2), type);
        CHECK(heard(talk, 8) == handle);
        return (uint32_t)heard(talk, 4);
}

TEST(what_is_written_is_read_and_zeroed)
{
        Talk talk;

        talk_begin(&talk, false);
        say_request(&talk, NBD_FLAG_FUA, NBD_CMD_WRITE, 1, 1000, 5);
        buf_put(&talk.said, "hello", 5);
        say_request(&talk, 0, NBD_CMD_READ, 2, 999, 7);
        say_request(&talk, 0, NBD_CMD_WRITE_ZEROES, 3, 1000, 4);
        say_request(&talk, 0, NBD_CMD_READ, 4, 1000, 5);
        say_request(&talk, 0, NBD_CMD_FLUSH, 5, 0, 0);
        say_request(&talk, 0, NBD_CMD_CACHE, 6, 0, TALK_DISK);
        say_request(&talk, 0, NBD_CMD_TRIM, 7, 0, 8192);
        say_request(&talk, 0, NBD_CMD_DISC, 8, 0, 0);
        CHECK_INT(transmit(&talk, 1), 0);
        CHECK_INT(answered(&talk, 1), 0);
        CHECK_INT(answered(&talk, 2), 0);
        CHECK_MEM(talk.sent.data + talk.read, "dhellod", 7);
        talk.read += 7;
        CHECK_INT(answered(&talk, 3), 0);
        CHECK_INT(answered(&talk, 4), 0);
        CHECK_MEM(talk.sent.data + talk.read, "\0\0\0\0o", 5);
        talk.read += 5;
        for (uint64_t handle = 5; handle <= 7; handle++)
                CHECK_INT(answered(&talk, handle), 0);
        CHECK_INT(talk.read, talk.sent.len);
        talk_end(&talk);
}

TEST(requests_that_reach_too_far_are_refused_one_by_one)
{
        static const struct {
                uint16_t flags, type;
                uint64_t offset;
                uint32_t length, error;
        } cases[] = {
                { 0, NBD_CMD_READ, TALK_DISK, 1, NBD_EINVAL },
                { 0, NBD_CMD_READ, UINT64_MAX, 2, NBD_EINVAL },
                { 0, NBD_CMD_TRIM, TALK_DISK - 1, 2, NBD_ENOSPC },
                { 0, NBD_CMD_WRITE_ZEROES, 0, UINT32_MAX, NBD_ENOSPC },
                { NBD_FLAG_DF, NBD_CMD_READ, 0, 1, NBD_EINVAL },
                { NBD_FLAG_NO_HOLE, NBD_CMD_TRIM, 0, 1, NBD_EINVAL },
                { 1 << 9, NBD_CMD_FLUSH, 0, 0, NBD_EINVAL },
                { 0, NBD_CMD_BLOCK_STATUS, 0, 512, NBD_EINVAL },
                { NBD_FLAG_FAST_ZERO, NBD_CMD_WRITE_ZEROES, 0, 512, NBD_ENOTSUP },
                { 0, 99, 0, 0, NBD_EINVAL },
        };
        Talk talk;

        talk_begin(&talk, false);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                say_request(&talk, cases[i].flags, cases[i].type, i, cases[i].offset, cases[i].length);
        say_request(&talk, 0, NBD_CMD_WRITE, 50, TALK_DISK, 3);
        buf_put(&talk.said, "abc", 3);
        say_request(&talk, 0, NBD_CMD_READ, 51, 0, 0);
        CHECK_INT(transmit(&talk, 1), -1); /* it left without a word */
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                CHECK_INT(answered(&talk, i), cases[i].error);
        CHECK_INT(answered(&talk, 50), NBD_ENOSPC);
        CHECK_INT(answered(&talk, 51), 0);
        CHECK_INT(talk.read, talk.sent.len);
        talk_end(&talk);
}

TEST(nobody_writes_to_a_read_only_export)
{
        Talk talk;

        talk_begin(&talk, true);
        say_request(&talk, 0, NBD_CMD_WRITE, 1, 0, 1);
        buf_put(&talk.said, "a", 1);
        say_request(&talk, 0, NBD_CMD_TRIM, 2, 0, 4096);
        say_request(&talk, 0, NBD_CMD_WRITE_ZEROES, 3, 0, 4096);
        say_request(&talk, 0, NBD_CMD_READ, 4, 0, 1);
        say_request(&talk, 0, NBD_CMD_DISC, 5, 0, 0);
        CHECK_INT(transmit(&talk, 1), 0);
        for (uint64_t handle = 1; handle <= 3; handle++)
                CHECK_INT(answered(&talk, handle), NBD_EPERM);
        CHECK_INT(answered(&talk, 4), 0);
        CHECK_INT(heard(&talk, 1), 'd');
        talk_end(&talk);
}

TEST(holes_are_named_in_structured_answers)
{
        Talk talk;

        talk_begin(&talk, false);
        talk.session.structured = true;
        talk.session.contexts = 1 << NBD_CONTEXT_ALLOCATION;
        say_request(&talk, 0, NBD_CMD_WRITE_ZEROES, 1, TALK_DISK / 2, TALK_DISK / 2);
        say_request(&talk, 0, NBD_CMD_READ, 2, TALK_DISK / 2 - 65536, 131072);
        say_request(&talk, 0, NBD_CMD_BLOCK_STATUS, 3, 0, TALK_DISK);
        say_request(&talk, NBD_FLAG_REQ_ONE, NBD_CMD_BLOCK_STATUS, 4, 0, TALK_DISK);
        say_request(&talk, 0, NBD_CMD_READ, 5, TALK_DISK, 1);
        say_request(&talk, NBD_FLAG_DF, NBD_CMD_READ, 6, 0, 100000);
        say_request(&talk, 0, NBD_CMD_DISC, 7, 0, 0);
        CHECK_INT(transmit(&talk, 1), 0);
        CHECK_INT(answered(&talk, 1), 0);
        /* The file in memory has no holes: it is all data to its map. */
        CHECK_INT(chunk(&talk, 2, NBD_CHUNK_DONE, NBD_CHUNK_DATA), 8 + 131072);
        talk.read += 8 + 131072;
        CHECK_INT(chunk(&talk, 3, NBD_CHUNK_DONE, NBD_CHUNK_STATUS), 4 + 8);
        CHECK_INT(heard(&talk, 4), NBD_CONTEXT_ALLOCATION);
        CHECK_INT(heard(&talk, 4), TALK_DISK);
        CHECK_INT(heard(&talk, 4), 0);
        CHECK_INT(chunk(&talk, 4, NBD_CHUNK_DONE, NBD_CHUNK_STATUS), 4 + 8);
        talk.read += 12;
        CHECK_INT(chunk(&talk, 5, NBD_CHUNK_DONE, NBD_CHUNK_ERROR), 6);
        CHECK_INT(heard(&talk, 4), NBD_EINVAL);
        CHECK_INT(heard(&talk, 2), 0);
        CHECK_INT(chunk(&talk, 6, NBD_CHUNK_DONE, NBD_CHUNK_DATA), 8 + 100000);
        talk.read += 8 + 100000;
        CHECK_INT(talk.read, talk.sent.len);
        talk_end(&talk);
}

TEST(a_write_that_is_too_long_or_no_request_at_all_ends_it)
{
        for (unsigned i = 0; i < 2; i++) {
                Talk talk;

                talk_begin(&talk, false);
                if (i)
                        say_request(&talk, 0, NBD_CMD_WRITE, 1, 0, NBD_MOST_PAYLOAD + 1);
                else
                        for (unsigned j = 0; j < 7; j++)
                                say32(&talk, 0x12345678);
                say_request(&talk, 0, NBD_CMD_READ, 2, 0, 512);
                CHECK_INT(transmit(&talk, 4), -1);
                CHECK_INT(talk.sent.len, 0);
                talk_end(&talk);
        }
}

TEST(bitmaps_are_told_as_runs)
{
        NbdBitmap bitmap = { .content = { .disk_size = TALK_DISK, .granularity_bits = 12 } };
        NbdExtents extents;
        Talk talk;

        talk_begin(&talk, false);
        bitmap.content.bits = mem_alloc(TALK_DISK / 4096 / 8);
        memset(bitmap.content.bits + 1, 0xff, 4);
        bitmap.content.bits[5] = 1;
        vec_push(&talk.export.bitmaps, bitmap);
        CHECK_INT(nbd_export_status(&talk.export, NBD_CONTEXT_BITMAPS, 100, TALK_DISK - 100, 10, &extents), 0);
        CHECK_INT(extents.len, 3);
        CHECK_INT(extents.items[0].length, 8 * 4096 - 100);
        CHECK_INT(extents.items[0].flags, 0);
        CHECK_INT(extents.items[1].length, 33 * 4096);
        CHECK_INT(extents.items[1].flags, 1);
        CHECK_INT(extents.items[2].length, TALK_DISK - 41 * 4096);
        vec_done(&extents);
        CHECK_INT(nbd_export_status(&talk.export, NBD_CONTEXT_BITMAPS, 100, TALK_DISK - 100, 1, &extents), 0);
        CHECK_INT(extents.len, 1);
        vec_done(&extents);
        talk_end(&talk);
}
