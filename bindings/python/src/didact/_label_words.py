"""This file lists the texts among labels that may mean "no label". Its functions refuse those that may mean either, and warn
of those that were taken for one of the two. Their ``rows`` are, for each text that was found, the rows in which it stands."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

from ._errors import DidactWarning, warn_caller

# Sources/Didact/Data/LabelText.swift has the same lists; a change is made in both.
# This text is no label; no warning says so.
EMPTY = ""
# These texts are no label, with a warning.
NO_LABEL = ("?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null")
# These texts are an error, because they may mean either. So are those above in other capitals, and those that are the
# number -1, unless -1 and 1 are all.
UNCLEAR = ("None", "<NA>", "NaT", "#N/A")
UNCLEAR_IN_ANY_CASE = ("unlabeled", "unlabelled")
# These are classes, with a warning, in any capitals.
SUSPECTS = ("none", "nil", "missing", "unknown", "undefined", "-", "--", ".")


def finite_number(text: str) -> float | None:
    """The value of a text that is a finite number."""
    # The minus sign of typesetters is one here.
    text = text.strip()
    if text.startswith("\u2212"):
        text = "-" + text[1:]
    # Python reads underscores and words such as "infinity" too.
    if set(text) <= set("+-.0123456789eE"):
        try:
            number = float(text)
            return number if math.isfinite(number) else None
        except ValueError:
            pass
    return None


def _is_unclear(word: str) -> bool:
    in_other_capitals = word not in NO_LABEL and word.lower() in (each.lower() for each in NO_LABEL)
    return word in UNCLEAR or word.lower() in UNCLEAR_IN_ANY_CASE or in_other_capitals


def refuse_unclear(rows: dict[str, list[int]], certain: set[str], name: str, has_parameter: bool) -> None:
    classes = {text for text in (certain | set(rows)) if text.strip() not in (EMPTY, *NO_LABEL)}
    are_signs = {finite_number(text) for text in classes} == {-1, 1}
    for word, found in rows.items():
        is_minus_one = finite_number(word) == -1 and not are_signs
        if not is_minus_one and not _is_unclear(word.strip()):
            continue
        count = f"{len(found)} rows, the first of them row {found[0]}" if len(found) > 1 else f"row {found[0]}"
        none = "None or NaN, or -1 in an array of dtype=object" if is_minus_one else "None or NaN"
        if has_parameter:
            ways = (
                f"If it means no label, pass {none} in its place, or unlabeled={word!r}; if it is a class, pass "
                "unlabeled=None"
            )
        else:
            ways = f"If it means no label, pass {none} in its place; if it is a class, name it in class_names"
        raise ValueError(f"{name} holds the text {word!r} in {count}. {ways}")


def refuse_two_spellings(rows: dict[str, list[int]], name: str) -> None:
    """Raises ValueError where two texts are one number, such as 1 and 1.0, or one text but for blanks and Unicode's forms."""
    labels: dict[Any, str] = {}
    for text, found in rows.items():
        value = finite_number(text)
        first = labels.setdefault(unicodedata.normalize("NFC", text.strip()) if value is None else value, text)
        if first != text:
            blanks = "text with other blanks around it" if first.strip() != first or text.strip() != text else "text in two Unicode forms"
            what = blanks if value is None else "number"
            raise ValueError(
                f"{name}: the labels {first!r} in row {rows[first][0]} and {text!r} in row {found[0]} would be two classes, "
                f"but are one {what}; write them alike, or pass unlabeled=None, which takes every text as it is"
            )


def refuse_measurements(rows: dict[str, list[int]], name: str) -> None:
    """Raises ValueError where all texts are numbers, with a decimal point or comma, and one of these is not whole."""
    values = {text: finite_number(text.replace(",", ".", 1)) for text in rows}
    fractional = next((text for text, value in values.items() if value is not None and value % 1), None)
    if fractional is not None and None not in values.values():
        raise ValueError(
            f"{name}: the label {fractional!r} in row {rows[fractional][0]} is not a whole number, and all labels are numbers: they "
            "look like measurements, not classes. Round them or sort them into ranges, or pass unlabeled=None, which takes every "
            "text as it is"
        )


def warn_of_classes(rows: dict[str, list[int]], name: str, has_parameter: bool) -> None:
    """Warns of classes that may be a mark for no label, and of those that differ in capitals alone."""
    suspects = {text: found for text, found in rows.items() if text.strip().lower() in SUSPECTS}
    if suspects:
        first = next(iter(suspects))
        silence = "; unlabeled=None silences this" if has_parameter else ""
        none = f"None in its place, or unlabeled={first!r}," if has_parameter else "None in its place"
        warn_caller(
            DidactWarning(f"{name}: the text {_counted(suspects)} is taken for a class; if it means no label, pass {none}{silence}",
                          "label_text")
        )  # fmt: skip
    spellings: dict[str, str] = {}
    for text in rows:
        first = spellings.setdefault(text.lower(), text)
        if first != text:
            warn_caller(
                DidactWarning(
                    f"{name}: the labels {first!r} in row {rows[first][0]} and {text!r} in row {rows[text][0]} differ in "
                    "capitals alone and are two classes; write them alike if they are one", "label_text",
                )
            )  # fmt: skip
            return


def _counted(rows: dict[str, list[int]]) -> str:
    return " and ".join(
        f"{word!r} in {len(found)} {'row' if len(found) == 1 else 'rows'} (the first is row {found[0]})"
        for word, found in rows.items()
    )


def warn_of_no_label(taken: dict[str, list[int]], name: str, has_parameter: bool) -> None:
    if not has_parameter:
        ways = "pass None in its place to say so, or name it in class_names if it is a class"
    elif len(taken) == 1:
        ways = f"unlabeled={next(iter(taken))!r} says so and silences this, unlabeled=None makes it a class"
    else:
        ways = "pass None in their place to say so and silence this; unlabeled=None makes classes of them"
    warn_caller(DidactWarning(f"{name}: the text {_counted(taken)} is taken for no label; {ways}", "label_text"))
