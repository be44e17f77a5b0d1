"""`nucleate.yaml`: what a run's weights are, beside Detectron2's `config.yaml`, which holds Detectron2's keys only."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

import nucleate
from nucleate.core.stain import StainNormalisation
from nucleate.errors import CheckpointError
from nucleate.files import write_text

Network = Literal["mask-rcnn", "star-convex"]
CARD_NAME = "nucleate.yaml"
_TUPLES = frozenset({"class_names", "trained_on_all_of"})
_VERSIONED = ("numpy", "opencv-python-headless", "pillow", "timm", "torch", "torchvision")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSummary:
    """Which data a model was trained on.

    Attributes:
        path: the data set as given to `train`.
        fingerprint: `CocoDataset.fingerprint` of its training split.
        images: training images.
        nuclei: annotated nuclei on them.
    """

    path: str
    fingerprint: str
    images: int
    nuclei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCard:
    """Everything that `segment` and `evaluate` need to know of a run and can't read off its weights.

    Attributes:
        name: shown in results.
        recipe: the recipe's name; "" for a checkpoint from elsewhere.
        network: the kind of network.
        class_names: one a class index.
        tile_px: side of the images that the network was trained at; larger images are cut into tiles of it.
            None takes every image whole, as Detectron2 does.
        nucleus_diameter_px: median equivalent diameter of the training nuclei in image pixels; None if unknown.
        working_diameter_px: median nuclear diameter that images are brought to before the network; None for a network
            that takes them as they are.
        working_mpp: um/px at which nuclei have the working diameter, as far as one number says that of all tissues;
            None where unknown.
        source_diameters_px: median nuclear diameter of the training images of each source, in their own pixels.
        score_threshold: nuclei above it make the instance map and the tables.
        score_threshold_from: how the threshold was chosen.
        most_overlap: largest share of the smaller one's pixels that two outlines of a star-convex network may have in
            common, chosen with the threshold; None for the default.
        magnification: factor from an image as it was taken to the training images (`prepare --resize`).
        stain: the normalisation that the training images had; applied to every image before the network.
        data: what it was trained on; None if unknown.
        trained_on_all_of: sources of which no image was held back, so that no split of them tests the model.
        licence: of the weights; "" where the owner of the run has not said.
        commercial_use: whether the licence allows it.
        learned_from: data and start weights with their licences, for people.
        iterations: that the finished run's weights have seen; None while it is trained, or unknown.
        best: what `model_best.pth` is: its file, metric, score, iterations and score threshold; empty without one.
        settings: the training settings in full.
        versions: of this package, Python and what computes.
    """

    name: str
    recipe: str = ""
    network: Network = "mask-rcnn"
    class_names: tuple[str, ...] = ("nucleus",)
    tile_px: int | None = None
    nucleus_diameter_px: float | None = None
    working_diameter_px: float | None = None
    working_mpp: float | None = None
    source_diameters_px: Mapping[str, float] = field(default_factory=dict)
    score_threshold: float = 0.5
    score_threshold_from: str = "default"
    most_overlap: float | None = None
    magnification: float = 1.0
    stain: StainNormalisation | None = None
    data: DataSummary | None = None
    trained_on_all_of: tuple[str, ...] = ()
    licence: str = ""
    commercial_use: bool = False
    learned_from: str = ""
    iterations: int | None = None
    best: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.network not in get_args(Network):
            raise CheckpointError(f"network {self.network!r}: one of {', '.join(get_args(Network))}", path=CARD_NAME)
        if not 0 <= self.score_threshold <= 1:
            raise CheckpointError(f"score_threshold {self.score_threshold} lies outside 0 to 1", path=CARD_NAME)
        if self.most_overlap is not None and not 0 <= self.most_overlap <= 1:
            raise CheckpointError(f"most_overlap {self.most_overlap} lies outside 0 to 1", path=CARD_NAME)
        if not 0.05 <= self.magnification <= 20:
            raise CheckpointError(f"magnification {self.magnification}: 0.05 to 20", path=CARD_NAME)
        for name in ("nucleus_diameter_px", "working_diameter_px", "working_mpp"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise CheckpointError(f"{name} {value}: a positive number, or null where unknown", path=CARD_NAME)
        if self.tile_px is not None and self.tile_px < 32:
            raise CheckpointError(f"tile_px {self.tile_px}: at least 32", path=CARD_NAME)

    def write(self, folder: Path) -> None:
        """Write the card into a run folder."""
        content = asdict(self)
        for name in _TUPLES:
            content[name] = list(content[name])
        content["stain"] = None if self.stain is None else self.stain.to_dict()
        write_text(folder / CARD_NAME, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    @classmethod
    def read(cls, folder: Path) -> RunCard:
        """Read a run folder's card.

        Returns:
            The card; for a folder without one (a run of Detectron2 itself) the defaults, named after the folder.

        Raises:
            CheckpointError: the file is damaged or holds an unknown field.
        """
        path = folder / CARD_NAME
        if not path.is_file():
            return cls(name=folder.name)
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            for name in _TUPLES & content.keys():
                content[name] = tuple(content[name])
            if content.get("stain") is not None:
                content["stain"] = StainNormalisation.from_dict(content["stain"])
            if content.get("data") is not None:
                content["data"] = DataSummary(**content["data"])
            return cls(**content)
        except (yaml.YAMLError, TypeError, AttributeError, KeyError, ValueError, UnicodeDecodeError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"damaged card: {reason}; restore the file or remove it", path=path) from error


def current_versions() -> dict[str, str]:
    """Return the versions of this package, of Python and of the libraries that change numbers."""
    versions = {"nucleate": nucleate.__version__, "python": platform.python_version()}
    for name in _VERSIONED:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
