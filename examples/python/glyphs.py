"""Makes glyphs.npz, images of letters and digits in the typefaces that Debian ships, as data to learn from.

Every font file gives one image of each of 47 classes, those of EMNIST Balanced (Cohen et al., EMNIST: Extending MNIST
to handwritten letters, IJCNN 2017). No design is in both the part to train on and the part to test on. docs/glyphs.md
says how they are made. Needs Pillow, and apt-get, without root, unless folders of fonts are given.

Run: python examples/python/glyphs.py --output glyphs.npz
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

try:
    from PIL import Image, ImageDraw, ImageFont
except ImportError:
    raise SystemExit("glyphs.py: Pillow is missing, which draws the letters: pip install pillow")

CHECKOUT = Path(__file__).resolve().parents[2]
SYSTEM = Path("/usr/share/fonts")
# What of Debian 12 has Latin letters and is no larger than it is worth, without "fonts-".
PACKAGES = """\
    3270 adf-accanthis adf-baskervald adf-berenis adf-gillius adf-ikarius adf-irianis adf-libris adf-mekanus
    adf-oldania adf-romande adf-switzera adf-tribun adf-universalis adf-verana agave aksharyogini2 alee
    anonymous-pro apropal arabeyes arapey arkpandora arphic-gbsn00lp arphic-gkai00mp arundina averia-gwf
    averia-sans-gwf averia-serif-gwf b612 babelstone-modern bajaderka beteckna blankenburg bpg-georgian breip cabin
    cabinsketch campania cantarell cardo century-catalogue cherrybomb clear-sans cmu comfortaa comic-neue
    courier-prime croscore crosextra-caladea crosextra-carlito cwtex-heib dancingscript ddc-uchen dejavu-core
    dejavu-extra deva-extra dkg-handwriting dosis dustin dzongkha ebgaramond ebgaramond-extra eeyek elstob
    essays1743 eurofurence evertype-conakry fantasque-sans fanwood farsiweb femkeklaver firacode freefarsi
    freefont-otf gargi gemunu-libre georgewilliams gfs-artemisia gfs-didot gfs-neohellenic gfs-theokritos
    gnutypewriter go gotico-antiqua goudybookletter gujr-extra hack havana hermit hosny-amiri hosny-thabit
    inconsolata inter ipaexfont-gothic isabella jetbrains-mono johnsmith-induni jura karla karmilla kaushanscript
    khmeros klaudia-berenika komatuna konatu kristi lao lato le-murmure league-mono league-spartan leckerli-one
    lemonada lexi-gulim lexi-saebom lg-aboriginal liberation2 lindenhill linuxlibertine lmodern lobster lobstertwo
    lohit-deva lohit-telu manchufont manrope meera-inimai mmcedar mona monlam monofur monoid mononoki
    morisawa-bizud-mincho motoya-l-cedar motoya-l-maruberi mph-2b-damase myanmar nafees nakula national-park
    naver-d2coding noto-mono ocr-a ocr-b oflb-asana-math okolaks oldstandard open-sans opendyslexic osifont oxygen
    pagul paktype paratype pc play povray prociono quattrocento quicksand ricty-diminished rit-sundar roadgeek
    roboto-slab roboto-unhinted routed-gothic rufscript sahadeva sambhota-yigchung sarai sawarabi-gothic
    sawarabi-mincho senamirmir-washra sil-abyssinica sil-akatab sil-alkalami sil-andika-compact sil-andikanewbasic
    sil-annapurna sil-awami-nastaliq sil-charis-compact sil-dai-banna sil-doulos sil-doulos-compact sil-ezra
    sil-galatia sil-gentium sil-gentium-basic sil-gentiumplus-compact sil-harmattan sil-lateef sil-mingzat
    sil-mondulkiri sil-mondulkiri-extra sil-nuosusil sil-padauk sil-scheherazade sil-shimenkan sil-sophia-nubian
    sil-tagmukay sil-taiheritagepro sjfonts smc-anjalioldlipi smc-chilanka smc-dyuthi smc-gayathri smc-karumbi
    smc-keraleeyam smc-manjari smc-meera smc-rachana smc-suruma smc-uroob smiley-sans sora spleen staypuft stix
    summersby taml-tscu teluguvijayam terminus texgyre texgyre-math tibetan-machine tiresias tlwg-garuda-otf
    tlwg-kinnari-otf tlwg-laksaman-otf tlwg-loma-otf tlwg-mono-otf tlwg-norasi-otf tlwg-purisa-otf
    tlwg-sawasdee-otf tlwg-typewriter-otf tlwg-typist-otf tlwg-typo-otf tlwg-umpush-otf tlwg-waree-otf
    triod-postnaja tuffy unifont unikurdweb uralic urw-base35 vlgothic vollkorn wqy-microhei yanone-kaffeesatz
    yrsa-rasa""".split()
# Families of which the letters are not what their codes say.
LEFT_OUT = {
    "BPG DedaEna Block GPL&GNU": "letters in frames",
    "D050000L": "dingbats",
    "Linux Biolinum Keyboard O": "keys of a keyboard",
    "Monlam Uni Dutsa2": "letters at other letters' codes",
    "Standard Symbols PS": "Greek letters",
}

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CLASSES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
OWN_SMALL = "abdefghnqrt"  # small letters that are classes of their own; others are in the class of their capital
SIDE, BOX = 28, 20  # pixels of an image, and of the square in its middle that a character just fits into
LARGE = 160  # size at which a character is drawn before it is made smaller: the edges become gray
FAINT = 150  # a font is too thin if half of its characters have no pixel as bright as this
SMALL_CAPITALS = r"\b(SC|\w*[Cc]aps|Titling)\b"  # families without small letters, by name,
SAME_CASE = 0.8  # and any font of which the small letters resemble the capitals so much: median correlation
SAME_DESIGN = 0.95  # fonts belong to one design if their characters resemble each other so much: mean correlation
TEST_PART = 4  # one design in so many, as its hash falls, is for testing,
LARGE_DESIGN = 20  # but none of more fonts than this: it would be most of the test


# Fonts from Debian's packages


def apt(*arguments, folder=None):
    """What an apt command prints."""
    if shutil.which(arguments[0]) is None:
        raise SystemExit(
            f"glyphs.py: no {arguments[0]} here, which fetches Debian's fonts; "
            "name folders that hold fonts: --fonts FOLDER"
        )
    done = subprocess.run(arguments, cwd=folder, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True)
    if done.returncode != 0:
        hint = "\nIf apt's lists are old, run `apt-get update` as root." if arguments[0] == "apt-get" else ""
        raise SystemExit(f"glyphs.py: {' '.join(arguments[:2])} failed:\n{done.stderr.strip()}{hint}")
    return done.stdout


def download(cache):
    """Unpacks the packages into folders of the cache, one a package and version; returns these folders."""
    names = [f"fonts-{name}" for name in PACKAGES]
    policy = apt("apt-cache", "policy", *names)
    versions = dict(re.findall(r"^(fonts-\S+):\n.*\n  Candidate: (\d\S*)$", policy, re.M))
    if not versions:
        raise SystemExit("glyphs.py: apt knows none of the packages of fonts; run `apt-get update` as root first")
    for name in sorted(set(names) - set(versions)):
        print(f"no package {name} in this release")
    folders = {name: cache / f"{name}_{version.replace(':', '%3a')}" for name, version in versions.items()}
    missing = [name for name in sorted(folders) if not folders[name].exists()]
    if missing:
        print(f"fetching {len(missing)} packages into {cache}")
        cache.mkdir(parents=True, exist_ok=True)
        apt("apt-get", "download", *(f"{name}={versions[name]}" for name in missing), folder=cache)
        for name in missing:
            (archive,) = cache.glob(f"{folders[name].name}_*.deb")
            unpacked = cache / "unpacked"
            shutil.rmtree(unpacked, ignore_errors=True)
            apt("dpkg-deb", "-x", str(archive), str(unpacked))
            unpacked.rename(folders[name])
            archive.unlink()
    return [folders[name] for name in sorted(folders)]


def downloaded(cache):
    """The folders of packages that are in the cache already."""
    versions = [sorted(each for each in cache.glob(f"fonts-{name}_*") if each.is_dir()) for name in sorted(PACKAGES)]
    return [folders[-1] for folders in versions if folders]


def font_files(folders):
    """(folder, path) of every font file in the folders, in the same order anywhere."""
    found = []
    for folder in folders:
        if not folder.is_dir():
            raise SystemExit(f"glyphs.py: {folder} is no folder")
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".otf", ".ttc", ".ttf"))
        found += [(folder, path) for path in paths if path.is_file() and not path.is_symlink()]
    if not found:
        raise SystemExit(f"glyphs.py: no font (.otf, .ttc, .ttf) in {', '.join(map(str, folders)) or 'the cache'}")
    return found


# Images


def drawn(font, character):
    """A character, cut out at its edges, or None where it is blank."""
    left, top, right, bottom = font.getbbox(character)
    if right <= left or bottom <= top:
        return None
    image = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(image).text((-left, -top), character, fill=255, font=font)
    edges = image.getbbox()
    return edges and image.crop(edges)


def fitted(character):
    """The image: a character as large as fits into the box, centred by its edges."""
    scale = BOX / max(character.size)
    width, height = (max(1, round(length * scale)) for length in character.size)
    image = Image.new("L", (SIDE, SIDE))
    small = character.resize((width, height), Image.Resampling.BOX)
    image.paste(small, ((SIDE - width) // 2, (SIDE - height) // 2))
    return np.asarray(image)


def correlations(left, right):
    """Of each image of one list with each of the other: exact up to a division, so the same on every machine."""
    left, right = (np.reshape(images, (len(images), -1)).astype(np.float64) for images in (left, right))
    pixels = left.shape[1]
    covariance = pixels * (left @ right.T) - np.outer(left.sum(1), right.sum(1))
    spreads = [np.sqrt(pixels * (images**2).sum(1) - images.sum(1) ** 2) for images in (left, right)]
    return covariance / np.outer(*spreads)


def read_font(path):
    """(family, images [62, 28, 28]) of a font file, or (None, why it is left out)."""
    try:
        font = ImageFont.truetype(str(path), LARGE, layout_engine=ImageFont.Layout.BASIC)
        characters = [drawn(font, character) for character in CHARACTERS]
        # A font has no glyph for these two, so they show what it draws instead of a glyph that it lacks.
        none = [drawn(font, character) for character in ("\uffff", "\U0010fffe")]
    except (OSError, ValueError) as error:
        return None, f"cannot be drawn: {error}"
    family = " ".join(re.sub(r"[^\x20-\x7e]", " ", font.getname()[0] or path.stem).split()) or path.stem
    if family in LEFT_OUT:
        return None, LEFT_OUT[family]
    none = [image.tobytes() for image in none if image]
    if any(image is None or image.tobytes() in none for image in characters):
        return None, "lacks a letter or a digit"
    images = np.stack([fitted(image) for image in characters])
    if np.median(images.max((1, 2))) < FAINT:
        return None, "too thin"
    capitals, small = ([images[CHARACTERS.index(each)] for each in text] for text in (OWN_SMALL.upper(), OWN_SMALL))
    if re.search(SMALL_CAPITALS, family) or np.median(np.diag(correlations(capitals, small))) > SAME_CASE:
        return None, "small letters look like capitals"
    return family, images


# Which font is for what


def designs(families, images):
    """The design of each font, called after its first family. Families of one design begin with the same word, or have
    a font each that look alike, or are connected by others that do."""
    parents = list(range(len(families)))

    def root(font):
        while parents[font] != font:
            font = parents[font]
        return font

    def join(one, other):
        one, other = sorted((root(one), root(other)))
        parents[other] = one

    first = {}
    for font, family in enumerate(families):
        join(font, first.setdefault(family.split()[0].lower(), font))
    alike = sum(correlations(images[:, each], images[:, each]) for each in range(len(CHARACTERS))) / len(CHARACTERS)
    for one, other in zip(*np.nonzero(np.triu(alike > SAME_DESIGN, 1))):
        join(one, other)
    members = defaultdict(list)
    for font, family in enumerate(families):
        members[root(font)].append(family)
    return [min(members[root(font)]) for font in range(len(families))]


def number(text):
    """A number that is the same for the same text, and else as good as random."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def member(class_name, path):
    """The character by which a font stands for a class: where a class is capital and small letter, one of the two.
    Never a small l, which is most often drawn as an I."""
    if class_name in "CIJKMOPSUVWXYZ" and number(f"{path.name} {class_name}") % 2:
        return class_name.lower()
    return class_name


