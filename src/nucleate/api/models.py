"""`nucleate models`: which models there are, and what their licences allow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nucleate.api.loading import SHIPPED_MODELS, model_folder
from nucleate.assets.weights import PUBLISHED_WEIGHTS
from nucleate.models.run_card import RunCard


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One model.

    Attributes:
        name: what `--model` or `--weights` takes.
        use: segment (`--model`), or start a training (`--weights`).
        network: the kind of network.
        licence: of the weights.
        commercial_use: whether the licence allows it; None where its publisher leaves that to the user.
        learned_from: the data, with their licences.
        size_bytes: of the weights in the package; None for weights that are fetched.
    """

    name: str
    use: str
    network: str
    licence: str
    commercial_use: bool | None
    learned_from: str
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelList:
    """The models, those in the package first."""

    entries: tuple[ModelEntry, ...]

    def summary(self) -> str:
        """Return one paragraph a model."""
        return "\n".join(_text(entry) for entry in self.entries)


def models() -> ModelList:
    """List the models: what they are for, their licences, whether commercial use is allowed."""
    shipped = [_shipped(name) for name in SHIPPED_MODELS]
    fetched = [
        ModelEntry(
            name=weights.name,
            use="train --weights",
            network="mask-rcnn",
            licence=weights.licence,
            commercial_use=weights.commercial_use,
            learned_from=weights.learned_from,
        )
        for weights in PUBLISHED_WEIGHTS
    ]
    return ModelList(entries=(*shipped, *fetched))


def _shipped(name: str) -> ModelEntry:
    folder = model_folder(name)
    card = RunCard.read(folder)
    return ModelEntry(
        name=name,
        use="segment --model",
        network=card.network,
        licence=card.licence,
        commercial_use=card.commercial_use,
        learned_from=card.learned_from,
        size_bytes=sum(path.stat().st_size for path in _weights_in(folder)),
    )


def _weights_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix in (".pth", ".onnx")]


def _text(entry: ModelEntry) -> str:
    place = "fetched when asked for" if entry.size_bytes is None else f"{entry.size_bytes / 1e6:.1f} MB, in the package"
    commercial = {True: "commercial use allowed", False: "no commercial use", None: "commercial use: not stated"}[
        entry.commercial_use
    ]
    return (
        f"{entry.name}  ({entry.network}; {entry.use}; {place})\n"
        f"    licence: {entry.licence}; {commercial}\n"
        f"    learned from: {entry.learned_from}"
    )
