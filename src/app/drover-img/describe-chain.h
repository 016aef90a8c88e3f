#pragma once
/*
 * app/drover-img/describe-chain.h - what an image and all below it are, for the daemon
 */
#include "base/json-write.h"
#include "img/format.h"

/* One object: "layers", from the top down as far as could be seen, and "error" when that is not all. */
void describe_chain(const char *path, ImageFormat format, JsonWriter *w);
