"""`prepare`: annotated images of any source in, one COCO data set with splits and an audit out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import track

from nucleate.api.prepared_folder import finished_report
from nucleate.api.prepared_splits import split_images
from nucleate.core.stain import StainNormalisation
from nucleate.data.assembly import (
    IMAGES_FOLDER,
    AssemblySettings,
    Candidate,
    Normalise,
    PreparedImage,
    prepare_image,
    stain_reference,
)
from nucleate.data.audit.files import write_audit
from nucleate.data.audit.report import Audit
from nucleate.data.audited import audited_preparation
from nucleate.data.classes import list_classes
from nucleate.data.document import numbered, write_documents
from nucleate.data.grouping import grouping_kind, read_grouping
from nucleate.data.name_lists import NameList, names_of, read_name_list, unique_file_names
from nucleate.data.read_ahead import read_ahead
from nucleate.data.report import (
    PrepareReport,
    inexact_polygons,
    make_report,
    mended_items,
    preparation_notes,
    tally,
    vague_area_notes,
)
from nucleate.data.segmentations import MaskEncoding
from nucleate.data.sources import Dropped, Source, SourceFormat, open_source, source_digest
from nucleate.data.splits import SplitPlan
from nucleate.data.staging import staged_folder
from nucleate.errors import ConfigError, DataError
from nucleate.files import write_json

FormatChoice = Literal["auto", SourceFormat]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSettings:
    """Options of `prepare`.

    Attributes:
        format: Format of the sources; auto finds each one's own by what lies in it.
        labels: Folder of label images or other annotations for a source that holds images alone.
        images: Folder of the images, where they don't lie beside their annotations.
        split: Share of the images for training, such as 0.8; the rest is for validation.
        folds: Number of folds; the one named by --fold becomes the test set, a tenth of the rest the validation set.
        fold: Fold to test on, from 0; 0 unless given.
        seed: Seed of folds and shares; 19 is NuInsSeg's own.
        group_by: Keep images together in folds and shares: organ, species, pattern:REGEX (its first bracket in the
            file name is the group, such as a patient or slide), or a FILE.csv with the columns image and group.
        stratify: Give every fold its share of every organ, or source where no organ is known.
        only: Take only these images: a text file of names, a folds/NAME.json (its split too, unless another is
            asked for), or the list nuinsseg-532.
        classes: Keep the sources' classes; else all nuclei are of the class nucleus.
        min_area: Drop nuclei of fewer pixels than this, counted and named; 1 keeps all.
        masks: How masks are written: auto takes polygons where they are exact and run-length codes elsewhere;
            polygon forces polygons (holes are filled, differences counted); rle forces run-length codes.
        resize: Short side in pixels that images and masks are resized to, aspect kept; as they are unless given.
        normalise: Stain normalisation: macenko towards the literature's reference, reinhard towards the data
            set's own median; pale and glass images stay as they are.
        fresh: Replace a data set of other settings in the output folder.
    """

    format: FormatChoice = "auto"
    labels: Path | None = None
    images: Path | None = None
    split: float | None = None
    folds: int | None = None
    fold: int | None = None
    seed: int = 19
    group_by: str | None = None
    stratify: bool = False
    only: str | None = None
    classes: bool = False
    min_area: int = 1
    masks: MaskEncoding = "auto"
    resize: int | None = None
    normalise: Normalise = "none"
    fresh: bool = False

    def __post_init__(self) -> None:
        if self.split is not None and not 0 < self.split < 1:
            raise ConfigError(f"--split {self.split:g}: give the training share, between 0 and 1")
        if self.split is not None and self.folds is not None:
            raise ConfigError("--split and --folds exclude each other: give one of them")
        if self.folds is not None and self.folds < 2:
            raise ConfigError(f"--folds {self.folds}: at least 2 are needed")
        if self.fold is not None and self.folds is None:
            raise ConfigError("--fold says which of the --folds to test on: give --folds too")
        if self.fold is not None and not 0 <= self.fold < (self.folds or 0):
            raise ConfigError(f"--fold {self.fold}: folds count from 0 to {(self.folds or 0) - 1}")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"--seed {self.seed}: give 0 to {2**32 - 1}")
        if self.min_area < 0:
            raise ConfigError(f"--min-area {self.min_area}: give a number of pixels, 0 or more")
        if self.resize is not None and not 16 <= self.resize <= 16384:
            raise ConfigError(f"--resize {self.resize}: give a short side of 16 to 16384 pixels")
        if self.stratify and self.folds is None:
            raise ConfigError("--stratify is for --folds; shares of --split are stratified as they are")
        if self.group_by is not None and grouping_kind(self.group_by) in ("organ", "species") and self.stratify:
            raise ConfigError(
                f"--stratify spreads organs over the folds, --group-by {self.group_by} keeps them together"
            )

    def recorded(self) -> dict[str, Any]:
        """Return the plain values that decide a data set's content."""
        values = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
        del values["fresh"]
        return values


