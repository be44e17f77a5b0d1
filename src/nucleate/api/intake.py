"""The images of one call of `segment` on their way in: read, checked, their scale found."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nucleate.api.loading import LoadedModel
from nucleate.api.scaling import ScaleRequest, estimated_scale, known_scale
from nucleate.core import ImageScale, describe_scales
from nucleate.errors import DataError
from nucleate.inference import ImageInput, InputFailure, LoadedImage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intake:
    """The images of a call as they are read, and what turned out on the way, by their numbers."""

    model: LoadedModel
    images: Sequence[ImageInput]
    request: ScaleRequest
    failures: dict[int, InputFailure] = field(default_factory=dict)
    checksums: dict[int, str] = field(default_factory=dict)
    scales: dict[int, ImageScale] = field(default_factory=dict)

    def read(self, indices: Sequence[int], *, checksums: bool) -> Iterator[LoadedImage]:
        """Yield the images that can be read; note the others, the scales, and the checksums where they are wanted."""
        for index in indices:
            image = self.images[index]
            try:
                pixels = image.read()
                if checksums:
                    self.checksums[index] = image.sha256()
            except DataError as error:
                logger.info("%s", error)
                self.failures[index] = InputFailure(file=image.file, message=str(error))
                continue
            card = self.model.card
            scale = known_scale(card, self.request, mpp=None if card.working_mpp is None else image.read_mpp())
            if scale is None:
                scale = estimated_scale(self.model, pixels, stain=card.stain)
            self.scales[index] = scale
            for line in describe_scales([scale]):
                logger.info("%s: %s", image.file, line)
            yield LoadedImage(index=index, image_rgb=pixels, magnification=scale.magnification)
