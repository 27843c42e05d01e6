"""Didact's random numbers, restated in NumPy, so that other libraries can draw the same ones."""

import numpy


def philox(counter, key):
    """Philox4x32-10; four counter words and two key words, integers or arrays of them."""
    low = numpy.uint64(0xFFFFFFFF)
    shift = numpy.uint64(32)
    c = [numpy.asarray(word, dtype=numpy.uint64) for word in counter]
    k = [int(word) for word in key]
    for _ in range(10):
        product0 = numpy.uint64(0xD2511F53) * c[0]
        product1 = numpy.uint64(0xCD9E8D57) * c[2]
        c = [
            (product1 >> shift) ^ c[1] ^ numpy.uint64(k[0]),
            product1 & low,
            (product0 >> shift) ^ c[3] ^ numpy.uint64(k[1]),
            product0 & low,
        ]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def uniforms(seed, name, draw, count):
    """RandomStream(seed: seed, name: name).draw(draw).uniform(i) for i in 0 ..< count."""
    mask = (1 << 64) - 1
    text_hash = 0xCBF29CE484222325
    for byte in name.encode():
        text_hash = ((text_hash ^ byte) * 0x100000001B3) & mask
    mixed = (seed + text_hash + 0x9E3779B97F4A7C15) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    key = mixed ^ (mixed >> 31)

    index = numpy.arange(count, dtype=numpy.uint64)
    zero = numpy.zeros_like(index)
    counter = [index >> numpy.uint64(1), zero, zero + (draw & 0xFFFFFFFF), zero + (draw >> 32)]
    x, y, z, w = philox(counter, [key & 0xFFFFFFFF, key >> 32])
    shift = numpy.uint64(32)
    bits = numpy.where(index % 2 == 0, y << shift | x, w << shift | z)
    return (bits >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-53
