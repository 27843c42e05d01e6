"""The interface of a version as a value: what C declares, and what Python offers.

    PYTHONPATH=bindings/python/src python bindings/python/tests/interface.py > bindings/python/tests/fixtures/version-0.2/interface.json

Run once for each released version: test_versions.py compares it with the interface at hand.
"""

import inspect
import json
import re
from pathlib import Path

import didact

HEADER = Path(__file__).resolve().parents[3] / "include" / "didact.h"


def c_interface():
    """Functions by name, constants with their values, and the members of structs in order."""
    text = re.sub(r"/\*.*?\*/", " ", HEADER.read_text(), flags=re.DOTALL)
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    functions = re.findall(r"([\w\s*]+?\b(didact_\w+)\s*\([^;{}]*\))\s*;", text)
    structs = re.findall(r"typedef struct \w+\s*\{(.*?)\}\s*(\w+)\s*;", text, flags=re.DOTALL)
    return {
        "functions": {name: " ".join(declaration.split()) for declaration, name in functions if "typedef" not in declaration},
        "constants": {name: int(value) for name, value in re.findall(r"\b(DIDACT_\w+)\s*=\s*(-?\d+)", text)},
        "structs": {name: [" ".join(member.split()) for member in body.split(";") if member.strip()] for body, name in structs},
    }


def parameters(function):
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None


def python_interface():
    """What didact offers by name; of functions and methods their parameters."""
    offered = {}
    for name in didact.__all__:
        value = getattr(didact, name)
        if inspect.isclass(value):
            members = {each: parameters(getattr(value, each)) for each in dir(value) if not each.startswith("_")}
            offered[name] = {"parameters": parameters(value), "members": members}
        elif inspect.ismodule(value):
            public = [each for each in getattr(value, "__all__", dir(value)) if not each.startswith("_")]
            offered[name] = {"parameters": None, "members": {each: parameters(getattr(value, each)) for each in public}}
        else:
            offered[name] = {"parameters": parameters(value), "members": {}}
    return offered


if __name__ == "__main__":
    print(json.dumps({"c": c_interface(), "python": python_interface()}, indent=1, sort_keys=True))
