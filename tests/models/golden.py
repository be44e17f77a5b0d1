"""The golden fixtures of Detectron2: networks, images, batches and what it answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn import BitMasks, MaskRCNN, PolygonMasks, TrainingImage

FOLDER = Path(__file__).parents[1] / "golden" / "detectron2"


def read_json(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def stored_tensors(folder: str) -> dict[str, torch.Tensor]:
    stored = torch.load(FOLDER / folder / "model_final.pth", weights_only=True)
    tensors: dict[str, torch.Tensor] = stored["model"]
    return tensors


def config(folder: str, overrides: Mapping[str, Any] | None = None) -> DetectronConfig:
    return DetectronConfig.load(FOLDER / folder / "config.yaml").with_overrides(overrides or {})


def network(folder: str, overrides: Mapping[str, Any] | None = None) -> MaskRCNN:
    """Return the trained network of `caffe` or `rgb`; lacking counters of BN are allowed."""
    built = MaskRCNN.from_config(config(folder, overrides))
    missing, unexpected = built.load_state_dict(stored_tensors(folder), strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return built.eval()


def read_rgb(name: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(FOLDER / name).convert("RGB"))


def training_batch(case: Mapping[str, Any], channel_order: str) -> list[TrainingImage]:
    """Return a case's batch from what Detectron2's mapper handed over (`mapped*.json`)."""
    bitmask = case["config_overrides"].get("INPUT.MASK_FORMAT") == "bitmask"
    mapped = {entry["file"]: entry for entry in read_json(f"training/mapped{'_bitmask' if bitmask else ''}.json")}
    return [training_image(mapped[file], channel_order) for file in case["batch"]]


def training_image(entry: Mapping[str, Any], channel_order: str) -> TrainingImage:
    height, width = entry["resized_size_hw"]
    image = Image.open(FOLDER / "training" / entry["file"]).convert("RGB")
    resized = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    ordered = resized if channel_order == "RGB" else resized[:, :, ::-1]
    masks: BitMasks | PolygonMasks
    if "bitmask_rle" in entry:
        full = [coco_mask.decode(rle).astype(bool) for rle in entry["bitmask_rle"]]
        masks = ragged(full, height, width)
    else:
        masks = PolygonMasks(
            tuple(tuple(np.asarray(part, np.float64) for part in parts) for parts in entry.get("polygons", []))
        )
    return TrainingImage(
        image=torch.from_numpy(np.ascontiguousarray(ordered.transpose(2, 0, 1))),
        boxes_xyxy=torch.tensor(entry["gt_boxes_xyxy_float32"], dtype=torch.float32).reshape(-1, 4),
        class_indices=torch.tensor(entry["gt_classes"], dtype=torch.int64),
        masks=masks,
    )


def ragged(full: list[NDArray[np.bool_]], height: int, width: int) -> BitMasks:
    """Return full (H, W) bitmaps as tight windows."""
    corners, crops = [], []
    for bitmap in full:
        rows, columns = np.flatnonzero(bitmap.any(axis=1)), np.flatnonzero(bitmap.any(axis=0))
        top, left = (int(rows[0]), int(columns[0])) if len(rows) else (0, 0)
        bottom, right = (int(rows[-1]) + 1, int(columns[-1]) + 1) if len(rows) else (0, 0)
        corners.append((left, top))
        crops.append(bitmap[top:bottom, left:right])
    return BitMasks(height, width, tuple(corners), tuple(crops))
