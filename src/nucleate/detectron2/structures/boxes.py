"""Boxes as a tensor of x1, y1, x2, y2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum, unique
from typing import Any

import torch
from torch import Tensor

from nucleate.detectron2.errors import NotBuiltError
from nucleate.models.mask_rcnn import boxes as arithmetic


@unique
class BoxMode(IntEnum):
    """How four numbers say where a box is, in pixels; Detectron2's relative and rotated modes are not built."""

    XYXY_ABS = 0
    XYWH_ABS = 1

    @staticmethod
    def convert(box: Sequence[float], from_mode: BoxMode | int, to_mode: BoxMode | int) -> list[float]:
        """Return one box in another mode.

        Raises:
            NotBuiltError: a mode that is not built.
        """
        if {int(from_mode), int(to_mode)} - {0, 1}:
            raise NotBuiltError(f"modes {from_mode} and {to_mode}: only XYXY_ABS and XYWH_ABS are built")
        x, y, third, fourth = (float(each) for each in box)
        if int(from_mode) == int(to_mode):
            return [x, y, third, fourth]
        sign = 1 if int(from_mode) == BoxMode.XYWH_ABS else -1
        return [x, y, third + sign * x, fourth + sign * y]


class Boxes:
    """N boxes, half-open, in pixels.

    Args:
        tensor: (N, 4) x1, y1, x2, y2; float32 is made of it.
    """

    def __init__(self, tensor: Tensor | Any) -> None:
        tensor = torch.as_tensor(tensor, dtype=torch.float32)
        if tensor.numel() == 0:
            tensor = tensor.reshape(-1, 4)
        if tensor.ndim != 2 or tensor.shape[1] != 4:
            raise ValueError(f"boxes must be (N, 4), not {tuple(tensor.shape)}")
        self.tensor = tensor

    def __len__(self) -> int:
        return int(self.tensor.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.tensor)

    def __getitem__(self, item: int | slice | Tensor) -> Boxes:
        chosen = self.tensor[item]
        return Boxes(chosen.reshape(1, 4) if isinstance(item, int) else chosen)

    def __repr__(self) -> str:
        return f"Boxes({self.tensor})"

    @property
    def device(self) -> torch.device:
        """Where the tensor lies."""
        return self.tensor.device

    def to(self, device: torch.device | str) -> Boxes:
        """Return the boxes on a device."""
        return Boxes(self.tensor.to(device))

    def clone(self) -> Boxes:
        """Return a copy."""
        return Boxes(self.tensor.clone())

    def area(self) -> Tensor:
        """Return (N,) areas."""
        return arithmetic.areas(self.tensor)

    def get_centers(self) -> Tensor:
        """Return (N, 2) x, y of the centres."""
        return (self.tensor[:, :2] + self.tensor[:, 2:]) / 2

    def nonempty(self, threshold: float = 0.0) -> Tensor:
        """Return (N,) bool: both sides exceed the threshold."""
        return arithmetic.larger_than(self.tensor, threshold)

    def clip(self, box_size: tuple[int, int]) -> None:
        """Cut the boxes, in place, at a frame of (height, width)."""
        self.tensor = arithmetic.clip(self.tensor, box_size)

    def scale(self, scale_x: float, scale_y: float) -> None:
        """Multiply the coordinates, in place."""
        self.tensor = self.tensor * self.tensor.new_tensor([scale_x, scale_y, scale_x, scale_y])

    @classmethod
    def cat(cls, boxes_list: Sequence[Boxes]) -> Boxes:
        """Return all boxes of a list, in order."""
        return cls(torch.cat([boxes.tensor for boxes in boxes_list]) if boxes_list else torch.zeros(0, 4))
