"""The operations of augmentation on one image [height, width, channels] of uint8, in plain NumPy."""

import colorsys

import numpy as np


def blend(a, b, factor):
    """a + factor · (b − a) in single precision, cut off below and clipped."""
    a, b = a.astype(np.float32), b.astype(np.float32)
    return np.clip(a + np.float32(factor) * (b - a), 0, 255).astype(np.uint8)


def toward(image, changed, amount):
    return changed if amount == 1 else blend(image, changed, amount)


def luma(image):
    if image.shape[2] == 1:
        return image[..., 0]
    weights = np.array([19595, 38470, 7471], np.int64)
    return ((image.astype(np.int64) @ weights + 0x8000) >> 16).astype(np.uint8)


def invert(image, amount=1):
    return toward(image, 255 - image, amount)


def posterize(image, bits):
    return image & np.uint8(0xFF ^ (0xFF >> bits))


def solarize(image, threshold=128):
    return np.where(image < threshold, image, 255 - image)


def solarize_add(image, addition, threshold=128):
    return np.where(image < threshold, np.clip(image.astype(int) + addition, 0, 255), image).astype(np.uint8)


def brightness(image, factor):
    return blend(np.zeros_like(image), image, factor)


def contrast(image, factor):
    return blend(np.full_like(image, int(luma(image).mean() + 0.5)), image, factor)


def color(image, factor):
    if image.shape[2] == 1:
        return image
    return blend(np.repeat(luma(image)[..., None], 3, 2), image, factor)


def grayscale(image):
    return np.repeat(luma(image)[..., None], image.shape[2], 2)


def autocontrast(image, amount=1):
    result = image.copy()
    for channel in range(image.shape[2]):
        values = image[..., channel]
        low, high = int(values.min()), int(values.max())
        if high > low:
            scale = 255.0 / (high - low)
            table = [min(255, max(0, int(v * scale - low * scale))) for v in range(256)]
            result[..., channel] = np.array(table, np.uint8)[values]
    return toward(image, result, amount)


def equalize(image, amount=1):
    result = image.copy()
    for channel in range(image.shape[2]):
        values = image[..., channel]
        counts = np.bincount(values.ravel(), minlength=256)
        step = (counts.sum() - counts[counts > 0][-1]) // 255
        if step > 0:
            below = np.concatenate([[0], np.cumsum(counts)[:-1]])
            result[..., channel] = np.minimum(255, (step // 2 + below) // step).astype(np.uint8)[values]
    return toward(image, result, amount)


def hue(image, turn):
    if image.shape[2] == 1:
        return image
    result = np.empty_like(image)
    for place in np.ndindex(image.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*(image[place] / 255.0))
        result[place] = np.rint(255 * np.array(colorsys.hsv_to_rgb((h + turn) % 1, s, v)))
    return result


def _neighbours(image, kernel):
    """The sum of a pixel's neighbours times `kernel`, of the pixels that have all of them."""
    size = kernel.shape[0]
    height, width = image.shape[0] - size + 1, image.shape[1] - size + 1
    total = np.zeros((height, width, image.shape[2]), np.int64)
    for row, column in np.ndindex(kernel.shape):
        total += int(kernel[row, column]) * image[row : row + height, column : column + width].astype(np.int64)
    return total


def _smoothed(image):
    kernel = np.ones((3, 3), int)
    kernel[1, 1] = 5
    result = image.copy()
    if min(image.shape[:2]) > 2:
        result[1:-1, 1:-1] = (2 * _neighbours(image, kernel) + 13) // 26
    return result


def smooth(image, amount=1):
    return toward(image, _smoothed(image), amount)


def sharpness(image, factor):
    return blend(_smoothed(image), image, factor)


def blur(image, amount=1):
    kernel = np.ones((5, 5), int)
    kernel[1:-1, 1:-1] = 0
    result = image.copy()
    if min(image.shape[:2]) > 4:
        result[2:-2, 2:-2] = (_neighbours(image, kernel) + 8) // 16
    return toward(image, result, amount)


def gaussian_blur(image, deviation):
    """Within 1 of this: each of the two passes rounds."""

    def matrix(length):
        distance = np.subtract.outer(np.arange(length), np.arange(length))
        weights = np.exp(-((distance / deviation) ** 2) / 2) * (abs(distance) <= max(1, np.ceil(4 * deviation)))
        return weights / weights.sum(1, keepdims=True)

    rows = np.rint(np.einsum("xw,hwc->hxc", matrix(image.shape[1]), image))
    return np.rint(np.einsum("yh,hwc->ywc", matrix(image.shape[0]), rows)).astype(np.uint8)


def flip(image):
    return image[:, ::-1]


def transform(image, map, fill=0):
    """Output (x, y) is the input at (a x + b y + c, d x + e y + f), coordinates of pixel centres, in 16-bit fixed point."""
    a, b, c, d, e, f = map
    height, width = image.shape[:2]
    fixed = lambda value: int(np.floor(value * 65536 + 0.5))  # noqa: E731
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    column = (fixed(c + 0.5 * a + 0.5 * b) + fixed(a) * x + fixed(b) * y) >> 16
    row = (fixed(f + 0.5 * d + 0.5 * e) + fixed(d) * x + fixed(e) * y) >> 16
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    result = np.full_like(image, fill)
    result[inside] = image[row[inside], column[inside]]
    return result


def rotate(image, degrees, fill=0):
    angle = -np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    y, x = image.shape[0] / 2, image.shape[1] / 2
    return transform(image, (cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y), fill)


def shear_x(image, factor, fill=0):
    return transform(image, (1, factor, 0, 0, 1, 0), fill)


def shear_y(image, factor, fill=0):
    return transform(image, (1, 0, 0, factor, 1, 0), fill)


def translate_x(image, pixels, fill=0):
    return transform(image, (1, 0, pixels, 0, 1, 0), fill)


def translate_y(image, pixels, fill=0):
    return transform(image, (1, 0, 0, 0, 1, pixels), fill)


def crops(image, padding, fill=None):
    """All crops of the image with a margin."""
    margin = [(padding, padding)] * 2 + [(0, 0)]
    padded = np.pad(image, margin, mode="reflect") if fill is None else np.pad(image, margin, constant_values=fill)
    height, width = image.shape[:2]
    return [
        padded[row : row + height, column : column + width]
        for row in range(2 * padding + 1)
        for column in range(2 * padding + 1)
    ]


def cutouts(image, size, fill=128):
    """With the square around every pixel."""
    results = []
    for row, column in np.ndindex(image.shape[:2]):
        result = image.copy()
        top, left = row - size // 2, column - size // 2
        result[max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)] = fill
        results.append(result)
    return results
