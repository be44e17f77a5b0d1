"""The folder for files that can be fetched again."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def cache_folder(override: Path | None = None) -> Path:
    """Return the cache folder: the one given, else the operating system's place for this user."""
    return Path(platformdirs.user_cache_dir("nucleate", appauthor=False)) if override is None else override
