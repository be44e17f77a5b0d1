from __future__ import annotations

from pathlib import Path

import pytest

import nucleate
from nucleate.api.loading import SHIPPED_MODELS, model_folder
from nucleate.errors import CheckpointError, ConfigError, ResultsError
from nucleate.models.run_card import CARD_NAME, RunCard


def test_every_model_in_the_package_says_its_licence_and_data() -> None:
    listed = nucleate.list_models()
    shipped = listed.entries[: len(SHIPPED_MODELS)]
    assert tuple(entry.name for entry in shipped) == SHIPPED_MODELS
    for entry in shipped:
        assert entry.licence == "Apache-2.0"
        assert entry.commercial_use
        assert "NuInsSeg (CC BY 4.0)" in entry.learned_from
        assert (entry.size_bytes or 0) > 1e6
    text = listed.summary()
    assert "commercial use allowed" in text
    assert "fetched when asked for" in text


def test_a_mask_rcnn_does_not_go_to_onnx(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only star-convex"):
        nucleate.convert(model_folder("nucleate-mask-rcnn"), to="onnx", output=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_weights_alone_can_not_be_made_smaller(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="weights alone"):
        nucleate.convert(model_folder("nucleate-mask-rcnn"), to="nucleate", output=tmp_path / "new")


def test_a_folder_that_holds_something_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("important")
    with pytest.raises(ResultsError, match="holds something"):
        nucleate.convert(model_folder("nucleate-mask-rcnn"), to="nucleate", output=tmp_path)


def test_a_card_of_an_unknown_network_is_refused(tmp_path: Path) -> None:
    RunCard(name="odd").write(tmp_path)
    card = (tmp_path / CARD_NAME).read_text(encoding="utf-8")
    (tmp_path / CARD_NAME).write_text(card.replace("mask-rcnn", "transformer"), encoding="utf-8")
    with pytest.raises(CheckpointError, match="transformer"):
        RunCard.read(tmp_path)


def test_a_card_without_um_per_pixel_reads_as_it_did(tmp_path: Path) -> None:
    RunCard(name="old", network="star-convex", working_diameter_px=20.0).write(tmp_path)
    card = (tmp_path / CARD_NAME).read_text(encoding="utf-8")
    assert "working_mpp: null" in card
    (tmp_path / CARD_NAME).write_text(card.replace("working_mpp: null\n", ""), encoding="utf-8")
    old = RunCard.read(tmp_path)
    assert (old.working_diameter_px, old.working_mpp) == (20.0, None)


def test_a_card_with_an_impossible_working_scale_is_refused(tmp_path: Path) -> None:
    RunCard(name="odd", working_mpp=0.25).write(tmp_path)
    card = (tmp_path / CARD_NAME).read_text(encoding="utf-8")
    (tmp_path / CARD_NAME).write_text(card.replace("working_mpp: 0.25", "working_mpp: -1.0"), encoding="utf-8")
    with pytest.raises(CheckpointError, match="working_mpp -1.0: a positive number"):
        RunCard.read(tmp_path)


def test_a_star_convex_folder_without_weights_or_channels_is_refused(tmp_path: Path) -> None:
    RunCard(name="empty", network="star-convex").write(tmp_path)
    with pytest.raises(CheckpointError, match="decoder_channels"):
        nucleate.load_model(tmp_path)
    settings = {"decoder_channels": [16, 16, 8, 8]}
    RunCard(name="empty", network="star-convex", settings=settings).write(tmp_path)
    with pytest.raises(CheckpointError, match=r"model_final\.pth"):
        nucleate.load_model(tmp_path)
