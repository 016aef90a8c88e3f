#pragma once
/*
 * tests/img/image-acts.h - what is done with images, for tests in which it goes wrong half way
 *
 * Kinds of images and acts, each of which does one thing with a copy of an image. What an act changed is kept as it is
 * when the act has come to its end, well or badly.
 */
#include "img/image.h"

typedef struct ImageKind {
        ImageFormat format;
        ImageCreate how;
        const char *seed; /* of a format that is only read: an input of its fuzz target; NULL: it is made */
        ImageFile *file;  /* one of it, with some content; owned */
        Image *unlocked;  /* when it is encrypted: it, open, so that not every act tries the password; owned */
} ImageKind;

typedef struct ImageAct {
        const char *name;
        int (*run)(const ImageKind *kind, Error *err);
        bool (*suits)(const ImageKind *kind); /* NULL: it can be done with any */
} ImageAct;

/* Each act with each kind that it suits. */
void image_acts_all(void (*each)(const ImageAct *act, const ImageKind *kind));
/* The image that the last act changed, as it left it; owned. NULL: it changed none, or did not come so far. */
ImageFile *image_act_left(void);
/* All that a guest sees in such an image; owned. NULL: it cannot be opened or read, and err says why. */
uint8_t *image_act_view(const ImageKind *kind, ImageFile *file, uint64_t *size, Error *err);
