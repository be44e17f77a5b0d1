"""One image in, its instances out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nucleate.detectron2.config import CfgNode
from nucleate.detectron2.data.catalog import MetadataCatalog
from nucleate.detectron2.modeling import trained_model
from nucleate.detectron2.structures.instances import predicted_instances
from nucleate.models.mask_rcnn import predict

__all__ = ["DefaultPredictor"]


class DefaultPredictor:
    """Answers single images with the weights of MODEL.WEIGHTS.

    Args:
        cfg: a whole configuration; MODEL.WEIGHTS is a file, an address of the zoo or a name.

    Attributes:
        cfg: a copy of it.
        model: the network, ready to answer.
        metadata: of the first data set of DATASETS.TEST, if there is one.
        input_format: the channel order that the network was trained on; images are BGR whatever it is.

    Raises:
        CheckpointError: the weights are damaged or don't fit.
        ConfigError: no weights, or something that is not built.
        DownloadError: the weights could not be fetched.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self.cfg = cfg.clone()
        self.model = trained_model(self.cfg)
        self.input_format: str = self.cfg.INPUT.FORMAT
        if len(cfg.DATASETS.TEST):
            self.metadata = MetadataCatalog.get(cfg.DATASETS.TEST[0])

    @torch.no_grad()
    def __call__(self, original_image: NDArray[np.uint8]) -> dict[str, Any]:
        """Return {"instances": Instances} in the image's own frame, best score first.

        Args:
            original_image: (H, W, 3) uint8, BGR, as `cv2.imread` gives it.

        Raises:
            DataError: an array of another shape or type.
        """
        (nuclei,) = predict(self.model, [np.asarray(original_image)[..., ::-1]])
        return {"instances": predicted_instances(nuclei, self.model.device)}
