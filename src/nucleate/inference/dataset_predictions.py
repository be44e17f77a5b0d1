"""A model's answers for every image of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from nucleate.data import CocoDataset, ImageRecord
from nucleate.export import ImagePredictions
from nucleate.inference.segmenter import Segmenter
from nucleate.inference.segmenting import InferenceSettings, LoadedImage, segment_images


def predict_dataset(
    segmenter: Segmenter,
    dataset: CocoDataset,
    settings: InferenceSettings,
    *,
    magnification_of: Callable[[ImageRecord, NDArray[np.uint8]], float] | None = None,
    on_image: Callable[[], None] | None = None,
) -> list[ImagePredictions]:
    """Return the nuclei that a model finds in each image of a data set, in the records' order.

    Args:
        segmenter: the model.
        dataset: images are read one after the other.
        settings: a score threshold of 0 keeps every detection of the model, as average precision needs them.
        magnification_of: answers for each image, a record with its (H, W, 3) pixels; None takes the settings' own.
        on_image: called after each image, for a progress bar.

    Raises:
        DataError: an image is missing or unreadable.
    """

    def images() -> Iterator[LoadedImage]:
        for index, record in enumerate(dataset.records):
            pixels = dataset.read_image(record)
            magnification = None if magnification_of is None else magnification_of(record, pixels)
            yield LoadedImage(index=index, image_rgb=pixels, magnification=magnification)

    found = []
    for result in segment_images(segmenter, images(), settings):
        record = dataset.records[result.image.index]
        found.append(ImagePredictions(image_id=record.image_id, file_name=record.file_name, instances=result.instances))
        if on_image is not None:
            on_image()
    return found
