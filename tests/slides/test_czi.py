from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nucleate.errors import DataError, MissingExtraError
from nucleate.slides import is_slide, open_slide
from nucleate.slides.czi_levels import CziLevels, _stored_downsamples
from tests.slides.slide_files import draw_slide, halved

SLIDE = draw_slide()


@pytest.fixture(scope="module")
def pyczi() -> Any:
    return pytest.importorskip("pylibCZIrw.czi", reason="pylibCZIrw is in the extra `czi`")


@pytest.fixture(scope="module")
def path(pyczi: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiles beside each other, the left one higher; the file's origin lies at (-7, 5)."""
    path = tmp_path_factory.mktemp("czi") / "a.czi"
    bgr = SLIDE[:, :, ::-1]
    with pyczi.create_czi(str(path)) as file:
        file.write(np.ascontiguousarray(bgr[:200, :160]), location=(-7, 5))
        file.write(np.ascontiguousarray(bgr[20:, 160:]), location=(153, 25))
        file.write_metadata("drawn", scale_x=0.22e-6, scale_y=0.22e-6)
    return path


def test_a_region_is_its_pixels(path: Path) -> None:
    with open_slide(path) as slide:
        assert np.array_equal(slide.read((30, 40, 300, 180)), SLIDE[40:180, 30:300])


def test_where_no_tile_lies_is_white(path: Path) -> None:
    with open_slide(path) as slide:
        assert (slide.read((200, 0, 260, 20)) == 255).all()
        assert (slide.read((0, 220, 100, 300)) == 255).all()


def test_half_the_scale_is_the_mean_of_four_pixels(path: Path) -> None:
    with open_slide(path) as slide:
        small = slide.read((20, 40, 140, 180), downsample=2)
    assert np.abs(small.astype(int) - halved(SLIDE[40:180, 20:140], 2)).max() <= 1


def test_levels_that_cover_the_slide_count() -> None:
    """pylibCZIrw writes no pyramid, so its description of one is made up: factor 2 is whole, 4 has gaps."""

    class Pyramid:
        def enumerate_subblocks(self, take: Any) -> None:
            for factor, blocks in ((1, 16), (2, 4), (4, 0.5)):
                for _ in range(max(1, int(blocks))):
                    logical = SimpleNamespace(w=100 * factor, h=int(100 * factor * min(1, blocks)))
                    stored = SimpleNamespace(w=100, h=logical.h // factor)
                    assert take(0, SimpleNamespace(logicalRect=logical, physicalSize=stored))

    assert _stored_downsamples(Pyramid()) == (1, 2)


def test_a_stored_level_is_read_by_its_factor(path: Path) -> None:
    source = CziLevels(path)
    source._downsamples = (1, 2)
    read = source.read_level(1, (10, 20, 70, 90))
    source.close()
    assert read.rgb.shape == (70, 60, 3)
    assert np.array_equal(read.rgb, SLIDE[40:180:2, 20:140:2])


def test_the_scale_is_read(path: Path) -> None:
    with open_slide(path) as slide:
        assert slide.info.mpp == pytest.approx(0.22)
        assert (slide.info.vendor, slide.info.frame.shape) == ("czi", (300, 400))
    assert is_slide(path)


def test_grey_is_repeated(pyczi: Any, tmp_path: Path) -> None:
    with pyczi.create_czi(str(tmp_path / "a.czi")) as file:
        file.write(np.ascontiguousarray(SLIDE[:, :, :1]))
    with open_slide(tmp_path / "a.czi") as slide:
        assert np.array_equal(slide.read((0, 0, 400, 300)), np.repeat(SLIDE[:, :, :1], 3, axis=2))
        assert slide.info.mpp is None


def test_fluorescence_is_refused(pyczi: Any, tmp_path: Path) -> None:
    with pyczi.create_czi(str(tmp_path / "a.czi")) as file:
        for channel in range(2):
            file.write(np.zeros((50, 60, 1), np.uint16), plane={"C": channel})
    with pytest.raises(DataError, match="2 channels, depths or times"):
        open_slide(tmp_path / "a.czi")


def test_half_a_file_is_refused_by_name(path: Path, tmp_path: Path) -> None:
    (tmp_path / "half.czi").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"half\.czi: damaged CZI"):
        open_slide(tmp_path / "half.czi")


def test_czi_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pylibCZIrw", None)
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE" + bytes(100))
    with pytest.raises(MissingExtraError, match=r"a\.czi: reading CZI needs the extra 'czi'"):
        open_slide(tmp_path / "a.czi")
