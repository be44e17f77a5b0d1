"""Weights by name: what is published where, under which licence, fetched once and checked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
        commercial_use: whether the licence allows it; None where the publisher leaves that to the user.
        learned_from: the data that they were trained on.
        config: keys of Detectron2's configuration that they need and that no file of theirs tells, with the values.
    """

    name: str
    file: RemoteFile
    licence: str
    commercial_use: bool | None
    learned_from: str
    config: Mapping[str, object] = field(default_factory=dict)

    def check(self, value_of: Callable[[str], object]) -> None:
        """Refuse a configuration that the weights were not trained with.

        Args:
            value_of: the configuration's value of a key.

        Raises:
            ConfigError: it has another value for a key of `config`.
        """
        for key, needed in self.config.items():
            value = value_of(key)
            plain = list(value) if isinstance(value, tuple) else value
            if plain != needed:
                raise ConfigError(f"{plain!r}, but {self.name} was trained with {needed!r}", item=key)


_ZOO = "https://dl.fbaipublicfiles.com/detectron2/"
_ZOO_SCHEME = "detectron2://"
_ZOO_LICENCE = "CC BY-SA 3.0 (Detectron2's model zoo)"


_TORCHVISION = "https://download.pytorch.org/models/"
_TORCHVISION_LICENCE = "BSD-3-Clause (torchvision); the weights' own terms may follow from their data, as it says"
_TORCHVISION_INPUT: dict[str, object] = {
    "INPUT.FORMAT": "RGB",
    "MODEL.PIXEL_MEAN": [123.675, 116.28, 103.53],
    "MODEL.PIXEL_STD": [58.395, 57.12, 57.375],
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
}


def _mask_rcnn(name: str, number: int, version: str, depth: int = 50) -> PublishedWeights:
    return PublishedWeights(
        name=name,
        file=RemoteFile(
            name=f"{name}_{version}.pkl",
            urls=(f"{_ZOO}COCO-InstanceSegmentation/{name}/{number}/model_final_{version}.pkl",),
        ),
        licence=_ZOO_LICENCE,
        commercial_use=True,
        learned_from="COCO 2017 (photographs under Flickr's terms), from ImageNet weights",
        config={"MODEL.RESNETS.DEPTH": depth},
    )


def _msra_backbone(depth: int) -> PublishedWeights:
    return PublishedWeights(
        name=f"imagenet-msra-R-{depth}",
        file=RemoteFile(name=f"MSRA_R-{depth}.pkl", urls=(f"{_ZOO}ImageNetPretrained/MSRA/R-{depth}.pkl",)),
        licence=_ZOO_LICENCE,
        commercial_use=True,
        learned_from="ImageNet-1k (photographs under their owners' terms); a backbone for BGR images, PIXEL_STD 1",
        config={"MODEL.RESNETS.DEPTH": depth},
    )


def _torchvision(name: str, digits: str, depth: int, learned_from: str, number: str = "") -> PublishedWeights:
    """Return weights of torchvision's; its file names state the first digits of their sha256."""
    file_name = f"{name}-{digits}.pth"
    return PublishedWeights(
        name=f"torchvision-{name}{number}",
        file=RemoteFile(name=file_name, urls=(f"{_TORCHVISION}{file_name}",), sha256=digits),
        licence=_TORCHVISION_LICENCE,
        commercial_use=None,
        learned_from=learned_from,
        config={**_TORCHVISION_INPUT, "MODEL.RESNETS.DEPTH": depth},
    )


_IMAGENET = "ImageNet-1k (photographs under their owners' terms); a backbone for RGB images"


PUBLISHED_WEIGHTS = (
    _mask_rcnn("mask_rcnn_R_50_FPN_3x", 137849600, "f10217"),
    _mask_rcnn("mask_rcnn_R_50_FPN_1x", 137260431, "a54504"),
    _mask_rcnn("mask_rcnn_R_101_FPN_3x", 138205316, "a3ec72", 101),
    _msra_backbone(50),
    _msra_backbone(101),
    _torchvision(
        "maskrcnn_resnet50_fpn_coco",
        "bf2d0c1e",
        50,
        "COCO 2017 (photographs under Flickr's terms), from ImageNet weights",
    ),
    _torchvision("resnet50", "0676ba61", 50, _IMAGENET),
    _torchvision("resnet50", "11ad3fa6", 50, _IMAGENET, "-v2"),
    _torchvision("resnet101", "63fe2227", 101, _IMAGENET),
    _torchvision("resnet101", "cd907fc2", 101, _IMAGENET, "-v2"),
)


def published_weights(
    name: str, published: tuple[PublishedWeights, ...] = PUBLISHED_WEIGHTS
) -> PublishedWeights | None:
    """Return the published weights of a name or address (`https://...`, `detectron2://...`), None for a stranger."""
    address = _ZOO + name.removeprefix(_ZOO_SCHEME) if name.startswith(_ZOO_SCHEME) else name
    return next((each for each in published if name == each.name or address in each.file.urls), None)


def recognised_weights(name: str) -> PublishedWeights | None:
    """Return the published weights of a name or address, or those that a file is a copy of by its name."""
    by_file = (each for each in PUBLISHED_WEIGHTS if Path(name).is_file() and Path(name).name == each.file.name)
    return published_weights(name) or next(by_file, None)


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
