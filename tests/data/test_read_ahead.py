from __future__ import annotations

import threading
import warnings
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nucleate.data import read_ahead as module
from nucleate.data.read_ahead import read_ahead
from nucleate.data.sources.source import SourceImage, read_pixels
from nucleate.errors import DataError


def images_in(folder: Path, count: int) -> list[SourceImage]:
    """Return images whose pixels are their numbers."""
    images = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.fromarray(np.full((4, 6, 3), number, np.uint8)).save(path)
        images.append(SourceImage(key=path.name, path=path, annotation=path))
    return images


def test_pixels_come_in_order_and_what_is_damaged_is_said_at_its_turn(tmp_path: Path) -> None:
    images = images_in(tmp_path, 5)
    images[2].path.write_bytes(b"no image")
    images[3].path.unlink()
    seen: list[int | str] = []
    for read in read_ahead(images):
        try:
            seen.append(int(read()[0, 0, 0]))
        except DataError:
            seen.append("damaged")
    assert seen == [0, 1, "damaged", "damaged", 4]


def test_the_next_image_is_read_meanwhile_and_a_large_one_at_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = images_in(tmp_path, 3)
    begun = [threading.Event() for _ in images]

    def watched(image: SourceImage) -> NDArray[np.uint8]:
        begun[int(image.path.stem)].set()
        return read_pixels(image)

    monkeypatch.setattr(module, "read_pixels", watched)
    monkeypatch.setattr(module, "_is_small", lambda image: image.path.stem != "2")
    with closing(read_ahead(images)) as readers:
        next(readers)()
        assert begun[1].wait(30)
        next(readers)()
        # Nothing waits behind it: had it been begun, it would be done.
        assert not begun[2].is_set()
        assert next(readers)()[0, 0, 0] == 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read")]


def test_warnings_stay_as_they_were(tmp_path: Path) -> None:
    before = list(warnings.filters)
    for read in read_ahead(images_in(tmp_path, 20)):
        read()
        with pytest.raises(DataError):
            read_pixels(SourceImage(key="none", path=tmp_path / "none.png", annotation=1))
    assert list(warnings.filters) == before
