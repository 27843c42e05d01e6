"""Images from files: the published formats byte for byte, folders of PNG and JPEG, and every kind of damage."""

import contextlib
import gzip
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib

import numpy as np
import pytest

import didact
from didact import datasets
from support import HERE, HOSTILE_CASES, tried
from test_command_line import didact as command
from test_command_line import failure

Image = pytest.importorskip("PIL.Image")


@contextlib.contextmanager
def failing(status, match):
    with pytest.raises(didact.DidactError, match=match) as raised:
        yield raised
    assert raised.value.status_name == status


def random_images(count, shape=(32, 32, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def smooth_image(height, width, channels=3, seed=0):
    """What a JPEG file keeps well."""
    y, x = np.mgrid[0:height, 0:width]
    phase = np.random.default_rng(seed).uniform(0, 6, channels)
    pixels = 128 + 100 * np.sin(x[..., None] / 9 + y[..., None] / 7 + phase)
    return pixels.astype(np.uint8)


# --- CIFAR ----------------------------------------------------------------------------------------------------------

CLASSES = {10: [f"class {i}" for i in range(9)] + ["ü"], 100: [f"fine_{i}" for i in range(100)]}


def cifar_files(classes, rows=(3, 2), seed=0):
    """The files of a small CIFAR, and what they hold: images and labels for training and for tests."""
    labels_of = np.random.default_rng(seed + 1)
    parts = {"train": ([], []), "test": ([], [])}
    files = {}

    def batch(name, part, count, seed):
        images, labels = random_images(count, seed=seed), labels_of.integers(0, classes, count)
        records = b""
        for image, label in zip(images, labels):
            records += bytes([3, label] if classes == 100 else [label]) + image.transpose(2, 0, 1).tobytes()
        files[name] = records
        parts[part][0].append(images)
        parts[part][1].append(labels)

    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if classes == 10 else ["train.bin"]
    for index, name in enumerate(names):
        batch(name, "train", rows[0], seed + index)
    batch("test_batch.bin" if classes == 10 else "test.bin", "test", rows[1], seed + 50)
    files["batches.meta.txt" if classes == 10 else "fine_label_names.txt"] = (
        "\n".join(CLASSES[classes]) + "\n\n"
    ).encode()
    files["readme.html"] = b"<html>"
    return files, {part: tuple(np.concatenate(each) for each in both) for part, both in parts.items()}


def cifar_folder(classes):
    return {10: "cifar-10-batches-bin", 100: "cifar-100-binary"}[classes]


def write_archive(path, classes, files, format=tarfile.GNU_FORMAT):
    with tarfile.open(path, "w:gz", format=format) as archive:
        folder = tarfile.TarInfo(cifar_folder(classes))
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{cifar_folder(classes)}/{name}")
            # A fraction of a second asks for a pax header.
            entry.size, entry.mtime = len(content), 1e9 + 0.5
            archive.addfile(entry, io.BytesIO(content))
    return path


def write_folder(path, files):
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def load_cifar(classes, path):
    return {10: datasets.load_cifar10, 100: datasets.load_cifar100}[classes](path)


def check_cifar(data, expected, classes):
    for got, want in zip((data.X, data.y, data.X_test, data.y_test), (*expected["train"], *expected["test"])):
        np.testing.assert_array_equal(got, want)
    assert (data.X.dtype, data.y.dtype, data.X.shape[1:]) == (np.uint8, np.int64, (32, 32, 3))
    assert data.class_names == CLASSES[classes] and data.X_unlabeled is None and data.skipped == {}


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_cifar_archive(tmp_path, classes, format):
    files, expected = cifar_files(classes)
    path = write_archive(tmp_path / "archive ü.tar.gz", classes, files, format)
    check_cifar(load_cifar(classes, path), expected, classes)


@pytest.mark.parametrize("classes", [10, 100])
def test_cifar_folder(tmp_path, classes):
    files, expected = cifar_files(classes)
    folder = write_folder(tmp_path / cifar_folder(classes), files)
    check_cifar(load_cifar(classes, folder), expected, classes)
    check_cifar(load_cifar(classes, tmp_path), expected, classes)


def test_views_outlive_their_handle(tmp_path):
    files, expected = cifar_files(10)
    pixels = datasets.load_cifar10(write_archive(tmp_path / "a.tar.gz", 10, files)).X
    datasets.load_cifar10(tmp_path / "a.tar.gz")
    np.testing.assert_array_equal(pixels, expected["train"][0])
    pixels[0] = 0


def test_an_archive_in_two_parts(tmp_path):
    files, expected = cifar_files(10)
    path = write_archive(tmp_path / "a.tar.gz", 10, files)
    plain = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(plain[:5000]) + gzip.compress(plain[5000:]) + bytes(100))
    check_cifar(datasets.load_cifar10(path), expected, 10)


def test_damaged_cifar(tmp_path):
    files, _ = cifar_files(10)
    path = write_archive(tmp_path / "a.tar.gz", 10, files)
    content = path.read_bytes()
    for length in (3, 20, 500, len(content) // 2, len(content) - 4):
        path.write_bytes(content[:length])
        with failing("DIDACT_EFORMAT", match=r"a\.tar\.gz: .*(cut off|damaged)"):
            datasets.load_cifar10(path)
    plain = bytearray(gzip.decompress(content))
    plain[512 + 3] ^= 1
    path.write_bytes(gzip.compress(bytes(plain)))
    with failing("DIDACT_EFORMAT", match="checksum of a header"):
        datasets.load_cifar10(path)
    path.write_bytes(content[:-6] + bytes([content[-6] ^ 1]) + content[-5:])
    with failing("DIDACT_EFORMAT", match="damaged"):
        datasets.load_cifar10(path)
    # More than deflate can hold.
    huge = bytearray(gzip.decompress(content))
    header = huge[512:1024]
    header[124:136] = b"77777777777\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    huge[512:1024] = header
    path.write_bytes(gzip.compress(bytes(huge)))
    with failing("DIDACT_EFORMAT", match="cut off"):
        datasets.load_cifar10(path)


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda files: files.pop("data_batch_3.bin"), "DIDACT_EDATA", r"data_batch_3\.bin missing"),
        (lambda files: files.pop("batches.meta.txt"), "DIDACT_EDATA", r"batches\.meta\.txt missing"),
        (lambda files: files.update({"data_batch_2.bin": files["data_batch_2.bin"][:-1]}), "DIDACT_EFORMAT",
         r"data_batch_2\.bin: 9218 bytes .* records of 3073"),
        (lambda files: files.update({"test_batch.bin": b""}), "DIDACT_EFORMAT", r"test_batch\.bin: 0 bytes"),
        (lambda files: files.update({"data_batch_1.bin": b"\x0a" + files["data_batch_1.bin"][1:]}), "DIDACT_EDATA",
         r"data_batch_1\.bin, record 0: label 10 is not below 10"),
        (lambda files: files.update({"batches.meta.txt": b"a\nb\n"}), "DIDACT_EFORMAT", "2 names of classes"),
        (lambda files: files.update({"batches.meta.txt": b"\xff"}), "DIDACT_EFORMAT", "not UTF-8"),
    ],
)  # fmt: skip
def test_wrong_cifar(tmp_path, change, error, message):
    files, _ = cifar_files(10)
    change(files)
    for path in (write_archive(tmp_path / "a.tar.gz", 10, files), write_folder(tmp_path / "folder", files)):
        with failing(error, match=message) as raised:
            datasets.load_cifar10(path)
        assert str(path) in str(raised.value)


