"""Safe reading of weights, `.pth` and the zoo's `.pkl`, loading them with every difference named, and halving them."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nucleate.errors import CheckpointError
from nucleate.models.caffe2_names import detectron2_name, with_background_last
from nucleate.models.restricted_pickle import read_array_pickle
from nucleate.models.torchvision_names import is_torchvision, with_detectron2_names

FINAL_NAME = "model_final.pth"
BEST_NAME = "model_best.pth"
LAST_NAME = "last_checkpoint"
_BODY_PREFIX = "backbone.bottom_up."
_CLASS_HEADS = ("roi_heads.box_predictor.", "roi_heads.mask_head.predictor.")
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWeights:
    """What a file holds, under Detectron2's names.

    Args:
        path: the file.
        tensors: name -> tensor on the CPU.
        ignored: names in the file that no network has a place for: pixel statistics and anchors of old
            checkpoints, ImageNet's classifier, momentum.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchingReport:
    """What `load_matching` did.

    Args:
        loaded: names that were filled.
        left_out: (name, reason) of stored tensors that were not used.
        not_stored: names of the network that keep their initial values.
    """

    loaded: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    not_stored: tuple[str, ...]


def find_weights(path: Path) -> Path:
    """Return the weights of a run: the file itself, or what a folder's `last_checkpoint` names, or `model_final.pth`.

    Raises:
        CheckpointError: there are none.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise CheckpointError("no such file or folder", path=path)
    final, last = path / FINAL_NAME, path / LAST_NAME
    # A training that was resumed beyond its end and stopped has newer weights than its first end.
    if last.is_file():
        named = path / Path(last.read_text(encoding="utf-8").strip()).name
        if named.is_file():
            return named
    if final.is_file():
        return final
    raise CheckpointError(f"no {FINAL_NAME} and no weights that {LAST_NAME} names", path=path)


def read_weights(path: Path) -> StoredWeights:
    """Read a checkpoint without running anything in it.

    Args:
        path: `.pth` or `.pt` as torch writes it (Detectron2's {'model', ...} or a bare state dict; torchvision's
            ResNets and Mask R-CNNs get Detectron2's names), or `.pkl` as the model zoo has it: Detectron2 names, or
            Caffe2 names of an ImageNet backbone or a Detectron1 detector.

    Raises:
        CheckpointError: the file is missing, broken, asks for more than arrays, or holds no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError("no such file", path=path)
    stored = _read_array_file(path) if path.suffix == ".pkl" else _read_torch_file(path)
    ignored = tuple(sorted(name for name in stored if _is_ignored(name)))
    tensors = {name: tensor for name, tensor in stored.items() if not _is_ignored(name)}
    if not any("." in name for name in tensors):
        raise CheckpointError("holds no weights with names this program knows", path=path)
    usable = {name: tensor for name, tensor in tensors.items() if "." in name}
    return StoredWeights(path=path, tensors=usable, ignored=ignored + tuple(sorted(set(tensors) - set(usable))))


def load_strictly(network: nn.Module, weights: StoredWeights) -> None:
    """Fill a network with weights that fit it name by name and shape by shape.

    Counters of batch norm may lack or be left over, since frozen norms have none.

    Raises:
        CheckpointError: a tensor is missing, left over or of another shape; all are counted, the first is named.
    """
    wanted = network.state_dict()
    tensors = weights.tensors
    missing = [name for name in wanted if name not in tensors and not name.endswith(_COUNTER)]
    unexpected = [name for name in tensors if name not in wanted and not name.endswith(_COUNTER)]
    problems = [
        f"{len(names)} {what} (first: {names[0]})"
        for what, names in (("missing", missing), ("unexpected", unexpected))
        if names
    ]
    problems += [
        f"{name} has shape {_shape(tensors[name])} where the configuration asks for {_shape(wanted[name])}"
        for name in wanted
        if name in tensors and tensors[name].shape != wanted[name].shape
    ]
    if problems:
        hint = "is config.yaml the one that was written with these weights?"
        raise CheckpointError(f"tensors don't fit the network: {'; '.join(problems[:3])}; {hint}", path=weights.path)
    network.load_state_dict({name: tensor for name, tensor in tensors.items() if name in wanted}, strict=False)


def load_matching(network: nn.Module, weights: StoredWeights) -> MatchingReport:
    """Fill what fits, for fine-tuning: heads of another class count and what is not stored keep their values.

    Args:
        network: where to put them.
        weights: a backbone, or a detector, possibly with another number of classes.

    Returns:
        What was filled and each tensor that was not, for the log.

    Raises:
        CheckpointError: nothing fits, or a tensor other than the class heads has another shape.
    """
    wanted = network.state_dict()
    fitting: dict[str, Tensor] = {}
    left_out = [(name, "not a tensor of the network") for name in weights.ignored]
    for name, tensor in weights.tensors.items():
        if name not in wanted:
            left_out.append((name, "the network has no such tensor"))
        elif tensor.shape == wanted[name].shape:
            fitting[name] = tensor
        elif name.startswith(_CLASS_HEADS):
            left_out.append((name, f"shape {_shape(tensor)}, the network's is {_shape(wanted[name])}"))
        else:
            raise CheckpointError(
                f"has shape {_shape(tensor)} where the configuration asks for {_shape(wanted[name])}",
                path=weights.path,
                item=name,
            )
    if not fitting:
        raise CheckpointError("none of its tensors belongs to this network", path=weights.path)
    network.load_state_dict(fitting, strict=False)
    not_stored = tuple(name for name in wanted if name not in fitting)
    return MatchingReport(loaded=tuple(fitting), left_out=tuple(left_out), not_stored=not_stored)


def read_torch_file(path: Path) -> Any:
    """Return what torch saved in a file, read without running anything in it.

    Raises:
        CheckpointError: the file is missing, damaged, or holds more than tensors and plain values.
    """
    try:
        with warnings.catch_warnings():
            # torch warns of pickle protocols that it may not read; whether it could is what follows.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = "not read: it holds more than tensors, or is no checkpoint of torch"
        raise CheckpointError(reason, path=path) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError) as error:
        raise CheckpointError(f"is no readable checkpoint ({type(error).__name__})", path=path) from error


