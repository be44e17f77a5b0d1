from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nucleate.core import Frame, Masks
from nucleate.core import Instances as Nuclei
from nucleate.detectron2.evaluation.coco_evaluation import nuclei_of
from nucleate.detectron2.structures import Boxes, BoxMode, Instances
from nucleate.detectron2.structures.instances import predicted_instances

BOXES = torch.tensor([[0.0, 0.0, 4.0, 2.0], [1.0, 1.0, 1.0, 5.0], [-2.0, 3.0, 9.0, 20.0]])
COORDINATE = st.integers(-50, 50).map(float)


def three() -> Instances:
    masks = torch.zeros(3, 8, 6, dtype=torch.bool)
    masks[0, 1:3, 2:5] = True
    masks[2, 7, 5] = True
    return Instances(
        (8, 6),
        pred_boxes=Boxes(BOXES),
        scores=torch.tensor([0.9, 0.5, 0.25]),
        pred_classes=torch.tensor([0, 2, 1]),
        pred_masks=masks,
    )


def test_boxes_measure_clip_and_choose() -> None:
    boxes = Boxes(BOXES)
    assert boxes.area().tolist() == [8.0, 0.0, 187.0]
    assert boxes.nonempty().tolist() == [True, False, True]
    assert boxes.get_centers()[0].tolist() == [2.0, 1.0]
    clipped = boxes.clone()
    clipped.clip((10, 6))
    assert clipped.tensor[2].tolist() == [0.0, 3.0, 6.0, 10.0]
    clipped.scale(2.0, 0.5)
    assert clipped.tensor[2].tolist() == [0.0, 1.5, 12.0, 5.0]
    assert boxes.tensor[2].tolist() == BOXES[2].tolist()
    assert len(boxes[0]) == 1
    assert len(boxes[boxes.nonempty()]) == 2
    assert [row.tolist() for row in boxes[1:]] == BOXES[1:].tolist()
    assert torch.equal(Boxes.cat([boxes, boxes[:1]]).tensor[3], BOXES[0])
    assert len(Boxes.cat([])) == len(Boxes([])) == 0
    assert boxes.to("cpu").device.type == "cpu"
    assert "Boxes(tensor(" in repr(boxes)
    with pytest.raises(ValueError, match=r"\(N, 4\)"):
        Boxes(torch.zeros(2, 5))


@given(st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE))
def test_box_modes_are_each_others_inverse(box: tuple[float, ...]) -> None:
    there = BoxMode.convert(box, BoxMode.XYXY_ABS, BoxMode.XYWH_ABS)
    assert there[2] == box[2] - box[0]
    assert BoxMode.convert(there, BoxMode.XYWH_ABS, BoxMode.XYXY_ABS) == list(box)
    assert BoxMode.convert(box, 0, 0) == list(box)


def test_other_box_modes_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="XYXY_ABS"):
        BoxMode.convert([0, 0, 1, 1], 4, BoxMode.XYXY_ABS)


def test_fields_are_got_set_removed_and_listed() -> None:
    found = three()
    assert len(found) == 3
    assert found.image_size == (8, 6)
    assert found.has("scores")
    assert not found.has("pred_keypoints")
    assert found.get("scores") is found.scores
    found.names = ["a", "b", "c"]
    assert list(found.get_fields()) == ["pred_boxes", "scores", "pred_classes", "pred_masks", "names"]
    found.remove("pred_masks")
    assert not found.has("pred_masks")
    assert "num_instances=3, image_height=8, image_width=6" in repr(found)
    with pytest.raises(AttributeError, match="there are: pred_boxes, scores"):
        _ = found.pred_masks
    with pytest.raises(ValueError, match="has 2 entries"):
        found.scores = torch.zeros(2)
    assert not hasattr(found, "_private")


def test_indexing_keeps_every_field_in_step() -> None:
    found = three()
    found.names = ["a", "b", "c"]
    assert found[found.scores > 0.4].names == ["a", "b"]
    assert found[torch.tensor([2, 0])].pred_classes.tolist() == [1, 0]
    assert found[-1].scores.tolist() == [0.25]
    assert found[0].names == ["a"]
    assert len(found[1:]) == 2
    assert len(found[found.scores > 1]) == 0
    with pytest.raises(IndexError):
        _ = found[3]


def test_moving_and_joining() -> None:
    found = three()
    found.names = ["a", "b", "c"]
    joined = Instances.cat([found.to("cpu"), found[:1]])
    assert len(joined) == 4
    assert joined.names == ["a", "b", "c", "a"]
    assert torch.equal(joined.pred_boxes.tensor[3], BOXES[0])
    with pytest.raises(ValueError, match="different sizes"):
        Instances.cat([found, Instances((1, 1), scores=torch.zeros(0))])


def test_nothing_has_no_length_and_is_not_iterated() -> None:
    with pytest.raises(NotImplementedError, match="no length"):
        len(Instances((1, 1)))
    with pytest.raises(NotImplementedError, match="iterate over"):
        iter(three())
    assert "num_instances=0" in repr(Instances((1, 1)))


def test_predictions_go_to_the_engines_nuclei_and_back() -> None:
    found = three()
    nuclei = nuclei_of(found)
    assert nuclei.masks.areas_px().tolist() == [6, 0, 1]
    again = predicted_instances(nuclei, torch.device("cpu"))
    for name in ("scores", "pred_classes", "pred_masks"):
        assert torch.equal(again.get(name), found.get(name))
    assert torch.equal(again.pred_boxes.tensor, BOXES)


def test_no_nucleus_is_an_ordinary_prediction() -> None:
    none = predicted_instances(Nuclei.empty(Frame(height_px=4, width_px=5)), torch.device("cpu"))
    assert len(none) == 0
    assert none.pred_masks.shape == (0, 4, 5)
    assert len(nuclei_of(none)) == 0


def test_600_nuclei_survive() -> None:
    frame = Frame(height_px=512, width_px=512)
    corners = np.array([(x, y, x + 4, y + 4) for x in range(0, 500, 20) for y in range(0, 480, 20)], np.int32)
    masks = Masks.from_bitmaps(frame, corners, [np.ones((4, 4), np.bool_)] * len(corners))
    assert len(predicted_instances(Nuclei.from_masks(masks), torch.device("cpu"))) == 600