def test_cifar_100_labels_out_of_range(tmp_path):
    files, _ = cifar_files(100)
    good = files["train.bin"]
    for first, message in ((b"\x14\x00", "record 0: coarse label 20"), (b"\x00\x64", "record 0: label 100")):
        folder = write_folder(tmp_path / "folder", {**files, "train.bin": first + good[2:]})
        with failing("DIDACT_EDATA", match=message):
            datasets.load_cifar100(folder)


def test_what_is_no_cifar(tmp_path):
    with failing("DIDACT_EFILE", match="none"):
        datasets.load_cifar10(tmp_path / "none.tar.gz")
    (tmp_path / "text.tar.gz").write_text("text")
    with failing("DIDACT_EFORMAT", match="text"):
        datasets.load_cifar10(tmp_path / "text.tar.gz")
    files, _ = cifar_files(100)
    with failing("DIDACT_EDATA", match="data_batch_1.bin, .* missing"):
        datasets.load_cifar10(write_archive(tmp_path / "hundred.tar.gz", 100, files))


# --- SVHN -----------------------------------------------------------------------------------------------------------


def write_svhn(path, images, digits, compressed=True, dtype=np.uint8):
    """As published: the rows of an image run fastest, and the digit 0 is 10."""
    scipy_io = pytest.importorskip("scipy.io")
    labels = np.where(digits == 0, 10, digits).astype(dtype).reshape(-1, 1)
    scipy_io.savemat(path, {"X": images.transpose(1, 2, 3, 0), "y": labels}, do_compression=compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.int16, np.float32])
