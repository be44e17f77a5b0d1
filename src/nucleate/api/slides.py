"""Many slides: one after the other, each in its own folder, failures told at the end, shards for job arrays."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nucleate.api.loading import LoadedModel
from nucleate.api.one_slide import result_folder, run_slide
from nucleate.api.slide_request import SlideRequest
from nucleate.errors import ConfigError, DataError, DiskFullError, FolderInUseError, NucleateError
from nucleate.inference import ImageInput, InputFailure
from nucleate.inference.inputs import SLIDE_SUFFIXES
from nucleate.inference.whole_slide import SlideProgress, SlideResult, StageSeconds
from nucleate.slides import is_slide

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Which part of the slides is this process' to do.

    Attributes:
        index: from 1.
        count: of all shards.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that `i/n` names.

        Raises:
            ConfigError: another form, or i outside of 1 to n.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"--shard {text}: give i/n, i from 1 to n; 2/10 is the second of ten parts")
        return cls(index=int(match[1]), count=int(match[2]))

    def takes(self, inputs: Sequence[ImageInput]) -> list[ImageInput]:
        """Return every n-th input from the i-th on."""
        return list(inputs[self.index - 1 :: self.count])


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeSlideSettings:
    """How whole slides are segmented.

    Attributes:
        as_: take every input as an image or as a slide; unset, a pyramid, a scanner's file and more than 8,192 px a
            side is a slide.
        dry_run: tell each slide's scale, tiles, tissue, and what time, disk and memory it will take; segment nothing.
        status: tell which slides of the output are finished; segment nothing.
        shard: i/n, this process' part of the slides: every n-th from the i-th on. Processes may share one output.
        memory: GiB that the process may hold: it decides how many tiles are under way, and on Linux nothing is read
            ahead while the process holds more.
        roi: GeoJSON of regions, level-0 pixels: nuclei are looked for in them alone.
        regions: GeoJSON of regions: their counts, densities, sizes and hot spots are told too (see `nucleate
            regions`).
        colour_profile: bring the scanner's colours to sRGB by the profile in the file.
    """

    as_: Literal["image", "slide"] | None = None
    dry_run: bool = False
    status: bool = False
    shard: str | None = None
    memory: float = 2.5
    roi: Path | None = None
    regions: Path | None = None
    colour_profile: bool = False


DEFAULT_SLIDES = WholeSlideSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidesOutcome:
    """What became of the slides of a call.

    Attributes:
        results: one a slide, failed ones too, in input order.
        failures: of those that could not be segmented.
    """

    results: tuple[SlideResult, ...] = ()
    failures: tuple[InputFailure, ...] = ()


def divide_inputs(
    inputs: Sequence[ImageInput], settings: WholeSlideSettings
) -> tuple[list[ImageInput], list[ImageInput]]:
    """Return the images and the slides among the inputs, the slides of this shard alone.

    Raises:
        ConfigError: a shard that can't be, or of inputs that are images.
    """
    images: list[ImageInput] = []
    slides: list[ImageInput] = []
    for item in inputs:
        (slides if _is_slide(item, settings) else images).append(item)
    if settings.shard is not None:
        shard = Shard.parse(settings.shard)
        if images:
            raise ConfigError(f"--shard divides slides; {images[0].file} is an image (see --as slide)")
        slides = shard.takes(slides)
    return images, slides


def _is_slide(item: ImageInput, settings: WholeSlideSettings) -> bool:
    if item.path is None or settings.as_ is not None:
        return item.path is not None and settings.as_ == "slide"
    try:
        return is_slide(item.path)
    except DataError:
        # Whoever reads it says what is wrong: of a scanner's file the slide's reader, else the image's.
        return item.path.suffix.lower() in SLIDE_SUFFIXES


def segment_slides(
    model: LoadedModel, slides: Sequence[ImageInput], output: Path, request: SlideRequest
) -> SlidesOutcome:
    """Segment slides; one that fails doesn't stop the others.

    Several processes may share the output: a slide that another one holds is left to it.

    Raises:
        DiskFullError: what was finished is kept.
        FolderInUseError: another process holds the only slide.
    """
    results: list[SlideResult] = []
    failures: list[InputFailure] = []
    for number, item in enumerate(slides, start=1):
        assert item.path is not None
        folder = result_folder(output, item.name)
        title = item.name if len(slides) == 1 else f"{item.name} ({number} of {len(slides)})"
        try:
            with slide_bar(title) as progress:
                result = run_slide(model, item.path, item.name, folder, request, progress=progress)
        except DiskFullError:
            raise
        except FolderInUseError:
            if len(slides) == 1:
                raise
            result = SlideResult(name=item.name, folder=folder, state="in work")
        except NucleateError as error:
            failures.append(InputFailure(file=item.file, message=str(error)))
            result = SlideResult(name=item.name, folder=folder, state="failed")
        results.append(result)
        logger.info("%s: %s", item.name, result.state)
    return SlidesOutcome(results=tuple(results), failures=tuple(failures))


@contextmanager
def slide_bar(title: str) -> Iterator[Callable[[SlideProgress], None]]:
    """Show a slide's progress on a terminal while the block runs; gives the function that moves it on."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[found]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[shares]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None, found="", shares="")

        def show(now: SlideProgress) -> None:
            area = "" if now.mm2 is None else f", {now.mm2:.1f} mm2"
            found = f"{now.tiles:,}/{now.tiles_in_all:,} tiles  {now.nuclei:,} nuclei{area}"
            shares = describe_shares(now.seconds)
            if bar.tasks[0].total is None:
                # What an earlier call did says nothing of how fast this one is.
                bar.reset(task, total=now.tiles_in_all, completed=now.tiles, found=found, shares=shares)
            else:
                bar.update(task, completed=now.tiles, found=found, shares=shares)

        yield show


def describe_shares(seconds: StageSeconds) -> str:
    """Return which part of the work each stage is, in few words."""
    total = seconds.reading + seconds.network + seconds.outlines + seconds.writing
    if not total:
        return ""
    stages = (
        ("read", seconds.reading),
        ("network", seconds.network),
        ("outlines", seconds.outlines),
        ("write", seconds.writing),
    )
    return ", ".join(f"{name} {value / total:.0%}" for name, value in stages)
