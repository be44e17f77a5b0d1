"""The star-convex network on its ONNX engine, as `segment` runs it: alone, and from image to instance map."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.contestants.scenes import Scenes
from benchmarks.contestants.serving import Answer, Assignment, serve, timed
from nucleate.export import instance_map
from nucleate.inference import InferenceSettings, LoadedImage, TilingSettings, segment_images
from nucleate.inference.magnification import magnified
from nucleate.models.run_card import RunCard
from nucleate.models.star_convex.loading import load_star_convex
from nucleate.models.star_convex.onnx_engine import EngineSettings, OnnxEngine, Precision
from nucleate.models.star_convex.segmenter import padded

NETWORK, CALL = "network", "call"
NETWORK_AS_USED, CALL_AS_USED = "network as used", "call as used"
"""At the model's working scale; the others at the images' own, so that the network sees as many pixels as the rest."""


class StarConvex:
    """The model of a folder.

    Args:
        assignment: folder, precision, threads.
        scenes: the images.
    """

    def __init__(self, assignment: Assignment, scenes: Scenes) -> None:
        cv2.setNumThreads(assignment.threads)
        folder = Path(assignment.model)
        self._card = RunCard.read(folder)
        engine = EngineSettings(precision=cast("Precision", assignment.precision), threads=assignment.threads)
        self._segmenter = load_star_convex(folder, self._card, "cpu", engine)
        assert isinstance(self._segmenter.engine, OnnxEngine)
        self._engine = self._segmenter.engine
        self._scenes = scenes

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the library and the precision that it really runs in."""
        library, precision = self._engine.library, self._engine.precision
        torch = "torch imported" if "torch" in sys.modules else "torch not imported"
        return (f"{library} {importlib.metadata.version(library)}", f"runs in {precision}", torch)

    def answer(self, scene: int, *, detections: int) -> Answer:
        """Run the network alone, then the whole call; where the working scale is another, both there too."""
        del detections
        image_rgb = self._scenes.images_rgb[scene]
        timings, nuclei = {}, 0
        parts = [(1.0, NETWORK, CALL), (self._scenes.magnification, NETWORK_AS_USED, CALL_AS_USED)]
        for magnification, network, call in parts:
            if network == NETWORK_AS_USED and magnification == 1:
                continue
            batch = padded(magnified(image_rgb, magnification))[None]
            self._engine.run(batch)
            _, timings[network] = timed(lambda: self._engine.run(batch))  # noqa: B023 - called at once
            found, timings[call] = timed(lambda: self._call(image_rgb, magnification))  # noqa: B023
            if call == CALL:
                nuclei = int(found.max())
        return Answer(timings=timings, nuclei=nuclei)

    def _call(self, image_rgb: NDArray[np.uint8], magnification: float) -> NDArray[Any]:
        settings = InferenceSettings(
            score_threshold=self._card.score_threshold,
            magnification=magnification,
            stain=self._card.stain,
            tiling=TilingSettings(tile_px=self._card.tile_px),
        )
        (found,) = segment_images(self._segmenter, [LoadedImage(index=0, image_rgb=image_rgb)], settings)
        return instance_map(found.instances)


if __name__ == "__main__":
    serve(StarConvex)