def test_svhn_file(tmp_path, compressed, dtype):
    images, digits = random_images(12), np.arange(12) % 10
    data = datasets.load_svhn(write_svhn(tmp_path / "train_32x32.mat", images, digits, compressed, dtype))
    np.testing.assert_array_equal(data.X, images)
    np.testing.assert_array_equal(data.y, digits)
    assert data.class_names == list("0123456789") and data.X_test is None and data.X_unlabeled is None


def test_svhn_folder(tmp_path):
    parts = {name: (random_images(count, seed=count), np.arange(count) % 10)
             for name, count in (("train", 4), ("test", 1), ("extra", 5))}  # fmt: skip
    for name, (images, digits) in parts.items():
        write_svhn(tmp_path / f"{name}_32x32.mat", images, digits)
    data = datasets.load_svhn(tmp_path)
    np.testing.assert_array_equal(data.X, parts["train"][0])
    np.testing.assert_array_equal(data.X_test, parts["test"][0])
    np.testing.assert_array_equal(data.y_test, parts["test"][1])
    np.testing.assert_array_equal(data.X_unlabeled, parts["extra"][0])
    os.remove(tmp_path / "train_32x32.mat")
    with failing("DIDACT_EDATA", match="no train_32x32.mat"):
        datasets.load_svhn(tmp_path)


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def mat_file(*elements, version=0x0100, order=b"IM"):
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", version) + order + b"".join(elements)


def matrix(name, dimensions, kind, storage, data, flags=0):
    return element(14, element(6, struct.pack("<II", kind | flags, 0))
                   + element(5, struct.pack(f"<{len(dimensions)}i", *dimensions))
                   + element(1, name) + element(storage, data))  # fmt: skip


X_DATA = bytes(range(256)) * 12
X = matrix(b"X", (32, 32, 3, 1), 9, 2, X_DATA)
Y = matrix(b"y", (1, 1), 6, 2, b"\x0a")


def compressed(content):
    packed = zlib.compress(content)
    return struct.pack("<II", 15, len(packed)) + packed


def test_a_composed_mat_file(tmp_path):
    path = tmp_path / "train_32x32.mat"
    # MATLAB writes short parts into their tags, and drops a last dimension of 1.
    short = element(14, element(6, struct.pack("<II", 6, 0)) + element(5, struct.pack("<2i", 1, 1))
                    + struct.pack("<HH4s", 1, 1, b"y") + struct.pack("<HH4s", 2, 1, b"\x0a"))  # fmt: skip
    other = matrix(b"text", (1, 4), 4, 2, b"text")
    for content in (X + Y, X + short, other + compressed(X) + compressed(short), compressed(Y) + X,
                    matrix(b"X", (32, 32, 3), 9, 2, X_DATA) + Y):  # fmt: skip
        path.write_bytes(mat_file(content))
        data = datasets.load_svhn(path)
        np.testing.assert_array_equal(
            data.X[0], np.frombuffer(X_DATA, np.uint8).reshape(32, 32, 3, order="F")
        )
        assert data.y.tolist() == [0]


