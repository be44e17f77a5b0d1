"""Both sides of an image as label maps, one id a pixel, as the protocol `standard` scores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Instances, label_map_from_masks
from nucleate.data import Annotations, CocoDataset
from nucleate.errors import DataError
from nucleate.evaluation.centroids import Centroids, label_map_centroids
from nucleate.evaluation.matching import Overlaps, label_map_overlaps
from nucleate.export import ImagePredictions


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImagePair:
    """The two label maps of one image and their overlaps.

    Attributes:
        annotated: (H, W) ids; annotation i of the data set (crowd regions left out) has id i + 1.
        predicted: (H, W) ids; detection i has id i + 1.
        overlaps: of the two.
        shared_px: annotated pixels that more than one annotated nucleus claims.
        hidden: annotated nuclei without a pixel of their own.
    """

    annotated: NDArray[np.int32]
    predicted: NDArray[np.int32]
    overlaps: Overlaps
    shared_px: int
    hidden: int

    def centroids(self) -> Centroids:
        """Return the centroids of both sides."""
        return Centroids(
            annotated_xy=label_map_centroids(self.annotated, self.overlaps.annotated_ids),
            predicted_xy=label_map_centroids(self.predicted, self.overlaps.predicted_ids),
        )


def pair_image(annotations: Annotations, predicted: Instances) -> ImagePair:
    """Return the label maps of one image.

    Where annotated nuclei overlap the later one owns the pixel, where predicted ones do the higher score.
    Since a detection only loses pixels to better ones, raising the score threshold afterwards (see
    `Overlaps.with_predicted`) gives what painting fewer detections would have given.
    """
    nuclei = annotations.instances.select(~annotations.is_crowd)
    annotated_map = label_map_from_masks(nuclei.masks, np.arange(len(nuclei), dtype=np.float64))
    predicted_map = label_map_from_masks(predicted.masks, predicted.scores)
    overlaps = label_map_overlaps(annotated_map, predicted_map)
    return ImagePair(
        annotated=annotated_map,
        predicted=predicted_map,
        overlaps=overlaps,
        shared_px=int(nuclei.masks.areas_px().sum() - overlaps.annotated_areas_px.sum()),
        hidden=len(nuclei) - overlaps.annotated_count,
    )


def pair_records(dataset: CocoDataset, predictions: Sequence[ImagePredictions]) -> list[ImagePredictions]:
    """Return the predictions in the order of the data set's records.

    Raises:
        DataError: an image of the data set has no predictions or several, an image is unknown, or sizes differ.
    """
    by_id = {image.image_id: image for image in predictions}
    if len(by_id) != len(predictions):
        raise DataError(f"{len(predictions) - len(by_id)} images have predictions twice")
    missing = [record for record in dataset.records if record.image_id not in by_id]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(dataset.records)} images have no predictions, the first is "
            f"{missing[0].file_name!r}; an image without nuclei needs an empty list",
            path=dataset.annotations_path,
        )
    unknown = sorted(by_id.keys() - {record.image_id for record in dataset.records})
    if unknown:
        raise DataError(
            f"predictions of {len(unknown)} images that the annotations lack, the first has image_id {unknown[0]}",
            path=dataset.annotations_path,
        )
    for record in dataset.records:
        frame = by_id[record.image_id].instances.frame
        if frame.shape != record.frame.shape:
            raise DataError(
                f"predictions of an image of {frame.width_px} x {frame.height_px}, the data set's has "
                f"{record.frame.width_px} x {record.frame.height_px}: score in the data set's pixels",
                path=dataset.annotations_path,
                item=record.file_name,
            )
    return [by_id[record.image_id] for record in dataset.records]


def of_known_classes(image: ImagePredictions, class_count: int) -> ImagePredictions:
    """Return the detections whose class the data set has."""
    known = image.instances.class_indices < class_count
    if known.all():
        return image
    return ImagePredictions(image_id=image.image_id, file_name=image.file_name, instances=image.instances.select(known))
