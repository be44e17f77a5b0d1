from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nucleate.data.audit import drawings
from nucleate.data.audit.drawings import contact_sheet, thumbnail
from nucleate.pages import Picture
from tests.data.audit.test_findings import SHAPE, audited


def decoded(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture.source.split(",")[1])))


def write_grey(path: Path) -> Path:
    Image.fromarray(np.full((*SHAPE, 3), 200, np.uint8)).save(path)
    return path


def yellow(picture: Picture) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    pixels = np.asarray(decoded(picture)).astype(int)
    return (pixels[..., 0] > 150) & (pixels[..., 1] > 150) & (pixels[..., 2] < 120)


def test_each_organ_is_shown_by_the_image_with_the_median_number_of_nuclei(tmp_path: Path) -> None:
    boxes = [(2, 2, 12, 12), (20, 20, 30, 30), (40, 40, 50, 50), (60, 40, 70, 50)]
    images = [
        audited(f"{count}.png", *boxes[:count], organ="liver", path=write_grey(tmp_path / f"{count}.png"))
        for count in (0, 1, 4)
    ]
    images.append(audited("lung.png", organ="lung", path=write_grey(tmp_path / "lung.png")))
    sheet = contact_sheet(images)
    assert [picture.caption for picture in sheet] == ["liver: 1.png, 1 nuclei", "lung: lung.png, 0 nuclei"]
    drawn = yellow(sheet[0])
    assert drawn.any()
    # The outline is where the nucleus is: in the upper left.
    assert not drawn[14:, :].any()
    assert not yellow(sheet[1]).any()


def test_of_a_large_image_the_middle_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawings, "CROP_PX", 40)
    # The crop is x 20 to 60, y 12 to 52.
    image = audited("a.png", (0, 0, 10, 10), (36, 28, 44, 36), path=write_grey(tmp_path / "a.png"))
    (picture,) = contact_sheet([image])
    assert picture.caption.endswith("2 nuclei, its middle")
    assert decoded(picture).size == (40, 40)
    rows, columns = np.nonzero(yellow(picture))
    assert 13 <= rows.min() <= rows.max() <= 26
    assert 13 <= columns.min() <= columns.max() <= 26


def test_an_image_that_is_gone_has_no_picture(tmp_path: Path) -> None:
    image = audited("a.png", path=tmp_path / "gone.png")
    assert thumbnail(image) is None
    assert contact_sheet([image]) == []
