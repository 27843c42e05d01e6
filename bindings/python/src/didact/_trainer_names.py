"""`TrainerNames` is the part of `Trainer` that knows the names of classes and features. It puts the columns of data frames
into the order of the features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._arrays import NamedArrays, encoded, text, to_json
from ._errors import check
from ._frames import column_names, ordered
from ._labels import positions
from ._library import library
from ._trainer_networks import TrainerNetworks


class TrainerNames(TrainerNetworks):
    """The names that a `Trainer` keeps in its files: those of the classes, and those of the features."""

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, kept in model files; empty if none were given."""
        return self._names("class")

    @class_names.setter
    def class_names(self, values: Sequence[str]) -> None:
        self._set_names("class", values)

    @property
    def feature_names(self) -> list[str]:
        """Names of the features, kept in model files; empty if none were given.

        Training on a data frame sets them where there are none.

        Those of a model that ``didact train`` made from a table come from its columns: it is not saved with others.
        """
        return self._names("feature")

    @feature_names.setter
    def feature_names(self, values: Sequence[str]) -> None:
        self._set_names("feature", values)

    def _class_names(self) -> list[str]:
        return self._names("class")

    def _in_order(self, **given: Any) -> tuple[list[Any], list[str] | None]:
        """Returns arrays whose columns are in the order of the features, and the names that training on them would set.

        Where the trainer knows no names, the first data frame says the order for the others.
        """
        expected: list[str] | None = None
        is_known = False
        arrays = []
        for name, X in given.items():
            if X is not None and type(X) is not np.ndarray:
                found = column_names(X, name)
                if found is not None and not is_known:
                    kept = self.feature_names
                    expected, is_known = kept or found, True
                X = ordered(X, expected, name)
            arrays.append(X)
        return arrays, expected

    def _named_arrays(
        self, trusted: tuple[Any, Any] | None, yl: Any, pseudo_labels: Any = None, **rows: Any
    ) -> tuple[NamedArrays, list[str] | None]:
        """Rows and labels of a step by the names that C has for them, and the names that training on them would set.

        Parameters
        ----------
        trusted, yl, pseudo_labels
            As in `Trainer.step` and `Trainer.meta_gradient`.
        **rows
            ``xl``, ``xu`` and ``xu_strong``.
        """
        labels = {"y": yl, "pseudo_labels": pseudo_labels}
        if trusted is not None:
            if not isinstance(trusted, (tuple, list)) or len(trusted) != 2 or any(part is None for part in trusted):
                raise TypeError("trusted: expected a pair of rows and their labels, such as (xt, yt)")
            rows["x_trusted"], labels["y_trusted"] = trusted
        arrays, names = self._in_order(**rows)
        called = {"xl": "x", "xu": "u", "xu_strong": "u_strong"}
        found = {called.get(name, name): array for name, array in zip(rows, arrays)}
        for name, values in labels.items():
            if name == "y" or values is not None:
                found[name] = positions(values, name="yl" if name == "y" else name, class_names=self._class_names)
        return NamedArrays(**found), names

    def _keep_names(self, names: list[str] | None) -> bool:
        """Sets the names of the features where there are none yet. Returns whether it did."""
        if names is None or len(names) != self.student._input_count() or self.feature_names:
            return False
        self.feature_names = names
        return True

    def _names(self, kind: str) -> list[str]:
        return json.loads(text(library.didact_trainer_names, self._handle.value, encoded(kind, "kind")))

    def _set_names(self, kind: str, values: Sequence[str]) -> None:
        check(
            library.didact_trainer_set_names(
                self._handle.value, encoded(kind, "kind"), to_json([str(value) for value in values])
            )
        )
