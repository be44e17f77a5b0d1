"""What a loss must know of the images of the same step that other processes hold."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class WholeBatch(Protocol):
    """The batch of a step that may be spread over processes: its losses are divided by counts of all of it."""

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over the processes of a tensor that carries no gradients."""
        ...

    def largest(self, values: Tensor) -> Tensor:
        """Return the element-wise maximum over the processes."""
        ...


class OneProcess:
    """The whole batch is here."""

    def total(self, values: Tensor) -> Tensor:
        """Return the values as they are."""
        return values

    def largest(self, values: Tensor) -> Tensor:
        """Return the values as they are."""
        return values


ONE_PROCESS = OneProcess()