@pytest.mark.parametrize(
    "content, error, message",
    [
        (b"", "DIDACT_EFORMAT", "no MAT-file"),
        (b"MATLAB 5.0 MAT-file", "DIDACT_EFORMAT", "no MAT-file"),
        (mat_file(X, Y, order=b"MI"), "DIDACT_EFORMAT", "big-endian"),
        (mat_file(X, Y, version=0x0200), "DIDACT_EFORMAT", "another version than 5"),
        (mat_file(), "DIDACT_EDATA", 'no array "X"'),
        (mat_file(X), "DIDACT_EDATA", 'no array "y"'),
        (mat_file(X, Y)[:-8], "DIDACT_EFORMAT", "cut off"),
        (mat_file(X, Y)[:1000], "DIDACT_EFORMAT", "cut off"),
        (mat_file(compressed(X), compressed(Y))[:-3], "DIDACT_EFORMAT", "cut off"),
        (mat_file(compressed(X)[:-4] + b"abcd", Y), "DIDACT_EFORMAT", "damaged"),
        (mat_file(X, matrix(b"y", (1, 2), 9, 2, b"\x01\x02")), "DIDACT_EDATA", "2 labels"),
        (mat_file(X, matrix(b"y", (1, 1), 9, 2, b"\x00")), "DIDACT_EDATA", "row 0: label 0.0"),
        (mat_file(X, matrix(b"y", (1, 1), 9, 2, b"\x0b")), "DIDACT_EDATA", "row 0: label 11.0"),
        (mat_file(X, matrix(b"y", (1, 1), 6, 9, struct.pack("<d", 1.5))), "DIDACT_EDATA", "row 0: label 1.5"),
        (mat_file(X, matrix(b"y", (1, 1), 6, 9, struct.pack("<d", float("nan")))), "DIDACT_EDATA", "row 0: label nan"),
        (mat_file(matrix(b"X", (32, 32, 3, 1), 6, 2, X_DATA), Y), "DIDACT_EFORMAT", "of another type"),
        (mat_file(matrix(b"X", (16, 64, 3, 1), 9, 2, X_DATA), Y), "DIDACT_EFORMAT", r"\[16, 64, 3, 1\]"),
        (mat_file(matrix(b"X", (32, 32, 3, 2), 9, 2, X_DATA), Y), "DIDACT_EFORMAT", "damaged"),
        (mat_file(matrix(b"X", (32, 32, 3, 2**31 - 1), 9, 2, X_DATA), Y), "DIDACT_EFORMAT", "damaged"),
        (mat_file(matrix(b"X", (2**31 - 1,) * 8, 9, 2, X_DATA), Y), "DIDACT_EFORMAT", "damaged"),
        (mat_file(matrix(b"X", (-32, -32, 3, 1), 9, 2, X_DATA), Y), "DIDACT_EFORMAT", "damaged"),
        (mat_file(matrix(b"X", (32, 32, 3, 0), 9, 2, b""), Y), "DIDACT_EFORMAT", r"\[32, 32, 3, 0\]"),
        (mat_file(struct.pack("<II", 14, 2**32 - 1) + X[8:]), "DIDACT_EFORMAT", "cut off"),
        (mat_file(struct.pack("<II", 99, 8) + bytes(8)), "DIDACT_EFORMAT", "damaged"),
        (mat_file(compressed(struct.pack("<II", 14, 2**32 - 1) + X[8:])), "DIDACT_EFORMAT", "damaged"),
        (mat_file(compressed(b"")), "DIDACT_EFORMAT", "cut off"),
    ],
)  # fmt: skip
def test_hostile_mat_files(tmp_path, content, error, message):
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(content)
    with failing(error, match=message) as raised:
        datasets.load_svhn(path)
    assert str(path) in str(raised.value)


# --- Folders --------------------------------------------------------------------------------------------------------


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).save(path, **options)
    return path


def opened(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_image_folder(tmp_path):
    shape, names = (6, 5, 3), ["straße", "a b", "zebra", "Zebra"]
    expected = {}
    for label, name in enumerate(sorted(names)):
        for index in range(3):
            pixels = random_images(1, shape, seed=10 * label + index)[0]
            save(tmp_path / name / f"image {index} ü.png", pixels)
            expected[f"{name}/image {index} ü.png"] = (pixels, label)
    unlabeled = random_images(2, shape, seed=99)
    for index in range(2):
        save(tmp_path / "unlabeled" / f"{index}.png", unlabeled[index])
    (tmp_path / "README.txt").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "zebra" / ".DS_Store").write_text("not an image")
    for threads in (0, 1, 2, 100):
        data = datasets.load_image_folder(tmp_path, threads=threads)
        assert data.class_names == sorted(names) and data.X.shape == (12, *shape) and data.skipped == {}
        assert data.files == sorted(expected)
        for pixels, label, file in zip(data.X, data.y, data.files):
            np.testing.assert_array_equal(pixels, expected[file][0])
            assert label == expected[file][1]
        np.testing.assert_array_equal(data.X_unlabeled, unlabeled)
        assert data.X_test is None and data.y_test is None


def test_image_folder_in_parts(tmp_path):
    images = random_images(6, (4, 4, 1))
    for index, name in enumerate(["train/a/0", "train/b/0", "train/b/1", "test/b/0", "unlabeled/0", "unlabeled/1"]):
        save(tmp_path / f"{name}.png", images[index])
    data = datasets.load_image_folder(str(tmp_path) + "/")
    assert data.class_names == ["a", "b"] and data.files == ["train/a/0.png", "train/b/0.png", "train/b/1.png"]
    np.testing.assert_array_equal(data.X, images[:3])
    assert data.y.tolist() == [0, 1, 1] and data.y_test.tolist() == [1]
    np.testing.assert_array_equal(data.X_test, images[3:4])
    np.testing.assert_array_equal(data.X_unlabeled, images[4:])


def test_images_without_classes(tmp_path):
    images = random_images(3, (4, 4, 3))
    for index, image in enumerate(images):
        save(tmp_path / f"{index}.png", image)
    data = datasets.load_image_folder(tmp_path)
    np.testing.assert_array_equal(data.X, images)
    assert data.y.tolist() == [-1, -1, -1] and data.class_names == [] and data.X_unlabeled is None


