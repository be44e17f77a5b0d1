"""What goes wrong for a user, each with the place and the remedy; the command line prints one line of it."""

from __future__ import annotations

from pathlib import Path


class NucleateError(Exception):
    """Something that the person at the keyboard can mend.

    Args:
        message: what is wrong, the value found, the value allowed, what to do.
        path: the file or folder that it concerns.
        item: the place inside that file (a key, an annotation, a line).
    """

    def __init__(self, message: str, *, path: Path | str | None = None, item: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = None if path is None else Path(path)
        self.item = item

    def __str__(self) -> str:
        places = [str(place) for place in (self.path, self.item) if place is not None]
        return ": ".join([*places, self.message])


class DataError(NucleateError):
    """An image, annotation or data set that can't be taken as it is."""


class SlideRegionError(DataError):
    """A region of a slide that can't be read; the rest of the slide can.

    Args:
        message: what is wrong.
        path: the slide.
        window_xyxy: the region in level-0 pixels, half-open.
    """

    def __init__(self, message: str, *, path: Path | str, window_xyxy: tuple[int, int, int, int]) -> None:
        x1, y1, x2, y2 = window_xyxy
        super().__init__(message, path=path, item=f"region x {x1} to {x2}, y {y1} to {y2}")
        self.window_xyxy = window_xyxy


class ConfigError(NucleateError):
    """A setting that is unknown, of the wrong type, out of range or not built."""


class CheckpointError(NucleateError):
    """Weights that can't be read, don't fit the network or aren't safe to load."""


class TrainingError(NucleateError):
    """A training that can't go on: diverged, or asked to resume where nothing stands."""


class DownloadError(NucleateError):
    """A file that could not be fetched, or whose checksum differs."""


class ResultsError(NucleateError):
    """An output folder that holds other results, is in use, or can't be written."""


class FolderInUseError(ResultsError):
    """A folder that another process writes to now."""


class DiskFullError(ResultsError):
    """No space is left: whatever comes next would fail too."""


class MissingExtraError(NucleateError):
    """A part that needs an optional installation."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra {extra!r}: run `pip install '.[{extra}]'` from the checkout")
        self.extra = extra


def first_and_count(problems: list[str], where: str) -> str:
    """Return one line for many problems: the first, and how many more there are and where they stand.

    Args:
        problems: at least one line.
        where: the file that lists them all.
    """
    more = len(problems) - 1
    return problems[0] if not more else f"{problems[0]} (and {more} more: see {where})"
