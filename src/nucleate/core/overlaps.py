"""Which nucleus owns a pixel of several, where a label image has room for one."""

from __future__ import annotations

from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from nucleate.core.masks import Masks
from nucleate.errors import DataError

OverlapRule = Literal["score", "larger", "smaller", "first", "last", "refuse"]


def describe_overlap_rule(rule: OverlapRule) -> str:
    """Return whose the shared pixels are, in words."""
    match rule:
        case "score":
            return "the higher score's, then the earlier nucleus'"
        case "larger":
            return "the larger nucleus', then the earlier one's"
        case "smaller":
            return "the smaller nucleus', then the earlier one's"
        case "first":
            return "the earlier nucleus'"
        case "last":
            return "the later nucleus'"
        case "refuse":
            return "refused"
        case _:
            assert_never(rule)


def overlap_priority(masks: Masks, scores: NDArray[np.floating], rule: OverlapRule) -> NDArray[np.float64]:
    """Return the (N,) priorities for `label_map_from_masks`, in which the higher owns and the earlier of equals.

    Args:
        masks: N masks.
        scores: (N,) of them.
        rule: whose a shared pixel is.

    Raises:
        DataError: the rule is to refuse, and masks share pixels.
    """
    order = np.arange(len(masks), dtype=np.float64)
    match rule:
        case "score":
            return np.asarray(scores, np.float64)
        case "larger":
            return masks.areas_px().astype(np.float64)
        case "smaller":
            return -masks.areas_px().astype(np.float64)
        case "first":
            return -order
        case "last":
            return order
        case "refuse":
            shared = shared_px(masks)
            if shared:
                raise DataError(
                    f"{shared} pixels belong to several nuclei, and a label image has one id a pixel: choose whose they"
                    " are with --overlaps score, larger, smaller, first or last"
                )
            return order
        case _:
            assert_never(rule)


def shared_px(masks: Masks) -> int:
    """Return how many pixels lie in more than one mask."""
    counts = np.zeros(masks.frame.shape, np.int32)
    for index, bitmap in enumerate(masks):
        x1, y1, x2, y2 = masks.windows_xyxy[index].tolist()
        counts[y1:y2, x1:x2] += bitmap
    return int(np.count_nonzero(counts > 1))
