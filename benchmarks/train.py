"""Seconds a training iteration of our R50-FPN Mask R-CNN beside torchvision's, on the same batches.

    python benchmarks/train.py --output out/train

Both start from the same weights and have frozen norms, the stem and the first stage frozen, stride in the 3x3
convolutions, and the same numbers of anchors, proposals and RoIs. They take turns: a pair is an iteration of each on
one batch, and the order changes from pair to pair. An iteration is losses, gradients and a step of SGD; batches are
made before. The ratio is the median over the pairs. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.models.detection import MaskRCNN as TorchvisionMaskRCNN
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops import FrozenBatchNorm2d

from benchmarks.contestants.machine import load, this_machine
from nucleate.core import Instances, masks_from_label_map
from nucleate.files import write_json
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn import BitMasks, MaskRCNN, TrainingImage
from nucleate.models.mask_rcnn.frozen_statistics import fill_frozen_statistics
from nucleate.models.mask_rcnn.solver import SolverSettings, build_optimizer
from nucleate.models.torchvision_names import detectron2_name
from nucleate.training.mask_rcnn.mapping import training_image
from tests.synthetic import draw_he

GOAL = 1.05
_RATE = 1e-5
"""So small that random weights can't diverge; it changes no time."""
_MEAN, _STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
_TRAINED_STAGES = 3
"""Of torchvision's five parts; the stem and the first stage stay, which is FREEZE_AT 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What both train on.

    Attributes:
        side_px: of the square images.
        images: in a batch.
        nuclei: drawn on each.
        rois: sampled an image.
        proposals: after suppression, an image.
        pairs: that are timed.
        threads: of torch.
    """

    side_px: int
    images: int
    nuclei: int
    rois: int
    proposals: int
    pairs: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One step of one network.

    Attributes:
        seconds: that it took.
        processor_seconds: of all threads together, which other work on the machine changes less.
        rois: that were sampled an image, on average.
        loss: the sum of the losses.
    """

    seconds: float
    processor_seconds: float
    rois: float
    loss: float


class _Clock:
    """Started when it is made."""

    def __init__(self) -> None:
        self._wall, self._processors = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Return the seconds since then."""
        return {
            "seconds": time.perf_counter() - self._wall,
            "processor_seconds": time.process_time() - self._processors,
        }


Step = Callable[[Sequence[TrainingImage]], Iteration]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value, about in (
        ("side-px", 800, "side of the images"),
        ("images", 2, "in a batch"),
        ("nuclei", 60, "on an image"),
        ("rois", 512, "sampled an image"),
        ("proposals", 1000, "an image"),
        ("pairs", 5, "that are timed; one more before them is not"),
        ("threads", 2, "of torch"),
    ):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{about} ({value})")
    parser.add_argument("--output", type=Path, default=Path("out/train"), help="folder of train.json")
    given = vars(parser.parse_args(arguments))
    output: Path = given.pop("output")
    size = Size(**given)
    if min(asdict(size).values()) < 1 or size.side_px % 32:
        parser.error("every number at least 1, --side-px a multiple of 32")
    document = compare(size)
    write_json(output / "train.json", document, indent=1)
    print(
        f"ours {document['ours_s']:.2f} s, torchvision {document['torchvision_s']:.2f} s an iteration (medians);"
        f" ratio {document['ratio']:.3f}, median of {size.pairs} pairs"
        f" ({min(document['ratios']):.3f} to {max(document['ratios']):.3f}); goal at most {GOAL}:"
        f" {'met' if document['is_met'] else 'missed'}; by processor seconds {document['processor_ratio']:.3f}"
    )
    return 0


def compare(size: Size) -> dict[str, Any]:
    """Return what was measured, as train.json holds it."""
    torch.set_num_threads(size.threads)
    torch.manual_seed(0)
    load_before = load()
    batches = [make_batch(size, seed) for seed in range(size.pairs + 1)]
    ours, network = our_step(size, batches[0])
    theirs = torchvision_step(size, network)
    rows: list[dict[str, Any]] = []
    for pair, batch in enumerate(batches):
        steps = (("ours", ours), ("torchvision", theirs))
        timed = {name: step(batch) for name, step in (steps if pair % 2 else steps[::-1])}
        print(
            f"pair {pair}: " + ", ".join(f"{name} {each.seconds:.2f} s" for name, each in timed.items()),
            file=sys.stderr,
        )
        if pair:
            rows.append({name: asdict(each) for name, each in timed.items()})
    ratios, processor_ratios = (
        [row["ours"][name] / row["torchvision"][name] for row in rows] for name in ("seconds", "processor_seconds")
    )
    return {
        "size": asdict(size),
        "machine": asdict(this_machine()),
        "load_before": load_before,
        "pairs": rows,
        "ours_s": median(row["ours"]["seconds"] for row in rows),
        "torchvision_s": median(row["torchvision"]["seconds"] for row in rows),
        "ratios": ratios,
        "ratio": median(ratios),
        "processor_ratio": median(processor_ratios),
        "goal": GOAL,
        "is_met": median(ratios) <= GOAL,
    }


