"""The class probabilities of one row, from NumPy array to NumPy array, and from C."""

import subprocess

import numpy as np
from alternate import Unavailable, timed

INPUTS, HIDDEN, CLASSES = 2, [64, 64], 2
ROW = np.array([[0.3, -0.7]], np.float32)


class Didact:
    """`Network.predict_proba`, which takes any array and returns a new one."""

    calls = 1000

    def __init__(self):
        import didact

        self.network = didact.Network(didact.mlp(INPUTS, HIDDEN, CLASSES), seed=0)

    def __call__(self):
        return self.network.predict_proba(ROW)

    def probabilities(self):
        return np.array(self())

    def parameters(self):
        return [np.array(values) for values in self.network.parameters.values()]


class DidactPredictor(Didact):
    """A predictor that is bound to its arrays."""

    def __init__(self):
        super().__init__()
        import didact

        if not hasattr(didact, "Predictor"):
            raise Unavailable("this build of didact has no Predictor")
        self.result = np.zeros((1, CLASSES), np.float32)
        self.predictor = didact.Predictor(self.network, ROW, self.result)

    # The timed call is the predictor's own, without a method of this class around it.
    def samples(self, seconds):
        return timed(self.predictor, seconds, self.calls)

    def __call__(self):
        self.predictor()
        return self.result


class DidactC:
    """The program predict.c, by a mode of its own."""

    def __init__(self, program, mode):
        self.program, self.mode = program, mode
        self._run(0.0)

    def _run(self, seconds):
        done = subprocess.run([self.program, self.mode, str(seconds)], capture_output=True, text=True)
        if done.returncode != 0:
            raise Unavailable(done.stderr.strip())
        return [[float(word) for word in line.split()] for line in done.stdout.splitlines()]

    def samples(self, seconds):
        return [line[0] * 1e-9 for line in self._run(seconds)[1:]]

    def probabilities(self):
        return np.array([self._run(0.0)[0]])


class Torch:
    calls = 1000

    def __init__(self, parameters, threads):
        import torch

        torch.set_num_threads(threads)
        layers = []
        for inputs, outputs in zip([INPUTS, *HIDDEN], [*HIDDEN, CLASSES]):
            layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
        self.network = torch.nn.Sequential(*layers[:-1], torch.nn.Softmax(-1)).eval()
        with torch.no_grad():
            for parameter, values in zip(self.network.parameters(), parameters):
                parameter.copy_(torch.from_numpy(values))
        self.torch = torch

    def __call__(self):
        with self.torch.inference_mode():
            return self.network(self.torch.from_numpy(ROW)).numpy()

    def probabilities(self):
        return self()


class Jax:
    calls = 1000

    def __init__(self, parameters):
        import jax
        from contenders.jax_step import forward

        pairs = jax.device_put(list(zip(parameters[::2], parameters[1::2])))
        # Closed over, so that they are constants of the compiled function.
        self.network = jax.jit(lambda x: jax.nn.softmax(forward(pairs, x)))

    def __call__(self):
        return np.asarray(self.network(ROW))

    def probabilities(self):
        return self()
