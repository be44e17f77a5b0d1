"""Fixtures of all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine makes any deadline a coin toss.
settings.register_profile("nucleate", deadline=None, max_examples=50)
settings.load_profile("nucleate")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the public data sets are not in ../shared/data; a synthetic twin of this test has run")
    return folder
