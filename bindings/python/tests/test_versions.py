"""What earlier versions wrote is read and predicts as it did; what they offered is there."""

import json

import didact
import numpy as np
import pytest
from interface import c_interface, python_interface
from support import FIXTURES

FILES = sorted(FIXTURES.glob("version-*/*.safetensors"))


def contents(path):
    """What a file says of its trainers, and the bytes of its tensors."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return json.loads(header.pop("__metadata__")["didact.description"]), (header, data[8 + length :])


def without_new_keys(now, before):
    """Takes out the configuration keys that the earlier version did not have; returns them."""
    new = [key for key in now["configuration"] if key not in before["configuration"]]
    for key in new:
        del now["configuration"][key]
    for mine, theirs in zip(now.get("members", []), before.get("members", [])):
        new += without_new_keys(mine, theirs)
    return new


def test_every_method_of_a_version_has_a_file():
    assert FILES
    for folder in {path.parent for path in FILES}:
        names = {path.stem.rsplit("-", 1)[0] for path in folder.glob("*.safetensors")}
        assert len(names) >= 14 and names <= set(didact.build_info()["methods"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_file_of_an_earlier_version_predicts_as_it_did(path, tmp_path):
    stored = np.load(path.parent / "predictions.npz")
    trainer = didact.Trainer.load(path)
    assert trainer.steps > 0 and all(len(column) == trainer.steps for column in trainer.history.values())
    # float32 sums in an order that may depend on the processor.
    tolerance = 1e-5 if path.stem.endswith("float32") else 1e-12
    np.testing.assert_allclose(trainer.predict_proba(stored["x"]), stored[path.stem], rtol=0, atol=tolerance)
    trainer.save(tmp_path / "again.safetensors")
    (before, tensors), (now, same_tensors) = contents(path), contents(tmp_path / "again.safetensors")
    assert tensors == same_tensors
    # Keys that came later have defaults that change nothing.
    keys = without_new_keys(now, before)
    assert now == before, keys


INTERFACES = sorted(FIXTURES.glob("version-*/interface.json"))


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.parent.name)
def test_the_c_interface_only_grows(path):
    before, now = json.loads(path.read_text())["c"], c_interface()
    assert len(before["functions"]) > 90 and len(before["constants"]) > 20
    for kind in ("functions", "constants"):
        assert {name: now[kind].get(name) for name in before[kind]} == before[kind]
    # New members come last.
    for name, members in before["structs"].items():
        assert now["structs"][name][: len(members)] == members


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.parent.name)
def test_what_python_offers_stays(path):
    before, now = json.loads(path.read_text())["python"], python_interface()

    def missing(old, new):
        return [] if old is None or new is None else [name for name in old if name not in new]

    gone = [name for name in before if name not in now]
    for name in before.keys() & now.keys():
        gone += [f"{name}({each})" for each in missing(before[name]["parameters"], now[name]["parameters"])]
        for member, parameters in before[name]["members"].items():
            if member not in now[name]["members"]:
                gone.append(f"{name}.{member}")
            else:
                gone += [f"{name}.{member}({each})" for each in missing(parameters, now[name]["members"][member])]
    assert gone == []
