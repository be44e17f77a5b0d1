"""What the star-convex network is trained by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from nucleate.models.star_convex.network import StarConvexMaps
from nucleate.models.whole_batch import ONE_PROCESS, WholeBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class StarConvexTargets:
    """What a batch of N crops holds, with K cells in nuclei whose outline is known.

    Attributes:
        depth: (N, h, w) float32 in [0, 1], distance to the outline relative to the nucleus' deepest point.
        known: (N, h, w) bool; cells beyond an image or in a crowd region teach nothing.
        cells: (K,) int64, positions in the flattened (N, h, w) maps.
        distances_px: (K, 32) float32, along the rays of `ray_directions`, input pixels.
        visible: (K, 32) bool; where a ray leaves the picture before it meets the outline its end is not known.
    """

    depth: Tensor
    known: Tensor
    cells: Tensor
    distances_px: Tensor
    visible: Tensor

    def to(self, device: torch.device) -> StarConvexTargets:
        """Return the targets on a device."""
        return StarConvexTargets(
            depth=self.depth.to(device),
            known=self.known.to(device),
            cells=self.cells.to(device),
            distances_px=self.distances_px.to(device),
            visible=self.visible.to(device),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StarConvexLosses:
    """The parts of the loss, scalars that are added up.

    Attributes:
        depth: binary cross entropy against the relative depth.
        inside: binary cross entropy of the nuclei's area, and its Dice loss, a crop each: scores are means over
            images, so a sparse one counts as much as a dense one.
        distances: logarithm of the polar IoU (PolarMask), deep cells counting more, those of dense crops less.
        quality: binary cross entropy against the polar IoU that the outline reached, and against 0 beside all nuclei as
            far as the depth there says nucleus, since the score ranks by it.
        metrics: for the log, not for gradients.
    """

    depth: Tensor
    inside: Tensor
    distances: Tensor
    quality: Tensor
    metrics: Mapping[str, float] = field(default_factory=dict)

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Yield name and value of each part."""
        yield "loss_depth", self.depth
        yield "loss_inside", self.inside
        yield "loss_distances", self.distances
        yield "loss_quality", self.quality

    def total(self) -> Tensor:
        """Return the sum."""
        return self.depth + self.inside + self.distances + self.quality

    def logged(self) -> Iterator[tuple[str, float]]:
        """Yield name and value of what is logged beside the losses."""
        yield from self.metrics.items()


def star_convex_losses(
    maps: StarConvexMaps, targets: StarConvexTargets, whole: WholeBatch = ONE_PROCESS
) -> StarConvexLosses:
    """Return the losses of a batch; every part is finite for a batch without nuclei.

    Args:
        maps: what the network says.
        targets: what it should say.
        whole: where they are the part of one process: the losses of all processes add up to the whole batch's.
    """
    known = targets.known.to(maps.depth.dtype)
    known_cells = whole.total(known.sum()).clamp(min=1)
    depth_cells = F.binary_cross_entropy_with_logits(maps.depth, targets.depth, reduction="none")
    # A perfect answer to a soft target costs its entropy: taken away, so that the loss ends at zero.
    entropy = F.binary_cross_entropy(targets.depth, targets.depth, reduction="none")
    in_nucleus = torch.zeros_like(maps.inside).flatten()
    in_nucleus[targets.cells] = 1
    in_nucleus = torch.where(targets.depth > 0, 1.0, in_nucleus.reshape(maps.inside.shape))
    reached, distance_loss, quality_loss = _outlines(maps, targets, in_nucleus, whole)
    return StarConvexLosses(
        depth=((depth_cells - entropy) * known).sum() / known_cells * _DEPTH_WEIGHT,
        inside=_area_loss(maps.inside, in_nucleus, known, known_cells, whole),
        distances=distance_loss,
        quality=quality_loss,
        metrics={"star_convex/polar_iou": reached},
    )


