"""The star-convex network as an ONNX file: uint8 images in, shares and distances out, weights in float16."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import torch

from nucleate.errors import MissingExtraError
from nucleate.files import write_bytes
from nucleate.models.checkpoints import half_where_it_fits
from nucleate.models.star_convex.deployed import DeployedNetwork
from nucleate.models.star_convex.network import StarConvexNetwork

INPUT_NAME, OUTPUT_NAMES = "images_rgb", ("shares", "log_distances")
_OPSET = 18
_LARGE = 16
"""Tensors of fewer elements stay float32: they cost nothing."""


def export_onnx(network: StarConvexNetwork, path: Path) -> None:
    """Write the network as ONNX.

    The graph takes `images_rgb`, (N, H, W, 3) uint8 with sides that are multiples of 32, and answers `shares`,
    (N, 3, H / 2, W / 2) float32: depth, inside and quality, each from 0 to 1; and `log_distances`,
    (N, 32, H / 2, W / 2) float32: the natural logarithms of the distances in input pixels.

    Args:
        network: in any mode; it is exported in `eval()` mode, in float32 on the CPU.
        path: the file.

    Raises:
        MissingExtraError: onnx is not installed.
        ResultsError: the file can't be written.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise MissingExtraError("the export to ONNX", "train") from error
    was_training, dtype = network.training, network.decoder_dtype
    network.eval()
    network.decoder_dtype = None
    example = torch.zeros(2, 64, 96, 3, dtype=torch.uint8)
    side = torch.export.Dim.DYNAMIC
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                DeployedNetwork(network),
                (example,),
                input_names=[INPUT_NAME],
                output_names=list(OUTPUT_NAMES),
                opset_version=_OPSET,
                dynamo=True,
                dynamic_shapes={"images_rgb": {0: side, 1: side, 2: side}},
                verbose=False,
            )
    finally:
        network.train(was_training)
        network.decoder_dtype = dtype
    assert program is not None
    model = program.model_proto
    _store_as_float16(model, onnx)
    _forget_where_it_was_made(model)
    onnx.checker.check_model(model)
    content = io.BytesIO()
    onnx.save_model(model, content)
    write_bytes(path, content.getvalue())


def _store_as_float16(model, onnx) -> None:  # type: ignore[no-untyped-def] # onnx's own classes
    """Halve the file: large tensors are stored in float16 and cast back, which engines do once, when they load it."""
    casts = []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _LARGE:
            continue
        halves = half_where_it_fits(torch.from_numpy(values.copy()))
        if halves.dtype != torch.float16:
            continue
        name = tensor.name
        half = onnx.numpy_helper.from_array(halves.numpy(), name=f"{name}_half")
        tensor.CopyFrom(half)
        casts.append(onnx.helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT))
    for node in reversed(casts):
        model.graph.node.insert(0, node)


def _forget_where_it_was_made(model) -> None:  # type: ignore[no-untyped-def] # onnx's own class
    """Take the source lines and paths of this machine out of a file that others get."""
    for each in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del each.metadata_props[:]
        each.doc_string = ""
    for function in model.functions:
        for each in (function, *function.node, *function.value_info):
            del each.metadata_props[:]
            each.doc_string = ""
