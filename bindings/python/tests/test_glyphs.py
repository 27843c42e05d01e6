"""examples/python/glyphs.py, which makes images of letters from fonts: on the fonts that come with matplotlib."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

SCRIPT = Path(__file__).resolve().parents[3] / "examples" / "python" / "glyphs.py"
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
CLASSES = list("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt")


def glyphs(*arguments, code=0, **environment):
    """Runs the script and returns what it wrote."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stderr if code else done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The file, its arrays, and what was printed."""
    path = tmp_path_factory.mktemp("glyphs") / "glyphs.npz"
    printed = glyphs("--no-download", "--fonts", FONTS, "--output", path)
    return path, dict(np.load(path)), printed


def fonts_from(folder, *patterns):
    """A folder with some of matplotlib's fonts."""
    folder.mkdir()
    for pattern in patterns:
        for path in FONTS.glob(pattern):
            shutil.copy(path, folder)
    return folder


def test_images_labels_and_fonts_belong_together(made):
    _, arrays, _ = made
    assert list(arrays["class_names"]) == CLASSES
    for part in ("", "_test"):
        images, labels, fonts = (arrays[f"{name}{part}"] for name in ("X", "y", "font"))
        assert images.dtype == np.uint8 and images.shape == (len(labels), 28, 28, 1) and fonts.shape == labels.shape
        assert list(np.unique(labels)) == CLASSES
        assert len(set(zip(fonts, labels))) == len(labels)
    files = {path.name for path in FONTS.glob("*.ttf")}
    assert {"DejaVuSans.ttf", "DejaVuSerif.ttf"} <= set(arrays["font_names"]) <= files
    assert {len(arrays[name]) for name in arrays if name.startswith("font_") and name != "font_test"} == {
        len(arrays["font_names"])
    }


def test_characters_fill_the_box_in_the_middle(made):
    _, arrays, _ = made
    images = np.concatenate([arrays["X"], arrays["X_test"]]).reshape(-1, 28, 28)
    ink = images > 0
    for one in ink:
        rows, columns = np.flatnonzero(one.any(1)), np.flatnonzero(one.any(0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        # A stroke that ends in a thread may fade away when it is made smaller.
        assert 19 <= max(height, width) <= 20
        for first, last in ((rows[0], rows[-1]), (columns[0], columns[-1])):
            assert 4 <= first <= last < 24 and abs(first + last - 27) <= 1
    assert np.median(images.max((1, 2))) == 255


def test_images_show_their_letters(made):
    """The nearest image of the other part, in other typefaces, mostly has the same label."""
    _, arrays, _ = made
    sans = arrays["font_test"] == list(arrays["font_names"]).index("DejaVuSans.ttf")
    train, test = (images.reshape(len(images), -1).astype(float) for images in (arrays["X"], arrays["X_test"][sans]))
    train, test = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (train, test))
    nearest = arrays["y"][(test @ train.T).argmax(1)]
    assert (nearest == arrays["y_test"][sans]).mean() > 0.6


def test_no_design_and_no_image_is_in_both_parts(made):
    _, arrays, _ = made
    for name in ("font_families", "font_designs"):
        assert not set(arrays[name][arrays["font"]]) & set(arrays[name][arrays["font_test"]])
    images = [image.tobytes() for image in np.concatenate([arrays["X"], arrays["X_test"]])]
    assert len(set(images)) == len(images)
    # Sans, Serif and Mono of one design.
    dejavu = [family.startswith("DejaVu") for family in arrays["font_families"]]
    assert len(set(arrays["font_designs"][dejavu])) == 1


def test_fonts_that_are_left_out(made):
    _, arrays, printed = made
    assert "lacks a letter or a digit" in printed and "train: " in printed and "test : " in printed
    # Of every letter these draw a frame, or nothing.
    assert not {"LastResortHE-Regular.ttf", "STIXSizOneSymReg.ttf"} & set(arrays["font_names"])


def test_same_fonts_same_bytes(made, tmp_path):
    path, _, _ = made
    glyphs("--fonts", fonts_from(tmp_path / "copies", "*.ttf"), "--output", tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_a_font_under_another_file_name_adds_nothing(made, tmp_path):
    _, arrays, _ = made
    folder = fonts_from(tmp_path / "fonts", "*.ttf")
    shutil.copy(folder / "DejaVuSans.ttf", folder / "z.ttf")
    assert "1 another file with the same images" in glyphs("--fonts", folder, "--output", tmp_path / "more.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "more.npz")["X_test"], arrays["X_test"])


def test_errors_name_what_to_do(tmp_path):
    output = ["--output", tmp_path / "glyphs.npz"]
    (tmp_path / "empty").mkdir()
    assert "no font (.otf, .ttc, .ttf)" in glyphs("--fonts", tmp_path / "empty", *output, code=1)
    assert f"{tmp_path / 'none'} is no folder" in glyphs("--fonts", tmp_path / "none", *output, code=1)
    symbols = fonts_from(tmp_path / "symbols", "STIXSiz*.ttf")
    assert "no font is left" in glyphs("--fonts", symbols, *output, code=1)
    one = fonts_from(tmp_path / "one", "DejaVuSans*.ttf")
    assert "too few designs (1)" in glyphs("--fonts", one, *output, code=1)
    assert "ends in .npz" in glyphs("--fonts", one, "--output", tmp_path / "glyphs.csv", code=2)
    message = glyphs("--cache", tmp_path / "cache", *output, code=1, PATH=str(tmp_path / "empty"))
    assert "no apt-cache here" in message and "--fonts FOLDER" in message
    (tmp_path / "PIL.py").write_text("raise ImportError('none')")
    assert "pip install pillow" in glyphs("--fonts", one, *output, code=1, PYTHONPATH=str(tmp_path))
    assert not (tmp_path / "glyphs.npz").exists()
