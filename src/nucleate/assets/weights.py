"""Weights by name: what is published where, under which licence, fetched once and checked."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from nucleate.assets.cache import cache_folder
from nucleate.assets.downloads import DEFAULT_SETTINGS, DownloadSettings, RemoteFile, download
from nucleate.errors import ConfigError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedWeights:
    """Weights that somebody else publishes.

    Attributes:
        name: what `--weights` takes.
        file: where from, and its checksum where the publisher states one.
        licence: as its publisher states it.
        commercial_use: whether the licence allows it.
        learned_from: the data that they were trained on.
    """

    name: str
    file: RemoteFile
    licence: str
    commercial_use: bool
    learned_from: str


_ZOO = "https://dl.fbaipublicfiles.com/detectron2/COCO-InstanceSegmentation"

PUBLISHED_WEIGHTS = (
    PublishedWeights(
        name="mask_rcnn_R_50_FPN_3x",
        file=RemoteFile(
            name="mask_rcnn_R_50_FPN_3x_f10217.pkl",
            urls=(f"{_ZOO}/mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl",),
        ),
        licence="CC BY-SA 3.0 (Detectron2's model zoo)",
        commercial_use=True,
        learned_from="COCO 2017 (photographs under Flickr's terms), from ImageNet weights",
    ),
)


def find_weights(
    name: str,
    *,
    cache: Path | None = None,
    published: tuple[PublishedWeights, ...] = PUBLISHED_WEIGHTS,
    settings: DownloadSettings = DEFAULT_SETTINGS,
) -> Path:
    """Return the file of weights, fetching those that have a name.

    Args:
        name: a file, or a name of `published`.
        cache: folder for fetched files; None takes the user's cache.
        published: what has a name.
        settings: of the download.

    Raises:
        ConfigError: neither a file nor a known name.
        DownloadError: it could not be fetched; the line says where to get it and where to put it.
    """
    path = Path(name)
    if path.is_file():
        return path
    for weights in published:
        if weights.name == name:
            _log.info("%s: licence %s", name, weights.licence)
            target = cache_folder(cache) / "weights" / weights.file.name
            return download(weights.file, target, settings=settings)
    known = ", ".join(weights.name for weights in published)
    raise ConfigError(f"neither a file nor a known name; names: {known}", item=f"--weights {name}")
