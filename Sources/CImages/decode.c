#include "CImages.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

static bool fail(char *message, const char *words) {
  snprintf(message, IMAGES_MESSAGE, "%s", words);
  return false;
}

/* In the words of a library. */
static bool fail_damaged(char *message, const char *words) {
  snprintf(message, IMAGES_MESSAGE, "it is damaged, or cut off (%s)", words);
  return false;
}

/* MARK: PNG */

static bool is_png(const uint8_t *bytes, int64_t count) {
  return count >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0;
}

/* The caller frees `image`, also after a failure. */
static bool begin_png(png_image *image, const void *bytes, int64_t count, char *message) {
  memset(image, 0, sizeof *image);
  image->version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_memory(image, bytes, (size_t)count)) return fail_damaged(message, image->message);
  // Samples of 16 bits would be taken for linear light.
  image->flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  return true;
}

static int32_t channels_of_png(const png_image *image) { return image->format & PNG_FORMAT_FLAG_COLOR ? 3 : 1; }

/* Rows of `channels` and alpha, which must be opaque, and is left out. */
static bool drop_alpha(const uint8_t *source, int64_t pixels, int32_t channels, uint8_t *target) {
  for (int64_t i = 0; i < pixels; i++) {
    for (int32_t c = 0; c < channels; c++) target[i * channels + c] = source[i * (channels + 1) + c];
    if (source[i * (channels + 1) + channels] != 255) return false;
  }
  return true;
}

static bool decode_png(
    png_image *image, const images_header *header, int32_t channels, uint8_t *pixels, char *message) {
  if ((int64_t)image->height != header->height || (int64_t)image->width != header->width)
    return fail(message, "its size changed meanwhile");
  bool has_alpha = image->format & PNG_FORMAT_FLAG_ALPHA;
  image->format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  if (!has_alpha)
    return png_image_finish_read(image, 0, pixels, 0, 0) ? true : fail_damaged(message, image->message);
  image->format |= PNG_FORMAT_FLAG_ALPHA;
  uint8_t *with_alpha = malloc(PNG_IMAGE_SIZE(*image));
  if (!with_alpha) return fail(message, "no memory to decode it");
  bool is_done = png_image_finish_read(image, 0, with_alpha, 0, 0);
  if (!is_done) {
    fail_damaged(message, image->message);
  } else if (!drop_alpha(with_alpha, (int64_t)image->width * image->height, channels, pixels)) {
    is_done = fail(message, "it has transparent pixels; put it on a background first");
  }
  free(with_alpha);
  return is_done;
}

/* MARK: JPEG */

static bool is_jpeg(const uint8_t *bytes, int64_t count) { return count >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0; }

static bool begin_jpeg(tjhandle decoder, const void *bytes, int64_t count, images_header *header, char *message) {
  // What has no image, but tables alone, leaves them so.
  int width = 0, height = 0, subsampling = 0, colorspace = TJCS_RGB;
  if (tjDecompressHeader3(decoder, bytes, (unsigned long)count, &width, &height, &subsampling, &colorspace) != 0)
    return fail_damaged(message, tjGetErrorStr2(decoder));
  if (width < 1 || height < 1) return fail(message, "it is a JPEG file without an image, or cut off");
  if (colorspace == TJCS_CMYK || colorspace == TJCS_YCCK)
    return fail(message, "it is a JPEG file of printing colours (CMYK); convert it to RGB");
  *header = (images_header){height, width, colorspace == TJCS_GRAY ? 1 : 3};
  return true;
}

static bool decode_jpeg(
    tjhandle decoder, const void *bytes, int64_t count, const images_header *header, int32_t channels, uint8_t *pixels,
    char *message) {
  images_header found;
  if (!begin_jpeg(decoder, bytes, count, &found, message)) return false;
  if (found.height != header->height || found.width != header->width)
    return fail(message, "its size changed meanwhile");
  // What is missing from a damaged file would be made up, with a warning.
  int flags = TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING;
#ifdef TJFLAG_LIMITSCANS
  flags |= TJFLAG_LIMITSCANS;
#endif
  int format = channels == 3 ? TJPF_RGB : TJPF_GRAY;
  if (tjDecompress2(
          decoder, bytes, (unsigned long)count, pixels, found.width, found.width * channels, found.height, format,
          flags) != 0)
    return fail_damaged(message, tjGetErrorStr2(decoder));
  return true;
}

/* MARK: Either */

static const char *const neither = "it is neither a PNG nor a JPEG file";

bool images_read_header(const void *bytes, int64_t count, images_header *header, char message[IMAGES_MESSAGE]) {
  if (is_png(bytes, count)) {
    png_image image;
    bool is_read = begin_png(&image, bytes, count, message);
    if (is_read && (image.width > INT32_MAX || image.height > INT32_MAX)) is_read = fail(message, "it is too large");
    if (is_read) *header = (images_header){(int32_t)image.height, (int32_t)image.width, channels_of_png(&image)};
    png_image_free(&image);
    return is_read;
  }
  if (!is_jpeg(bytes, count)) return fail(message, neither);
  tjhandle decoder = tjInitDecompress();
  if (!decoder) return fail(message, "no memory to decode it");
  bool is_read = begin_jpeg(decoder, bytes, count, header, message);
  tjDestroy(decoder);
  return is_read;
}

bool images_decode(
    const void *bytes, int64_t count, const images_header *header, int32_t channels, uint8_t *pixels,
    char message[IMAGES_MESSAGE]) {
  if (is_png(bytes, count)) {
    png_image image;
    bool is_decoded =
        begin_png(&image, bytes, count, message) && decode_png(&image, header, channels, pixels, message);
    png_image_free(&image);
    return is_decoded;
  }
  if (!is_jpeg(bytes, count)) return fail(message, neither);
  tjhandle decoder = tjInitDecompress();
  if (!decoder) return fail(message, "no memory to decode it");
  bool is_decoded = decode_jpeg(decoder, bytes, count, header, channels, pixels, message);
  tjDestroy(decoder);
  return is_decoded;
}
