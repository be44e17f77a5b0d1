"""Classes from the source to the evaluation: arrays as PanNuke's, prepared, trained on, evaluated by class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nucleate.api import PrepareSettings, evaluate, export, prepare, train
from nucleate.data import read_dataset
from nucleate.data.sources.pannuke import CLASSES
from nucleate.errors import ConfigError
from tests.synthetic import draw_he
from tests.training.test_session import OURS


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def write_pannuke(folder: Path, count: int = 4, side_px: int = 96) -> Path:
    """Write arrays in PanNuke's shapes; odd nuclei are neoplastic, even ones connective."""
    folder.mkdir()
    pixels = np.zeros((count, side_px, side_px, 3), np.float64)
    masks = np.zeros((count, side_px, side_px, 6), np.float64)
    for index in range(count):
        drawing = draw_he(seed=index, height_px=side_px, width_px=side_px, nuclei=6)
        pixels[index] = drawing.image_rgb
        for channel, rest in ((0, 1), (2, 0)):
            masks[index, ..., channel] = np.where(drawing.label_map % 2 == rest, drawing.label_map, 0)
        masks[index, ..., 5] = drawing.label_map == 0
    np.save(folder / "images.npy", pixels)
    np.save(folder / "masks.npy", masks)
    np.save(folder / "types.npy", np.array(["Breast"] * count))
    return folder


def test_classes_go_from_the_arrays_to_the_table_by_class(tmp_path: Path) -> None:
    source = write_pannuke(tmp_path / "pannuke")
    prepare([source], output=tmp_path / "data", settings=PrepareSettings(classes=True, split=0.5))
    dataset = read_dataset(tmp_path / "data")
    assert dataset.class_names == CLASSES
    observed = {
        int(index) for record in dataset.records for index in dataset.annotations(record).instances.class_indices
    }
    assert observed == {0, 2}

    train(tmp_path / "data", *OURS, "SOLVER.MAX_ITER=1", output=tmp_path / "run", device="cpu")
    weights = torch.load(tmp_path / "run" / "model_final.pth", weights_only=True)["model"]
    assert weights["roi_heads.box_predictor.cls_score.weight"].shape[0] == len(CLASSES) + 1
    assert weights["roi_heads.mask_head.predictor.weight"].shape[0] == len(CLASSES)

    evaluate(tmp_path / "run", tmp_path / "data", on="val", output=tmp_path / "out")
    report = (tmp_path / "out" / "report.md").read_text()
    for name in ("neoplastic", "connective"):
        assert f"| {name} |" in report


def test_annotations_are_their_own_perfect_prediction_in_every_class(tmp_path: Path) -> None:
    source = write_pannuke(tmp_path / "pannuke", count=2)
    prepare([source], output=tmp_path / "data", settings=PrepareSettings(classes=True))
    export(tmp_path / "data", to="geojson", output=tmp_path / "geojson")
    annotations = tmp_path / "data" / "annotations" / "all.json"
    scored = evaluate(tmp_path / "geojson" / "geojson", annotations, output=tmp_path / "out")
    by_class = {each.class_name: each.ap for each in scored.overall.precision.segm.per_class}
    assert by_class["neoplastic"] == pytest.approx(100)
    assert by_class["connective"] == pytest.approx(100)


def test_without_classes_all_are_nuclei_and_it_is_said(tmp_path: Path) -> None:
    report = prepare([write_pannuke(tmp_path / "pannuke", count=2)], output=tmp_path / "data")
    assert read_dataset(tmp_path / "data").class_names == ("nucleus",)
    assert any("--classes keeps" in note for note in report.notes)


def test_a_network_without_classes_refuses_a_set_that_has_such(tmp_path: Path) -> None:
    source = write_pannuke(tmp_path / "pannuke", count=2)
    prepare([source], output=tmp_path / "data", settings=PrepareSettings(classes=True))
    with pytest.raises(ConfigError, match="class"):
        train(tmp_path / "data", recipe="star-convex", output=tmp_path / "run", device="cpu")
