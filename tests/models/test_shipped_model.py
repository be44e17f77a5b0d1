"""The models in the package: whole, small, licensed, and able to find nuclei."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from nucleate.api.loading import DEFAULT_MODEL, SHIPPED_MODELS, load_model, model_folder
from nucleate.api.segment import SegmentSettings, segment
from nucleate.core import label_map_from_masks
from nucleate.errors import ConfigError, MissingExtraError
from nucleate.evaluation.matching import label_map_overlaps
from nucleate.models.run_card import RunCard
from nucleate.models.star_convex.onnx_engine import EngineSettings
from tests.synthetic import draw_he

WEIGHTS = {"nucleate-he": "model.onnx", "nucleate-mask-rcnn": "model_final.pth"}
# Median diameter that nuclei are drawn with for each network: its working scale.
DIAMETERS_PX = {"nucleate-he": (17.0, 25.0), "nucleate-mask-rcnn": (26.0, 38.0)}

TRAINED = Path(__file__).parents[2] / "benchmarks" / "weights" / DEFAULT_MODEL
"""What the network of the package was exported from."""
INNER = TRAINED.with_name(f"{DEFAULT_MODEL}-inner")
"""The weights with images held back, whose scores the card gives."""

each_model = pytest.mark.parametrize("name", SHIPPED_MODELS)


def card_text(name: str) -> str:
    return (model_folder(name) / "MODEL_CARD.md").read_text(encoding="utf-8")


@each_model
def test_the_weights_are_below_15_mb(name: str) -> None:
    assert (model_folder(name) / WEIGHTS[name]).stat().st_size < 15e6


def test_the_weights_are_half_precision() -> None:
    tensors = torch.load(model_folder("nucleate-mask-rcnn") / "model_final.pth", weights_only=True)["model"].values()
    assert {tensor.dtype for tensor in tensors} == {torch.float16}
    graph = onnx.load(model_folder("nucleate-he") / "model.onnx").graph
    large = [each for each in graph.initializer if np.prod(each.dims) >= 16]
    assert {each.data_type for each in large} == {onnx.TensorProto.FLOAT16}


@each_model
def test_the_card_names_the_checksum_of_the_weights(name: str) -> None:
    assert hashlib.sha256((model_folder(name) / WEIGHTS[name]).read_bytes()).hexdigest() in card_text(name)


@each_model
@pytest.mark.parametrize("words", ["CC BY 4.0", "Apache-2.0", "10.1038/s41597-024-03117-2", "EfficientNet-Lite0"])
def test_the_card_tells_data_licences_and_start_weights(name: str, words: str) -> None:
    assert words in card_text(name)


@each_model
def test_the_card_has_a_row_for_each_of_the_test_splits_organs(name: str) -> None:
    rows = [line for line in card_text(name).splitlines() if line.startswith(("| human ", "| mouse "))]
    assert len(rows) == 26


@each_model
def test_the_stored_threshold_was_chosen_on_validation_images(name: str) -> None:
    card = RunCard.read(model_folder(name))
    assert card.name == name
    assert "validation images" in card.score_threshold_from


def test_the_model_in_the_box_says_its_scale_and_which_laboratory_chose_its_thresholds() -> None:
    card = RunCard.read(model_folder(DEFAULT_MODEL))
    assert card.working_diameter_px == 20
    assert card.working_mpp == 0.25
    assert "tnbc, never trained on" in card.score_threshold_from
    assert card.most_overlap is not None


def test_the_model_in_the_box_saw_all_images_and_has_the_thresholds_of_the_one_that_did_not() -> None:
    shipped, inner = RunCard.read(model_folder(DEFAULT_MODEL)), RunCard.read(INNER)
    assert shipped.trained_on_all_of == ("dsb2018_colour", "nuinsseg", "tnbc")
    assert inner.trained_on_all_of == ()
    assert shipped.score_threshold == inner.score_threshold
    assert shipped.most_overlap == inner.most_overlap
    assert inner.data is not None
    assert shipped.data is not None
    assert shipped.data.images > inner.data.images


@each_model
def test_no_path_of_a_machine_is_in_the_files(name: str) -> None:
    for path in model_folder(name).iterdir():
        if path.suffix in (".yaml", ".md"):
            text = path.read_text(encoding="utf-8")
            assert "/home/" not in text
            assert "/tmp/" not in text  # noqa: S108


@each_model
def test_it_finds_drawn_nuclei_of_the_size_that_it_learned(name: str) -> None:
    drawing = draw_he(seed=4, height_px=256, width_px=256, nuclei=12, diameter_px=DIAMETERS_PX[name])
    model = load_model(name, "cpu")
    (found,) = model.segmenter.segment([drawing.image_rgb])
    assert len(found.above(model.card.score_threshold)) >= 6


@pytest.mark.parametrize("level", [255, 243])
def test_glass_has_no_nuclei(level: int) -> None:
    glass = np.full((300, 500, 3), level, np.uint8)
    assert segment(glass).nuclei == 0


def test_a_strip_of_31_by_2000_pixels_is_segmented() -> None:
    drawing = draw_he(seed=9, height_px=31, width_px=2000, nuclei=60, diameter_px=(14.0, 20.0))
    result = segment(drawing.image_rgb, settings=SegmentSettings(diameter=18.0))
    assert result[0].image_shape == (31, 2000)
    assert result.nuclei > 10


def test_torch_is_not_imported_by_the_model_in_the_box() -> None:
    """`nucleate segment` works in an installation without torch; run apart, since these tests import it."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np, nucleate\n"
        "result = nucleate.segment(np.full((64, 64, 3), 240, np.uint8))\n"
        "assert result.nuclei == 0 and sys.modules['torch'] is None\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_mask_rcnn_says_what_it_needs_where_torch_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="extra 'train'"):
        load_model("nucleate-mask-rcnn")


