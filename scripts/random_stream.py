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


def bits(seed, name, draw, count, lane=0):
    """RandomStream(seed: seed, name: name).draw(draw, lane: lane).bits(i) for i in 0 ..< count."""
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
    counter = [index >> numpy.uint64(1), zero + lane, zero + (draw & 0xFFFFFFFF), zero + (draw >> 32)]
    x, y, z, w = philox(counter, [key & 0xFFFFFFFF, key >> 32])
    shift = numpy.uint64(32)
    return numpy.where(index % 2 == 0, y << shift | x, w << shift | z)


def uniforms(seed, name, draw, count, lane=0):
    """The same, .uniform(i)."""
    return (bits(seed, name, draw, count, lane) >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-53


def normals(seed, name, draw, count, lane=0):
    """The same, .normal(i): Box and Muller's pairs."""
    pairs = uniforms(seed, name, draw, count + count % 2, lane).reshape(-1, 2)
    radius, angle = numpy.sqrt(-2 * numpy.log(1 - pairs[:, 0])), 2 * numpy.pi * pairs[:, 1]
    return numpy.stack([radius * numpy.cos(angle), radius * numpy.sin(angle)], axis=1).ravel()[:count]


def permutation(seed, name, draw, count, lane=0):
    """The same, .permutation(count): Fisher and Yates."""
    numbers = bits(seed, name, draw, count, lane)
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = int(numbers[i]) * (i + 1) >> 64
        order[i], order[j] = order[j], order[i]
    return order


def beta(seed, name, draw, a, lane=0):
    """The same, .beta(a): of two values of Gamma(a, 1) after Marsaglia and Tsang."""
    u, x = uniforms(seed, name, draw, 400, lane), normals(seed, name, draw, 400, lane)
    index = 0
    logarithms = []
    d = (a + 1 if a < 1 else a) - 1 / 3
    c = 1 / numpy.sqrt(9 * d)
    while len(logarithms) < 2:
        v = 1 + c * x[index]
        accepted = v > 0 and numpy.log(1 - u[index + 2]) < x[index] ** 2 / 2 + d - d * v**3 + 3 * d * numpy.log(v)
        if accepted:
            boost = numpy.log(1 - u[index + 3]) / a if a < 1 else 0.0
            logarithms.append(numpy.log(d) + 3 * numpy.log(v) + boost)
        index += 4
    return 1 / (1 + numpy.exp(logarithms[1] - logarithms[0]))
