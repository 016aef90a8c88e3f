#include "test.h"

#include "qemu/save-image.h"

#include <string.h>

static const char xml[] = "<domain type='qemu'><name>g</name></domain>";

static void make(Buf *ret, bool paused)
{
        SaveImage image = { .paused = paused, .state_bytes = 123456789012, .xml = xml, .xml_bytes = strlen(xml) };

        CHECK_INT(save_image_format(&image, ret, NULL), 0);
}

TEST(what_was_written_is_read_again)
{
        AUTO(Buf) head = { 0 };
        SaveImage image;

        make(&head, true);
        CHECK_INT(head.len, SAVE_IMAGE_BLOCK);
        CHECK_INT(save_image_head_bytes(head.data, SAVE_IMAGE_FIXED, NULL), SAVE_IMAGE_BLOCK);
        CHECK_INT(save_image_parse(head.data, head.len, &image, NULL), 0);
        CHECK(image.paused);
        CHECK_INT(image.head_bytes, SAVE_IMAGE_BLOCK);
        CHECK(image.state_bytes == 123456789012);
        CHECK_INT(image.xml_bytes, strlen(xml));
        CHECK_MEM(image.xml, xml, strlen(xml));
}

TEST(any_byte_that_changed_is_noticed)
{
        AUTO(Buf) head = { 0 };
        SaveImage image;

        make(&head, false);
        for (size_t i = 0; i < head.len; i++) {
                head.data[i] ^= 1;
                CHECK_INT(save_image_parse(head.data, head.len, &image, NULL), -1);
                head.data[i] ^= 1;
        }
        CHECK_INT(save_image_parse(head.data, head.len, &image, NULL), 0);
}

TEST(a_head_that_is_cut_short_is_refused)
{
        AUTO(Buf) head = { 0 };
        AUTO(Error) err = { 0 };
        SaveImage image;

        make(&head, false);
        CHECK_INT(save_image_parse(head.data, head.len - 1, &image, &err), -1);
        CHECK_STR(err.text, "the save image is cut short in its head");
        CHECK_INT(save_image_parse(head.data, 10, &image, &err), -1);
        CHECK_STR(err.text, "this is no save image of drover");
}

TEST(a_size_that_is_not_bounded_is_refused_before_it_is_believed)
{
        AUTO(Buf) head = { 0 };
        AUTO(Error) err = { 0 };

        make(&head, false);
        memset(head.data + 12, 0xff, 4);
        memset(head.data + 20, 0xff, 4);
        CHECK_INT(save_image_head_bytes(head.data, head.len, &err), 0);
        CHECK_STR(err.text, "the save image is damaged: its sizes contradict each other");
}

TEST(an_image_that_was_never_finished_is_refused)
{
        AUTO(Buf) head = { 0 };
        AUTO(Error) err = { 0 };
        SaveImage image = { .xml = xml, .xml_bytes = strlen(xml) };

        CHECK_INT(save_image_format(&image, &head, NULL), 0);
        CHECK_INT(save_image_parse(head.data, head.len, &image, &err), -1);
        CHECK_STR(err.text, "the save image was never finished");
}
