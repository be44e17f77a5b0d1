"""The exported network run without torch: by OpenVINO, or by onnxruntime where OpenVINO has no wheel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nucleate.errors import CheckpointError, ConfigError
from nucleate.models.star_convex.decoding import DenseMaps

Precision = Literal["auto", "fp32", "bf16"]
_FINGERPRINT_CHARACTERS = 16
_ANSWERS = 2
Answers = tuple[NDArray[np.float32], NDArray[np.float32]]
Compute = Callable[[NDArray[np.uint8]], Answers]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How the network is run.

    Attributes:
        precision: auto takes bf16 where the processor has units for it (AMX, AVX512-BF16), else fp32.
        threads: of the processor; 0 leaves the engine's choice.
        streams: images that are computed side by side; 1 is fastest for one image at a time.
    """

    precision: Precision = "auto"
    threads: int = 0
    streams: int = 1

    def __post_init__(self) -> None:
        if self.threads < 0 or self.streams < 1:
            raise ConfigError(f"{self.threads} threads, {self.streams} streams: 0 or more, at least 1")


DEFAULT_ENGINE = EngineSettings()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnnxEngine:
    """A loaded network.

    Attributes:
        fingerprint: 16 hexadecimal digits over the file.
        library: openvino or onnxruntime.
        precision: that it runs in.
        compute: (N, H, W, 3) uint8 to (N, 3, h, w) shares and (N, R, h, w) logarithms of distances, float32.
    """

    fingerprint: str
    library: str
    precision: str
    compute: Compute

    @classmethod
    def load(cls, path: Path, settings: EngineSettings = DEFAULT_ENGINE) -> OnnxEngine:
        """Load an ONNX file that `export_onnx` wrote.

        Raises:
            CheckpointError: the file is missing or damaged.
            ConfigError: no library that runs it is installed, or it can't do the precision.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"can't be read: {error.strerror}", path=path) from error
        digest = hashlib.sha256(content).hexdigest()[:_FINGERPRINT_CHARACTERS]
        try:
            import openvino  # noqa: F401
        except ImportError:
            precision, compute = _with_onnxruntime(content, path, settings)
            return cls(fingerprint=digest, library="onnxruntime", precision=precision, compute=compute)
        precision, compute = _with_openvino(content, path, settings)
        return cls(fingerprint=digest, library="openvino", precision=precision, compute=compute)

    def run(self, images_rgb: NDArray[np.uint8]) -> list[DenseMaps]:
        """Return the maps of (N, H, W, 3) images whose sides are multiples of 32."""
        return [
            DenseMaps(depth=depth, inside=inside, quality=quality, log_distances=log_distances)
            for (depth, inside, quality), log_distances in zip(
                *self.compute(np.ascontiguousarray(images_rgb)), strict=True
            )
        ]


def _with_openvino(content: bytes, path: Path, settings: EngineSettings) -> tuple[str, Compute]:
    import openvino

    core = openvino.Core()
    can_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precision = ("bf16" if can_bf16 else "fp32") if settings.precision == "auto" else settings.precision
    if precision == "bf16" and not can_bf16:
        raise ConfigError("this processor has no units for bf16: leave precision at auto, or set fp32")
    options = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "NUM_STREAMS": str(settings.streams),
        "PERFORMANCE_HINT": "LATENCY",
    }
    if settings.threads:
        options["INFERENCE_NUM_THREADS"] = str(settings.threads)
    try:
        compiled = core.compile_model(core.read_model(content), "CPU", options)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise CheckpointError(f"OpenVINO can't read the network: {reason}", path=path) from error
    _check_answers(len(compiled.outputs), path)
    request = compiled.create_infer_request()

    def compute(images_rgb: NDArray[np.uint8]) -> Answers:
        request.infer([images_rgb], share_inputs=True)
        # The next image overwrites the engine's own arrays.
        return np.array(request.get_output_tensor(0).data), np.array(request.get_output_tensor(1).data)

    return precision, compute


def _with_onnxruntime(content: bytes, path: Path, settings: EngineSettings) -> tuple[str, Compute]:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError("neither openvino nor onnxruntime is installed: pip install openvino") from error
    if settings.precision == "bf16":
        raise ConfigError("bf16 needs OpenVINO: leave precision at auto, or set fp32")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).strip().splitlines()[-1]
        raise CheckpointError(f"onnxruntime can't read the network: {reason}", path=path) from error
    _check_answers(len(session.get_outputs()), path)
    name = session.get_inputs()[0].name

    def compute(images_rgb: NDArray[np.uint8]) -> Answers:
        shares, log_distances = session.run(None, {name: images_rgb})
        return np.asarray(shares, np.float32), np.asarray(log_distances, np.float32)

    return "fp32", compute


def _check_answers(count: int, path: Path) -> None:
    if count != _ANSWERS:
        raise CheckpointError(
            f"a network with {count} outputs instead of {_ANSWERS}, from an earlier version: export it again with"
            " `nucleate convert RUN --to onnx`",
            path=path,
        )
