"""The loader of tests: each image read, resized by INPUT.*_TEST and put in INPUT.FORMAT's channel order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from nucleate.detectron2.config import CfgNode, detectron_config
from nucleate.detectron2.data.catalog import DatasetCatalog, DatasetDict
from nucleate.detectron2.errors import NotBuiltError
from nucleate.errors import DataError
from nucleate.files import read_rgb
from nucleate.models.mask_rcnn import MaskRCNNSettings, network_image

TestLoader = DataLoader[DatasetDict]
Mapper = Callable[[DatasetDict], DatasetDict]


class DatasetMapper:
    """Turns a data set's dict into what the model takes in tests: the same dict with `image`, without annotations.

    Args:
        cfg: which sizes and channel order.
        is_train: only False is built; training has its own mapper.

    Raises:
        NotBuiltError: for training.
    """

    def __init__(self, cfg: CfgNode, is_train: bool = True) -> None:  # noqa: FBT001, FBT002
        if is_train:
            raise NotBuiltError("DatasetMapper for training is not built: DefaultTrainer maps its images itself")
        self._settings = MaskRCNNSettings.from_config(detectron_config(cfg)).image

    def __call__(self, dataset_dict: DatasetDict) -> DatasetDict:
        """Return the dict with `image`: (3, h, w) uint8, resized.

        Raises:
            DataError: the image can't be read, or has another size than its dict says.
        """
        path = Path(dataset_dict["file_name"])
        image_rgb = read_rgb(path)
        _check_size(image_rgb, dataset_dict, path)
        kept = {name: value for name, value in dataset_dict.items() if name != "annotations"}
        height, width = image_rgb.shape[:2]
        return {"height": height, "width": width, **kept, "image": network_image(image_rgb, self._settings)}


class _MappedDicts(Dataset[DatasetDict]):
    def __init__(self, dicts: Sequence[DatasetDict], mapper: Mapper) -> None:
        self._dicts = list(dicts)
        self._mapper = mapper

    def __len__(self) -> int:
        return len(self._dicts)

    def __getitem__(self, index: int) -> DatasetDict:
        return self._mapper(dict(self._dicts[index]))


def build_detection_test_loader(
    cfg: CfgNode, dataset_name: str | Sequence[str], *, mapper: Mapper | None = None, batch_size: int = 1
) -> TestLoader:
    """Return the batches of a registered data set, in its order, each a list of dicts with `image`.

    Args:
        cfg: sizes, channel order, DATALOADER.NUM_WORKERS.
        dataset_name: one name or several.
        mapper: instead of `DatasetMapper(cfg, is_train=False)`.
        batch_size: images a batch.

    Raises:
        UnknownDatasetError: a name is not registered.
    """
    names = [dataset_name] if isinstance(dataset_name, str) else list(dataset_name)
    dicts = [each for name in names for each in DatasetCatalog.get(name)]
    return DataLoader(
        _MappedDicts(dicts, DatasetMapper(cfg, is_train=False) if mapper is None else mapper),
        batch_size=batch_size,
        num_workers=int(cfg.DATALOADER.NUM_WORKERS),
        collate_fn=_as_list,
        worker_init_fn=_one_thread,
    )


def _as_list(batch: list[DatasetDict]) -> list[DatasetDict]:
    return batch


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


def _check_size(image_rgb: NDArray[np.uint8], dataset_dict: DatasetDict, path: Path) -> None:
    height, width = image_rgb.shape[:2]
    stated: tuple[Any, Any] = dataset_dict.get("height", height), dataset_dict.get("width", width)
    if stated != (height, width):
        raise DataError(f"the image is {width} x {height} pixels, its record says {stated[1]} x {stated[0]}", path=path)
