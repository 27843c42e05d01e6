"""Networks of images in PyTorch (float64), from the layers of a specification, channels last as Didact has them.

images.npz
    cases                               names of the cases
    <case>/specification                JSON, a "sequential" network
    <case>/training                     True: batch statistics; False: running statistics
    <case>/parameters/<name>, <case>/statistics/<name>
    <case>/x                            [rows, height, width, channels]
    <case>/logits, <case>/cotangent
    <case>/gradients/<name>, <case>/input_gradient          of sum(cotangent * logits)
    <case>/directions/<name>, <case>/tangent                of the logits along the directions
    <case>/statistics_after/<name>      (if training)
"""

import numpy
import torch
import torch.nn.functional as functional
from torch_restatement import ACTIVATIONS, Archive, detached, gradient, leaves, like


def convolution(outputs, size=3, stride=1, padding=None, groups=1, bias=False, **more):
    padding = (size - 1) // 2 if padding is None else padding
    return {"type": "convolution", "outputs": outputs, "size": size, "stride": stride, "padding": padding,
            "groups": groups, "bias": bias, **more}  # fmt: skip


CASES = {
    "plain": ([7, 6, 2], [
        convolution(4, bias=True), {"type": "batch_norm"}, {"type": "leaky_relu", "slope": 0.2},
        {"type": "max_pool", "size": 3, "stride": 2, "padding": 1}, convolution(6, stride=2),
        {"type": "tanh"}, {"type": "dense", "outputs": 3},
    ]),
    "depthwise": ([6, 5, 3], [
        convolution(6, size=1), {"type": "batch_norm", "epsilon": 1e-3, "momentum": 0.01}, {"type": "swish"},
        convolution(6, size=5, groups=6, stride=2, name="image"), {"type": "global_average_pool"},
        {"type": "dense", "outputs": 6}, {"type": "sigmoid", "name": "gate"},
        {"type": "gate", "from": ["image", "gate"]}, convolution(4, size=1, groups=2),
        {"type": "average_pool", "size": 2, "stride": 1, "padding": 1}, {"type": "global_average_pool"},
        {"type": "dense", "outputs": 3},
    ]),
    "residual": ([6, 6, 3], [
        convolution(4, name="stem"), {"type": "batch_norm", "name": "bn"}, {"type": "swish", "name": "activated"},
        convolution(8, stride=2), {"type": "batch_norm"}, {"type": "swish"}, convolution(8, name="branch"),
        convolution(8, size=1, stride=2, name="shortcut", **{"from": ["activated"]}),
        {"type": "add", "from": ["branch", "shortcut"]}, {"type": "relu"}, {"type": "global_average_pool"},
        {"type": "dense", "outputs": 3},
    ]),
}  # fmt: skip


def named_layers(layers):
    """Each layer with its name and the names of what it reads."""
    counts, before = {}, "input"
    for layer in layers:
        kind = layer["type"]
        name = layer.get("name", f"{kind}{counts.get(kind, 0)}")
        counts[kind] = counts.get(kind, 0) + 1
        yield layer, name, layer.get("from", [before])
        before = name


def forward(layers, parameters, x, statistics, training):
    """Logits; inside, images are [rows, channels, height, width]."""
    values = {"input": x.permute(0, 3, 1, 2)}
    for layer, name, sources in named_layers(layers):
        kind, inputs = layer["type"], [values[source] for source in sources]
        value = inputs[0]
        if kind == "convolution":
            value = functional.conv2d(
                value, parameters[f"{name}.weight"], parameters.get(f"{name}.bias"), layer["stride"], layer["padding"],
                groups=layer["groups"],
            )  # fmt: skip
        elif kind == "batch_norm":
            value = functional.batch_norm(
                value, statistics[f"{name}.running_mean"], statistics[f"{name}.running_variance"],
                parameters[f"{name}.weight"], parameters[f"{name}.bias"], training=training,
                momentum=layer.get("momentum", 0.1), eps=layer.get("epsilon", 1e-5),
            )  # fmt: skip
        elif kind == "dense":
            # Channels last, pixel by pixel.
            rows = value.permute(0, 2, 3, 1).reshape(len(x), -1) if value.ndim == 4 else value
            value = functional.linear(rows, parameters[f"{name}.weight"], parameters[f"{name}.bias"])
        elif kind == "max_pool":
            value = functional.max_pool2d(value, layer["size"], layer["stride"], layer["padding"])
        elif kind == "average_pool":
            value = functional.avg_pool2d(value, layer["size"], layer["stride"], layer["padding"])
        elif kind == "global_average_pool":
            value = value.mean(dim=(2, 3))
        elif kind == "add":
            value = inputs[0] + inputs[1]
        elif kind == "gate":
            value = inputs[0] * inputs[1][:, :, None, None]
        elif kind == "leaky_relu":
            value = functional.leaky_relu(value, layer.get("slope", 0.01))
        else:
            value = ACTIVATIONS[kind](value)
        values[name] = value
    return value


