#!/usr/bin/env python3
"""Writes the NumPy, safetensors and image files under Tests/Fixtures that the tests read.

    python3 -m venv /tmp/fixtures && /tmp/fixtures/bin/pip install numpy pillow safetensors
    /tmp/fixtures/bin/python scripts/make-fixtures.py
"""

import io
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

FOLDER = Path(__file__).resolve().parent.parent / "Tests/Fixtures"


def write_zip64(path, name, content):
    """A ZIP file whose directory has every number in its 64-bit form, which zipfile writes only beyond 4 GiB."""
    name = name.encode()
    wide, narrow, checksum = 0xFFFFFFFF, 0xFFFF, zlib.crc32(content)
    size = len(content)
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, 0, 0, 0, checksum, wide, wide, len(name), 20)
    local += name + struct.pack("<HHQQ", 1, 16, size, size) + content
    extra = struct.pack("<HHQQQ", 1, 24, size, size, 0)
    directory = struct.pack(
        "<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, 0, 0, 0, 0, checksum, wide, wide, len(name), len(extra), 0, 0, 0, 0,
        wide,
    )
    directory += name + extra
    end = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 1, 1, len(directory), len(local))
    locator = struct.pack("<IIQI", 0x07064B50, 0, len(local) + len(directory), 1)
    last = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, narrow, narrow, wide, wide, 0)
    path.write_bytes(local + directory + end + locator + last)


def write_images():
    """A small CIFAR-10, and images of 2 rows of 3 pixels whose values count up from 10."""
    with tarfile.open(FOLDER / "cifar-10.tar.gz", "w:gz") as archive:
        def add(name, content):
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))

        def records(count, first):
            return b"".join(bytes([(first + i) % 10]) + bytes((first + i + j) % 251 for j in range(3072))
                            for i in range(count))  # fmt: skip

        for batch in range(5):
            add(f"data_batch_{batch + 1}.bin", records(2, 2 * batch))
        add("test_batch.bin", records(1, 7))
        add("batches.meta.txt", "".join(f"class {i}\n" for i in range(10)).encode() + b"\n")
    color = np.arange(10, 28, dtype=np.uint8).reshape(2, 3, 3)
    Image.fromarray(color).save(FOLDER / "color.png")
    Image.fromarray(color[..., 0]).save(FOLDER / "gray.png")
    Image.fromarray(np.dstack([color, color[..., 0]])).save(FOLDER / "transparent.png")
    Image.fromarray(np.full((2, 3), 90, np.uint8)).save(FOLDER / "gray.jpg")


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    matrix = np.array([[0, 1, 2], [3, 4, 5]])
    for dtype in ["<f4", "<f8", "<i8", "<i4", "<i2", "|i1", "|u1", "<u2", "<u4", "|b1", ">f8"]:
        name = dtype.replace("<", "little_").replace(">", "big_").replace("|", "")
        np.save(FOLDER / f"{name}.npy", (matrix > 2 if dtype == "|b1" else matrix).astype(dtype))
    np.save(FOLDER / "negative.npy", np.array([-1, -128, 127], "|i1"))
    np.save(FOLDER / "fortran.npy", np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)))
    np.save(FOLDER / "scalar.npy", np.float64(2.5))
    np.save(FOLDER / "complex.npy", np.zeros(2, complex))
    np.save(FOLDER / "structured.npy", np.zeros(2, [("a", "f4"), ("b", "i4")]))
    np.save(FOLDER / "object.npy", np.array([None, 1], object), allow_pickle=True)
    np.save(FOLDER / "text.npy", np.array([["a", "bcd"], ["", "é😀"]]))
    with open(FOLDER / "version2.npy", "wb") as file:
        np.lib.format.write_array(file, np.arange(3.0), version=(2, 0))

    arrays = {
        "X": np.arange(12.0).reshape(4, 3),
        "y": np.array([7, -1, 3, 7]),
        "X_unlabeled": np.full((2, 3), 0.5),
        "X_test": np.arange(6.0).reshape(2, 3),
        "y_test": np.array([3, 7]),
    }
    np.savez(FOLDER / "stored.npz", **arrays)
    np.savez_compressed(FOLDER / "compressed.npz", **arrays)
    np.savez_compressed(FOLDER / "text_labels.npz", X=arrays["X"], y=np.array(["dog", "", "cat", "dog"]))
    np.savez(FOLDER / "features_only.npz", X=arrays["X"].astype(np.float32), ids=np.arange(4))
    np.savez(FOLDER / "cube.npz", X=np.zeros((2, 3, 4)))
    np.savez(FOLDER / "infinite.npz", X=np.array([[0.0, 1.0], [2.0, np.inf]]))
    np.savez(FOLDER / "misspelt.npz", X=arrays["X"], X_unlabelled=arrays["X"])
    np.savez(FOLDER / "few_labels.npz", X=arrays["X"], y=np.array([0, 1]))
    np.savez_compressed(FOLDER / "large.npz", X=(np.arange(60000) % 251).astype(np.uint8).reshape(600, 100))
    write_zip64(FOLDER / "zip64.npz", "X.npy", (FOLDER / "little_f4.npy").read_bytes())

    save_file(
        {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array(7, np.int64),
         "mask": np.array([1, 2, 3], np.uint8), "empty": np.zeros((0, 4))},
        FOLDER / "official.safetensors", metadata={"name": "didact"},
    )
    write_images()
    # What a teacher might say of 60 rows of 3 classes.
    for seed, name in enumerate(["distributions", "other_distributions"]):
        values = np.random.default_rng(seed).dirichlet([0.5, 0.5, 0.5], 60)
        save_file({"distributions": values.astype(np.float32)}, FOLDER / f"{name}.safetensors")


if __name__ == "__main__":
    main()