def test_kinds_of_png(tmp_path):
    color, gray = smooth_image(8, 9), smooth_image(8, 9, 1)
    kinds = {
        "a": Image.fromarray(color), "b": Image.fromarray(color).convert("P"),
        "c": Image.fromarray(gray[..., 0]), "d": Image.fromarray(gray[..., 0]).convert("1"),
        "e": Image.fromarray(color).convert("RGBA"), "f": Image.fromarray(gray[..., 0]).convert("LA"),
    }  # fmt: skip
    for name, image in kinds.items():
        folder = tmp_path / "all" / name
        folder.mkdir(parents=True)
        image.save(folder / "image.png")
    data = datasets.load_image_folder(tmp_path / "all")
    assert data.X.shape == (6, 8, 9, 3), "grey becomes three equal channels beside colours"
    for pixels, file in zip(data.X, data.files):
        np.testing.assert_array_equal(pixels, opened(tmp_path / "all" / file), file)
    # 16 bits become 8; shades of grey alone stay one channel.
    wide = (smooth_image(8, 9, 1)[..., 0].astype(np.uint16)) * 257
    (tmp_path / "gray" / "a").mkdir(parents=True)
    Image.fromarray(wide).save(tmp_path / "gray" / "a" / "16.png")
    save(tmp_path / "gray" / "a" / "8.png", gray)
    data = datasets.load_image_folder(tmp_path / "gray")
    np.testing.assert_array_equal(data.X, np.stack([gray, gray]))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}, {"optimize": True}])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg(tmp_path, options, channels):
    pixels = smooth_image(37, 53, channels)
    path = save(tmp_path / "a" / "image.jpeg", pixels, **options)
    data = datasets.load_image_folder(tmp_path)
    assert data.X.shape == (1, 37, 53, channels)
    expected = np.asarray(Image.open(path)).reshape(37, 53, channels)
    # Versions of the decoder round differently.
    assert np.abs(data.X[0].astype(int) - expected).max() <= 2


