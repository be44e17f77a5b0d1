from __future__ import annotations

import torch

from nucleate.models.mask_rcnn.sampling import ImageSampler

POSITIVE, NEGATIVE = torch.arange(10), torch.arange(100, 200)


def draw(sampler: ImageSampler) -> list[int]:
    chosen = sampler.sample(POSITIVE, NEGATIVE, count=16, positive_fraction=0.25)
    return torch.cat(chosen).tolist()


def test_an_image_draws_the_same_whatever_batch_it_is_in() -> None:
    """First its anchors, then, after those of all other images, its proposals."""
    both, alone = ImageSampler([3, 4]), ImageSampler([4])
    first_anchors, second_anchors, first_proposals, second_proposals = (draw(both) for _ in range(4))
    assert [draw(alone), draw(alone)] == [second_anchors, second_proposals]
    assert first_anchors != second_anchors
    assert first_anchors != first_proposals
