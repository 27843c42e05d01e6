"""Reads image files with random damage, in a process of its own. Run by test_image_files.py.

Damage raises, or goes unnoticed; a signal fails the test. Arguments: a folder of good files, and how many variants of
each to try. Prints for each file how many were read and how many refused.
"""

import gzip
import os
import random
import resource
import sys
from pathlib import Path

import didact

folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
# What cannot be allocated must fail here rather than take the memory of other programs.
# (The address sanitizer reserves terabytes of addresses; it has a limit of its own.)
if "asan" not in os.environ.get("LD_PRELOAD", ""):
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
source = random.Random(0)


def mutated(content):
    content = bytearray(content)
    for _ in range(source.choice([1, 1, 2, 8])):
        # The beginning says what follows.
        place = source.randrange(len(content) if source.random() < 0.5 else min(len(content), 200))
        content[place] = source.choice([0, 255, 127, 128, content[place] ^ 1 << source.randrange(8)])
    if source.random() < 0.2:
        del content[source.randrange(len(content)) :]
    return bytes(content)


for path in sorted(folder.iterdir()):
    good = path.read_bytes()
    is_image = path.suffix in (".png", ".jpg")
    target = folder / "mutated" / path.name
    target.parent.mkdir(exist_ok=True)
    load = {".mat": didact.datasets.load_svhn, ".gz": didact.datasets.load_cifar10}.get(path.suffix)
    read = refused = 0
    for _ in range(rounds):
        # Of one archive the content, which compression would protect by its checksum.
        content = gzip.compress(mutated(gzip.decompress(good)), 1) if path.name == "plain.tar.gz" else mutated(good)
        target.write_bytes(content)
        try:
            if is_image:
                didact.datasets.load_image_folder(target.parent)
            else:
                load(target)
            read += 1
        except (didact.DidactError, ValueError) as error:
            assert path.name in str(error) or str(target.parent) in str(error), error
            refused += 1
    target.unlink()
    print(path.name, read, refused)
