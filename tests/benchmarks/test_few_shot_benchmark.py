from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.few_shot import START, curve, main, of_patients, table
from nucleate.core import Frame, Instances, Masks
from nucleate.data import dataset_of_instances
from nucleate.models.run_card import RunCard
from tests.training.test_session import write_coco


def row(images: int, draw: int, pq: float) -> dict[str, Any]:
    scores = {"PQ": pq, "AJI": pq - 1, "Dice": pq + 1, "segm/AP": pq / 2}
    return {"images": images, "draw": draw, "minutes": 1.0, "scores": scores}


ROWS = [row(0, 0, 50.0), row(1, 0, 52.0), row(1, 1, 56.0), row(5, 0, 60.0)]


def test_the_table_has_means_and_the_range_of_the_draws() -> None:
    lines = table(ROWS).splitlines()
    assert lines[2:] == [
        "| 0 | 50.0 | 50.0 to 50.0 | 49.0 | 51.0 | 25.0 |",
        "| 1 | 54.0 | 52.0 to 56.0 | 53.0 | 55.0 | 27.0 |",
        "| 5 | 60.0 | 60.0 to 60.0 | 59.0 | 61.0 | 30.0 |",
    ]


def test_the_curve_joins_the_means() -> None:
    (axes,) = curve(ROWS).axes
    (line,) = [each for each in axes.get_lines() if each.get_label() == "PQ"]
    assert np.asarray(line.get_ydata()).tolist() == [50.0, 54.0, 60.0]


def test_patients_are_the_first_two_characters_of_a_name(tmp_path: Path) -> None:
    frame = Frame(height_px=4, width_px=4)
    nothing = Instances.from_masks(Masks.from_full(frame, []))
    names = ["05_1.png", "01_2.png", "06_1.png", "04_1.png"]
    dataset = dataset_of_instances(
        tmp_path, [(name, nothing) for name in names], class_names=("nucleus",), images_dir=tmp_path
    )
    assert of_patients(dataset, ("05", "06")) == ["05_1.png", "06_1.png"]
    assert of_patients(dataset, ("01", "02")) == ["01_2.png"]


def test_the_start_saw_none_of_the_tissue() -> None:
    card = RunCard.read(START)
    assert not card.trained_on_all_of
    assert not any("tnbc" in source.lower() for source in card.source_diameters_px), card.source_diameters_px


def test_another_data_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_coco(tmp_path / "data") / "annotations" / "train.json"
    with pytest.raises(SystemExit):
        main([str(data), "--output", str(tmp_path / "out")])
    assert "0 images to learn from, 0 to score" in capsys.readouterr().err
