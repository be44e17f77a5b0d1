from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nucleate.api.demo import REGION_SIDE_PX, REGION_XY, demo, demo_with, read_mpp, read_region
from nucleate.api.loading import LoadedModel
from nucleate.errors import DataError
from nucleate.files import read_rgb
from nucleate.models.run_card import RunCard
from tests.inference.fake_segmenter import InkSegmenter, draw_grid

DISCS = draw_grid(3000, 2000, pitch_px=100, radius=6)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiled TIFF that OpenSlide reads: discs of eleven and a half pixels."""
    path = tmp_path_factory.mktemp("slide") / "slide.tif"
    import tifffile

    tifffile.imwrite(path, DISCS, tile=(256, 256), photometric="rgb", compression="zlib")
    return path


def ink_model(diameter_px: float | None) -> LoadedModel:
    card = RunCard(name="ink", tile_px=512, score_threshold=0.2, nucleus_diameter_px=diameter_px)
    return LoadedModel(segmenter=InkSegmenter(), card=card)


def test_region_is_level_0_at_the_fixed_place(slide: Path) -> None:
    x, y = REGION_XY
    expected = DISCS[y : y + REGION_SIDE_PX, x : x + REGION_SIDE_PX]
    region = read_region(slide)
    assert region.shape == (1024, 1024, 3)
    assert np.array_equal(region, expected)


def test_demo_writes_the_picture_and_everything_that_segment_writes(slide: Path, tmp_path: Path) -> None:
    report = demo_with(ink_model(22.0), slide, output=tmp_path / "demo")
    assert report.magnification == 2.0
    assert report.segmentation.nuclei >= 100
    with Image.open(report.picture) as picture:
        assert min(picture.size) > 800
    assert read_rgb(tmp_path / "demo" / "CMU-1-Small-Region.png").shape == (1024, 1024, 3)
    for name in ("detectron-segmented", "predicted-ground-truth", "nuclei.csv", "CMU-1-Small-Region.geojson"):
        assert (tmp_path / "demo" / name).exists()
    assert "magnified 2.00 times" in report.summary()
    assert str(report.picture) in report.summary()


def test_model_of_unknown_scale_gets_the_region_as_it_is(slide: Path, tmp_path: Path) -> None:
    assert demo_with(ink_model(None), slide, output=tmp_path).magnification == 1.0


def scaled_model(working_mpp: float | None) -> LoadedModel:
    card = RunCard(name="ink", score_threshold=0.2, working_diameter_px=22.0, working_mpp=working_mpp)
    return LoadedModel(segmenter=InkSegmenter(), card=card)


@pytest.fixture
def slide_with_mpp(tmp_path: Path) -> Path:
    """A slide whose header says 0.5 um/px."""
    import tifffile

    path = tmp_path / "scaled.tif"
    tifffile.imwrite(
        path,
        DISCS,
        tile=(256, 256),
        photometric="rgb",
        compression="zlib",
        resolution=(20_000, 20_000),
        resolutionunit="CENTIMETER",
    )
    return path


def test_model_that_says_its_um_per_pixel_gets_the_slides(slide_with_mpp: Path, tmp_path: Path) -> None:
    report = demo_with(scaled_model(0.25), slide_with_mpp, output=tmp_path / "demo")
    assert report.magnification == 2.0
    assert report.segmentation[0].scale.known_by == "mpp"
    assert "scale: 0.5 um/px (given): images resampled by 2.00" in report.summary()


def test_slide_without_um_per_pixel_is_scaled_by_its_nuclei(slide: Path, tmp_path: Path) -> None:
    report = demo_with(scaled_model(0.25), slide, output=tmp_path / "demo")
    assert (report.magnification, report.segmentation[0].scale.known_by) == (2.0, "diameter")


def test_demo_finds_the_slide_and_loads_the_model(slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["nucleate.api.demo"], "find_sample_slide", lambda given: slide)
    monkeypatch.setattr(sys.modules["nucleate.api.demo"], "load_model", lambda model, device: ink_model(None))
    assert demo(output=tmp_path / "demo").picture == tmp_path / "demo" / "demo.png"


def test_file_that_is_no_slide_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_bytes(b"no slide")
    with pytest.raises(DataError, match=r"a\.svs: no slide or image"):
        read_region(tmp_path / "a.svs")


@pytest.mark.shared_data
def test_real_slide_states_its_um_per_pixel(shared_data: Path) -> None:
    assert read_mpp(shared_data / "wsi" / "CMU-1-Small-Region.svs") == 0.499


@pytest.mark.shared_data
def test_region_of_the_real_slide_is_mostly_tissue(shared_data: Path) -> None:
    region = read_region(shared_data / "wsi" / "CMU-1-Small-Region.svs")
    assert np.mean(region.min(axis=2) < 215) > 0.7
