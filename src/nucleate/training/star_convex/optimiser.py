"""AdamW for the star-convex network: who gets which rate and decay, and the rate at each iteration."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from nucleate.models.star_convex.network import StarConvexNetwork
from nucleate.training.star_convex.settings import Optimisation


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The rate of each iteration: a ramp, a plateau, half a cosine.

    Attributes:
        iterations: in all.
        warmup_iterations: of the ramp.
        restarted_at: where an optimiser without memory was started; the ramp is repeated there, a quarter as long.
        optimisation: how it falls.
    """

    iterations: int
    warmup_iterations: int
    optimisation: Optimisation
    restarted_at: int = 0

    def factor(self, iteration: int) -> float:
        """Return the rate of an iteration, counted from 0, relative to the plateau's."""
        length = self.warmup_iterations if not self.restarted_at else self.warmup_iterations // 4
        risen = min(1.0, (iteration - self.restarted_at + 1) / max(1, length))
        falling = self.optimisation.fall_share * self.iterations
        fallen = (iteration - (self.iterations - falling)) / falling if falling else 0.0
        if fallen <= 0:
            return risen
        lowest = self.optimisation.lowest_factor
        return risen * (lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * min(1.0, fallen))))


def build_optimiser(
    network: StarConvexNetwork, optimisation: Optimisation, *, learning_rate: float, weight_decay: float
) -> torch.optim.AdamW:
    """Return AdamW with four groups: encoder and decoder, convolutions with decay and everything else without."""
    encoder = {id(parameter) for parameter in network.encoder.parameters()}

    def chosen(*, of_encoder: bool, decays: bool) -> list[nn.Parameter]:
        trained = (each for each in network.parameters() if each.requires_grad)
        return [each for each in trained if (id(each) in encoder) == of_encoder and (each.ndim > 1) == decays]

    groups = [
        {
            "params": chosen(of_encoder=of_encoder, decays=decays),
            "lr": learning_rate * (optimisation.encoder_factor if of_encoder else 1.0),
            "weight_decay": weight_decay if decays else 0.0,
        }
        for of_encoder in (True, False)
        for decays in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, foreach=True)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer
