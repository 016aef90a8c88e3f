#pragma once
/*
 * tests/img/image-model.h - what an image shall hold, kept beside it
 *
 * Random changes are made to the image and to plain bytes; afterwards both
 * must show the same, to us and to stock qemu-img. The dice are the same in
 * every run; DROVER_MODEL_SEED=NUMBER gives others, for runs by hand.
 */
#include "img/image.h"
#include "memory-file.h"

enum { MODEL_ROOM = 3 << 20, MODEL_THREADS_SIZE = 2 << 20 };

typedef struct Model {
        uint8_t *bytes; /* MODEL_ROOM + 1, owned */
        uint64_t size;
        unsigned named; /* counts what was written */
} Model;

/* Which dice are thrown from here on. */
void model_begin(unsigned seed);
/* How many changes a test makes: this many, or what DROVER_MODEL_STEPS says, for long runs by hand. */
unsigned model_steps(unsigned usual);
unsigned model_dice(unsigned sides);
Model model_new(uint64_t size);
void model_done(Model *model);
/* Random bytes, or zeros, at a random place of both. */
void model_write(Image *image, Model *model);
void model_zero(Image *image, Model *model);
/* So many neighbouring clusters of the model, compressed and stored in one go as a conversion does; they can be compressed. */
int model_write_packed(Image *image, const Model *model, uint64_t at, size_t count, Error *err);
/* Neither we nor stock qemu-img find anything wrong, and both read what the model says. */
void model_check_clean(Image *image);
void model_check_content(Image *image, const Model *model);
void model_check_with_stock(Image *image, const Model *model);
/* Takes the file: opened in this format, it is clean or only leaking. */
void model_check_after_crash(ImageFormat format, ImageFile *file);

/* Several threads write to the first MODEL_THREADS_SIZE bytes, all to the same clusters; nobody's bytes get lost. */
void model_check_threads(Image *image);

DEFINE_AUTO_VALUE(Model, model_done)
