from __future__ import annotations

import pytest
import torch

from nucleate.training import precision
from nucleate.training.precision import resolve_precision

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


def test_a_timing_is_a_positive_number_of_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_SIDE_PX", 8)
    assert precision._convolution_seconds(CPU, torch.float32) > 0
