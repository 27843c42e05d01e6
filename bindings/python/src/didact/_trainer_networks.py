"""`TrainerNetworks` is the part of `Trainer` that gives its networks by their roles, and the optimisers of student and
teacher."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from typing import Any

from . import _ffi
from ._arrays import Handle, encoded, make_handle, number, text
from ._errors import DidactError
from ._library import library
from .network import Network
from .optimization import Optimizer


class TrainerNetworks:
    """The networks of a `Trainer` and their optimisers. Each is made when it is first asked for, and is the same object
    from then on."""

    _handle: Handle
    _configuration: dict[str, Any]
    _networks: dict[str, Network]
    _optimizers: dict[str, Optimizer]

    @property
    def student(self) -> Network:
        return self._network("student", library.didact_trainer_student)

    @property
    def teacher(self) -> Network:
        """Raises where the method has none."""
        return self._network("teacher", library.didact_trainer_teacher)

    @property
    def corrector(self) -> Network:
        """What ``"reduced_meta_pseudo_labels"`` trains in the teacher's place: from stored distributions to what is added
        to their logarithms. Raises where the method has none."""
        return self._network("corrector", library.didact_trainer_network, b"corrector")

    @property
    def average(self) -> Network | None:
        """The student's moving average; None where ``average_decay`` is not set."""
        if self._configuration["average_decay"] is None:
            return None
        return self._network("average", library.didact_trainer_average)

    @property
    def best(self) -> Network | None:
        """The best network of a fit by its validation part; None where ``validation_fraction`` is 0, or no fit
        got that far."""
        return self._stage("best")

    @property
    def finetuned(self) -> Network | None:
        """What the stage of ``finetune_steps`` trains; None before it."""
        return self._stage("finetuned")

    @property
    def roles(self) -> list[str]:
        """Of what can predict now: ``"student"``, then ``"teacher"``, ``"average"``, ``"best"`` and ``"finetuned"`` as
        method, configuration and steps so far made them, then ``"ensemble"`` where there are `members`."""
        return json.loads(text(library.didact_trainer_roles, self._handle.value))

    @property
    def predictor_role(self) -> str:
        """What predicts: ``"ensemble"`` where there are `members`, else the network ``"finetuned"`` once there is one, else
        ``"best"``, else ``"average"``, else ``"student"``."""
        return number(library.didact_trainer_predictor_role, ctypes.c_char_p, self._handle.value).decode()

    def _stage(self, role: str) -> Network | None:
        try:
            return self._network(role, library.didact_trainer_network, encoded(role, "role"))
        except DidactError as error:
            if error.status == _ffi.DIDACT_EUNSUPPORTED:
                return None
            raise

    def _network(self, role: str, get: Callable, *arguments: Any) -> Network:
        if role not in self._networks:
            self._networks[role] = Network._of(
                make_handle(get, library.didact_network_free, self._handle.value, *arguments)
            )
        return self._networks[role]

    @property
    def student_optimizer(self) -> Optimizer:
        return self._optimizer("student", self.student)

    @property
    def teacher_optimizer(self) -> Optimizer:
        """Raises where the method has none."""
        return self._optimizer("teacher", self.teacher)

    def _optimizer(self, role: str, network: Network) -> Optimizer:
        if role not in self._optimizers:
            handle = make_handle(
                library.didact_trainer_optimizer,
                library.didact_optimizer_free,
                self._handle.value,
                encoded(role, "role"),
            )
            self._optimizers[role] = Optimizer._of(network, handle)
        return self._optimizers[role]