def half_where_it_fits(tensor: Tensor) -> Tensor:
    """Return a tensor in float16; as it is where it holds no floats, or values beyond float16's."""
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    return half if bool(torch.isfinite(half).all()) else tensor


def _read_torch_file(path: Path) -> dict[str, Tensor]:
    stored = read_torch_file(path)
    model = stored.get("model", stored) if isinstance(stored, Mapping) else stored
    if not isinstance(model, Mapping):
        raise CheckpointError(f"holds a {type(model).__name__}, not named tensors", path=path)
    for name, tensor in model.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError("holds something that is no named tensor", path=path, item=str(name))
    return with_detectron2_names(model, path) if is_torchvision(model) else dict(model)


def _read_array_file(path: Path) -> dict[str, Tensor]:
    stored = read_array_pickle(path)
    if not isinstance(stored, Mapping):
        raise CheckpointError(f"holds a {type(stored).__name__}, not named arrays", path=path)
    if "blobs" in stored:
        stored = stored["blobs"]
    native = "model" in stored
    arrays = stored["model"] if native else stored
    if not isinstance(arrays, Mapping):
        raise CheckpointError("holds no named arrays", path=path)
    named = {str(name): value for name, value in arrays.items() if isinstance(value, np.ndarray)}
    if any(value.dtype == np.object_ for value in named.values()):
        raise CheckpointError("holds arrays of python objects, not of numbers", path=path)
    if not native:
        return _from_caffe2(named)
    body = named and all(name.startswith(("stem.", "res", "fc.")) for name in named)
    return {(f"{_BODY_PREFIX}{name}" if body else name): _tensor(value) for name, value in named.items()}


def _from_caffe2(named: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    tensors = {}
    for name, values in named.items():
        renamed = detectron2_name(name)
        # A name without a dot is one that no network knows; `read_weights` reports it.
        tensors[renamed or name.replace(".", "_")] = _tensor(
            values if renamed is None else with_background_last(renamed, values)
        )
    return tensors


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(values, order="C"))


def _is_ignored(name: str) -> bool:
    return name in {"pixel_mean", "pixel_std"} or "anchor_generator.cell_anchors" in name


def _shape(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "scalar"
