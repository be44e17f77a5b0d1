"""What the star-convex network is trained by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from nucleate.models.star_convex.network import StarConvexMaps


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
        inside: binary cross entropy and Dice loss of the nuclei's area.
        distances: logarithm of the polar IoU (PolarMask), deep cells counting more.
        quality: binary cross entropy against the polar IoU that the outline reached.
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


def star_convex_losses(maps: StarConvexMaps, targets: StarConvexTargets) -> StarConvexLosses:
    """Return the losses of a batch; every part is finite for a batch without nuclei."""
    known = targets.known.to(maps.depth.dtype)
    known_cells = known.sum().clamp(min=1)
    depth_cells = F.binary_cross_entropy_with_logits(maps.depth, targets.depth, reduction="none")
    # A perfect answer to a soft target costs its entropy: taken away, so that the loss ends at zero.
    entropy = F.binary_cross_entropy(targets.depth, targets.depth, reduction="none")
    in_nucleus = torch.zeros_like(maps.inside).flatten()
    in_nucleus[targets.cells] = 1
    in_nucleus = torch.where(targets.depth > 0, 1.0, in_nucleus.reshape(maps.inside.shape))
    reached, distance_loss, quality_loss = _outlines(maps, targets)
    return StarConvexLosses(
        depth=((depth_cells - entropy) * known).sum() / known_cells * _DEPTH_WEIGHT,
        inside=_area_loss(maps.inside, in_nucleus, known),
        distances=distance_loss,
        quality=quality_loss,
        metrics={"star_convex/polar_iou": reached},
    )


_DEPTH_WEIGHT = 4.0
_QUALITY_WEIGHT = 0.25
_INSIDE_WEIGHT = 0.5


def _area_loss(logits: Tensor, in_nucleus: Tensor, known: Tensor) -> Tensor:
    cross_entropy = F.binary_cross_entropy_with_logits(logits, in_nucleus, reduction="none")
    shares = logits.sigmoid() * known
    overlap = (shares * in_nucleus).sum()
    dice = 1 - (2 * overlap + 1) / (shares.sum() + (in_nucleus * known).sum() + 1)
    return _INSIDE_WEIGHT * ((cross_entropy * known).sum() / known.sum().clamp(min=1) + dice)


def _outlines(maps: StarConvexMaps, targets: StarConvexTargets) -> tuple[float, Tensor, Tensor]:
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
    weight = weight * enough
    total = weight.sum().clamp(min=1e-3)
    ratio = shorter.sum(dim=1).clamp(min=1e-3) / longer.sum(dim=1).clamp(min=1e-3)
    distance_loss = -(ratio.log() * weight).sum() / total
    with torch.no_grad():
        # Areas go with squares: this is the IoU of the two fans.
        iou = (shorter**2).sum(dim=1) / (longer**2).sum(dim=1).clamp(min=1e-3)
        reached = float((iou * weight).sum() / total)
    quality_cells = F.binary_cross_entropy_with_logits(quality, iou, reduction="none")
    quality_loss = _QUALITY_WEIGHT * (quality_cells * weight).sum() / total
    return reached, distance_loss, quality_loss