def prepare(sources: Sequence[Path], *, output: Path, settings: PrepareSettings = PrepareSettings()) -> PrepareReport:
    """Make one COCO data set of annotated images: images, annotations, splits, and an audit of what was left out.

    Args:
        sources: Folders or COCO JSON files with annotated images.
        output: Folder of the data set.
        settings: see `PrepareSettings`.

    Returns:
        what was kept and left out; `summary()` is a text for people.

    Raises:
        DataError: a source is missing, of no known format, unsound, or no image of it can be used.
        ConfigError: options that don't fit the sources.
        ResultsError: the output folder holds something else, is in use, or can't be written.
    """
    output = Path(output)
    opened = _open_sources(sources, settings)
    listed = None if settings.only is None else read_name_list(settings.only)
    grouping = None if settings.group_by is None else read_grouping(settings.group_by)
    recorded = {
        "settings": settings.recorded(),
        "sources": [
            {"name": name, "format": source.format, "digest": source_digest(source)} for name, source in opened
        ],
        "only": [] if listed is None else list(listed.names),
        "groups": "" if grouping is None else grouping.digest,
    }
    complete = finished_report(output, recorded, fresh=settings.fresh)
    if complete is not None:
        return complete
    candidates, notes = _candidates(opened, listed)
    with staged_folder(output) as folder:
        stain = stain_reference(candidates, settings.normalise, short_side_px=settings.resize)
        images, unfit = _prepare_images(candidates, folder, settings, stain)
        plan = SplitPlan(
            share=settings.split,
            folds=settings.folds,
            fold=settings.fold or 0,
            seed=settings.seed,
            stratified=settings.stratify,
        )
        lists, split_notes = split_images(images, plan=plan, grouping=grouping, listed=listed)
        notes += split_notes
        splits = {"train": lists.train, "val": lists.val, "test": lists.test}
        declared = [name for _, source in opened for name in source.class_names]
        classes = list_classes(images, declared, keep=settings.classes)
        write_documents(folder, images, classes=classes, splits=splits)
        write_json(folder / "folds" / f"{lists.name}.json", lists.to_dict(), indent=1)
        dropped = [each for _, source in opened for each in source.left_out]
        dropped += unfit + [each for image in images for each in image.dropped]
        items = tally(dropped)
        notes += classes.notes() + preparation_notes(images) + vague_area_notes(folder)
        audit = Audit.of(
            audited_preparation(images, folder / IMAGES_FOLDER, classes=classes, splits=splits),
            left_out=items,
            mended=mended_items(images),
        )
        report = make_report(output, images, lists, audit=audit, notes=notes, stain=stain)
        write_audit(
            folder,
            audit,
            name=", ".join(name for name, _ in opened),
            facts=[("Sources", ", ".join(f"{name} ({source.format})" for name, source in opened))],
            recorded={**recorded, "report": report.to_dict(), "inexact_polygons": inexact_polygons(images)},
        )
    logger.info("%s: %d images, %d nuclei", output, report.images, report.nuclei)
    return report


def _open_sources(sources: Sequence[Path], settings: PrepareSettings) -> list[tuple[str, Source]]:
    """Return the sources with names that differ."""
    if not sources:
        raise ConfigError("no source: give at least one folder or COCO JSON file")
    if len(sources) > 1 and (settings.labels is not None or settings.images is not None):
        raise ConfigError("--labels and --images belong to a single source: prepare it alone, then join the data sets")
    named: dict[str, Source] = {}
    for path in sources:
        source = open_source(
            Path(path),
            source_format=None if settings.format == "auto" else settings.format,
            labels=settings.labels,
            images=settings.images,
        )
        name, number = source.name, 2
        while name in named:
            name, number = f"{source.name}-{number}", number + 1
        named[name] = source
    return list(named.items())


def _candidates(opened: list[tuple[str, Source]], listed: NameList | None) -> tuple[list[Candidate], list[str]]:
    """Return the chosen images in key order, and notes."""
    several = len(opened) > 1
    pairs = [(name, source, image) for name, source in opened for image in source.images]
    file_names = unique_file_names([(name, image.key) for name, _, image in pairs])
    candidates = [
        Candidate(
            source=source,
            image=image,
            key=f"{name}/{image.key}" if several else image.key,
            source_name=image.origin or name,
            file_name=file_name,
        )
        for (name, source, image), file_name in zip(pairs, file_names, strict=True)
    ]
    notes = [note for _, source in opened for note in source.notes]
    if listed is not None:
        known = [names_of(each.image.key, each.file_name) for each in candidates]
        wanted = set(listed.names)
        missing = listed.missing(known)
        candidates = [each for each, names in zip(candidates, known, strict=True) if names & wanted]
        if missing:
            notes.append(f"--only: {len(missing)} of {len(wanted)} names are not in the sources, first {missing[0]!r}")
        if not candidates:
            raise DataError(f"--only: none of its {len(wanted)} names is in the sources, first {missing[0]!r}")
    return sorted(candidates, key=lambda each: each.key), notes


def _unfit_item(candidate: Candidate, error: DataError) -> str:
    """Return image and problem in a line, with the annotation's file where that is the damaged one."""
    file = None if error.path in (None, candidate.image.path) else error.path
    places = [candidate.key, *([] if file is None else [file.name]), *([] if error.item is None else [error.item])]
    return ": ".join([*places, error.message])


def _prepare_images(
    candidates: list[Candidate], folder: Path, settings: PrepareSettings, stain: StainNormalisation | None
) -> tuple[list[PreparedImage], list[Dropped]]:
    console = Console(stderr=True)
    assembly = AssemblySettings(masks=settings.masks, min_area_px=settings.min_area, short_side_px=settings.resize)
    images: list[PreparedImage] = []
    unfit: list[Dropped] = []
    with closing(read_ahead([candidate.image for candidate in candidates])) as readers:
        shown = track(candidates, "prepare", console=console, disable=not console.is_terminal, transient=True)
        for candidate, read in zip(shown, readers, strict=True):
            try:
                images.append(prepare_image(candidate, folder, settings=assembly, stain=stain, read=read))
            except DataError as error:
                unfit.append(Dropped(reason="image that can't be used", item=_unfit_item(candidate, error)))
    if not images:
        raise DataError(f"none of the {len(candidates)} images can be used, first {unfit[0].item}")
    for each in unfit:
        logger.warning("left out: %s", each.item)
    return numbered(images), unfit
