from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.train import Size, main, make_batch, our_step, target_of, torchvision_step

SIZE = Size(side_px=64, images=1, nuclei=4, rois=32, proposals=100, pairs=1, threads=1)


def test_masks_of_the_whole_image_hold_the_same_pixels() -> None:
    (image,) = make_batch(SIZE, 0)
    target = target_of(image)
    assert target["labels"].tolist() == [1] * len(image.boxes_xyxy)
    for mask, (x1, y1, x2, y2) in zip(target["masks"], target["boxes"].int().tolist(), strict=True):
        assert mask.any()
        assert int(mask.sum()) == int(mask[y1:y2, x1:x2].sum())


@pytest.mark.slow
def test_both_networks_have_the_same_weights_and_as_many_rois() -> None:
    # Smaller images leave fewer proposals than RoIs are wanted.
    size = replace(SIZE, side_px=128, nuclei=8)
    batch = make_batch(size, 0)
    ours, network = our_step(size, batch)
    theirs = torchvision_step(size, network)
    first, second = ours(batch), theirs(batch)
    assert first.rois == second.rois == 32
    # The losses' definitions and samples differ; what the weights answer does not by much.
    assert second.loss == pytest.approx(first.loss, rel=0.5)


@pytest.mark.slow
def test_the_command_writes_every_pair(tmp_path: Path) -> None:
    small = ["--side-px", "64", "--images", "1", "--nuclei", "4", "--rois", "32", "--proposals", "100", "--pairs", "2"]
    assert main([*small, "--threads", "1", "--output", str(tmp_path)]) == 0
    document = json.loads((tmp_path / "train.json").read_text())
    assert len(document["pairs"]) == len(document["ratios"]) == 2
    assert document["is_met"] == (document["ratio"] <= 1.05)
