from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.contestants.scene_sources import dataset_scenes, drawn_scenes
from nucleate.api import LoadedModel
from nucleate.api.prepare import prepare
from nucleate.core import Frame, Instances
from nucleate.errors import DataError
from nucleate.models.run_card import RunCard
from tests.synthetic import write_label_folder


class NoSegmenter:
    name, class_names, fingerprint = "none", ("nucleus",), ""

    def segment(self, images_rgb: object) -> list[Instances]:
        raise AssertionError("nobody segments here")


def model(working_diameter_px: float) -> LoadedModel:
    card = RunCard(name="none", working_diameter_px=working_diameter_px, source_diameters_px={"slides": 40.0})
    return LoadedModel(segmenter=NoSegmenter(), card=card)


def test_drawn_nuclei_have_the_size_that_the_model_works_at() -> None:
    scenes = drawn_scenes(model(20.0), count=2, side_px=256, nuclei=15)
    assert scenes.annotated_nuclei() == [15, 15]
    assert scenes.magnification == 1
    areas_px = np.concatenate([np.bincount(each.ravel())[1:] for each in scenes.label_maps])
    assert np.median(np.sqrt(areas_px * 4 / np.pi)) == pytest.approx(20, rel=0.1)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_label_folder(tmp_path / "slides", count=3, height_px=96, width_px=128, nuclei=9)
    prepare([tmp_path / "slides"], output=tmp_path / "data")
    return tmp_path / "data"


def test_the_middle_squares_nearest_to_the_count_are_taken(dataset: Path) -> None:
    scenes = dataset_scenes(model(20.0), dataset, count=2, side_px=96, nuclei=9)
    assert scenes.images_rgb.shape == (2, 96, 96, 3)
    counts = scenes.annotated_nuclei()
    everything = dataset_scenes(model(20.0), dataset, count=3, side_px=96, nuclei=9).annotated_nuclei()
    assert counts == sorted(everything, key=lambda count: abs(count - 9))[:2]
    assert "96 x 96 px" in scenes.origin


def test_smaller_images_are_no_scenes(dataset: Path) -> None:
    with pytest.raises(DataError, match="0 images of 512 x 512 px in all, 1 are wanted"):
        dataset_scenes(model(20.0), dataset, count=1, side_px=512, nuclei=9)


def test_frames_of_scenes_are_square(dataset: Path) -> None:
    scenes = dataset_scenes(model(20.0), dataset, count=1, side_px=64, nuclei=9)
    assert Frame(height_px=scenes.side_px, width_px=scenes.side_px).shape == scenes.label_maps[0].shape
