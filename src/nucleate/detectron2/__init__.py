"""Detectron2's names over this package's engine: code written for Detectron2 runs with only its imports changed.

`from detectron2.engine import DefaultTrainer` becomes `from nucleate.detectron2.engine import DefaultTrainer`; likewise
`config`, `data`, `evaluation`, `model_zoo`, `structures` and `utils`. What is built is the zoo's Mask R-CNN with ResNet
and feature pyramid; everything else is refused by its name. `docs/migrating-from-detectron2.md` has every line.
"""

from __future__ import annotations

import importlib.util

from nucleate.errors import MissingExtraError

if importlib.util.find_spec("torch") is None:
    raise MissingExtraError("nucleate.detectron2", "train")