@pytest.mark.parametrize("size", [(8, 8), (16, 20), (33, 47), (50, 10), (2, 1), (1, 1), (100, 100)])
@pytest.mark.parametrize("channels", [1, 3])
def test_resizing(tmp_path, size, channels):
    paths = [save(tmp_path / "a" / "0.png", random_images(1, (33, 47, channels))[0]),
             save(tmp_path / "a" / "1.png", random_images(1, (20, 20, channels))[0])]  # fmt: skip
    with failing("DIDACT_ESHAPE", match=r"several sizes: a/0.png has 33 × 47 pixels, a/1.png 20 × 20"):
        datasets.load_image_folder(tmp_path)
    data = datasets.load_image_folder(tmp_path, image_size=size)
    assert data.X.shape == (2, *size, channels)
    for pixels, path in zip(data.X, paths):
        expected = np.asarray(Image.open(path).resize(size[::-1], Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(pixels, expected.reshape(pixels.shape))


def test_wrong_folders(tmp_path):
    def expect(message, error="DIDACT_EDATA", **options):
        with failing(error, match=message) as raised:
            datasets.load_image_folder(tmp_path, **options)
        assert str(tmp_path) in str(raised.value)

    expect("no image and no folder")
    save(tmp_path / "a" / "0.png", random_images(1, (4, 4, 3))[0])
    (tmp_path / "b").mkdir()
    expect("b is empty")
    save(tmp_path / "b" / "inner" / "0.png", random_images(1, (4, 4, 3))[0])
    expect("b/inner is a folder within")
    os.remove(tmp_path / "b" / "inner" / "0.png")
    os.rmdir(tmp_path / "b" / "inner")
    save(tmp_path / "b" / "0.png", random_images(1, (4, 4, 3))[0])
    lost = save(tmp_path / "lost.PNG", random_images(1, (4, 4, 3))[0], format="png")
    expect("lost.PNG is in no folder of a class")
    os.remove(lost)
    (tmp_path / "b" / "notes.txt").write_text("text")
    expect("b/notes.txt: it is neither a PNG nor a JPEG", "DIDACT_EFORMAT")
    os.remove(tmp_path / "b" / "notes.txt")
    os.symlink(tmp_path / "nowhere", tmp_path / "b" / "link.png")
    expect("link.png", "DIDACT_EFILE")
    os.remove(tmp_path / "b" / "link.png")
    save(tmp_path / "test" / "c" / "0.png", random_images(1, (4, 4, 3))[0])
    expect('"test" without "train"')
    for name in ("a", "b"):
        os.renames(tmp_path / name, tmp_path / "train" / name)
    expect('class "c" is in "test" but not in "train"')
    os.renames(tmp_path / "test" / "c", tmp_path / "elsewhere")
    (tmp_path / "test").mkdir()
    expect('"elsewhere" beside "train"')
    shutil.rmtree(tmp_path / "elsewhere")
    expect('"test" has no folder of a class')
    (tmp_path / "validation").mkdir()
    expect('"validation" beside "train"')
    with pytest.raises(ValueError, match="image_size"):
        datasets.load_image_folder(tmp_path, image_size=(0, 5))
    with pytest.raises(TypeError, match=r"image_size must be \(height, width\), got 4"):
        datasets.load_image_folder(tmp_path, image_size=4)
    with pytest.raises(TypeError, match="image_size must be a whole number, got True"):
        datasets.load_image_folder(tmp_path, image_size=(True, 8))
    with pytest.raises(ValueError, match="height and width"):
        datasets.load_image_folder(tmp_path, image_size=(5,))
    with pytest.raises(ValueError, match="threads"):
        datasets.load_image_folder(tmp_path, threads=-1)


def png_header(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return (b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
            + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))  # fmt: skip


def damaged_images():
    """By name: the bytes of a file that cannot be read, and what is said of it."""
    png, jpeg, transparent, printing = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    pixels = smooth_image(20, 20)
    Image.fromarray(pixels).save(png, "png")
    Image.fromarray(pixels).save(jpeg, "jpeg")
    Image.fromarray(np.dstack([pixels, np.full((20, 20), 254, np.uint8)])).save(transparent, "png")
    Image.fromarray(pixels).convert("CMYK").save(printing, "jpeg")
    png, jpeg = png.getvalue(), jpeg.getvalue()
    middle = len(png) // 2
    return {
        "empty.png": (b"", "neither"),
        "text.jpg": (b"text", "neither"),
        "gif.png": (b"GIF89a" + bytes(30), "neither"),
        "cut.png": (png[:middle], "damaged, or cut off"),
        "start.png": (png[:20], "damaged, or cut off"),
        "flipped.png": (png[:middle] + bytes([png[middle] ^ 0x55]) + png[middle + 1 :], "damaged, or cut off"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "damaged, or cut off"),
        "start.jpg": (jpeg[:30], "without an image, or cut off"),
        "marker.jpg": (jpeg[:3], "without an image, or cut off"),
        "bomb.png": (png_header(100_000, 100_000), "100000 × 100000 pixels; at most 67108864"),
        "wide.png": (png_header(2**31 - 1, 2**31 - 1), "damaged, or cut off"),
        "nothing.png": (png_header(0, 0), "damaged, or cut off"),
        "transparent.png": (transparent.getvalue(), "transparent pixels"),
        "printing.jpg": (printing.getvalue(), "CMYK"),
    }


@pytest.mark.parametrize("name", damaged_images())
def test_damaged_images(tmp_path, name):
    good = smooth_image(20, 20)
    for index in (0, 2):
        save(tmp_path / "a" / f"{index}.png", good)
    content, message = damaged_images()[name]
    (tmp_path / "a" / ("1" + name)).write_bytes(content)
    with failing("DIDACT_EFORMAT", match=message) as raised:
        datasets.load_image_folder(tmp_path)
    assert f"{tmp_path}/a/1{name}: " in str(raised.value)
    data = datasets.load_image_folder(tmp_path, skip_corrupt=True)
    assert list(data.skipped) == [f"a/1{name}"] and re.search(message, data.skipped[f"a/1{name}"])
    assert data.files == ["a/0.png", "a/2.png"]
    np.testing.assert_array_equal(data.X, np.stack([good, good]))
    # Nothing of a class is left.
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / name).write_bytes(content)
    with failing("DIDACT_EDATA", match='no image of class "b" can be read'):
        datasets.load_image_folder(tmp_path, skip_corrupt=True)


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="its limit is of addresses")
def test_more_than_fits(tmp_path):
    pixels = np.zeros((2000, 2000), np.uint8)
    for index in range(3):
        save(tmp_path / "a" / f"{index}.png", pixels)
    with failing("DIDACT_ESHAPE", match="smaller image size"):
        datasets.load_image_folder(tmp_path, image_size=(65_536, 65_536))
    for index in range(3, 40):
        os.link(tmp_path / "a" / "0.png", tmp_path / "a" / f"{index}.png")
    program = f"""
import resource
import didact
folder = {str(tmp_path)!r}
resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))
try:
    didact.datasets.load_image_folder(folder, image_size=(4000, 4000))
except didact.DidactError as error:
    print(type(error).__name__, error)
"""
    out = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "DidactMemoryError" in out and "40 images [4000, 4000, 1] take 640000000 bytes" in out


