from __future__ import annotations

import pytest
import torch

from nucleate.errors import ConfigError
from nucleate.training import precision
from nucleate.training.precision import agreed_precision, loss_scaler, resolve_precision
from nucleate.training.processes import ALONE

CPU = torch.device("cpu")


def test_what_is_asked_for_is_taken_without_a_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_convolution_seconds", None)
    assert resolve_precision("fp32", CPU)[0] is None
    assert resolve_precision("bf16", CPU)[0] is torch.bfloat16


@pytest.mark.parametrize(("bf16_s", "expected"), [(0.1, torch.bfloat16), (0.9, None), (10.0, None)])
def test_auto_takes_bf16_where_it_is_much_faster(
    monkeypatch: pytest.MonkeyPatch, bf16_s: float, expected: torch.dtype | None
) -> None:
    seconds = {torch.float32: 1.0, torch.bfloat16: bf16_s}
    monkeypatch.setattr(precision, "_convolution_seconds", lambda device, dtype: seconds[dtype])
    chosen, line = resolve_precision("auto", CPU)
    assert chosen is expected
    assert "1000.0 ms in fp32" in line


def test_a_timing_is_a_positive_number_of_seconds() -> None:
    assert precision._convolution_seconds(CPU, torch.float32, side_px=8) > 0


def test_fp16_is_refused_where_it_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_built(*_: object, **__: object) -> float:
        raise RuntimeError("not implemented for 'Half'")

    monkeypatch.setattr("nucleate.training.precision._convolution_seconds", not_built)
    with pytest.raises(ConfigError, match="precision: fp16 is not computed on this cpu"):
        resolve_precision("fp16", CPU)


def test_the_loss_is_scaled_in_fp16_alone() -> None:
    assert loss_scaler(torch.float16, CPU) is not None
    assert loss_scaler(torch.bfloat16, CPU) is None
    assert loss_scaler(None, CPU) is None


def test_a_timing_of_before_is_kept_and_a_wish_is_not_overruled() -> None:
    assert agreed_precision("auto", CPU, ALONE, before="bf16") == ("bf16", torch.bfloat16)
    assert agreed_precision("fp32", CPU, ALONE, before="bf16") == ("fp32", None)
