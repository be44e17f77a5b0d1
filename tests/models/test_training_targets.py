from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.ops import roi_align

from nucleate.errors import DataError
from nucleate.models.mask_rcnn import BitMasks, PolygonMasks, RandomSampler, TrainingImage
from tests.models import golden
from tests.models.small_networks import small_network, square_polygon, training_image


def random_bitmaps(count: int, height: int, width: int) -> list[NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    bitmaps = []
    for _ in range(count):
        bitmap = np.zeros((height, width), dtype=bool)
        x, y = rng.integers(0, width - 2), rng.integers(0, height - 2)
        bitmap[y : y + rng.integers(2, 20), x : x + rng.integers(2, 20)] = True
        bitmap &= rng.random((height, width)) > 0.2
        bitmaps.append(bitmap)
    return bitmaps


def test_ragged_bitmaps_answer_exactly_as_full_ones() -> None:
    height, width, count = 57, 83, 25
    full = random_bitmaps(count, height, width)
    rng = np.random.default_rng(1)
    corners = rng.uniform(-3, 60, (200, 2))
    boxes = torch.tensor(np.concatenate((corners, corners + rng.uniform(0.5, 40, (200, 2))), 1), dtype=torch.float32)
    nuclei = torch.from_numpy(rng.integers(0, count, 200))
    found = golden.ragged(full, height, width).inside_boxes(nuclei, boxes, 28)
    stack = torch.from_numpy(np.stack(full)).float()[nuclei][:, None]
    rois = torch.cat((torch.arange(200)[:, None].float(), boxes), dim=1)
    expected = roi_align(stack, rois, 28, spatial_scale=1.0, sampling_ratio=0, aligned=True)[:, 0] >= 0.5
    assert torch.equal(found, expected)


def test_a_bitmap_window_must_lie_in_the_frame() -> None:
    with pytest.raises(DataError, match="leaves the frame"):
        BitMasks(10, 10, ((8, 0),), (np.ones((2, 3), bool),))
    with pytest.raises(DataError, match="1 window corners for 0 bitmaps"):
        BitMasks(10, 10, ((8, 0),), ())


def test_a_square_fills_the_lower_right_quarter_of_a_box() -> None:
    masks = PolygonMasks((square_polygon(5, 5, 10, 10), ()))
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.0]])
    drawn = masks.inside_boxes(torch.tensor([0, 1]), boxes, 28)
    assert drawn[0, 14:, 14:].all()
    assert int(drawn[0].sum()) == 14 * 14
    assert not drawn[1].any()


def test_an_image_refuses_what_does_not_fit() -> None:
    with pytest.raises(DataError, match=r"\(3, H, W\)"):
        TrainingImage(
            image=torch.zeros(4, 4),
            boxes_xyxy=torch.zeros(0, 4),
            class_indices=torch.zeros(0, dtype=torch.int64),
            masks=PolygonMasks(()),
        )
    with pytest.raises(DataError, match="1 masks"):
        TrainingImage(
            image=torch.zeros(3, 4, 4),
            boxes_xyxy=torch.zeros(0, 4),
            class_indices=torch.zeros(0, dtype=torch.int64),
            masks=PolygonMasks((square_polygon(0, 0, 1, 1),)),
        )


def test_a_batch_without_any_nucleus_trains() -> None:
    network = small_network().train()
    losses = network.losses([training_image([])], torch.Generator().manual_seed(0))
    losses.total().backward()  # type: ignore[no-untyped-call]
    assert losses.loss_mask.item() == 0.0
    assert losses.loss_box_reg.item() == 0.0
    assert losses.loss_rpn_loc.item() == 0.0
    assert losses.loss_cls.item() > 0.0
    named = dict(losses.metrics.logged())
    assert named["roi_head/num_fg_samples"] == 0.0
    assert "mask_rcnn/accuracy" not in named
    assert "fast_rcnn/fg_cls_accuracy" not in named
    assert network.roi_heads.mask_head.deconv.weight.grad is not None


def test_a_generator_decides_the_sample() -> None:
    image = training_image([[10, 10, 40, 40], [60, 60, 90, 100]])
    network = small_network().train()
    first, second, other = (network.losses([image], torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert first.total().item() == second.total().item()
    assert first.total().item() != other.total().item()


def test_a_class_beyond_the_head_is_refused() -> None:
    image = training_image([[10, 10, 40, 40]])
    wrong = TrainingImage(
        image=image.image, boxes_xyxy=image.boxes_xyxy, class_indices=torch.tensor([2]), masks=image.masks
    )
    with pytest.raises(DataError, match="class index 2"):
        small_network().train().losses([wrong])


def test_a_diverged_network_says_so() -> None:
    network = small_network().train()
    torch.nn.init.constant_(network.proposal_generator.rpn_head.anchor_deltas.weight, float("nan"))
    with pytest.raises(FloatingPointError, match="diverged"):
        network.losses([training_image([[10, 10, 40, 40]])])


def test_positives_fill_at_most_their_share() -> None:
    torch.manual_seed(0)
    positive, negative = RandomSampler().sample(
        torch.arange(100), torch.arange(100, 110), count=64, positive_fraction=0.25
    )
    assert (len(positive), len(negative)) == (16, 10)
    assert len(set(positive.tolist())) == 16
