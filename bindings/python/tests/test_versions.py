"""What earlier versions wrote is read, predicts as it did, and goes on learning."""

import didact
import numpy as np
import pytest
from support import FIXTURES

FILES = sorted(FIXTURES.glob("version-*/*.safetensors"))


def test_every_method_has_a_file_of_each_version():
    for folder in {path.parent for path in FILES}:
        names = {path.stem.rsplit("-", 1)[0] for path in folder.glob("*.safetensors")}
        assert names == set(didact.build_info()["methods"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_file_of_an_earlier_version_predicts_as_it_did(path, tmp_path):
    stored = np.load(path.parent / "predictions.npz")
    trainer = didact.Trainer.load(path)
    assert trainer.steps > 0 and all(len(column) == trainer.steps for column in trainer.history.values())
    # float32 sums in an order that may depend on the processor.
    tolerance = 1e-5 if path.stem.endswith("float32") else 1e-12
    np.testing.assert_allclose(trainer.predict_proba(stored["x"]), stored[path.stem], rtol=0, atol=tolerance)
    trainer.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
