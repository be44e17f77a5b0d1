"""Where files come from that are not in the package: cache, downloads with checksums, the sample slide."""

from __future__ import annotations

from nucleate.assets.cache import cache_folder
from nucleate.assets.downloads import DownloadSettings, RemoteFile, download, has_checksum
from nucleate.assets.sample_slide import SAMPLE_SLIDE, SampleSlide, find_sample_slide

__all__ = [
    "SAMPLE_SLIDE",
    "DownloadSettings",
    "RemoteFile",
    "SampleSlide",
    "cache_folder",
    "download",
    "find_sample_slide",
    "has_checksum",
]
