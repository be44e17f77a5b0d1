"""A model's answers for every image of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from nucleate.data import CocoDataset
from nucleate.export import ImagePredictions
from nucleate.inference.segmenter import Segmenter
from nucleate.inference.segmenting import InferenceSettings, LoadedImage, segment_images


def predict_dataset(
    segmenter: Segmenter,
    dataset: CocoDataset,
    settings: InferenceSettings,
    *,
    magnifications: Mapping[str, float] | None = None,
    on_image: Callable[[], None] | None = None,
) -> list[ImagePredictions]:
    """Return the nuclei that a model finds in each image of a data set, in the records' order.

    Args:
        segmenter: the model.
        dataset: images are read one after the other.
        settings: a score threshold of 0 keeps every detection of the model, as average precision needs them.
        magnifications: of the images of each source, where they differ from the settings' own.
        on_image: called after each image, for a progress bar.

    Raises:
        DataError: an image is missing or unreadable.
    """
    by_source = magnifications or {}

    def images() -> Iterator[LoadedImage]:
        for index, record in enumerate(dataset.records):
            magnification = by_source.get(record.source or "")
            yield LoadedImage(index=index, image_rgb=dataset.read_image(record), magnification=magnification)

    found = []
    for result in segment_images(segmenter, images(), settings):
        record = dataset.records[result.image.index]
        found.append(ImagePredictions(image_id=record.image_id, file_name=record.file_name, instances=result.instances))
        if on_image is not None:
            on_image()
    return found
