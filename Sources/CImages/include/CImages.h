/* PNG by libpng and JPEG by libjpeg-turbo: the header of a file, then its pixels. Nothing here keeps state; all may be called
 * from any number of threads. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Room for a message, the zero byte included. */
enum { IMAGES_MESSAGE = 256 };

typedef struct {
  int32_t height, width;
  /* 1 for shades of grey, 3 for colours. Transparency is none of them. */
  int32_t channels;
} images_header;

/* What the file says about itself; no pixel is decoded and nothing is allocated for one. False with a message for what is
 * neither PNG nor JPEG, damaged, or of an unsupported kind. */
bool images_read_header(const void *bytes, int64_t count, images_header *header, char message[IMAGES_MESSAGE]);

/* Decodes a file, which must have the size of `header`, to [height, width, channels] of 8 bits; grey becomes three equal
 * channels where 3 are asked for. False with a message for damaged data and for pixels that are not opaque. */
bool images_decode(
    const void *bytes, int64_t count, const images_header *header, int32_t channels, uint8_t *pixels,
    char message[IMAGES_MESSAGE]);
