"""A fake model for slides."""

from __future__ import annotations

import sys

import pytest

from nucleate.api.loading import LoadedModel
from tests.api.slide_calls import CARD
from tests.inference.fake_segmenter import InkSegmenter


@pytest.fixture
def ink(monkeypatch: pytest.MonkeyPatch) -> InkSegmenter:
    """Let `segment` load a fake model that works at the drawn slides' scale."""
    segmenter = InkSegmenter()
    model = LoadedModel(segmenter=segmenter, card=CARD)
    monkeypatch.setattr(sys.modules["nucleate.api.segment"], "load_model", lambda *_, **__: model)
    return segmenter
