from __future__ import annotations

import pytest

from nucleate.errors import ConfigError
from nucleate.training.sampling import BatchPlan


def plan(wide: tuple[bool, ...], *, first: int = 0, last: int = 6, images: int = 2, seed: int = 3) -> list[list[int]]:
    batches = BatchPlan(wide=wide, images_per_batch=images, seed=seed, first_iteration=first, last_iteration=last)
    return [[slot.record_index for slot in batch] for batch in batches]


def test_every_image_comes_once_before_any_comes_twice() -> None:
    seen = [index for batch in plan((False,) * 6, last=6) for index in batch]
    assert sorted(seen[:6]) == list(range(6))
    assert sorted(seen[6:]) == list(range(6))


def test_a_plan_that_starts_later_gives_the_same_batches() -> None:
    wide = (True, False, False, True, False)
    assert plan(wide, first=3, last=9) == plan(wide, last=9)[3:]


def test_wide_and_tall_images_never_share_a_batch() -> None:
    wide = (True, False, False, True, True, False, True)
    for batch in plan(wide, last=20):
        assert len({wide[index] for index in batch}) == 1


def test_another_seed_gives_another_order() -> None:
    assert plan((False,) * 10, seed=1) != plan((False,) * 10, seed=2)


def test_length_is_the_number_of_batches_left() -> None:
    batches = BatchPlan(wide=(False,), images_per_batch=2, seed=0, first_iteration=2, last_iteration=7)
    assert len(batches) == len(list(batches)) == 5


def test_slots_count_iterations_and_positions() -> None:
    batches = list(BatchPlan(wide=(False,) * 3, images_per_batch=3, seed=0, first_iteration=4, last_iteration=5))
    assert [(slot.iteration, slot.position) for slot in batches[0]] == [(4, 0), (4, 1), (4, 2)]


def test_no_image_to_train_on_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no image to train on"):
        plan(())


def test_a_batch_of_no_image_is_an_error() -> None:
    with pytest.raises(ConfigError, match="IMS_PER_BATCH"):
        plan((False,), images=0)
