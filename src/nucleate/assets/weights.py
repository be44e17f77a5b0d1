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


_ZOO = "https://dl.fbaipublicfiles.com/detectron2/"
_ZOO_SCHEME = "detectron2://"
_ZOO_LICENCE = "CC BY-SA 3.0 (Detectron2's model zoo)"


def _mask_rcnn(name: str, number: int, version: str) -> PublishedWeights:
    return PublishedWeights(
        name=name,
        file=RemoteFile(
            name=f"{name}_{version}.pkl",
            urls=(f"{_ZOO}COCO-InstanceSegmentation/{name}/{number}/model_final_{version}.pkl",),
        ),
        licence=_ZOO_LICENCE,
        commercial_use=True,
        learned_from="COCO 2017 (photographs under Flickr's terms), from ImageNet weights",
    )


def _msra_backbone(depth: int) -> PublishedWeights:
    return PublishedWeights(
        name=f"imagenet-msra-R-{depth}",
        file=RemoteFile(name=f"MSRA_R-{depth}.pkl", urls=(f"{_ZOO}ImageNetPretrained/MSRA/R-{depth}.pkl",)),
        licence=_ZOO_LICENCE,
        commercial_use=True,
        learned_from="ImageNet-1k (photographs under their owners' terms); a backbone for BGR images, PIXEL_STD 1",
    )


PUBLISHED_WEIGHTS = (
    _mask_rcnn("mask_rcnn_R_50_FPN_3x", 137849600, "f10217"),
    _mask_rcnn("mask_rcnn_R_50_FPN_1x", 137260431, "a54504"),
    _mask_rcnn("mask_rcnn_R_101_FPN_3x", 138205316, "a3ec72"),
    _msra_backbone(50),
    _msra_backbone(101),
)


def published_weights(
    name: str, published: tuple[PublishedWeights, ...] = PUBLISHED_WEIGHTS
) -> PublishedWeights | None:
    """Return the published weights of a name or address (`https://...`, `detectron2://...`), None for a stranger."""
    address = _ZOO + name.removeprefix(_ZOO_SCHEME) if name.startswith(_ZOO_SCHEME) else name
    return next((each for each in published if name == each.name or address in each.file.urls), None)


def find_weights(
    name: str,
    *,
    cache: Path | None = None,
    published: tuple[PublishedWeights, ...] = PUBLISHED_WEIGHTS,
    settings: DownloadSettings = DEFAULT_SETTINGS,
) -> Path:
    """Return the file of weights, fetching those that have a name.

    Args:
        name: a file, or a name or address of `published`.
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
    weights = published_weights(name, published)
    if weights is not None:
        _log.info("%s: licence %s", weights.name, weights.licence)
        target = cache_folder(cache) / "weights" / weights.file.name
        return download(weights.file, target, settings=settings)
    known = ", ".join(weights.name for weights in published)
    if "://" in name:
        raise ConfigError(
            f"no address of weights that this program fetches: get the file and give its path; names: {known}",
            item=f"--weights {name}",
        )
    raise ConfigError(f"neither a file nor a known name; names: {known}", item=f"--weights {name}")
