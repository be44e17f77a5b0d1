"""A star-convex model's folder: which engine runs what lies in it."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.errors import CheckpointError, MissingExtraError
from nucleate.models.run_card import RunCard
from nucleate.models.star_convex.averaging import AveragedEngine
from nucleate.models.star_convex.decoding import DEFAULT_DECODING
from nucleate.models.star_convex.onnx_engine import DEFAULT_ENGINE, EngineSettings, OnnxEngine
from nucleate.models.star_convex.segmenter import DenseEngine, StarConvexSegmenter

if TYPE_CHECKING:
    from nucleate.models.star_convex.network import StarConvexNetwork

ONNX_NAME = "model.onnx"

_log = logging.getLogger(__name__)


def load_star_convex(
    folder: Path,
    card: RunCard,
    device: str | None,
    settings: EngineSettings = DEFAULT_ENGINE,
    *,
    accurate: bool = False,
    weights: Path | None = None,
) -> StarConvexSegmenter:
    """Load the network of a folder: model.onnx on the processor, else the weights by torch.

    Args:
        folder: a run folder or a model of the package.
        card: the folder's card.
        device: cpu, cuda or mps; None takes the processor for ONNX files, the best there is for torch.
        settings: of the engine for ONNX files.
        accurate: average the network over flips and turns of each image, at eight times the cost.
        weights: a checkpoint of the folder; None takes its last one.

    Raises:
        CheckpointError: no network here, or a damaged one.
        MissingExtraError: the network needs torch, which is not installed.
    """
    engine = _engine(folder, card, device, settings, weights)
    decoding = DEFAULT_DECODING
    if card.most_overlap is not None:
        decoding = replace(DEFAULT_DECODING, most_overlap=card.most_overlap)
    return StarConvexSegmenter(
        engine=AveragedEngine(engine=engine) if accurate else engine,
        name=card.name,
        class_names=card.class_names,
        decoding=decoding,
    )


def _engine(
    folder: Path, card: RunCard, device: str | None, settings: EngineSettings, weights: Path | None
) -> DenseEngine:
    exported = folder / ONNX_NAME
    if exported.is_file() and device in (None, "cpu") and weights is None:
        engine = OnnxEngine.load(exported, settings)
        _log.info("%s: %s, %s", card.name, engine.library, engine.precision)
        return engine
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(f"{folder.name!r}, which holds a training's checkpoints", "train")
    from nucleate.models.devices import parse_device
    from nucleate.models.star_convex.torch_engine import TorchEngine

    return TorchEngine(network=load_network(folder, card, weights).to(parse_device(device)))


def load_network(folder: Path, card: RunCard, weights: Path | None = None) -> StarConvexNetwork:
    """Return the trained network of a run folder on the CPU, in `eval()` mode; needs torch.

    Args:
        folder: the run folder.
        card: its card.
        weights: a checkpoint of the folder; None takes its last one.

    Raises:
        CheckpointError: no weights here, or weights that don't fit the card.
    """
    from nucleate.models.checkpoints import find_weights, load_strictly, read_weights
    from nucleate.models.star_convex.network import StarConvexNetwork

    channels = card.settings.get("decoder_channels")
    if not isinstance(channels, list) or len(channels) != 4:
        raise CheckpointError("nucleate.yaml names no decoder_channels: restore the file", path=folder)
    network = StarConvexNetwork((channels[0], channels[1], channels[2], channels[3]))
    load_strictly(network, read_weights(find_weights(weights or folder)))
    return network.eval()
