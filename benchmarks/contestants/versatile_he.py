"""StarDist's architecture of the model 2D_versatile_he with random weights, and its post-processing on good maps.

Runs in any interpreter that has stardist and tensorflow. Random weights say nothing that could be post-processed, so
its own suppression and drawing get maps made from the annotated nuclei, as its training makes them.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.contestants.scenes import Scenes
from benchmarks.contestants.serving import Answer, Assignment, serve, timed

NETWORK, POST, CALL = "network", "post-processing", "call"
PREDICT, NORMALISE, CALL_AS_USED = "keras predict", "normalise", "call as used"
_RAYS, _GRID = 32, (2, 2)
_LEAST_PROBABILITY, _MOST_OVERLAP = 0.692478, 0.3
"""2D_versatile_he's own thresholds."""
_BORDER_CELLS = 2


class VersatileHE:
    """The architecture.

    Args:
        assignment: threads.
        scenes: the images.
    """

    def __init__(self, assignment: Assignment, scenes: Scenes) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        import stardist
        import tensorflow as tf
        from stardist.models import Config2D, StarDist2D

        tf.config.threading.set_intra_op_parallelism_threads(assignment.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.random.set_seed(0)
        # Its config.json: all else is Config2D's default.
        config = Config2D(axes="YXC", n_channel_in=3, n_rays=_RAYS, grid=_GRID, unet_n_depth=3, unet_n_filter_base=32)
        self._network = StarDist2D(config, name=None, basedir=None).keras_model
        self._versions = (f"stardist {stardist.__version__}", f"tensorflow {tf.__version__}")
        self._scenes = scenes
        self._maps = [_good_maps(label_map) for label_map in scenes.label_maps]

    @property
    def notes(self) -> tuple[str, ...]:
        """Return versions, and what was arranged."""
        return (
            *self._versions,
            f"random weights, {self._network.count_params() / 1e6:.2f} M parameters",
            "post-processing on maps made from the annotated nuclei",
            "call: network by predict_on_batch + post-processing; call as used: normalise + keras predict + the same",
        )

    def answer(self, scene: int, *, detections: int) -> Answer:
        """Run what its `predict_instances` runs: the network, then suppression and drawing.

        Keras' `predict`, which it calls, costs more than the network: `call` leaves that out, in its favour.
        """
        del detections
        from csbdeep.utils import normalize

        image_rgb = self._scenes.images_rgb[scene]
        pixels, normalising = timed(lambda: normalize(image_rgb, 1, 99.8, axis=(0, 1, 2)))
        batch = pixels[None].astype(np.float32)
        self._network.predict_on_batch(batch)
        _, bare = timed(lambda: self._network.predict_on_batch(batch))
        _, predicting = timed(lambda: self._network.predict(batch, verbose=0))
        label_map, drawing = timed(lambda: _instances(*self._maps[scene], image_rgb.shape[:2]))
        return Answer(
            timings={
                NETWORK: bare,
                POST: drawing,
                CALL: bare + drawing,
                PREDICT: predicting,
                NORMALISE: normalising,
                CALL_AS_USED: normalising + predicting + drawing,
            },
            nuclei=int(label_map.max()),
        )


def _good_maps(label_map: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    from stardist import edt_prob, star_dist

    probability = edt_prob(label_map)[:: _GRID[0], :: _GRID[1]]
    return probability.astype(np.float32), star_dist(label_map, _RAYS, grid=_GRID).astype(np.float32)


def _instances(
    probability: NDArray[np.float32], distances_px: NDArray[np.float32], shape: tuple[int, int]
) -> NDArray[Any]:
    """Return the instance map by the steps of StarDist's sparse prediction, its default."""
    from stardist.geometry import polygons_to_label
    from stardist.nms import non_maximum_suppression_sparse

    candidates = probability > _LEAST_PROBABILITY
    inner = np.zeros_like(candidates)
    inner[_BORDER_CELLS:-_BORDER_CELLS, _BORDER_CELLS:-_BORDER_CELLS] = True
    candidates &= inner
    points = np.argwhere(candidates) * np.array(_GRID)
    points, scores, distances, _ = non_maximum_suppression_sparse(
        np.maximum(1e-3, distances_px[candidates]), probability[candidates], points, nms_thresh=_MOST_OVERLAP
    )
    return np.asarray(polygons_to_label(distances, points, prob=scores, shape=shape))


if __name__ == "__main__":
    serve(VersatileHE)