def test_a_mask_rcnn_is_not_averaged() -> None:
    with pytest.raises(ConfigError, match="only star-convex networks"):
        load_model("nucleate-mask-rcnn", "cpu", accurate=True)


def test_an_unknown_model_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=DEFAULT_MODEL):
        model_folder(tmp_path / "nothing")


def test_torch_and_openvino_give_the_same_outlines() -> None:
    drawing = draw_he(seed=6, height_px=384, width_px=384, nuclei=60, diameter_px=DIAMETERS_PX[DEFAULT_MODEL])
    by_torch, by_openvino = (
        load_model(model, "cpu", engine=EngineSettings(precision="fp32")) for model in (TRAINED, DEFAULT_MODEL)
    )
    first, second = (
        model.segmenter.segment([drawing.image_rgb])[0].above(model.card.score_threshold)
        for model in (by_torch, by_openvino)
    )
    assert len(first) == len(second) > 20
    overlaps = label_map_overlaps(*(label_map_from_masks(each.masks, each.scores) for each in (first, second)))
    ious = overlaps.ious()
    assert np.count_nonzero(ious > 0.5) == len(first)
    assert ious[ious > 0.5].mean() > 0.98


def test_the_accurate_answer_is_near_the_plain_one() -> None:
    drawing = draw_he(seed=6, height_px=256, width_px=256, nuclei=30, diameter_px=DIAMETERS_PX[DEFAULT_MODEL])
    settings = SegmentSettings(magnification=1.0, threads=1)
    plain = segment(drawing.image_rgb, settings=settings)
    accurate = segment(drawing.image_rgb, settings=replace(settings, accurate=True))
    assert accurate.nuclei == pytest.approx(plain.nuclei, abs=3)


def test_model_in_the_box_says_nothing_of_the_machine_it_was_made_on() -> None:
    content = (model_folder("nucleate-he") / "model.onnx").read_bytes()
    assert b"stack_trace" not in content
    assert b".py" not in content
