"""What predictions are made of: `Instances`, `Boxes`, and the two forms of a box in data sets."""

from __future__ import annotations

from nucleate.detectron2.structures.boxes import Boxes, BoxMode
from nucleate.detectron2.structures.instances import Instances

__all__ = ["BoxMode", "Boxes", "Instances"]
