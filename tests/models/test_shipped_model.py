"""The model in the package: whole, small, licensed, and able to find nuclei."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from nucleate.api.loading import DEFAULT_MODEL, load_model, model_folder
from nucleate.errors import ConfigError
from nucleate.models.run_card import RunCard
from tests.synthetic import draw_he

FOLDER = model_folder(DEFAULT_MODEL)
CARD_TEXT = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_weights_are_half_precision_and_below_15_mb() -> None:
    weights = FOLDER / "model_final.pth"
    assert weights.stat().st_size < 15e6
    tensors = torch.load(weights, weights_only=True)["model"].values()
    assert {tensor.dtype for tensor in tensors} == {torch.float16}


def test_the_card_names_the_checksum_of_the_weights() -> None:
    assert hashlib.sha256((FOLDER / "model_final.pth").read_bytes()).hexdigest() in CARD_TEXT


@pytest.mark.parametrize("words", ["CC BY 4.0", "Apache-2.0", "10.1038/s41597-024-03117-2", "EfficientNet-Lite0"])
def test_the_card_tells_data_licences_and_start_weights(words: str) -> None:
    assert words in CARD_TEXT


def test_the_card_has_a_row_for_each_of_the_test_splits_organs() -> None:
    rows = [line for line in CARD_TEXT.splitlines() if line.startswith(("| human ", "| mouse "))]
    assert len(rows) == 26


def test_the_stored_threshold_was_chosen_on_validation_images() -> None:
    card = RunCard.read(FOLDER)
    assert card.name == DEFAULT_MODEL
    assert "validation images" in card.score_threshold_from


def test_no_path_of_a_machine_is_in_the_files() -> None:
    for name in ("config.yaml", "nucleate.yaml", "MODEL_CARD.md"):
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert "/home/" not in text
        assert "/tmp/" not in text  # noqa: S108


def test_it_finds_drawn_nuclei_of_the_size_that_it_learned() -> None:
    drawing = draw_he(seed=4, height_px=256, width_px=256, nuclei=12, diameter_px=(26.0, 38.0))
    model = load_model(DEFAULT_MODEL, "cpu")
    (found,) = model.segmenter.segment([drawing.image_rgb])
    assert len(found.above(model.card.score_threshold)) >= 6


def test_an_unknown_model_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=DEFAULT_MODEL):
        model_folder(tmp_path / "nothing")
