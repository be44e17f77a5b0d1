"""The star-convex network as an ONNX file: uint8 images in, probabilities and distances out, weights in float16."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nucleate.errors import MissingExtraError
from nucleate.files import write_bytes
from nucleate.models.star_convex.network import StarConvexNetwork

INPUT_NAME, OUTPUT_NAME = "images_rgb", "maps"
_OPSET = 18
_LARGE = 16
"""Tensors of fewer elements stay float32: they cost nothing."""


class _Exported(nn.Module):
    def __init__(self, network: StarConvexNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_rgb: Tensor) -> Tensor:
        maps = self.network(images_rgb.permute(0, 3, 1, 2).float())
        shares = torch.stack([maps.depth, maps.inside, maps.quality], dim=1).sigmoid()
        return torch.cat([shares, maps.log_distances.exp()], dim=1)


def export_onnx(network: StarConvexNetwork, path: Path) -> None:
    """Write the network as ONNX.

    The graph takes `images_rgb`, (N, H, W, 3) uint8 with sides that are multiples of 32, and answers `maps`,
    (N, 3 + 32, H / 2, W / 2) float32: depth, inside, quality, each from 0 to 1, and the distances in input pixels.

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
                _Exported(network),
                (example,),
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
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
    """Halve the file: large weights are stored in float16 and cast back, which engines do once, when they load it."""
    casts = []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _LARGE:
            continue
        name = tensor.name
        half = onnx.numpy_helper.from_array(values.astype(np.float16), name=f"{name}_half")
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
