"""Which anchors and proposals a training step uses: chance in Detectron2's order of draws, or a given choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Sampler(Protocol):
    """Chooses positives and negatives; called for the anchors of each image, then for the proposals of each."""

    def sample(
        self, positive: Tensor, negative: Tensor, *, count: int, positive_fraction: float
    ) -> tuple[Tensor, Tensor]:
        """Return the chosen indices.

        Args:
            positive: (P,) candidate indices.
            negative: (Q,) candidate indices.
            count: how many to choose in all.
            positive_fraction: the most of them that may be positive; negatives fill the rest.

        Returns:
            The chosen of `positive` and of `negative`, in the order in which they are used.
        """
        ...


class RandomSampler:
    """Detectron2's choice: `torch.randperm` of the positives, then of the negatives.

    Args:
        generator: source of chance; None takes torch's default one, so `torch.manual_seed` decides.
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self._generator = generator

    def sample(
        self, positive: Tensor, negative: Tensor, *, count: int, positive_fraction: float
    ) -> tuple[Tensor, Tensor]:
        """Return a random choice; see `Sampler.sample`."""
        positive_count = min(len(positive), int(count * positive_fraction))
        negative_count = min(len(negative), count - positive_count)
        chosen_positive = positive[self._permutation(positive)[:positive_count]]
        chosen_negative = negative[self._permutation(negative)[:negative_count]]
        return chosen_positive, chosen_negative

    def _permutation(self, candidates: Tensor) -> Tensor:
        if self._generator is None:
            return torch.randperm(len(candidates), device=candidates.device)
        order = torch.randperm(len(candidates), generator=self._generator, device=self._generator.device)
        return order.to(candidates.device)


class ImageSampler:
    """A random choice by a stream of chance for each image: it does not depend on the batch that the image is in.

    Args:
        seeds: one an image of the batch, in order.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._samplers = [RandomSampler(torch.Generator().manual_seed(seed)) for seed in seeds]
        self._calls = 0

    def sample(
        self, positive: Tensor, negative: Tensor, *, count: int, positive_fraction: float
    ) -> tuple[Tensor, Tensor]:
        """Return a random choice for the next image in turn; see `Sampler.sample`."""
        own = self._samplers[self._calls % len(self._samplers)]
        self._calls += 1
        return own.sample(positive, negative, count=count, positive_fraction=positive_fraction)
