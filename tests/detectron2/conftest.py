from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import torch

from nucleate.detectron2.data import DatasetCatalog, MetadataCatalog


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_catalogues_and_logger() -> Iterator[None]:
    """Every test starts with nothing registered and leaves the package's logger as it was."""
    logger = logging.getLogger("nucleate")
    before = list(logger.handlers), logger.level, logger.propagate
    _forget()
    yield
    _forget()
    for handler in set(logger.handlers) - set(before[0]):
        handler.close()
    logger.handlers, logger.propagate = list(before[0]), before[2]
    logger.setLevel(before[1])


def _forget() -> None:
    DatasetCatalog.clear()
    for name in MetadataCatalog.list():
        MetadataCatalog.remove(name)
