"""The functions of this file return specifications: what network to make, as a dict for `Network` and `Trainer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def mlp(
    inputs: int,
    hidden: Sequence[int],
    classes: int,
    activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> dict[str, Any]:
    """The specification of a multilayer perceptron.

    Parameters
    ----------
    inputs : int
        Length of one input row.
    hidden : sequence of int
        Length of each hidden layer, possibly none.
    classes : int
        Number of classes.
    activation : str
        ``"relu"``, ``"leaky_relu"``, ``"sigmoid"``, ``"tanh"`` or ``"swish"``.
    batch_norm : bool
        Batch normalisation before every activation (Ioffe and Szegedy, 2015).
    dropout : float
        Dropout rate after every activation, in [0, 1) (Srivastava et al., 2014).

    Returns
    -------
    dict
        For `Network` and `Trainer`.
    """
    return {
        "type": "mlp",
        "inputs": inputs,
        "hidden": list(hidden),
        "classes": classes,
        "activation": activation,
        "batch_norm": batch_norm,
        "dropout": dropout,
    }


def sequential(inputs: int | Sequence[int], layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The specification of a network by its layers.

    Parameters
    ----------
    inputs : int or (height, width, channels)
        Length of one input row, or lengths of an image.
    layers : sequence of dict
        Such as ``{"type": "dense", "outputs": 64}``, ``{"type": "batch_norm"}``, ``{"type": "relu"}``,
        ``{"type": "dropout", "rate": 0.5}``; of images ``convolution``, ``max_pool``, ``average_pool``,
        ``global_average_pool``. Each reads the one before it, or those that ``"from": [...]`` names, by their
        ``"name"``: ``{"type": "add", "from": ["a", "b"]}``.
    """
    return {"type": "sequential", "inputs": _inputs(inputs), "layers": [dict(layer) for layer in layers]}


def small_cnn(
    inputs: Sequence[int], classes: int, width: int = 32, stages: int | None = None, dropout: float = 0.0
) -> dict[str, Any]:
    """The specification of a small convolutional network for images of 8 × 8 to 64 × 64.

    Parameters
    ----------
    inputs : (height, width, channels)
    classes : int
    width : int
        Channels of the first stage; each stage has two convolutions, and twice the channels of the one before it on an
        image of half the size.
    stages : int, optional
        As many as leave a side of 4 pixels, at most 3, by default.
    dropout : float
        Rate before the dense layer.
    """
    return {
        "type": "small_cnn", "inputs": _inputs(inputs), "classes": classes, "width": width, "stages": stages,
        "dropout": dropout,
    }  # fmt: skip


def wide_resnet(
    inputs: Sequence[int],
    classes: int,
    depth: int = 28,
    width: int = 2,
    variant: str = "uda",
    dropout: float | None = None,
) -> dict[str, Any]:
    """The specification of a WideResNet (Zagoruyko and Komodakis, BMVC 2016).

    Parameters
    ----------
    inputs : (height, width, channels)
    classes : int
    depth : int
        6 n + 4: number of convolutions and dense layers.
    width : int
        k of 16k, 32k and 64k channels.
    variant : str
        ``"uda"``, ``"usb"``, ``"fixmatch"`` or ``"meta_pseudo_labels"``: which of the published codes.
    dropout : float, optional
        Rate before the dense layer; the variant's by default.
    """
    return {
        "type": "wide_resnet", "inputs": _inputs(inputs), "classes": classes, "depth": depth, "width": width,
        "variant": variant, "dropout": dropout,
    }  # fmt: skip


def resnet(
    inputs: Sequence[int], classes: int, depth: int = 18, width: int = 1, small_images: bool = False
) -> dict[str, Any]:
    """The specification of a ResNet (He et al., CVPR 2016), with torchvision's names of layers.

    Parameters
    ----------
    inputs : (height, width, channels)
    classes : int
    depth : int
        18, 34 or 50.
    width : int
        Factor of the channels.
    small_images : bool
        Begin with a 3 × 3 convolution that keeps the size.
    """
    return {
        "type": "resnet", "inputs": _inputs(inputs), "classes": classes, "depth": depth, "width": width,
        "small_images": small_images,
    }  # fmt: skip


def efficientnet(
    inputs: Sequence[int],
    classes: int,
    variant: str = "b0",
    dropout: float | None = None,
    stochastic_depth: float = 0.2,
    small_images: bool = False,
    epsilon: float = 0.001,
) -> dict[str, Any]:
    """The specification of an EfficientNet (Tan and Le, ICML 2019).

    Parameters
    ----------
    inputs : (height, width, channels)
    classes : int
    variant : str
        ``"b0"`` to ``"b8"``, or ``"l2"``.
    dropout : float, optional
        Rate before the dense layer; the variant's by default.
    stochastic_depth : float
        Rate at which the last block's branch is left out; earlier ones less.
    small_images : bool
        The first convolution and the second and third stage keep the size.
    epsilon : float
        Added to the variance by batch normalisation. Torchvision's B0 to B4 and timm's without ``tf_`` have 1e-5.
    """
    return {
        "type": "efficientnet", "inputs": _inputs(inputs), "classes": classes, "variant": variant, "dropout": dropout,
        "stochastic_depth": stochastic_depth, "small_images": small_images,
        "epsilon": epsilon,
    }  # fmt: skip


def _inputs(lengths: Any) -> Any:
    return lengths if isinstance(lengths, int) else list(lengths)
