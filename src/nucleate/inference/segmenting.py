"""Images through a model: stain, magnification, tiles, batches, threshold; nuclei in the images' own pixels."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Instances
from nucleate.core.stain import StainNormalisation
from nucleate.errors import ConfigError
from nucleate.inference.magnification import in_frame, magnified, magnified_frame
from nucleate.inference.segmenter import OutlineSegmenter, Segmenter
from nucleate.inference.tiling import Tile, TilingSettings, merge_tiles, plan_tiles

logger = logging.getLogger(__name__)


LEAST_MAGNIFICATION, MOST_MAGNIFICATION = 0.05, 20.0


def check_magnification(factor: float) -> None:
    """Raise ConfigError where an image shall be resampled by a factor that can only be a mistake."""
    if not LEAST_MAGNIFICATION <= factor <= MOST_MAGNIFICATION:
        raise ConfigError(f"a magnification of {factor:g}: {LEAST_MAGNIFICATION:g} to {MOST_MAGNIFICATION:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceSettings:
    """How images go through a model.

    Attributes:
        score_threshold: nuclei above it are kept.
        magnification: images are resampled by this factor before the network, tile by tile, the nuclei mapped back.
        stain: normalisation of the model's training images; None where there was none.
        tiling: in magnified pixels.
        batch_images: most tiles a call of the network; only tiles of one size share a call, so that nothing is
            padded and an image's result doesn't depend on its neighbours.
    """

    score_threshold: float = 0.5
    magnification: float = 1.0
    stain: StainNormalisation | None = None
    tiling: TilingSettings = field(default_factory=TilingSettings)
    batch_images: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.score_threshold <= 1:
            raise ConfigError(f"a score threshold of {self.score_threshold}: 0 to 1")
        check_magnification(self.magnification)
        if self.batch_images < 1:
            raise ConfigError(f"batches of {self.batch_images} images: at least 1")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedImage:
    """One image on its way through.

    Attributes:
        index: the caller's number of it.
        image_rgb: (H, W, 3), before stain normalisation and magnification.
        magnification: of this image; None takes the settings' own.
    """

    index: int
    image_rgb: NDArray[np.uint8]
    magnification: float | None = None

    def __post_init__(self) -> None:
        if self.magnification is not None:
            check_magnification(self.magnification)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageInstances:
    """One image and the nuclei found in it, by falling score, in its own pixels."""

    image: LoadedImage
    instances: Instances


def segment_images(
    segmenter: Segmenter, images: Iterable[LoadedImage], settings: InferenceSettings
) -> Iterator[ImageInstances]:
    """Yield every image's nuclei, in the images' order, as soon as its tiles are done.

    Not more than the images of one batch are held at a time.
    """
    waiting: list[_Work] = []
    pending: list[_Job] = []
    for image in images:
        work = _Work(image, settings)
        if pending and pending[0].magnified_shape != work.jobs[0].magnified_shape:
            _run(segmenter, pending, settings.batch_images)
            pending = []
        waiting.append(work)
        pending += work.jobs
        ready = len(pending) // settings.batch_images * settings.batch_images
        _run(segmenter, pending[:ready], settings.batch_images)
        pending = pending[ready:]
        while waiting and waiting[0].is_done:
            yield waiting.pop(0).result()
    _run(segmenter, pending, settings.batch_images)
    for work in waiting:
        yield work.result()


class _Job:
    """One tile: its pixels as the network wants them, made when their turn comes, and the nuclei once found."""

    def __init__(self, tile: Tile, pixels_rgb: NDArray[np.uint8], magnification: float) -> None:
        x1, y1, x2, y2 = tile.window_xyxy
        self.frame = Frame(height_px=y2 - y1, width_px=x2 - x1)
        self.magnified_shape = magnified_frame(self.frame, magnification).shape
        self.found: Instances | None = None
        self._tile = tile
        self._pixels_rgb = pixels_rgb
        self._magnification = magnification

    def pixels_rgb(self) -> NDArray[np.uint8]:
        return magnified(self._tile.crop(self._pixels_rgb), self._magnification)


class _Work:
    """An image's tiles."""

    def __init__(self, image: LoadedImage, settings: InferenceSettings) -> None:
        self.image = image
        self._settings = settings
        self._magnification = settings.magnification if image.magnification is None else image.magnification
        pixels = image.image_rgb if settings.stain is None else settings.stain.apply(image.image_rgb)
        height_px, width_px = image.image_rgb.shape[:2]
        self._frame = Frame(height_px=height_px, width_px=width_px)
        self._tiles: list[Tile] = plan_tiles(self._frame, settings.tiling, magnification=self._magnification)
        self.jobs = [_Job(tile, pixels, self._magnification) for tile in self._tiles]

    @property
    def is_done(self) -> bool:
        return all(job.found is not None for job in self.jobs)

    def result(self) -> ImageInstances:
        # Below the threshold first: the fewer masks are resampled.
        found = [
            in_frame(job.found.above(self._settings.score_threshold), job.frame)
            for job in self.jobs
            if job.found is not None
        ]
        merged = merge_tiles(self._frame, self._tiles, found, self._settings.tiling, magnification=self._magnification)
        instances = merged.without_empty_masks()
        if len(instances) < len(merged):
            logger.info("image %d: %d nuclei without a pixel left out", self.image.index, len(merged) - len(instances))
        ranked = instances.select(np.argsort(-instances.scores, kind="stable"))
        return ImageInstances(image=self.image, instances=ranked)


def _run(segmenter: Segmenter, jobs: list[_Job], batch_images: int) -> None:
    for start in range(0, len(jobs), batch_images):
        batch = jobs[start : start + batch_images]
        images = [job.pixels_rgb() for job in batch]
        if isinstance(segmenter, OutlineSegmenter):
            answers = segmenter.segment_into(images, [job.frame for job in batch])
        else:
            answers = segmenter.segment(images)
        for job, instances in zip(batch, answers, strict=True):
            job.found = instances