# --- Damage of every kind -------------------------------------------------------------------------------------------


def test_mutated_files_never_end_the_process(tmp_path):
    """A reader raises, or returns something; a signal fails the test."""
    files, _ = cifar_files(10, rows=(1, 1))
    write_archive(tmp_path / "cifar.tar.gz", 10, files)
    write_archive(tmp_path / "plain.tar.gz", 10, files)
    (tmp_path / "svhn.mat").write_bytes(mat_file(X, Y))
    (tmp_path / "packed.mat").write_bytes(mat_file(compressed(X), compressed(Y)))
    save(tmp_path / "color.png", random_images(1, (9, 9, 3))[0])
    Image.fromarray(smooth_image(9, 9)).convert("P").save(tmp_path / "palette.png")
    save(tmp_path / "image.jpg", smooth_image(20, 20))
    save(tmp_path / "progressive.jpg", smooth_image(20, 20), progressive=True)
    done = subprocess.run(
        [sys.executable, str(HERE / "mutated_files.py"), str(tmp_path), str(HOSTILE_CASES)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    for line in done.stdout.splitlines():
        name, read, refused = line.split()
        assert int(refused) > HOSTILE_CASES // 6, line
        tried(f"damaged files such as {name}", int(read) + int(refused))


# --- The command ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """A folder of images of two classes, dark and bright, and more without labels."""
    folder, source = tmp_path_factory.mktemp("blobs") / "two kinds", np.random.default_rng(0)
    for part, count in (("train/dark", 12), ("train/bright", 12), ("unlabeled", 20), ("test/dark", 5), ("test/bright", 5)):
        for index in range(count):
            level = {"dark": 60, "bright": 190}.get(part.split("/")[-1], 60 if index % 2 else 190)
            pixels = np.clip(source.normal(level, 20, (12, 12, 3)), 0, 255).astype(np.uint8)
            save(folder / part / f"{index}.{'jpg' if index % 3 == 0 else 'png'}", pixels)
    return folder


def test_train_predict_evaluate_on_a_folder(blobs, tmp_path):
    model = tmp_path / "model.safetensors"
    options = ["--network", "small-cnn", "--set", "network.width=4", "--method", "supervised", "--labels", 8]
    trained = command("train", "--data", blobs, *options, "--steps", 30, "--model", model)
    assert "images [12, 12, 3], 2 classes" in trained.stdout and "24 rows" not in trained.stderr
    report = json.loads(command("evaluate", "--model", model, "--data", blobs, "--json").stdout)
    assert report["rows"] == 10 and report["accuracy"] > 0.9
    predicted = command("predict", "--model", model, "--data", blobs / "unlabeled").stdout.splitlines()
    assert predicted[0] == "file,label,probability.bright,probability.dark" and len(predicted) == 21
    assert predicted[1].startswith("0.jpg,bright,") and predicted[2].startswith("1.png,dark,")
    # The same rows as from Python.
    data = datasets.load_image_folder(blobs)
    trainer = didact.Trainer.load(model)
    assert (trainer.predict(data.X_test) == data.y_test).mean() == report["accuracy"]
    command("train", "--data", blobs, "--labels", 8, "--resume", model, "--steps", 35)
    message = failure("evaluate", "--model", model, "--data", blobs, "--image-size", "8,8", code=1)
    assert "images [8, 8, 3]; the model takes [12, 12, 3]" in message


def test_the_command_skips_and_resizes_on_request(blobs, tmp_path):
    folder = tmp_path / "folder"
    for name in ("dark", "bright"):
        (folder / name).mkdir(parents=True)
        for path in (blobs / "train" / name).iterdir():
            os.link(path, folder / name / path.name)
    (folder / "dark" / "10.png").unlink()
    (folder / "dark" / "10.png").write_bytes(b"damaged")
    options = ["train", "--data", folder, "--method", "supervised", "--set", "network.width=4", "--steps", 3]
    assert "dark/10.png: it is neither" in failure(*options, code=1)
    result = command(*options, "--skip-corrupt", "--image-size", "10,8")
    assert "1 file is left out; the first is dark/10.png: it is neither" in result.stderr
    assert "images [10, 8, 3]" in result.stdout
    for size in ("8", "8,8,3", "8,x", "0,8"):
        assert "8" in failure(*options, "--image-size", size, code=64)
    assert "--image-size and --skip-corrupt are for folders" in failure(
        "train", "--data", "digits", "--image-size", "8,8", code=64
    )


def test_the_command_reads_published_formats(tmp_path):
    files, _ = cifar_files(10, rows=(8, 4))
    classes = [f"data_batch_{i}.bin" for i in range(1, 6)]
    # A label of every class.
    for index, name in enumerate(classes):
        records = bytearray(files[name])
        for row in range(8):
            records[3073 * row] = (8 * index + row) % 10
        files[name] = bytes(records)
    archive = write_archive(tmp_path / "cifar-10-binary.tar.gz", 10, files)
    folder = write_folder(tmp_path / cifar_folder(10), files)
    write_svhn(tmp_path / "train_32x32.mat", random_images(20), np.arange(20) % 10)
    network = ["--network", "small-cnn", "--set", "network.width=2", "--method", "supervised", "--steps", 2]
    for data in (archive, folder, tmp_path / "train_32x32.mat"):
        assert "images [32, 32, 3], 10 classes" in command("train", "--data", data, *network).stdout
    assert "no .tar.gz archive" in failure("train", "--data", __file__, code=1)


@pytest.mark.parametrize(
    "name, network",
    [
        ("mlp", {"type": "mlp"}),
        ("small-cnn", {"type": "small_cnn", "inputs": [8, 8, 1]}),
        ("wide-resnet-10-1", {"type": "wide_resnet", "depth": 10, "width": 1, "inputs": [8, 8, 1]}),
        ("resnet-18", {"type": "resnet", "depth": 18, "small_images": True}),
        ("efficientnet-b0", {"type": "efficientnet", "variant": "b0", "small_images": True}),
    ],
)
def test_networks_by_name(tmp_path, name, network):
    model = tmp_path / "model.safetensors"
    options = ["--data", "digits", "--labels", 20, "--method", "supervised", "--network", name, "--steps", 1]
    command("train", *options, "--model", model)
    trained = didact.Trainer.load(model).student.specification
    assert {key: trained[key] for key in network} == network
    assert json.loads(command("evaluate", "--model", model, "--data", "digits", "--json").stdout)["rows"] == 450


def test_wrong_networks():
    assert 'Did you mean "small-cnn"' in failure("train", "--data", "digits", "--network", "small-cn", code=64)
    assert "takes images, and two-moons has rows of 2 numbers" in failure(
        "train", "--data", "two-moons", "--network", "small-cnn", code=64
    )
    assert '"network.type" is given twice' in failure(
        "train", "--data", "digits", "--network", "mlp", "--set", "network.type=mlp", code=64
    )


def test_digits_as_images():
    vectors, classes = datasets.load_digits()
    images, same = datasets.load_digits(images=True)
    assert images.shape == (1797, 8, 8, 1) and images.dtype == np.uint8 and images.max() == 255
    np.testing.assert_array_equal(images.reshape(vectors.shape), np.floor(vectors * (255 / 16) + 0.5))
    np.testing.assert_array_equal(classes, same)


def test_arrays_of_images(tmp_path):
    images, labels = random_images(20, (6, 6, 1)), np.arange(20) % 2
    network = ["--network", "small-cnn", "--set", "network.width=2", "--method", "supervised", "--steps", 2]
    for shape in ((20, 6, 6, 1), (20, 6, 6)):
        np.savez(tmp_path / "images.npz", X=images.reshape(shape), y=labels, X_test=images[:3].reshape(3, *shape[1:]))
        assert "images [6, 6, 1]" in command("train", "--data", tmp_path / "images.npz", *network).stdout
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "labels.npy", labels)
    labeled = ["--label-file", tmp_path / "labels.npy"]
    assert "images [6, 6, 1]" in command("train", "--data", tmp_path / "images.npy", *labeled, *network).stdout
    np.savez(tmp_path / "first.npz", X=np.zeros((4, 3, 8, 8)), y=labels[:4])
    assert "X.transpose(0, 2, 3, 1)" in failure("train", "--data", tmp_path / "first.npz", code=1)
    np.savez(tmp_path / "mixed.npz", X=images, y=labels, X_test=images.reshape(20, 36))
    assert "X_test has rows of numbers, but X has [6, 6, 1]" in failure(
        "train", "--data", tmp_path / "mixed.npz", code=1
    )


@pytest.mark.parametrize("name", ["X_unlabeled", "X_test"])
def test_images_of_other_types_beside_bytes(tmp_path, name):
    x = random_images(20, (8, 8, 1))
    arrays = {"X": x, "y": np.arange(20) % 2, "X_test": x, "y_test": np.arange(20) % 2, "X_unlabeled": x}
    np.savez(tmp_path / "mixed.npz", **{**arrays, name: x / 255.0})
    message = failure("train", "--data", tmp_path / "mixed.npz", "--network", "small-cnn", "--steps", 1, code=1)
    assert f"{name} has images of float64, but X of uint8" in message
