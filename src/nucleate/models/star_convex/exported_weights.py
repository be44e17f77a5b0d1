"""The weights of an exported network back in torch, for trainings that leave its norms as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nucleate.errors import CheckpointError, MissingExtraError
from nucleate.models.star_convex.deployed import parted
from nucleate.models.star_convex.network import StarConvexNetwork

_HEADS = ("shares", "log_distances")


def load_exported(network: StarConvexNetwork, path: Path) -> None:
    """Fill a network with what `export_onnx` wrote, so that in `eval()` mode it answers the same.

    The export folds each norm into the convolution before it, and those that grow maps into transposed ones
    (`DeployedNetwork`). Here the norm gets mean 0, variance 1 and factor 1, and the folded bias: the same function as
    long as its statistics stay, and no other one could be told from the file.

    Args:
        network: with the exported one's decoder channels.
        path: the ONNX file.

    Raises:
        CheckpointError: the file is damaged, or of another network.
        MissingExtraError: onnx is not installed.
    """
    stored = _named_as_trained(_stored_arrays(path), len(network.stages()), path)
    tensors: dict[str, Tensor] = {}
    norm_of = _norms_after_convolutions(network)
    for name, module in network.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        tensors[f"{name}.weight"] = _tensor(stored, f"{name}.weight", module.weight.shape, path)
        if name not in norm_of:
            tensors[f"{name}.bias"] = _tensor(stored, f"{name}.bias", module.weight.shape[:1], path)
            continue
        norm_name, norm = norm_of[name]
        bias = _tensor(stored, f"{name}.weight_bias", module.weight.shape[:1], path)
        tensors[f"{norm_name}.weight"] = torch.ones_like(bias)
        tensors[f"{norm_name}.bias"] = bias
        tensors[f"{norm_name}.running_mean"] = torch.zeros_like(bias)
        tensors[f"{norm_name}.running_var"] = torch.ones_like(bias) - norm.eps
    network.load_state_dict(tensors, strict=False)


def _named_as_trained(
    stored: dict[str, NDArray[np.float32]], stages: int, path: Path
) -> dict[str, NDArray[np.float32]]:
    """Return the arrays with the decoder and the head as the trained network has them.

    Raises:
        CheckpointError: a part of them is missing, or parts don't fit each other.
    """
    named = {name: array for name, array in stored.items() if name.startswith("encoder.")}
    try:
        for index in range(stages):
            at, to = f"stages.{index}", f"decoder.{index}"
            below = parted(torch.from_numpy(stored[f"{at}.grow.weight"].copy())).numpy()
            named[f"{to}.merge.0.weight"] = np.concatenate([below, stored[f"{at}.skip.weight"]], axis=1)
            named[f"{to}.merge.0.weight_bias"] = stored[f"{at}.grow.bias"]
            for kind in ("weight", "weight_bias"):
                named[f"{to}.refine.0.{kind}"] = stored[f"{at}.refine.0.{kind}"]
        for kind in ("weight", "bias"):
            named[f"head.{kind}"] = np.concatenate([stored[f"{head}.{kind}"] for head in _HEADS])
    except KeyError as error:
        raise _lacks(str(error.args[0]), path) from error
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(
            "has parts that don't fit each other: give an export of this package", path=path
        ) from error
    return named


def _lacks(name: str, path: Path) -> CheckpointError:
    return CheckpointError(
        "lacks a tensor of the star-convex network: give an export of this package", path=path, item=name
    )


def _norms_after_convolutions(network: nn.Module) -> dict[str, tuple[str, nn.BatchNorm2d]]:
    """Return each convolution's norm with its name; modules come in the order in which they run."""
    pairs: dict[str, tuple[str, nn.BatchNorm2d]] = {}
    waiting: str | None = None
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            waiting = name
        elif isinstance(module, nn.BatchNorm2d) and waiting is not None:
            pairs[waiting] = (name, module)
            waiting = None
    return pairs


def _stored_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("starting from an exported network", "train") from error
    try:
        model = onnx.load(str(path))
        return {
            tensor.name.removesuffix("_half"): np.asarray(onnx.numpy_helper.to_array(tensor), np.float32)
            for tensor in model.graph.initializer
            if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
        }
    except (DecodeError, OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"is no readable ONNX file ({type(error).__name__})", path=path) from error


def _tensor(stored: dict[str, NDArray[np.float32]], name: str, shape: torch.Size, path: Path) -> Tensor:
    if name not in stored:
        raise _lacks(name, path)
    array = stored[name]
    if array.shape != tuple(shape):
        raise CheckpointError(
            f"has shape {'x'.join(map(str, array.shape))}, the recipe's network {'x'.join(map(str, shape))}:"
            " set decoder_channels as it was",
            path=path,
            item=name,
        )
    return torch.from_numpy(array.copy())
