"""Optimisers and moving averages."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._arrays import ArrayMapping, Handle, borrow, encoded, make_handle, names, number, real_number, to_json, view
from ._errors import check
from ._library import library
from .network import Network


class Optimizer:
    """Moves a network's parameters along its gradients: θ′ = θ − update(g)."""

    def __init__(self, network: Network, settings: Mapping[str, Any]):
        self._adopt(
            network,
            make_handle(
                library.didact_optimizer_create,
                library.didact_optimizer_free,
                network._handle.value,
                to_json(settings),
            ),
        )

    @classmethod
    def _of(cls, network: Network, handle: Handle) -> Optimizer:
        optimizer = cls.__new__(cls)
        optimizer._adopt(network, handle)
        return optimizer

    def _adopt(self, network: Network, handle: Handle) -> None:
        self.network = network
        self._handle = handle
        keys = names(library.didact_optimizer_state_count, library.didact_optimizer_state_name, handle.value)
        self._state = ArrayMapping(
            keys,
            lambda key: view(library.didact_optimizer_state, handle, handle.value, encoded(key, "key")),
            "optimiser state",
        )

    @property
    def state(self) -> ArrayMapping:
        """Writable views by name, before the first step too: ``momentum.<parameter>``,
        ``first_moment.<parameter>``, ``second_moment.<parameter>``, and ``step``."""
        return self._state

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return number(library.didact_optimizer_learning_rate, ctypes.c_double, self._handle.value)

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        check(library.didact_optimizer_set_learning_rate(self._handle.value, real_number(rate, "learning_rate")))

    def step(self) -> None:
        """One step along ``network.gradients``."""
        check(library.didact_optimizer_step(self._handle.value))

    def pullback(self, v: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """(∂update/∂g)ᵀ v of the last step: maps a gradient at the new parameters to one at the
        fresh gradient, through momentum, Adam's moments and clipping. +learning_rate·v for SGD.

        Parameters
        ----------
        v : dict of str to array
            By parameter; those left out are zero.
        """
        out = self.network._empty_flat()
        flat = borrow(self.network._flat(v, "v"))
        check(library.didact_optimizer_pullback(borrow(out).pointer, self._handle.value, flat.pointer))
        return self.network._named(out)


class SGD(Optimizer):
    """Stochastic gradient descent as in PyTorch, plain, with heavy-ball or Nesterov momentum.

    Parameters
    ----------
    network : Network
    learning_rate : float
    momentum : float
        In [0, 1).
    nesterov : bool
    weight_decay : float
        Added to the gradient, as weight_decay · parameter.
    clip_norm : float, optional
        The gradient is scaled by min(1, clip_norm / ‖gradient‖) before the decay is added.
    decay_exclude : str
        ``"none"``, or ``"bias_and_norm"`` to decay weights alone.
    decay_before_clip : bool
        Add the decay before clipping instead.
    """

    def __init__(
        self,
        network: Network,
        learning_rate: float,
        momentum: float = 0,
        nesterov: bool = False,
        weight_decay: float = 0,
        clip_norm: float | None = None,
        decay_exclude: str = "none",
        decay_before_clip: bool = False,
    ):
        super().__init__(
            network,
            {
                "name": "sgd",
                "learning_rate": learning_rate,
                "momentum": momentum,
                "nesterov": nesterov,
                "weight_decay": weight_decay,
                "clip_norm": clip_norm,
                "decay_exclude": decay_exclude,
                "decay_before_clip": decay_before_clip,
            },
        )


class AdamW(Optimizer):
    """Adam with decoupled weight decay as in PyTorch (Loshchilov and Hutter, 2019).

    Parameters
    ----------
    network : Network
    learning_rate : float
    beta1, beta2 : float
        Decay of the first and second moment, in [0, 1).
    epsilon : float
        Added outside the root.
    weight_decay : float
        Parameters shrink by learning_rate · weight_decay each step.
    clip_norm : float, optional
        The gradient is scaled by min(1, clip_norm / ‖gradient‖).
    decay_exclude : str
        ``"none"``, or ``"bias_and_norm"`` to decay weights alone.
    """

    def __init__(
        self,
        network: Network,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0,
        clip_norm: float | None = None,
        decay_exclude: str = "none",
    ):
        super().__init__(
            network,
            {
                "name": "adamw",
                "learning_rate": learning_rate,
                "beta1": beta1,
                "beta2": beta2,
                "epsilon": epsilon,
                "weight_decay": weight_decay,
                "clip_norm": clip_norm,
                "decay_exclude": decay_exclude,
            },
        )


class MovingAverage:
    """An exponential moving average: average ← decay · average + (1 − decay) · network.

    Parameters
    ----------
    network : Network
        What is averaged; the average starts as its copy.
    decay : float
        In [0, 1]; 0 makes the average equal to the network.
    statistics : bool
        Average running statistics too (EMAN: Cai et al., 2021) instead of copying them.
    """

    def __init__(self, network: Network, decay: float, statistics: bool = False):
        self.source = network
        self._handle = make_handle(
            library.didact_average_create,
            library.didact_average_free,
            network._handle.value,
            real_number(decay, "decay"),
            int(bool(statistics)),
        )
        self.network = Network._of(
            make_handle(library.didact_average_network, library.didact_network_free, self._handle.value)
        )

    def update(self) -> None:
        """Moves the average towards the network."""
        check(library.didact_average_update(self._handle.value))
