/*
 * tests/fuzz/fuzz-nbd.c - a hostile client of the NBD server: options, then requests
 *
 * The first byte says how the server is set up: bit 0 read-only, bit 1 TLS is
 * required (and then comes to nothing, in the clear), bit 2 haggling is left
 * out, bit 3 with structured replies then.
 */
#include "base/str.h"
#include "fuzz.h"
#include "memory-channel.h"
#include "memory-file.h"
#include "nbd/session.h"

#include <stdlib.h>

enum { DISK_SIZE = 256 << 10 };

static int pretend_tls(void *arg, NbdChannel **channel, Error *err)
{
        (void)arg, (void)channel, (void)err;
        return 0;
}

static Image *disk(void)
{
        static uint8_t content[DISK_SIZE];
        ImageFile *file = memory_file_new(content, sizeof(content));
        Image *image = image_open(file, IMAGE_FORMAT_RAW, IMAGE_WRITE, NULL);

        if (!image)
                abort();
        return image;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static const char *const contexts[] = { "qemu:dirty-bitmap:a", "qemu:dirty-bitmap:b" };
        uint8_t how = n ? data[0] : 0;
        AUTO(Image) *image = disk();
        AUTO(Buf) sent = { 0 };
        NbdExport export = { .image = image, .name = "x", .description = "y", .show_depth = true };
        NbdSession session = { .export = &export };
        NbdHaggled haggled = NBD_READY;

        if (n < 1)
                return 0;
        export.read_only = how & 1;
        export.detect_zeroes = export.unmap_zeroes = true;
        if (nbd_export_start(&export, NULL) < 0)
                abort();
        for (size_t i = 0; i < ARRAY_LEN(contexts); i++) {
                NbdBitmap bitmap = { .context = str_dup(contexts[i]) };

                bitmap.content = (ImageBitmapContent){ .disk_size = DISK_SIZE, .granularity_bits = 12 };
                bitmap.content.bits = mem_alloc(DISK_SIZE / 4096 / 8);
                bitmap.content.bits[3 + i] = 0xa5;
                vec_push(&export.bitmaps, bitmap);
        }
        session.channel = memory_channel_new(data + 1, n - 1, &sent);
        session.start_tls = how & 2 ? pretend_tls : NULL;
        session.structured = how & 8;
        session.contexts = how & 8 ? 3 : 0;
        if ((how & 4 || nbd_haggle(&session, &haggled, NULL) == 0) && haggled == NBD_READY) {
                if (how & 2 && !(how & 4) && !session.encrypted)
                        abort(); /* let in without TLS */
                nbd_transmit(&session, 1, NULL);
        }
        nbd_channel_close(session.channel);
        nbd_export_done(&export);
        return 0;
}
