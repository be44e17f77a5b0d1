"""COCO average precision as Detectron2's COCOEvaluator prints it, at any number of detections an image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

SMALL_BELOW_PX = 32**2
MEDIUM_BELOW_PX = 96**2
DETECTRON2_MAX_DETECTIONS = 100

Kind = Literal["bbox", "segm"]
KINDS: tuple[Kind, ...] = ("bbox", "segm")

# COCO's JSON: the format's own dicts, which stay inside this package.
CocoDict: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeCounts:
    """Annotated nuclei by their `area` in the annotations; crowd regions are not counted.

    Attributes:
        small: below 32x32 px.
        medium: below 96x96 px.
        large: 96x96 px or more.
    """

    small: int
    medium: int
    large: int

    @classmethod
    def of(cls, areas_px: NDArray[np.floating]) -> SizeCounts:
        """Return the counts of areas."""
        small, up_to_medium = int((areas_px < SMALL_BELOW_PX).sum()), int((areas_px < MEDIUM_BELOW_PX).sum())
        return cls(small=small, medium=up_to_medium - small, large=len(areas_px) - up_to_medium)

    @property
    def total(self) -> int:
        """Return the number of annotated nuclei."""
        return self.small + self.medium + self.large


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPrecision:
    """The AP of one class, percent; NaN where the set has no annotated nucleus of it."""

    class_name: str
    ap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragePrecision:
    """Average precision in percent; NaN where it is undefined (`undefined` says why).

    Attributes:
        kind: boxes or masks.
        max_detections: the best-scored detections of an image that count.
        ap: mean over IoU 0.50, 0.55, ... 0.95.
        ap50: at IoU 0.50.
        ap75: at IoU 0.75.
        ap_small: `ap` of nuclei up to 32x32 px.
        ap_medium: `ap` of nuclei from 32x32 to 96x96 px.
        ap_large: `ap` of nuclei of 96x96 px or more.
        per_class: empty where the set has one class, as in Detectron2.
        undefined: one sentence a score that is NaN.
        curve50: precision at recall 0, 0.01, ... 1 and IoU 0.50, percent, mean over classes; empty where undefined.
        curve75: the same at IoU 0.75.
    """

    kind: Kind
    max_detections: int
    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    per_class: tuple[ClassPrecision, ...] = ()
    undefined: tuple[str, ...] = ()
    curve50: tuple[float, ...] = ()
    curve75: tuple[float, ...] = ()

    def named(self) -> dict[str, float]:
        """Return the six scores under Detectron2's names, in its order."""
        return {
            "AP": self.ap,
            "AP50": self.ap50,
            "AP75": self.ap75,
            "APs": self.ap_small,
            "APm": self.ap_medium,
            "APl": self.ap_large,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionTable:
    """The AP of boxes and masks, at Detectron2's 100 detections an image and at as many as there are.

    Attributes:
        bbox: boxes at 100.
        segm: masks at 100.
        bbox_uncapped: boxes at the most detections that any image of the whole set holds.
        segm_uncapped: masks at the same.
    """

    bbox: AveragePrecision
    segm: AveragePrecision
    bbox_uncapped: AveragePrecision
    segm_uncapped: AveragePrecision

    def __iter__(self) -> Iterator[AveragePrecision]:
        return iter((self.bbox, self.segm, self.bbox_uncapped, self.segm_uncapped))


class AveragePrecisionScorer:
    """Annotations and detections of a data set, ready to be scored as a whole or by a choice of images.

    Args:
        annotations: COCO's dict of the whole set; left as it is.
        detections: COCO result records (`bbox` is x, y, width, height); left as they are.
        image_ids: the images to score; annotations and detections of others are left out.
    """

    def __init__(self, annotations: CocoDict, detections: Sequence[CocoDict], *, image_ids: Sequence[int]) -> None:
        self._image_ids = list(image_ids)
        wanted = set(image_ids)
        sizes_hw = {image["id"]: (image["height"], image["width"]) for image in annotations["images"]}
        self._annotated = [
            _with_area_and_box(record, sizes_hw[record["image_id"]])
            for record in annotations["annotations"]
            if record["image_id"] in wanted
        ]
        self._categories = sorted(annotations["categories"], key=lambda category: int(category["id"]))
        images = [
            {"id": image["id"], "height": image["height"], "width": image["width"]}
            for image in annotations["images"]
            if image["id"] in wanted
        ]
        detections = [record for record in detections if record["image_id"] in wanted]
        self._most_detections = _most_an_image(detections)
        self._sets = {kind: self._load(kind, images, detections) for kind in KINDS}

    @property
    def most_detections(self) -> int:
        """Return the largest number of detections that any image holds."""
        return self._most_detections

    def size_counts(self, image_ids: Sequence[int] | None = None) -> SizeCounts:
        """Return the annotated nuclei of the given images (default: all) by size class."""
        wanted = set(self._image_ids if image_ids is None else image_ids)
        areas = [
            float(record["area"])
            for record in self._annotated
            if record["image_id"] in wanted and not record.get("iscrowd", 0)
        ]
        return SizeCounts.of(np.array(areas, np.float64))

    def score(self, image_ids: Sequence[int] | None = None) -> PrecisionTable:
        """Return the AP of the given images (default: all)."""
        chosen = self._image_ids if image_ids is None else list(image_ids)
        uncapped = max(self._most_detections, 1)
        limits = sorted({DETECTRON2_MAX_DETECTIONS, uncapped})
        tables = {kind: self._evaluate(kind, chosen, limits) for kind in KINDS}

        def read(kind: Kind, limit: int) -> AveragePrecision:
            names = [str(category.get("name", category["id"])) for category in self._categories]
            return read_precision(kind, tables[kind][..., limits.index(limit)], limit, names)

        return PrecisionTable(
            bbox=read("bbox", DETECTRON2_MAX_DETECTIONS),
            segm=read("segm", DETECTRON2_MAX_DETECTIONS),
            bbox_uncapped=read("bbox", uncapped),
            segm_uncapped=read("segm", uncapped),
        )

    def _load(self, kind: Kind, images: list[dict[str, Any]], detections: Sequence[CocoDict]) -> tuple[COCO, COCO]:
        keys = ("image_id", "category_id", "bbox", "area", "segmentation")
        # Ids from 1: an annotation with id 0 would count as unmatched in COCO's own evaluation.
        annotated = [
            {"id": number, "iscrowd": int(record.get("iscrowd", 0)), **{key: record[key] for key in keys}}
            for number, record in enumerate(self._annotated, start=1)
        ]
        # Detectron2 takes `bbox` out for masks, so that sizes go by the mask's area and not by the box's.
        kept = ("image_id", "category_id", "score", "bbox" if kind == "bbox" else "segmentation")
        found = [{key: record[key] for key in kept} for record in detections]
        known = COCO({"images": images, "annotations": annotated, "categories": self._categories})
        return known, known.loadRes(found)

    def _evaluate(self, kind: Kind, image_ids: list[int], limits: list[int]) -> NDArray[np.float64]:
        """Return precision by (IoU, recall, class, size range, limit); -1 where there is nothing to find."""
        annotated, predicted = self._sets[kind]
        evaluation = COCOeval_faster(annotated, predicted, kind, separate_eval=True)
        evaluation.params.imgIds = image_ids
        evaluation.params.maxDets = limits
        evaluation.evaluate()
        evaluation.accumulate()
        return np.asarray(evaluation.eval["precision"], np.float64)


def read_precision(
    kind: Kind, precision: NDArray[np.float64], max_detections: int, class_names: Sequence[str]
) -> AveragePrecision:
    """Return the scores of COCO's table of precision.

    Args:
        kind: boxes or masks.
        precision: (10 IoU, 101 recalls, C classes, 4 size ranges), 0 to 1; -1 where there is nothing to find.
        max_detections: the limit that the table was made with.
        class_names: C names.
    """
    sizes = [_mean_percent(precision[..., size]) for size in range(4)]
    per_class = tuple(
        ClassPrecision(class_name=name, ap=_mean_percent(precision[:, :, index, 0]))
        for index, name in enumerate(class_names)
    )
    result = AveragePrecision(
        kind=kind,
        max_detections=max_detections,
        ap=sizes[0],
        ap50=_mean_percent(precision[0, :, :, 0]),
        ap75=_mean_percent(precision[5, :, :, 0]),
        ap_small=sizes[1],
        ap_medium=sizes[2],
        ap_large=sizes[3],
        per_class=per_class if len(per_class) > 1 else (),
        curve50=_mean_curve(precision[0, :, :, 0]),
        curve75=_mean_curve(precision[5, :, :, 0]),
    )
    return _with_reasons(result)


def _with_area_and_box(record: CocoDict, size_hw: tuple[int, int]) -> CocoDict:
    """Return an annotation with `area` and `bbox`, of its mask where the file gives none."""
    if record.get("area") is not None and record.get("bbox") is not None:
        return record
    segmentation: Any = record["segmentation"]
    code: Any = segmentation
    if isinstance(segmentation, list):
        code = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size_hw))
    elif isinstance(segmentation["counts"], list):
        code = coco_mask.frPyObjects(segmentation, *size_hw)
    measured = {"area": float(coco_mask.area(code)), "bbox": coco_mask.toBbox(code).tolist()}
    return {**record, **{key: value for key, value in measured.items() if record.get(key) is None}}