def initial(generator, inputs, layers):
    """Random parameters and statistics, by name; shapes are found by running the layers."""
    parameters, statistics = {}, {}
    shapes = {"input": (inputs[2], inputs[0], inputs[1])}

    def draw(name, shape, scale):
        parameters[name] = torch.tensor(generator.normal(0, scale, shape))

    for layer, name, sources in named_layers(layers):
        kind, shape = layer["type"], shapes[sources[0]]
        if kind == "convolution":
            size, groups = layer["size"], layer["groups"]
            fan = shape[0] // groups * size * size
            draw(f"{name}.weight", (layer["outputs"], shape[0] // groups, size, size), fan**-0.5)
            if layer["bias"]:
                draw(f"{name}.bias", layer["outputs"], 0.2)
            shape = (layer["outputs"], *((n + 2 * layer["padding"] - size) // layer["stride"] + 1 for n in shape[1:]))
        elif kind == "batch_norm":
            parameters[f"{name}.weight"] = torch.tensor(generator.uniform(0.7, 1.5, shape[0]))
            draw(f"{name}.bias", shape[0], 0.3)
            statistics[f"{name}.running_mean"] = torch.tensor(generator.normal(0, 0.3, shape[0]))
            statistics[f"{name}.running_variance"] = torch.tensor(generator.uniform(0.5, 1.5, shape[0]))
        elif kind == "dense":
            draw(f"{name}.weight", (layer["outputs"], int(numpy.prod(shape))), numpy.prod(shape) ** -0.5)
            draw(f"{name}.bias", layer["outputs"], 0.2)
            shape = (layer["outputs"],)
        elif kind in ("max_pool", "average_pool"):
            rest = ((n + 2 * layer["padding"] - layer["size"]) // layer["stride"] + 1 for n in shape[1:])
            shape = (shape[0], *rest)
        elif kind == "global_average_pool":
            shape = shape[:1]
        shapes[name] = shape
    return parameters, statistics


def make_images(path):
    print("images")
    generator = numpy.random.default_rng(107)
    archive = Archive()
    cases = [f"{name}_{mode}" for name in CASES for mode in ("training", "evaluation")]
    archive.add("cases", cases)
    for case in cases:
        inputs, layers = CASES[case.rpartition("_")[0]]
        training = case.endswith("training")
        parameters, statistics = initial(generator, inputs, layers)
        x = torch.tensor(generator.normal(0, 1, (5, *inputs)))
        archive.add(f"{case}/specification", {"type": "sequential", "inputs": inputs, "layers": layers})
        archive.add(f"{case}/training", training)
        archive.add_all(f"{case}/parameters", parameters)
        archive.add_all(f"{case}/statistics", statistics)
        archive.add(f"{case}/x", x)
        after = detached(statistics)
        given = {**leaves(parameters), "input": x.clone().requires_grad_(True)}

        def logits(values, running):
            return forward(layers, values, values["input"], running, training)

        value = logits(given, after)
        cotangent = torch.tensor(generator.normal(0, 1, tuple(value.shape)))
        gradients = gradient((cotangent * value).sum(), given)
        archive.add(f"{case}/logits", value)
        archive.add(f"{case}/cotangent", cotangent)
        archive.add(f"{case}/input_gradient", gradients.pop("input"))
        archive.add_all(f"{case}/gradients", gradients)
        if training:
            archive.add_all(f"{case}/statistics_after", after)
        directions = like(generator, parameters)
        archive.add_all(f"{case}/directions", directions)
        names = list(parameters)
        _, tangent = torch.autograd.functional.jvp(
            lambda *values: logits({**dict(zip(names, values)), "input": x}, detached(statistics)),
            tuple(parameters.values()), tuple(directions[name] for name in names),
        )  # fmt: skip
        archive.add(f"{case}/tangent", tangent)
        print(f"  {case}: {len(parameters)} parameters")
    archive.save(path)
