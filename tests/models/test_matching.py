from __future__ import annotations

import pytest
import torch

from nucleate.models.mask_rcnn import matching
from nucleate.models.mask_rcnn.boxes import decode_deltas, encode_deltas, pairwise_iou, smooth_l1_sum
from nucleate.models.mask_rcnn.matching import match_boxes


def boxes(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 50
    return torch.cat((corners, corners + torch.rand(count, 2, generator=generator) * 20), dim=1)


def test_chunks_match_as_one_matrix_would(monkeypatch: pytest.MonkeyPatch) -> None:
    annotated, candidates = boxes(40, 0), boxes(700, 1)
    annotated[7] = annotated[3]
    iou = pairwise_iou(annotated, candidates)
    values, indices = iou.max(dim=0)
    labels = torch.full((700,), -1, dtype=torch.int8)
    labels[values < 0.3] = 0
    labels[values >= 0.7] = 1
    labels[(iou == iou.max(dim=1, keepdim=True).values).any(dim=0)] = 1
    whole = match_boxes(annotated, candidates, (0.3, 0.7), ties="keep best")
    assert torch.equal(whole.labels, labels)
    assert torch.equal(whole.annotated_indices[values > 0], indices[values > 0])
    monkeypatch.setattr(matching, "_PAIRS_AT_ONCE", 2100)
    chunked = match_boxes(annotated, candidates, (0.3, 0.7), ties="keep best")
    assert torch.equal(chunked.labels, whole.labels)
    assert torch.equal(chunked.annotated_indices, whole.annotated_indices)


def test_nothing_annotated_is_all_background() -> None:
    matches = match_boxes(torch.zeros(0, 4), boxes(5, 0), (0.5, 0.5), ties="thresholds only")
    assert matches.labels.tolist() == [0] * 5
    assert match_boxes(boxes(3, 0), torch.zeros(0, 4), (0.5, 0.5), ties="keep best").labels.tolist() == []


def test_an_empty_box_overlaps_nothing() -> None:
    point = torch.tensor([[5.0, 5.0, 5.0, 5.0]])
    assert pairwise_iou(point, point).item() == 0.0


def test_deltas_lead_back_to_the_boxes() -> None:
    sources, targets = boxes(20, 0) + torch.tensor([0, 0, 1, 1]), boxes(20, 1) + torch.tensor([0, 0, 1, 1])
    weights = (10.0, 10.0, 5.0, 5.0)
    assert torch.allclose(decode_deltas(encode_deltas(sources, targets, weights), sources, weights), targets, atol=1e-4)


def test_a_predicted_size_is_capped() -> None:
    decoded = decode_deltas(
        torch.tensor([[0.0, 0.0, 50.0, 50.0]]), torch.tensor([[0.0, 0.0, 16.0, 16.0]]), (1, 1, 1, 1)
    )
    assert torch.allclose(decoded[0, 2:] - decoded[0, :2], torch.tensor([1000.0, 1000.0]), rtol=1e-4)


def test_smooth_l1_is_square_inside_beta_and_l1_without() -> None:
    found, target = torch.tensor([0.5, 3.0]), torch.zeros(2)
    assert smooth_l1_sum(found, target, 0.0).item() == 3.5
    assert smooth_l1_sum(found, target, 1.0).item() == 0.125 + 2.5