_DEPTH_WEIGHT = 4.0
_QUALITY_WEIGHT = 0.25
_INSIDE_WEIGHT = 0.5
_DICE_SMOOTHING = 0.01
"""Share of a crop's cells that is added to both areas."""
_RAREST = 4.0
"""Most that a sparse crop's outlines count against an average one's."""


def _area_loss(logits: Tensor, in_nucleus: Tensor, known: Tensor, known_cells: Tensor, whole: WholeBatch) -> Tensor:
    cross_entropy = F.binary_cross_entropy_with_logits(logits, in_nucleus, reduction="none")
    shares = (logits.sigmoid() * known).flatten(1)
    nuclei = (in_nucleus * known).flatten(1)
    # Keeps a crop with few or no cells in nuclei from swinging between 0 and 1.
    few = _DICE_SMOOTHING * shares.shape[1]
    dice = 1 - (2 * (shares * nuclei).sum(1) + few) / (shares.sum(1) + nuclei.sum(1) + few)
    crops = whole.total(torch.tensor(float(len(dice)), device=dice.device))
    return _INSIDE_WEIGHT * ((cross_entropy * known).sum() / known_cells + dice.sum() / crops)


def _outlines(
    maps: StarConvexMaps, targets: StarConvexTargets, in_nucleus: Tensor, whole: WholeBatch
) -> tuple[float, Tensor, Tensor]:
    rays = maps.log_distances.shape[1]
    predicted = maps.log_distances.movedim(1, -1).reshape(-1, rays)[targets.cells].float()
    quality = maps.quality.flatten()[targets.cells].float()
    weight = targets.depth.flatten()[targets.cells] + 0.1
    visible = targets.visible
    log_true = targets.distances_px.clamp(min=0.25).log()
    shorter = torch.where(visible, torch.minimum(predicted, log_true).exp(), 0)
    longer = torch.where(visible, torch.maximum(predicted, log_true).exp(), 0)
    # Outlines of which less than a quarter is in the picture are guesses.
    enough = visible.sum(dim=1) >= rays // 4
    weight = weight * enough * _rarity(weight, targets, whole)
    total = whole.total(weight.sum()).clamp(min=1e-3)
    ratio = shorter.sum(dim=1).clamp(min=1e-3) / longer.sum(dim=1).clamp(min=1e-3)
    distance_loss = -(ratio.log() * weight).sum() / total
    with torch.no_grad():
        # Areas go with squares: this is the IoU of the two fans.
        iou = (shorter**2).sum(dim=1) / (longer**2).sum(dim=1).clamp(min=1e-3)
        reached = float((iou * weight).sum() / weight.sum().clamp(min=1e-3))
    quality_cells = F.binary_cross_entropy_with_logits(quality, iou, reduction="none")
    # Beside all nuclei, as far as the depth there says nucleus: nothing is reached.
    false_weight = maps.depth.detach().sigmoid() * (targets.known & (in_nucleus == 0))
    quality_sum = (quality_cells * weight).sum() + (F.softplus(maps.quality) * false_weight).sum()
    all_weights = whole.total(weight.sum() + false_weight.sum()).clamp(min=1e-3)
    return reached, distance_loss, _QUALITY_WEIGHT * quality_sum / all_weights


def _rarity(weight: Tensor, targets: StarConvexTargets, whole: WholeBatch) -> Tensor:
    """Return for each cell what keeps dense crops from drowning the others: 1 over the root of their share."""
    crop_of_cell = targets.cells // targets.depth[0].numel()
    in_crop = torch.zeros(len(targets.depth), dtype=weight.dtype, device=weight.device)
    in_crop.index_add_(0, crop_of_cell, weight)
    sums = whole.total(torch.stack([in_crop.sum(), in_crop.new_tensor(len(in_crop))]))
    return (sums[0] / sums[1] / in_crop[crop_of_cell].clamp(min=1e-3)).sqrt().clamp(max=_RAREST)
