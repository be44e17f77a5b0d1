"""`Instances`: fields of equal length over one image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from nucleate.core import Instances as Nuclei
from nucleate.detectron2.errors import UnknownAttributeError
from nucleate.detectron2.structures.boxes import Boxes


class Instances:
    """The instances of one image; a prediction has `pred_boxes`, `scores`, `pred_classes` and `pred_masks`.

    Args:
        image_size: height and width.
        fields: name -> value with a length: `Boxes`, a tensor, a list.
    """

    def __init__(self, image_size: tuple[int, int], **fields: Any) -> None:
        self.__dict__["_image_size"] = (int(image_size[0]), int(image_size[1]))
        self.__dict__["_fields"] = {}
        for name, value in fields.items():
            self.set(name, value)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the image."""
        size: tuple[int, int] = self.__dict__["_image_size"]
        return size

    def __setattr__(self, name: str, value: Any) -> None:
        self.set(name, value)

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__.get("_fields", {})
        if name in fields:
            return fields[name]
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnknownAttributeError(
            f"no such field; there are: {', '.join(fields) or 'none'}", item=f"Instances.{name}"
        )

    def set(self, name: str, value: Any) -> None:
        """Set a field; its length must be that of the others."""
        fields = self._known()
        if fields and len(value) != len(self):
            raise ValueError(f"{name} has {len(value)} entries where the Instances has {len(self)}")
        fields[name] = value

    def has(self, name: str) -> bool:
        """Return whether there is such a field."""
        return name in self._known()

    def get(self, name: str) -> Any:
        """Return a field."""
        return self._known()[name]

    def remove(self, name: str) -> None:
        """Remove a field."""
        del self._known()[name]

    def get_fields(self) -> dict[str, Any]:
        """Return the fields by name."""
        return self._known()

    def to(self, *args: Any, **kwargs: Any) -> Instances:
        """Return the instances with every field that can move moved to a device."""
        moved = {
            name: value.to(*args, **kwargs) if hasattr(value, "to") else value for name, value in self._known().items()
        }
        return Instances(self.image_size, **moved)

    def __len__(self) -> int:
        for value in self._known().values():
            return len(value)
        raise NotImplementedError("an Instances without fields has no length")

    def __iter__(self) -> Iterator[NoReturn]:
        raise NotImplementedError("an Instances can't be iterated over: iterate over its length, or over a field")

    def __getitem__(self, item: int | slice | Tensor) -> Instances:
        if isinstance(item, int):
            if not -len(self) <= item < len(self):
                raise IndexError("Instances index out of range")
            item = slice(item, None if item == -1 else item + 1)
        return Instances(self.image_size, **{name: _chosen(value, item) for name, value in self._known().items()})

    @staticmethod
    def cat(instance_lists: Sequence[Instances]) -> Instances:
        """Return all instances of a list over one image, in order; all have the same fields."""
        first = instance_lists[0]
        if any(each.image_size != first.image_size for each in instance_lists):
            raise ValueError("instances of images of different sizes")
        return Instances(
            first.image_size, **{name: _joined([each.get(name) for each in instance_lists]) for name in first._known()}
        )

    def __repr__(self) -> str:
        fields = self._known()
        height, width = self.image_size
        count = len(self) if fields else 0
        named = ", ".join(f"{name}: {value}" for name, value in fields.items())
        return f"Instances(num_instances={count}, image_height={height}, image_width={width}, fields=[{named}])"

    def _known(self) -> dict[str, Any]:
        fields: dict[str, Any] = self.__dict__["_fields"]
        return fields


def predicted_instances(nuclei: Nuclei, device: torch.device) -> Instances:
    """Return a prediction as Detectron2 gives it: full-size boolean masks, N x H x W bytes."""
    height, width = nuclei.frame.shape
    masks = torch.zeros((len(nuclei), height, width), dtype=torch.bool)
    for index, bitmap in enumerate(nuclei.masks):
        x1, y1, x2, y2 = nuclei.masks.windows_xyxy[index].tolist()
        masks[index, y1:y2, x1:x2] = torch.from_numpy(bitmap.copy())
    return Instances(
        (height, width),
        pred_boxes=Boxes(torch.from_numpy(nuclei.boxes_xyxy.copy())).to(device),
        scores=torch.from_numpy(nuclei.scores.copy()).to(device),
        pred_classes=torch.from_numpy(nuclei.class_indices.copy()).to(device),
        pred_masks=masks.to(device),
    )


def _chosen(value: Any, item: slice | Tensor) -> Any:
    if isinstance(value, list | tuple) and isinstance(item, Tensor):
        indices = item.nonzero()[:, 0] if item.dtype == torch.bool else item
        return [value[index] for index in indices.tolist()]
    return value[item]


def _joined(values: list[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(values)
    if isinstance(values[0], list):
        return [each for value in values for each in value]
    return type(values[0]).cat(values)
