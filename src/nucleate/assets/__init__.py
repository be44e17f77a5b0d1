"""Where files come from that are not in the package: cache, downloads, published data sets, the sample slide."""

from __future__ import annotations

from nucleate.assets.archives import unpack
from nucleate.assets.cache import cache_folder
from nucleate.assets.checksums import has_checksum, sha256_of
from nucleate.assets.downloads import DownloadSettings, RemoteFile, download
from nucleate.assets.published_sets import PUBLISHED_SETS, PublishedSet, published_set
from nucleate.assets.sample_slide import SAMPLE_SLIDE, SampleSlide, find_sample_slide
from nucleate.assets.zenodo import ZenodoRecord, read_record

__all__ = [
    "PUBLISHED_SETS",
    "SAMPLE_SLIDE",
    "DownloadSettings",
    "PublishedSet",
    "RemoteFile",
    "SampleSlide",
    "ZenodoRecord",
    "cache_folder",
    "download",
    "find_sample_slide",
    "has_checksum",
    "published_set",
    "read_record",
    "sha256_of",
    "unpack",
]
