"""Several processes that take each step together (`torchrun --nproc-per-node N -m nucleate train ...`)."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nucleate.errors import ConfigError, TrainingError

# The others wait while the first one evaluates; one that ends is noticed at once, whatever this says.
_PATIENCE = dt.timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The processes of a training as one of them sees them; by default it is alone.

    Attributes:
        rank: of this process; 0 writes the run folder.
        count: of all.
        device: where the tensors that are exchanged lie.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009

    @property
    def is_first(self) -> bool:
        """Return whether this process writes the run folder."""
        return self.rank == 0

    def placed(self, device: torch.device) -> torch.device:
        """Return the device of this process: its own GPU where several share the work."""
        return device if self.count == 1 else self.device

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over the processes of a tensor that carries no gradients."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def largest(self, values: Tensor) -> Tensor:
        """Return the element-wise maximum over the processes."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it holds in any process."""
        if self.count == 1:
            return flags
        return tuple(bool(each) for each in self.largest(torch.tensor([float(flag) for flag in flags])).tolist())

    def meet(self) -> None:
        """Wait for all processes."""
        self.total(torch.zeros(1))

    def of_first(self, number: int) -> int:
        """Return the number that the first process gives, whatever the others say."""
        if self.count == 1:
            return number
        told = torch.tensor([number], device=self.device)
        self.share([told])
        return int(told)

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Fill tensors with those of the first process, in place."""
        if self.count > 1:
            for tensor in tensors:
                # Gloo and NCCL send contiguous memory alone.
                sent = tensor.detach().contiguous()
                _together(partial(dist.broadcast, sent, src=0))
                if sent.data_ptr() != tensor.data_ptr():
                    with torch.no_grad():
                        tensor.copy_(sent)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up each parameter's gradients over the processes; one without any anywhere stays without."""
        if self.count == 1:
            return
        trained = list(parameters)
        present = self.any_of(*(each.grad is not None for each in trained))
        used = [each for each, there in zip(trained, present, strict=True) if there]
        for each in used:
            if each.grad is None:
                each.grad = torch.zeros_like(each)
        if not used:
            return
        flat = torch.cat([each.grad.reshape(-1) for each in used if each.grad is not None])
        _together(lambda: dist.all_reduce(flat))
        start = 0
        for each in used:
            assert each.grad is not None
            each.grad.copy_(flat[start : start + each.grad.numel()].reshape(each.grad.shape))
            start += each.grad.numel()

    def _reduced(self, values: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
        if self.count == 1:
            return values
        sent = values.detach().to(self.device, copy=True).contiguous()
        _together(lambda: dist.all_reduce(sent, op=operation))
        return sent.to(values.device)


ALONE = Processes()


def launched_rank() -> int:
    """Return this process' number under `torchrun`, 0 without it."""
    return int(os.environ.get("RANK", "0")) if _launched() else 0


@contextmanager
def joined_processes(device: torch.device) -> Iterator[Processes]:
    """Join the processes that `torchrun` started while the block runs; alone without it.

    Args:
        device: "cpu" exchanges by gloo; "cuda" by NCCL, each process with the GPU of its number.

    Raises:
        ConfigError: a device that processes can't share a training on.
    """
    count = int(os.environ.get("WORLD_SIZE", "1")) if _launched() else 1
    if count == 1:
        yield ALONE
        return
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"{device.type}: several processes train on cpu or cuda", item="--device")
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(rank=dist.get_rank(), count=count, device=device)
    finally:
        dist.destroy_process_group()


def _launched() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _together(exchange: Callable[[], object]) -> None:
    try:
        exchange()
    except RuntimeError as error:
        raise TrainingError("another process of this training ended; what it said tells why") from error
