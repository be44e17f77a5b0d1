from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Masks


def one_mask(bitmap: NDArray[np.bool_]) -> Masks:
    """Return a bitmap as the only mask of a frame of its size."""
    return Masks.from_full(Frame(height_px=bitmap.shape[0], width_px=bitmap.shape[1]), [bitmap])
