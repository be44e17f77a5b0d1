"""What public implementations say of drawn label maps, stored in `public_scores.json`.

    python -m tests.evaluation.public_scores STATS_UTILS

writes that file, in an environment with `stardist` and this checkout. STATS_UTILS is HoVer-Net's
`metrics/stats_utils.py` (github.com/vqdang/hover_net, commit 5847ebf), whose imports of cv2 and matplotlib need not be
there: no function used here needs them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

STORED = Path(__file__).with_suffix(".json")
CASES = 40
SIDE_PX = 64
# StarDist compares in float32: at 0.6 and the like an IoU that equals the threshold may fall on either side.
TWENTIETHS = range(10, 20)

LabelMap = NDArray[np.int32]


def drawn_maps(case: int) -> tuple[LabelMap, LabelMap]:
    """Return annotated and predicted ellipses, many of which touch, lie over one another, are split or merged."""
    generator = random.Random(case)
    annotated, predicted = np.zeros((2, SIDE_PX, SIDE_PX), np.int32)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    for number in range(1, generator.randint(4, 30)):
        y, x = generator.randint(0, SIDE_PX), generator.randint(0, SIDE_PX)
        height, width = generator.randint(3, 9), generator.randint(3, 9)
        annotated[_ellipse(rows - y, columns - x, height, width)] = number
        if generator.random() < 0.85:
            y, x = y + generator.randint(-2, 2), x + generator.randint(-2, 2)
            inside = _ellipse(rows - y, columns - x, height + generator.randint(-1, 2), width)
            predicted[inside] = number
            if generator.random() < 0.2:
                predicted[inside & (columns < x)] = 100 + number
    for number in range(1, generator.randint(1, 5)):
        y, x = generator.randint(0, SIDE_PX), generator.randint(0, SIDE_PX)
        predicted[_ellipse(rows - y, columns - x, 4, 5)] = 200 + number
    return annotated, predicted


def digest() -> str:
    """Return what changes where any drawn map does."""
    content = hashlib.sha256()
    for case in range(CASES):
        for label_map in drawn_maps(case):
            content.update(label_map.astype("<i4").tobytes())
    return content.hexdigest()


def stardist_scores(annotated: LabelMap, predicted: LabelMap) -> list[dict[str, Any]]:
    """Return StarDist's own counts and scores at IoU 0.50, 0.55, ... 0.95."""
    from stardist.matching import matching

    found = matching(annotated, predicted, thresh=[step / 20 for step in TWENTIETHS])
    return [
        {
            **{name: int(getattr(each, name)) for name in ("tp", "fp", "fn")},
            **{name: float(getattr(each, name)) for name in ("precision", "recall", "f1", "mean_matched_score")},
        }
        for each in found
    ]


def hovernet_scores(module: Any, annotated: LabelMap, predicted: LabelMap) -> dict[str, float]:
    """Return HoVer-Net's own scores; it wants ids without gaps."""
    maps = [
        np.unique(label_map, return_inverse=True)[1].reshape(label_map.shape) for label_map in (annotated, predicted)
    ]
    dq, sq, pq = module.get_fast_pq(*maps)[0]
    found = {"dq": dq, "sq": sq, "pq": pq, "aji": module.get_fast_aji(*maps), "dice": module.get_dice_1(*maps)}
    return {name: float(value) for name, value in {**found, "aji_plus": module.get_fast_aji_plus(*maps)}.items()}


def _ellipse(rows: NDArray[np.int64], columns: NDArray[np.int64], height: int, width: int) -> NDArray[np.bool_]:
    return np.asarray((rows * width) ** 2 + (columns * height) ** 2 <= (height * width) ** 2)


def _write(stats_utils: Path) -> None:
    from importlib.metadata import version

    for name in ("cv2", "matplotlib", "matplotlib.pyplot"):
        sys.modules.setdefault(name, type(sys)(name))
    specification = importlib.util.spec_from_file_location("stats_utils", stats_utils)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    pairs = [drawn_maps(case) for case in range(CASES)]
    content = {
        "maps": digest(),
        "stardist": version("stardist"),
        "hovernet": "vqdang/hover_net, metrics/stats_utils.py, commit 5847ebf",
        "cases": [{"stardist": stardist_scores(*pair), "hovernet": hovernet_scores(module, *pair)} for pair in pairs],
    }
    # One case a line.
    text = json.dumps(content).replace('{"stardist": [', '\n{"stardist": [')
    STORED.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
