"""Ten Meta Pseudo Labels steps of a WideResNet-28-2 follow PyTorch's from the same weights, images and sampled labels, in
float64, by both kinds of feedback. Run by scripts/nightly.
"""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from contenders.didact_step import DidactStep  # noqa: E402
from contenders.problem import ImageProblem  # noqa: E402
from contenders.torch_images import TorchImageStep  # noqa: E402
from tables import require_equal  # noqa: E402

STEPS, TOLERANCE = 10, 1e-8


class Float64(TorchImageStep):
    def tensor(self, array):
        found = super().tensor(array)
        return found.double() if found.is_floating_point() else found

    def module(self, problem, values):
        network = super().module(problem, values).double()
        for name, parameter in network.named_parameters():
            parameter.data.copy_(torch.from_numpy(values[name]))
        return network


def main():
    for feedback in ("loss_difference", "exact"):
        problem = ImageProblem(
            feedback, threads=2, labelled=4, unlabelled=8, size=8, options=(("dtype", "float64"),)
        )
        ours = DidactStep(problem)
        networks, labels, expected = ours.reference(STEPS)
        theirs = Float64(problem, networks)
        require_equal(theirs.losses(labels), expected, TOLERANCE)
        for role in ("teacher", "student"):
            way = difference = 0.0
            after = dict(getattr(theirs, role).named_parameters())
            for name, values in getattr(ours.trainer, role).parameters.items():
                way += np.square(values - networks[role][name]).sum()
                difference += np.square(values - after[name].detach().numpy()).sum()
            ratio = np.sqrt(difference / way)
            print(f"{feedback}: after {STEPS} steps the {role} differs by {ratio:.1e} of the way it went")
            assert way > 0 and ratio < TOLERANCE, (feedback, role, ratio)


if __name__ == "__main__":
    main()
