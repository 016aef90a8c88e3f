/*
 * tests/fuzz/fuzz-save-image.c - the head of a save image from any bytes
 *
 * Such a file may come from anywhere. What is understood is written again and
 * must mean the same; what is not is taken as the XML of a head of our own.
 */
#include "fuzz.h"
#include "qemu/save-image.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO(Error) err = { 0 };
        AUTO(Buf) again = { 0 };
        SaveImage image, second;

        if (save_image_parse(data, size, &image, &err) < 0) {
                if (!err_is_set(&err))
                        abort();
                image = (SaveImage){ .state_bytes = 1, .xml = (const char *)data, .xml_bytes = (uint32_t)size };
                if (memchr(data, 0, size) || size > SAVE_IMAGE_MOST_XML)
                        return 0;
        }
        if (save_image_format(&image, &again, NULL) < 0 ||
            save_image_parse(again.data, again.len, &second, NULL) < 0 || second.xml_bytes != image.xml_bytes ||
            second.paused != image.paused || second.state_bytes != image.state_bytes ||
            memcmp(second.xml, image.xml, image.xml_bytes) != 0)
                abort();
        return 0;
}
