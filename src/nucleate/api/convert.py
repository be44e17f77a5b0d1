"""`nucleate convert`: a run folder in, a small model folder out."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from nucleate.api.loading import model_folder
from nucleate.errors import CheckpointError, ConfigError, MissingExtraError, NucleateError, ResultsError
from nucleate.files import folder_lock, write_bytes
from nucleate.files.lock import LOCK_NAME
from nucleate.models.run_card import CARD_NAME, RunCard

ConvertFormat = Literal["onnx", "nucleate", "detectron2"]

CONFIG_NAME, METRICS_NAME, ONNX_NAME = "config.yaml", "metrics.json", "model.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertReport:
    """What was written.

    Attributes:
        folder: the new model's.
        weights: the file of the network.
        size_bytes: of it.
        what: one line about it.
    """

    folder: Path
    weights: Path
    size_bytes: int
    what: str

    def summary(self) -> str:
        """Return what was written, a few lines."""
        return f"{self.weights}: {self.size_bytes / 1e6:.1f} MB, {self.what}"


def convert(run: Path, *, to: ConvertFormat, output: Path) -> ConvertReport:
    """Turn a run into a model folder that `segment --model` and `evaluate` take.

    onnx: a star-convex network for OpenVINO and onnxruntime, which needs no torch. nucleate: any network's weights in
    half precision without the optimiser; small enough to pass on, and `train --resume` goes on from it. A folder of
    Detectron2's keeps every bit instead, and gets a card. detectron2: a Mask R-CNN's config.yaml and checkpoint, with
    which Detectron2 finds the same nuclei; what it can't build is refused.

    Args:
        run: A run folder, Detectron2's output folder, or a model's name.
        to: onnx, nucleate or detectron2.
        output: The new folder.

    Raises:
        CheckpointError: no weights in the run, or damaged ones.
        ConfigError: a network that the format does not hold.
        MissingExtraError: torch or onnx are not installed.
        ResultsError: the output folder holds something, or can't be written.
    """
    folder, output = model_folder(run), Path(output)
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("converting", "train")
    if output.exists() and (not output.is_dir() or any(each.name != LOCK_NAME for each in output.iterdir())):
        raise ResultsError("holds something already: choose a new folder", path=output)
    card = RunCard.read(folder)
    if to == "onnx" and card.network != "star-convex":
        raise ConfigError(f"{folder.name} is a {card.network}: only star-convex networks go to ONNX")
    with _new_folder(output):
        match to:
            case "onnx":
                weights, what = _as_onnx(folder, card, output)
            case "nucleate":
                weights, what = _as_nucleate(folder, output)
            case "detectron2":
                weights, what = _as_detectron2(folder, output)
            case _ as unknown:
                assert_never(unknown)
        for name in (CARD_NAME, CONFIG_NAME, METRICS_NAME):
            # An exported network is no training: its records stay behind.
            wanted = to != "onnx" or name == CARD_NAME
            if wanted and (folder / name).is_file() and not (output / name).exists():
                write_bytes(output / name, (folder / name).read_bytes())
    return ConvertReport(folder=output, weights=weights, size_bytes=weights.stat().st_size, what=what)


@contextmanager
def _new_folder(output: Path) -> Iterator[None]:
    """Hold the output folder; one that was made for a conversion that failed goes again."""
    existed = output.exists()
    try:
        with folder_lock(output):
            yield
    except NucleateError:
        if not existed:
            shutil.rmtree(output, ignore_errors=True)
        raise


def _as_onnx(folder: Path, card: RunCard, output: Path) -> tuple[Path, str]:
    from nucleate.models.star_convex.export import export_onnx
    from nucleate.models.star_convex.loading import load_network

    path = output / ONNX_NAME
    export_onnx(load_network(folder, card), path)
    return path, "float16 weights, uint8 images in"


def _as_detectron2(folder: Path, output: Path) -> tuple[Path, str]:
    from nucleate.training.mask_rcnn.conversion import write_detectron2_folder

    return write_detectron2_folder(folder, output)


def _as_nucleate(folder: Path, output: Path) -> tuple[Path, str]:
    from nucleate.training.mask_rcnn.conversion import is_detectron2_folder, write_model_folder

    return write_model_folder(folder, output) if is_detectron2_folder(folder) else _as_half(folder, output)


def _as_half(folder: Path, output: Path) -> tuple[Path, str]:
    from nucleate.models.checkpoints import find_weights
    from nucleate.training.run_folder import halved, read_state, save_checkpoint

    path = find_weights(folder)
    try:
        state = halved(read_state(path))
    except CheckpointError as error:
        raise CheckpointError(
            "weights alone, without a training's state: nothing to make smaller", path=path
        ) from error
    save_checkpoint(output, path.name, state)
    return output / path.name, f"float16 weights after {state.iteration + 1} iterations, no optimiser"
