from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nucleate.api.training_start import TrainSettings, training_start
from nucleate.errors import ConfigError
from nucleate.training.few_shot import iterations_for
from tests.training.test_session import write_coco


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("data") / "drawn set")


def fetched(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr("nucleate.api.training_start.find_weights", lambda name: path)


def test_torchvisions_weights_bring_the_input_that_they_need(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched(monkeypatch, tmp_path / "resnet101-63fe2227.pth")
    start = training_start(data, "mask-rcnn-detectron2", (), TrainSettings(weights="torchvision-resnet101"))
    assert start.published is not None
    config = start.recipe.config
    assert config.get("INPUT.FORMAT") == "RGB"
    assert config.get("MODEL.RESNETS.STRIDE_IN_1X1") is False
    assert config.get("MODEL.RESNETS.DEPTH") == 101
    assert config.get("MODEL.PIXEL_STD") == (58.395, 57.12, 57.375)
    with pytest.raises(ConfigError, match=r"INPUT\.FORMAT.*was trained with 'RGB'"):
        training_start(
            data, "mask-rcnn-detectron2", ["INPUT.FORMAT=BGR"], TrainSettings(weights="torchvision-resnet101")
        )


def test_a_copy_of_a_published_file_is_known_by_its_name(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "resnet50-0676ba61.pth"
    copy.write_bytes(b"x")
    start = training_start(data, "mask-rcnn-dense", (), TrainSettings(weights=str(copy)))
    assert start.weights == copy
    assert start.published is not None
    assert start.recipe.config.get("INPUT.FORMAT") == "RGB"


def test_a_mask_rcnns_weights_do_not_start_another_network(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched(monkeypatch, tmp_path / "any.pkl")
    with pytest.raises(ConfigError, match="belongs to a Mask R-CNN"):
        training_start(data, "star-convex", (), TrainSettings(weights="mask_rcnn_R_50_FPN_3x"))


def test_few_images_start_from_the_packages_model_of_the_recipe(data: Path) -> None:
    start = training_start(data, "star-convex", (), TrainSettings(few_shot=True))
    assert start.weights is not None
    assert (start.weights.parent.name, start.weights.name) == ("nucleate-he", "model.onnx")
    assert start.recipe.settings.frozen  # type: ignore[union-attr]
    assert start.recipe.settings.score_threshold == 0.55
    assert start.recipe.config.get("SOLVER.MAX_ITER") == iterations_for(3)
    start = training_start(data, "mask-rcnn-cpu", ["SOLVER.MAX_ITER=7"], TrainSettings(few_shot=True))
    assert start.weights is not None
    assert (start.weights.parent.name, start.weights.name) == ("nucleate-mask-rcnn", "model_final.pth")
    assert start.recipe.config.get("MODEL.BACKBONE.FREEZE_AT") == 5
    assert start.recipe.config.get("SOLVER.MAX_ITER") == 7


def test_a_recipe_without_a_model_in_the_package_asks_for_weights(data: Path) -> None:
    with pytest.raises(ConfigError, match="give --weights") as caught:
        training_start(data, "mask-rcnn-dense", (), TrainSettings(few_shot=True))
    assert "\n" not in str(caught.value)


def test_a_resumed_training_of_few_images_asks_for_no_model(data: Path) -> None:
    assert training_start(data, "mask-rcnn-dense", (), TrainSettings(few_shot=True), resume=True).weights is None
    resumed = training_start(data, "star-convex", (), TrainSettings(few_shot=True), resume=True)
    assert resumed.recipe.settings.score_threshold == 0.55


def test_few_images_must_be_there(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "none"
    shutil.copytree(data, folder)
    text = '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "nucleus"}]}'
    (folder / "annotations" / "train.json").write_text(text)
    with pytest.raises(ConfigError, match="no image to learn from"):
        training_start(folder, "star-convex", (), TrainSettings(few_shot=True))


def test_a_models_name_and_a_run_folder_are_weights(data: Path, tmp_path: Path) -> None:
    named = training_start(data, "mask-rcnn-cpu", (), TrainSettings(weights="nucleate-mask-rcnn")).weights
    assert named is not None
    assert named.name == "model_final.pth"
    run = tmp_path / "run"
    run.mkdir()
    (run / "model_final.pth").write_bytes(b"x")
    assert training_start(data, "star-convex", (), TrainSettings(weights=str(run))).weights == run / "model_final.pth"


def test_more_images_are_trained_on_for_longer() -> None:
    assert [iterations_for(images) for images in (1, 5, 20)] == [130, 167, 234]
