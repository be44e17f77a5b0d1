"""torchvision's `maskrcnn_resnet50_fpn` with random weights, made to answer a given number of nuclei.

Every layer runs as it would; only what the last layer of the box head says is replaced, since random weights say
nothing: as many proposals as are wanted become the annotated nuclei's boxes with a high score, all others background.
So the mask head sees that many boxes, of nuclear size, and each is pasted into a mask of the image.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.contestants.scenes import Scenes
from benchmarks.contestants.serving import Answer, Assignment, serve, timed

NETWORK, CALL = "network", "call"
_CLASSES = 2
"""Background and nucleus: fewer than COCO's 91, in its favour."""
_SURE = 10.0


class TorchvisionMaskRCNN:
    """The network.

    Args:
        assignment: precision (bf16 by autocast) and threads.
        scenes: the images; their side is the network's.
    """

    def __init__(self, assignment: Assignment, scenes: Scenes) -> None:
        torch.set_num_threads(assignment.threads)
        torch.set_num_interop_threads(1)
        torch.manual_seed(0)
        self._model = torchvision.models.detection.maskrcnn_resnet50_fpn(
            weights=None,
            weights_backbone=None,
            num_classes=_CLASSES,
            min_size=scenes.side_px,
            max_size=scenes.side_px,
            # Wanted nuclei may share a box, where more are wanted than are annotated.
            box_nms_thresh=1.0,
        ).eval()
        self._bf16 = assignment.precision == "bf16"
        self._scenes = scenes
        self._wanted_xyxy = torch.zeros(0, 4)
        self._proposals = 0
        heads = self._model.roi_heads
        self._usual_postprocessing = heads.postprocess_detections
        heads.postprocess_detections = self._postprocess

    @property
    def notes(self) -> tuple[str, ...]:
        """Return versions, and what was arranged."""
        return (
            f"torch {torch.__version__}",
            f"torchvision {torchvision.__version__}",
            "random weights; box head's outputs replaced by the annotated nuclei, as many as the other found",
        )

    def answer(self, scene: int, *, detections: int) -> Answer:
        """Run the network, masks pasted, and all from the image to an instance map."""
        self._wanted_xyxy = _as_many(self._scenes.boxes_xyxy(scene), detections)
        self._model.roi_heads.detections_per_img = max(detections, 1)
        image_rgb = self._scenes.images_rgb[scene]
        tensor, before = timed(lambda: _as_tensor(image_rgb))
        self._run(tensor)
        found, network = timed(lambda: self._run(tensor))
        _, after = timed(lambda: _instance_map(found))
        if len(found["masks"]) != detections:
            raise RuntimeError(f"the Mask R-CNN answers {len(found['masks'])} nuclei, {detections} are wanted")
        return Answer(timings={NETWORK: network, CALL: before + network + after}, nuclei=len(found["masks"]))

    def _run(self, image: Tensor) -> dict[str, Tensor]:
        precision = torch.autocast("cpu", dtype=torch.bfloat16) if self._bf16 else nullcontext()
        with torch.inference_mode(), precision:
            answers: list[dict[str, Tensor]] = self._model([image])
        return answers[0]

    def _postprocess(
        self,
        class_logits: Tensor,
        box_regression: Tensor,
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        wanted = len(self._wanted_xyxy)
        if len(proposals[0]) < wanted:
            raise RuntimeError(f"{len(proposals[0])} proposals for {wanted} nuclei")
        logits = torch.tensor([_SURE, 0.0]).repeat(len(class_logits), 1)
        logits[:wanted] = torch.tensor([0.0, _SURE])
        deltas = torch.zeros(box_regression.shape)
        coder = self._model.roi_heads.box_coder
        deltas[:wanted, 4:] = coder.encode_single(self._wanted_xyxy, proposals[0][:wanted].float())
        found: tuple[list[Tensor], list[Tensor], list[Tensor]] = self._usual_postprocessing(
            logits, deltas, [proposals[0].float()], image_shapes
        )
        return found


def _as_many(boxes_xyxy: NDArray[np.float32], count: int) -> Tensor:
    """Return as many boxes as are wanted: the first ones, or all again and again."""
    if count and not len(boxes_xyxy):
        raise RuntimeError("an image without an annotated nucleus: no size for the detections")
    return torch.from_numpy(np.resize(boxes_xyxy, (count, 4)).astype(np.float32))


def _as_tensor(image_rgb: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image_rgb.transpose(2, 0, 1))).float() / 255


def _instance_map(found: dict[str, Tensor]) -> NDArray[np.int32]:
    masks = (found["masks"][:, 0] > 0.5).numpy()
    numbers = np.zeros(masks.shape[1:], np.int32)
    for index in range(len(masks) - 1, -1, -1):
        numbers[masks[index]] = index + 1
    return numbers


if __name__ == "__main__":
    serve(TorchvisionMaskRCNN)
