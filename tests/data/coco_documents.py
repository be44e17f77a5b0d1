"""Small COCO documents for tests, and a folder that holds one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SQUARE = [[2, 2, 5, 2, 5, 5, 2, 5]]


def annotation(**changes: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [2, 2, 3, 3],
        "area": 9,
        "iscrowd": 0,
        "segmentation": SQUARE,
        **changes,
    }


def image_entry(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "file_name": "a.png", "width": 12, "height": 10, **changes}


def document(**changes: Any) -> dict[str, Any]:
    return {
        "images": [image_entry()],
        "categories": [{"id": 1, "name": "nuclei"}],
        "annotations": [annotation()],
        **changes,
    }


def write_document(folder: Path, content: Any = None, name: str = "coco.json") -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((10, 12, 3), 90, np.uint8)).save(folder / "images" / "a.png")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document() if content is None else content), encoding="utf-8")
    return path