def _with_reasons(result: AveragePrecision) -> AveragePrecision:
    kinds_of_nuclei = {
        "AP": "",
        "AP50": "",
        "AP75": "",
        "APs": " of 32x32 px or less",
        "APm": " from 32x32 to 96x96 px",
        "APl": " of 96x96 px or more",
    }
    reasons = [
        f"{name}: no annotated nucleus{kinds_of_nuclei[name]} in this set"
        for name, value in result.named().items()
        if math.isnan(value)
    ]
    reasons += [
        f"AP-{each.class_name}: no annotated nucleus of this class in this set"
        for each in result.per_class
        if math.isnan(each.ap)
    ]
    return replace(result, undefined=tuple(reasons))


def _mean_percent(precision: NDArray[np.float64]) -> float:
    defined = precision[precision > -1]
    return float(np.mean(defined) * 100) if defined.size else float("nan")


def _mean_curve(precision: NDArray[np.float64]) -> tuple[float, ...]:
    """Return (recall,) percent of (recall, class) precision, classes without annotated nuclei left out."""
    defined = precision[:, (precision > -1).all(axis=0)]
    return tuple((100 * defined.mean(axis=1)).tolist()) if defined.size else ()


def _most_an_image(detections: Sequence[CocoDict]) -> int:
    ids = [record["image_id"] for record in detections]
    return int(np.unique(ids, return_counts=True)[1].max()) if ids else 0