def make_batch(size: Size, seed: int) -> list[TrainingImage]:
    """Return drawn images with their nuclei as bitmaps."""
    batch = []
    for place in range(size.images):
        drawing = draw_he(
            seed=seed * size.images + place, height_px=size.side_px, width_px=size.side_px, nuclei=size.nuclei
        )
        masks, _ = masks_from_label_map(drawing.label_map)
        batch.append(training_image(drawing.image_rgb, Instances.from_masks(masks), bgr=False))
    return batch


def our_step(size: Size, first: Sequence[TrainingImage]) -> tuple[Step, MaskRCNN]:
    """Return a step of our network, and the network."""
    config = DetectronConfig.zoo("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml").with_overrides(
        {
            "INPUT.FORMAT": "RGB",
            "MODEL.PIXEL_MEAN": _MEAN,
            "MODEL.PIXEL_STD": _STD,
            "MODEL.RESNETS.STRIDE_IN_1X1": False,
            "MODEL.ROI_HEADS.NUM_CLASSES": 1,
            "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": size.rois,
            "MODEL.RPN.POST_NMS_TOPK_TRAIN": size.proposals,
            "SOLVER.BASE_LR": _RATE,
        }
    )
    network = MaskRCNN.from_config(config).train()
    # With weights of chance activations would grow until they overflow.
    fill_frozen_statistics(network, [image.image for image in first])
    optimizer = build_optimizer(network, SolverSettings.from_config(config))

    def step(batch: Sequence[TrainingImage]) -> Iteration:
        clock = _Clock()
        losses = network.losses(batch)
        total = losses.total()
        _descend(optimizer, total)
        timed = clock.read()
        logged = dict(losses.logged())
        rois = logged["roi_head/num_fg_samples"] + logged["roi_head/num_bg_samples"]
        return Iteration(**timed, rois=rois, loss=float(total.detach()))

    return step, network


def torchvision_step(size: Size, ours: MaskRCNN) -> Step:
    """Return a step of torchvision's network with our weights."""
    body = resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
    network = TorchvisionMaskRCNN(
        _resnet_fpn_extractor(body, _TRAINED_STAGES),
        num_classes=2,
        image_mean=[value / 255 for value in _MEAN],
        image_std=[value / 255 for value in _STD],
        rpn_pre_nms_top_n_train=2000,
        rpn_post_nms_top_n_train=size.proposals,
        box_batch_size_per_image=size.rois,
        # Images come in their size; resizing masks by a factor of 1 would be counted against it.
        _skip_resize=True,
    ).train()
    copy_weights(ours, network)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=_RATE, momentum=0.9, weight_decay=1e-4)
    sampled: list[int] = []
    usual = network.roi_heads.select_training_samples

    def counted(*arguments: Any) -> Any:
        samples = usual(*arguments)
        sampled.extend(len(each) for each in samples[0])
        return samples

    network.roi_heads.select_training_samples = counted

    def step(batch: Sequence[TrainingImage]) -> Iteration:
        images, targets = [image.image.float() / 255 for image in batch], [target_of(image) for image in batch]
        sampled.clear()
        clock = _Clock()
        losses: dict[str, Tensor] = network(images, targets)
        total = torch.stack(list(losses.values())).sum()
        _descend(optimizer, total)
        timed = clock.read()
        return Iteration(**timed, rois=sum(sampled) / len(sampled), loss=float(total.detach()))

    return step


def target_of(image: TrainingImage) -> dict[str, Tensor]:
    """Return an image's nuclei as torchvision takes them: masks of the whole image."""
    height_px, width_px = image.image.shape[1:]
    assert isinstance(image.masks, BitMasks)
    masks = torch.zeros(len(image.boxes_xyxy), height_px, width_px, dtype=torch.uint8)
    for index, ((x, y), bitmap) in enumerate(zip(image.masks.corners_xy, image.masks.bitmaps, strict=True)):
        masks[index, y : y + bitmap.shape[0], x : x + bitmap.shape[1]] = torch.from_numpy(bitmap)
    return {"boxes": image.boxes_xyxy.float(), "labels": image.class_indices + 1, "masks": masks}


@torch.no_grad()
def copy_weights(ours: MaskRCNN, theirs: nn.Module) -> None:
    """Give torchvision's network our weights; its background rows, which our heads lack, stay as they are."""
    stored = ours.state_dict()
    for name, tensor in theirs.state_dict().items():
        values = stored[str(detectron2_name(name))]
        if "cls_score" in name:
            # Background is last here and first there.
            values = values.roll(1, dims=0)
        tensor[len(tensor) - len(values) :] = values


def _descend(optimizer: torch.optim.Optimizer, total: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


if __name__ == "__main__":
    sys.exit(main())