def select(fonts, images):
    """(font, class, image) for testing and training, and how often each reason left an image out."""
    left_out = Counter()
    rows = [
        (font, name, images[font, CHARACTERS.index(member(name, path))])
        for font, (path, *_) in enumerate(fonts)
        for name in CLASSES
    ]
    classes = defaultdict(set)
    for _, name, image in rows:
        classes[image.tobytes()].add(name)
    parts, seen = {True: [], False: []}, {}
    for for_testing in (True, False):
        for font, name, image in rows:
            if fonts[font][-1] is not for_testing:
                continue
            key = image.tobytes()
            if len(classes[key]) > 1:
                left_out["the same image in two classes"] += 1
            elif key in seen:
                left_out["is in the test part, too" if seen[key] != for_testing else "repeated"] += 1
            else:
                seen[key] = for_testing
                parts[for_testing].append((font, name, image))
    return parts[True], parts[False], left_out


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=Path("glyphs.npz"))
    parser.add_argument("--cache", type=Path, default=CHECKOUT / "build/glyphs", help="where packages are unpacked")
    parser.add_argument("--fonts", type=Path, nargs="+", metavar="FOLDER", help="take the fonts of these folders alone")
    parser.add_argument("--no-download", action="store_true", help="take the fonts that are in the cache")
    options = parser.parse_args(arguments)
    if options.output.suffix != ".npz":
        parser.error(f"--output {options.output}: give a name that ends in .npz")
    start = time.perf_counter()

    if options.fonts:
        folders, packages = options.fonts, []
    else:
        packages = downloaded(options.cache) if options.no_download else download(options.cache)
        folders = packages + [SYSTEM] * SYSTEM.is_dir()
    files = font_files(folders)

    fonts, drawings, left_out, seen = [], [], Counter(), set()
    for folder, path in files:
        family, images = read_font(path)
        if family is not None and images.tobytes() in seen:
            family, images = None, "another file with the same images"
        if family is None:
            left_out[images] += 1
            continue
        seen.add(images.tobytes())
        package = folder.name.replace("%3a", ":").replace("_", " ") if folder in packages else ""
        fonts.append((path, package, family))
        drawings.append(images)
    print(f"{len(files)} font files, {len(files) - len(fonts)} left out")
    for reason, count in sorted(left_out.items(), key=lambda each: (-each[1], each[0])):
        print(f"{count:7,} {reason}")
    if not fonts:
        raise SystemExit("glyphs.py: no font is left; each must have all of A–Z, a–z and 0–9")

    families = [family for *_, family in fonts]
    of_design = designs(families, np.stack(drawings))
    sizes = Counter(of_design)
    fonts = [
        (*font, design, sizes[design] <= LARGE_DESIGN and number(design) % TEST_PART == 0)
        for font, design in zip(fonts, of_design)
    ]
    test, train, images_left_out = select(fonts, np.stack(drawings))
    for part, name in ((train, "train"), (test, "test")):
        if not part:
            raise SystemExit(
                f"glyphs.py: the {name} part is empty: of too few designs ({len(sizes)}) each falls to the other part; "
                "give more fonts"
            )
    print(f"{sum(images_left_out.values()):,} images left out")
    for reason, count in sorted(images_left_out.items()):
        print(f"{count:7,} {reason}")
    for part, name in ((train, "train"), (test, "test")):
        used = {font for font, *_ in part}
        least = min((sum(each == label for _, each, _ in part), label) for label in CLASSES)
        print(
            f"{name:5}: {len(part):,} images, {len(used):,} fonts, {len({families[font] for font in used})} families, "
            f"{len({of_design[font] for font in used})} designs; fewest images: {least[0]:,} of class {least[1]}"
        )

    arrays = {"class_names": np.array(list(CLASSES))}
    for part, suffix in ((train, ""), (test, "_test")):
        arrays[f"X{suffix}"] = np.stack([image for *_, image in part])[..., None]
        arrays[f"y{suffix}"] = np.array([name for _, name, _ in part])
        arrays[f"font{suffix}"] = np.array([font for font, *_ in part], np.int64)
    arrays["font_names"] = np.array([path.name for path, *_ in fonts])
    arrays["font_families"] = np.array(families)
    arrays["font_designs"] = np.array(of_design)
    arrays["font_packages"] = np.array([package for _, package, *_ in fonts])
    options.output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.output, **arrays)
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
