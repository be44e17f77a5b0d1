from __future__ import annotations

import numpy as np
import pytest

from benchmarks.contestants.mask_rcnn import TorchvisionMaskRCNN
from benchmarks.contestants.scenes import Scenes
from benchmarks.contestants.serving import Assignment
from tests.synthetic import draw_he


@pytest.fixture(scope="module")
def mask_rcnn() -> TorchvisionMaskRCNN:
    drawing = draw_he(height_px=64, width_px=64, nuclei=4)
    scenes = Scenes(
        images_rgb=drawing.image_rgb[None],
        label_maps=drawing.label_map[None].astype(np.int32),
        names=("drawing",),
        magnification=1.0,
        origin="drawn",
    )
    return TorchvisionMaskRCNN(Assignment(scenes="", threads=1, precision="fp32"), scenes)


@pytest.mark.parametrize("detections", [0, 3, 11])
def test_it_detects_as_many_nuclei_as_the_other(mask_rcnn: TorchvisionMaskRCNN, detections: int) -> None:
    """11 are more than the 4 annotated ones: boxes come again and are not suppressed."""
    answer = mask_rcnn.answer(0, detections=detections)
    assert answer.nuclei == detections
    assert set(answer.timings) == {"network", "call"}
