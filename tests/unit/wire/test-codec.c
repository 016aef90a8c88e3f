#include "test.h"

#include "base/mem.h"
#include "wire/codec.h"
#include "wire/constants.h"
#include "wire/proc.h"
#include "wire/wire-samples.h"

#include <string.h>

typedef struct Codec {
        size_t size;
        WireDecode *decode;
        WireEncode *encode;
} Codec;

static Codec codec_of(const WireSample *sample)
{
        const WireProc *proc = wire_proc_find(sample->program, sample->number);
        const WireEvent *event = wire_event_find(sample->program, sample->number);

        if (sample->part == SAMPLE_EVENT)
                return (Codec){ event->size, event->decode, event->encode };
        if (sample->part == SAMPLE_ARGS)
                return (Codec){ proc->args_size, proc->args_decode, proc->args_encode };
        return (Codec){ proc->ret_size, proc->ret_decode, proc->ret_encode };
}

static int decode_copy(const WireSample *sample, size_t len, Arena *arena, void **ret)
{
        Codec codec = codec_of(sample);
        AUTOFREE uint8_t *exact = mem_dup(sample->data, len); /* the sanitizer sees a read behind it */

        *ret = arena_alloc(arena, codec.size);
        return xdr_decode(codec.decode, exact, len, arena, *ret, NULL);
}

TEST(what_a_second_writer_wrote_is_read_and_written_back_the_same)
{
        size_t messages = 0;

        for (size_t i = 0; i < n_wire_samples; i++) {
                const WireSample *sample = &wire_samples[i];
                AUTO(Arena) *arena = arena_new();
                AUTO(Buf) buf = { 0 };
                void *value;

                if (sample->kind != SAMPLE_GOOD)
                        continue;
                CHECK_INT(decode_copy(sample, sample->len, arena, &value), 0);
                CHECK_INT(xdr_encode(codec_of(sample).encode, value, &buf, NULL), 0);
                CHECK_INT(buf.len, sample->len);
                CHECK_MEM(buf.data, sample->data, sample->len);
                messages++;
        }
        CHECK(messages > 2 * N_WIRE_EVENTS + 900);
}

TEST(a_message_cut_anywhere_is_refused)
{
        for (size_t i = 0; i < n_wire_samples; i++) {
                const WireSample *sample = &wire_samples[i];

                if (sample->kind != SAMPLE_GOOD)
                        continue;
                for (size_t len = 0; len < sample->len; len++) {
                        AUTO(Arena) *arena = arena_new();
                        void *value;

                        CHECK_INT(decode_copy(sample, len, arena, &value), -1);
                }
        }
}

TEST(a_count_over_its_limit_is_refused_before_memory_is_taken)
{
        size_t refused = 0;

        for (size_t i = 0; i < n_wire_samples; i++) {
                const WireSample *sample = &wire_samples[i];
                AUTO(Arena) *arena = arena_new();
                void *value;

                if (sample->kind != SAMPLE_OVER_LIMIT)
                        continue;
                CHECK_INT(decode_copy(sample, sample->len, arena, &value), -1);
                CHECK(arena_size(arena) < 64 * 1024);
                refused++;
        }
        CHECK(refused > 1000);
}

TEST(a_huge_count_within_its_limit_does_not_take_memory_the_bytes_do_not_back)
{
        static const uint8_t list[] = { 0, 0, 0x40, 0, 0, 0, 0, 0 };
        const WireProc *proc = wire_proc_find(WIRE_PROGRAM_REMOTE, WIRE_PROC_CONNECT_LIST_ALL_DOMAINS);
        AUTO(Arena) *arena = arena_new();
        WireConnectListAllDomainsRet ret = { 0 };

        CHECK_INT(xdr_decode(proc->ret_decode, list, sizeof(list), arena, &ret, NULL), -1);
        CHECK(arena_size(arena) < 4096);
}

TEST(the_connect_open_of_a_client_with_a_strange_marker_is_understood)
{
        static const uint8_t payload[] = { 1, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c', 0xff, 0, 0, 0, 1, 9, 9 };
        const WireProc *proc = wire_proc_find(WIRE_PROGRAM_REMOTE, WIRE_PROC_CONNECT_OPEN);
        AUTO(Arena) *arena = arena_new();
        WireConnectOpenArgs args = { 0 };

        CHECK_INT(xdr_decode(proc->args_decode, payload, sizeof(payload), arena, &args, NULL), 0);
        CHECK_STR(args.name, "abc");
        CHECK_INT(args.flags, VIR_CONNECT_RO);
}

TEST(what_cannot_be_written_is_an_error_and_leaves_the_buffer_alone)
{
        const WireProc *proc = wire_proc_find(WIRE_PROGRAM_REMOTE, WIRE_PROC_DOMAIN_LOOKUP_BY_NAME);
        const WireDomainLookupByNameArgs args = { .name = NULL };
        AUTO(Error) err = { 0 };
        AUTO(Buf) buf = { 0 };

        buf_put_text(&buf, "kept");
        CHECK_INT(xdr_encode(proc->args_encode, &args, &buf, &err), -1);
        CHECK_INT(err.code, ERR_RPC);
        CHECK_STR(buf_text(&buf), "kept");
}

TEST(a_typed_value_of_an_unknown_type_is_refused)
{
        static const uint8_t param[] = { 0, 0, 0, 1, 'x', 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0 };
        AUTO(Arena) *arena = arena_new();
        WireTypedParam value = { 0 };
        XdrReader r;

        xdr_reader_init(&r, param, sizeof(param), arena);
        wire_decode_typed_param(&r, &value);
        CHECK(r.failure);
}
