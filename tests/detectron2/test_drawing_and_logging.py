from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nucleate.core import Instances as Nuclei
from nucleate.core import encode_rles, masks_from_label_map, trace_outlines
from nucleate.detectron2.data import Metadata
from nucleate.detectron2.structures import Instances
from nucleate.detectron2.structures.instances import predicted_instances
from nucleate.detectron2.utils.logger import log_file, setup_logger, short_name
from nucleate.detectron2.utils.visualizer import ColorMode, Visualizer
from nucleate.export import draw_overlay
from nucleate.files import read_rgb
from tests.synthetic import draw_he

DRAWING = draw_he(seed=3, height_px=220, width_px=240, nuclei=6)
MASKS, _ = masks_from_label_map(DRAWING.label_map)
NUCLEI = Nuclei.from_masks(MASKS)
CLASSES = Metadata(thing_classes=["nucleus"])


def predictions() -> Instances:
    return predicted_instances(NUCLEI, torch.device("cpu"))


def test_predictions_are_drawn_as_the_package_draws_them() -> None:
    drawn = Visualizer(DRAWING.image_rgb, CLASSES).draw_instance_predictions(predictions()).get_image()
    assert np.array_equal(drawn, draw_overlay(DRAWING.image_rgb, NUCLEI, ["nucleus"]))


def test_classes_without_a_name_get_one() -> None:
    found = predictions()
    found.pred_classes = torch.full((len(found),), 4)
    assert Visualizer(DRAWING.image_rgb).draw_instance_predictions(found).get_image().shape == (220, 240, 3)


@pytest.mark.parametrize(("scale", "shape"), [(0.5, (110, 120, 3)), (2.0, (440, 480, 3))])
def test_the_drawing_is_scaled_with_its_image(scale: float, shape: tuple[int, ...]) -> None:
    visualizer = Visualizer(DRAWING.image_rgb, CLASSES, scale)
    drawn = visualizer.draw_instance_predictions(predictions()).get_image()
    assert drawn.shape == shape
    plain = Visualizer(DRAWING.image_rgb, CLASSES, scale).get_output().get_image()
    changed = np.any(drawn != plain, axis=2)
    # Nuclei cover a fifth at most; boxes and labels some more.
    assert 0.02 < changed.mean() < 0.5


def test_what_no_mask_covers_turns_grey() -> None:
    visualizer = Visualizer(DRAWING.image_rgb, CLASSES, instance_mode=ColorMode.IMAGE_BW)
    none = visualizer.draw_instance_predictions(predictions()[:0]).get_image()
    assert np.array_equal(none[..., 0], none[..., 1])
    coloured = Visualizer(DRAWING.image_rgb, CLASSES, instance_mode=ColorMode.IMAGE_BW)
    drawn = coloured.draw_instance_predictions(predictions()).get_image()
    assert (drawn[DRAWING.label_map > 0].std(axis=1) > 0).mean() > 0.9


@pytest.mark.parametrize("form", ["polygons", "codes", "bytes", "counts"])
def test_a_data_sets_dict_is_drawn_in_every_form_of_mask(form: str) -> None:
    annotations: list[dict[str, Any]] = []
    for index, code in enumerate(encode_rles(MASKS)):
        drawn: Any = [trace_outlines(MASKS, index)[0].exterior_xy.reshape(-1).tolist()]
        if form == "codes":
            drawn = code.to_coco()
        elif form == "bytes":
            drawn = {**code.to_coco(), "counts": code.counts.encode()}
        elif form == "counts":
            column = np.concatenate([[0], MASKS.full(index).T.reshape(-1).astype(np.int8), [0]])
            edges = np.flatnonzero(np.diff(column))
            runs = np.diff(np.concatenate([[0], edges, [MASKS.full(index).size]]))
            drawn = {"size": list(MASKS.frame.shape), "counts": runs.tolist()}
        annotations.append({"category_id": 0, "segmentation": drawn})
    drawn_image = Visualizer(DRAWING.image_rgb, CLASSES).draw_dataset_dict({"annotations": annotations}).get_image()
    inside = DRAWING.label_map > 0
    assert np.any(drawn_image != DRAWING.image_rgb, axis=2)[inside].mean() > 0.9
    assert np.any(drawn_image != DRAWING.image_rgb, axis=2)[~inside].mean() < 0.3


def test_boxes_are_those_of_the_dict() -> None:
    entry = {"category_id": 0, "segmentation": [], "bbox": [20, 30, 100, 80]}
    drawn = Visualizer(DRAWING.image_rgb, CLASSES).draw_dataset_dict({"annotations": [entry]}).get_image()
    changed = np.any(drawn != DRAWING.image_rgb, axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert rows[0] == pytest.approx(30, abs=2)
    assert columns[-1] == pytest.approx(120, abs=2)
    assert np.array_equal(Visualizer(DRAWING.image_rgb).draw_dataset_dict({}).get_image(), DRAWING.image_rgb)


def test_a_drawing_is_saved(tmp_path: Path) -> None:
    drawing = Visualizer(DRAWING.image_rgb.astype(np.float32), CLASSES).draw_instance_predictions(predictions())
    drawing.save(tmp_path / "drawing.png")
    assert np.array_equal(read_rgb(tmp_path / "drawing.png"), drawing.get_image())


def test_lines_have_detectron2s_form_on_console_and_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = setup_logger(output=tmp_path)
    assert setup_logger(output=tmp_path) is logger
    logging.getLogger("nucleate.training.events").info("eta")
    logging.getLogger("nucleate.detectron2.data.datasets").warning("odd]: really")
    logging.getLogger("nucleate.data").debug("unseen")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert said[0].endswith(" d2.utils.events]: eta")
    assert said[1].endswith(" d2.data.datasets]: WARNING odd]: really")
    written = (tmp_path / "log.txt").read_text().splitlines()
    assert written[0].endswith("] d2.utils.events INFO: eta")
    assert written[1].endswith("] d2.data.datasets WARNING: odd]: really")


def test_a_file_and_another_logger_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = setup_logger(output=tmp_path / "deep" / "mine.log", distributed_rank=1, name="somebodys")
    own.debug("hello")
    assert capsys.readouterr().out == ""
    assert "somebodys DEBUG: hello" in (tmp_path / "deep" / "mine.log").read_text()
    for handler in own.handlers:
        handler.close()
    own.handlers = []


def test_a_runs_log_is_not_written_twice(tmp_path: Path) -> None:
    setup_logger(output=tmp_path)
    with log_file(tmp_path):
        logging.getLogger("nucleate.x").info("once")
    assert (tmp_path / "log.txt").read_text().count("once") == 1


def test_short_names_are_of_whole_parts() -> None:
    assert short_name("nucleate.d2.evaluation.testing") == "d2.evaluation.testing"
    assert short_name("nucleate.detectron2") == "d2"
    assert short_name("nucleate.d2x") == "nucleate.d2x"
