"""Losses, samples, gradients and optimiser steps against Detectron2's own, at the tolerances of its README."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nucleate.models.mask_rcnn import MaskRCNN, TrainingImage, TrainingLosses
from nucleate.models.mask_rcnn.rpn import Proposals
from nucleate.models.mask_rcnn.sampling import RandomSampler
from nucleate.models.mask_rcnn.solver import SolverSettings, build_optimizer, clip_gradients, parameter_groups
from tests.models import golden

CASES = [
    "caffe_all",
    "caffe_all_bitmask",
    "caffe_sampled",
    "caffe_empty_image",
    "caffe_solver",
    "rgb_all",
    "rgb_sampled",
]


@dataclass
class StoredSampler:
    """Answers Detectron2's stored sample, and keeps the candidates it was asked to choose from."""

    choices: list[tuple[Tensor, Tensor]]
    candidates: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def sample(
        self, positive: Tensor, negative: Tensor, *, count: int, positive_fraction: float
    ) -> tuple[Tensor, Tensor]:
        self.candidates.append((positive, negative))
        return self.choices[len(self.candidates) - 1]


def read_case(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]], MaskRCNN, list[TrainingImage]]:
    case = golden.read_json(f"training/{name}.json")
    with np.load(golden.FOLDER / "training" / f"{name}.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    network = golden.network(case["net"], case["config_overrides"]).train()
    return case, arrays, network, golden.training_batch(case, network.settings.image.channel_order)


def stored_choices(
    arrays: dict[str, np.ndarray[Any, Any]], images: int, background: int
) -> list[tuple[Tensor, Tensor]]:
    anchors, proposals = [], []
    for image in range(images):
        labels = arrays[f"{image}.anchor_labels_before_sampling"]
        negative = arrays.get(f"{image}.anchor_negative", np.flatnonzero(labels == 0))
        anchors.append((arrays[f"{image}.anchor_positive"], negative))
        rois, classes = arrays[f"{image}.roi_index"], arrays[f"{image}.roi_class"]
        proposals.append((rois[classes != background], rois[classes == background]))
    return [
        (torch.from_numpy(a.astype(np.int64)), torch.from_numpy(b.astype(np.int64))) for a, b in anchors + proposals
    ]


def assert_losses(found: TrainingLosses, expected: dict[str, float], relative: float) -> None:
    assert {name: loss.item() for name, loss in found.named()} == pytest.approx(expected, rel=relative)


def assert_gradients(network: MaskRCNN, case: dict[str, Any], relative: float) -> None:
    squares = 0.0
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        gradient = parameter.grad.double()
        norm, total = case["parameters"][name]["gradient"]
        assert float(gradient.norm()) == pytest.approx(norm, rel=relative, abs=1e-9), name
        assert float(gradient.sum()) == pytest.approx(total, abs=relative * norm * gradient.numel() ** 0.5 + 1e-9), name
        squares += float(gradient.norm()) ** 2
    assert squares**0.5 == pytest.approx(case["gradient_norm_of_all_parameters"], rel=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients_with_the_stored_sample(name: str) -> None:
    case, arrays, network, batch = read_case(name)
    sampler = StoredSampler(stored_choices(arrays, len(batch), network.settings.roi.class_count))
    losses = network.losses(batch, sampler=sampler)
    assert_losses(losses, case["losses"], 1e-5)
    assert dict(losses.metrics.logged()) == pytest.approx(case["scalars"], rel=1e-6)
    losses.total().backward()  # type: ignore[no-untyped-call]
    assert_gradients(network, case, 1e-3)
    for image in range(len(batch)):
        positive, negative = sampler.candidates[image]
        labels = arrays[f"{image}.anchor_labels_before_sampling"]
        assert positive.tolist() == np.flatnonzero(labels == 1).tolist()
        assert negative.tolist() == np.flatnonzero(labels == 0).tolist()
        counted = case["anchors_labelled_before_sampling"][image]
        assert dict(Counter(labels.tolist())) == {int(key): value for key, value in counted.items() if value}


@pytest.mark.parametrize("name", [*CASES, "caffe_bn_solver"])
def test_losses_with_detectron2s_order_of_draws(name: str) -> None:
    case, _, network, batch = read_case(name)
    torch.manual_seed(case["torch_manual_seed"])
    losses = network.losses(batch)
    assert_losses(losses, case["losses"], 1e-4 if name == "caffe_bn_solver" else 1e-5)
    assert dict(losses.metrics.logged()) == pytest.approx(case["scalars"], rel=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_targets_given_the_stored_proposals(name: str) -> None:
    _, arrays, network, batch = read_case(name)
    background = network.settings.roi.class_count
    choices = stored_choices(arrays, len(batch), background)
    side_px = network.settings.mask_head.pooler_resolution_px * 2
    for index, image in enumerate(batch):
        proposals = Proposals(
            torch.from_numpy(arrays[f"{index}.proposal_boxes"]), torch.from_numpy(arrays[f"{index}.proposal_logits"])
        )
        sample = network.roi_heads.sample(proposals, image, StoredSampler([choices[len(batch) + index]]))
        classes = arrays[f"{index}.roi_class"]
        assert sample.classes.tolist() == classes.tolist()
        foreground = classes != background
        if not foreground.any():
            continue
        assert sample.annotated_indices.tolist() == arrays[f"{index}.roi_gt_index"].tolist()
        rows = torch.from_numpy(np.flatnonzero(foreground))
        masks = image.masks.inside_boxes(sample.annotated_indices[rows], sample.boxes_xyxy[rows], side_px)
        packed = arrays[f"{index}.mask_targets_packed"]
        assert np.array_equal(np.packbits(masks.numpy().reshape(len(rows), -1), axis=1), packed)


@pytest.mark.parametrize("name", ["caffe_all", "rgb_all"])
def test_proposals_and_matched_boxes(name: str) -> None:
    _, arrays, network, batch = read_case(name)
    with torch.no_grad():
        images = network.batch([image.image for image in batch])
        output = network.proposal_generator(network.backbone(images.tensor))
        proposals = network.proposal_generator.propose(output, images.sizes_hw)
    for index, own in enumerate(proposals):
        stored = torch.from_numpy(arrays[f"{index}.proposal_boxes"])
        distances = torch.cdist(own.boxes_xyxy.double(), stored.double(), p=float("inf"))
        assert float(distances.min(dim=0).values.max()) < 1e-3
        matches = network.proposal_generator.match_anchors(torch.cat(output.anchors), batch[index].boxes_xyxy)
        positive = torch.from_numpy(arrays[f"{index}.anchor_positive"].astype(np.int64))
        assert matches.annotated_indices[positive].tolist() == arrays[f"{index}.anchor_positive_gt_index"].tolist()


@pytest.mark.parametrize("name", [*CASES, "caffe_bn_solver"])
def test_parameter_groups_equal_detectron2s(name: str) -> None:
    case, _, network, _ = read_case(name)
    solver = SolverSettings.from_config(golden.config(case["net"], case["config_overrides"]))
    groups = parameter_groups(network, solver)
    expected = case["optimizer"]["groups"]
    assert [list(group.names) for group in groups] == [group["parameters"] for group in expected]
    assert [group.lr for group in groups] == pytest.approx([group["lr"] for group in expected])
    assert [group.weight_decay for group in groups] == pytest.approx([group["weight_decay"] for group in expected])


@pytest.mark.parametrize("name", ["caffe_all", "caffe_empty_image", "caffe_solver", "rgb_all"])
def test_two_steps_with_momentum_decay_and_clipping(name: str) -> None:
    case, _arrays, network, batch = read_case(name)
    solver = SolverSettings.from_config(golden.config(case["net"], case["config_overrides"]))
    optimizer = build_optimizer(network, solver)
    assert_step(network, optimizer, solver, batch, case, "after_step_1", 1e-5)
    torch.manual_seed(0)
    assert_losses(network.losses(batch), case["losses_after_step_1"], 1e-3)
    assert_step(network, optimizer, solver, batch, case, "after_step_2", 1e-4)


@pytest.mark.parametrize("name", ["caffe_sampled", "rgb_sampled"])
def test_one_step_on_a_drawn_sample(name: str) -> None:
    case, _, network, batch = read_case(name)
    solver = SolverSettings.from_config(golden.config(case["net"], case["config_overrides"]))
    assert_step(network, build_optimizer(network, solver), solver, batch, case, "after_step_1", 1e-5)


def test_one_step_of_trainable_batch_norm() -> None:
    case, _, network, batch = read_case("caffe_bn_solver")
    solver = SolverSettings.from_config(golden.config(case["net"], case["config_overrides"]))
    assert_step(network, build_optimizer(network, solver), solver, batch, case, "after_step_1", 1e-2)


def assert_step(
    network: MaskRCNN,
    optimizer: torch.optim.Optimizer,
    solver: SolverSettings,
    batch: list[TrainingImage],
    case: dict[str, Any],
    column: str,
    relative: float,
) -> None:
    torch.manual_seed(0)
    optimizer.zero_grad()
    network.losses(batch, None, sampler=RandomSampler()).total().backward()  # type: ignore[no-untyped-call]
    clip_gradients(network.parameters(), solver.clipping)
    optimizer.step()
    for name, parameter in network.named_parameters():
        norm = float(parameter.detach().double().norm())
        assert norm == pytest.approx(case["parameters"][name][column][0], rel=relative, abs=1e-9), name
