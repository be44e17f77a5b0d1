"""`nucleate fetch`: published annotated data sets, from their publishers, checked, unpacked, ready for `prepare`."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from nucleate.assets import (
    PUBLISHED_SETS,
    DownloadSettings,
    PublishedSet,
    RemoteFile,
    download,
    published_set,
    read_record,
    sha256_of,
    unpack,
)
from nucleate.data.sources import open_source
from nucleate.data.staging import staged_folder, strangers_in
from nucleate.errors import ConfigError, DataError, DownloadError, ResultsError
from nucleate.files import write_json

RECORD_NAME = "fetched.json"
# Archives that are unpacked while others of the set are not.
UNFINISHED = "unfinished"
ZIP_SUFFIX = ".zip"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSetList:
    """What `fetch` knows by name.

    Attributes:
        sets: in their order.
    """

    sets: tuple[PublishedSet, ...]

    def summary(self) -> str:
        """Return a table for people."""
        lines = [
            f"{each.name:10}{_size(each.size_bytes):>8}  {each.licence}\n{'':20}{each.content}" for each in self.sets
        ]
        lines.append("nucleate fetch NAME --output DIR brings one; zenodo:NUMBER brings any record of Zenodo")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """A file of a data set.

    Attributes:
        name: in the output folder.
        size_bytes: of it.
        sha256: of its content.
        checked_by: the publisher's checksum that it was checked by, "" where none was to be had.
        unpacked: the folder that it was unpacked to, relative to the output folder; "" for what is no zip.
    """

    name: str
    size_bytes: int
    sha256: str
    checked_by: str
    unpacked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """A data set that is here now.

    Attributes:
        name: of the set.
        output: the folder.
        licence: of the set.
        citation: to give with results.
        page: of the publisher.
        files: what was fetched.
        ready: what `prepare` reads, with its format and number of images.
        already_complete: nothing was done, since it was here.
    """

    name: str
    output: Path
    licence: str
    citation: str
    page: str
    files: tuple[FetchedFile, ...]
    ready: tuple[tuple[str, str, int], ...]
    already_complete: bool = False

    def summary(self) -> str:
        """Return a few lines for people."""
        done = "already here, nothing done" if self.already_complete else "done"
        lines = [f"{self.output}: {self.name}, {done}", f"licence: {self.licence}", f"cite: {self.citation}"]
        for file in self.files:
            how = f"{file.checked_by} is right" if file.checked_by else "its publisher states no checksum"
            lines.append(f"{file.name}: {_size(file.size_bytes)}, {how}, sha256 {file.sha256[:16]}... recorded")
        lines += [f"{folder}: {images:,} annotated images ({kind})" for folder, kind, images in self.ready]
        if self.ready:
            sources = " ".join(f'"{self.output / folder}"' for folder, _, _ in self.ready)
            lines.append(f"next: nucleate prepare {sources} --output data/{self.name.replace(':', '-')}")
        else:
            lines.append("no format that `prepare` reads was found in it; docs/formats.md names them")
        zips = [file.name for file in self.files if file.unpacked]
        if zips:
            lines.append(f"{', '.join(zips)} is unpacked and may be deleted")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values that `fetched.json` holds."""
        plain = asdict(self)
        del plain["output"], plain["already_complete"]
        return plain


def fetch(name: str | None = None, *, output: Path | None = None) -> FetchReport | PublishedSetList:
    """Bring a published data set: fetched with its checksums, resumed where it broke off, unpacked for `prepare`.

    Its licence is shown before and recorded in fetched.json. Without a name, the sets are listed.

    Args:
        name: nuinsseg, tnbc, dsb2018, pannuke, or zenodo:NUMBER for any record of Zenodo.
        output: Folder for it; needed with a name.

    Returns:
        What was fetched and what to do next, or the list; `summary()` is a text for people.

    Raises:
        ConfigError: an unknown name, or no output.
        DownloadError: it can't be fetched; the line says where to get it and where to put it.
        DataError: the publisher's record or archive is damaged or unsafe.
        ResultsError: the output folder holds something else, or can't be written.
    """
    if name is None:
        return PublishedSetList(sets=PUBLISHED_SETS)
    found = published_set(name)
    if output is None:
        raise ConfigError(f"--output is needed: nucleate fetch {name} --output DIR")
    return fetch_set(found, Path(output))


def fetch_set(wanted: PublishedSet, output: Path, *, settings: DownloadSettings | None = None) -> FetchReport:
    """Bring a data set (see `fetch`); settings say how long to try."""
    settings = settings or DownloadSettings()
    if output.exists() and not output.is_dir():
        raise ResultsError("is a file: --output names a folder", path=output)
    complete = _finished(wanted.name, output)
    if complete is not None:
        return complete
    wanted = _as_published(wanted, settings)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    size = sum(file.size_bytes or 0 for file in wanted.files) or wanted.size_bytes
    console.print(f"{wanted.name}: {_size(size)}, licence {wanted.licence}; cite {wanted.citation}", markup=False)
    for file in wanted.files:
        _bring(file, output / file.name, wanted, settings, console)
    # All are here before the first is unpacked: the longest part can be broken off and goes on.
    files = [_kept(file, output, wanted.name) for file in wanted.files]
    report = FetchReport(
        name=wanted.name,
        output=output,
        licence=wanted.licence,
        citation=wanted.citation,
        page=wanted.page,
        files=tuple(files),
        ready=_ready(output, [file.unpacked for file in files if file.unpacked]),
    )
    write_json(output / RECORD_NAME, {**_records(output), wanted.name: report.to_dict()}, indent=1)
    return report


def _as_published(wanted: PublishedSet, settings: DownloadSettings) -> PublishedSet:
    """Return the set with what its record states; as the list has it where the record can't be had."""
    if wanted.record_url is None:
        return wanted
    try:
        record = read_record(wanted.record_url, settings=settings)
    except DownloadError as error:
        if not wanted.files:
            raise DownloadError(
                f"{wanted.name} could not be looked up ({error.message}): get its files from {wanted.page} on a machine"
                " with a network, unpack them and run `nucleate prepare` on the folder"
            ) from error
        logger.info("%s", error)
        return wanted
    if not record.files:
        raise DataError(f"{wanted.record_url}: the record holds no files")
    return replace(
        wanted,
        files=record.files,
        licence=record.licence or wanted.licence or "not stated: ask its authors",
        citation=wanted.citation or record.citation,
    )


def _bring(file: RemoteFile, target: Path, wanted: PublishedSet, settings: DownloadSettings, console: Console) -> None:
    """Fetch one file, with a bar; what lies at its place must be the very file."""
    if target.is_file() and not file.is_at(target):
        raise DownloadError(f"is there, but not of {file.checksum}, as its publisher states: move it away", path=target)
    with _bar(console) as bar:
        task = bar.add_task(file.name, total=file.size_bytes)

        def show(done: int, whole: int) -> None:
            bar.update(task, completed=done, total=whole or None)

        try:
            download(file, target, settings=settings, progress=show)
        except DownloadError as error:
            raise DownloadError(
                f"{error.message}, then run this command again: it checks and unpacks it ({wanted.page})",
                path=error.path,
            ) from error


def _kept(file: RemoteFile, output: Path, name: str) -> FetchedFile:
    """Return what is recorded of a file, unpacked where it is a zip."""
    target = output / file.name
    sha256 = sha256_of(target)
    is_zip = target.suffix.lower() == ZIP_SUFFIX
    if is_zip:
        _unpack_once(target, sha256, output, name)
    return FetchedFile(
        name=file.name,
        size_bytes=target.stat().st_size,
        sha256=sha256,
        checked_by="" if file.checksum is None else str(file.checksum),
        unpacked=target.stem if is_zip else "",
    )


def _unpack_once(archive: Path, sha256: str, output: Path, name: str) -> None:
    """Unpack a zip into a folder of its stem, whole or not at all, unless an earlier call did."""
    folder = output / archive.stem
    records = _records(output)
    entry = records.get(name)
    unfinished = entry.get(UNFINISHED, {}) if isinstance(entry, dict) else {}
    if folder.is_file() or strangers_in(folder, ()):
        if unfinished.get(archive.stem) == sha256:
            return
        raise ResultsError("is there already and was not made by this `fetch`: move it away", path=folder)
    with staged_folder(folder) as staging:
        unpack(archive, staging)
    write_json(output / RECORD_NAME, {**records, name: {UNFINISHED: {**unfinished, archive.stem: sha256}}}, indent=1)


def _ready(output: Path, folders: list[str]) -> tuple[tuple[str, str, int], ...]:
    """Return the folders that `prepare` reads, with format and number of images; a folder alone is looked into."""
    found = []
    for name in folders:
        inside = sorted((output / name).iterdir())
        for folder in (output / name, *(inside if len(inside) == 1 and inside[0].is_dir() else ())):
            try:
                source = open_source(folder)
            except DataError as error:
                logger.info("%s", error)
                continue
            found.append((folder.relative_to(output).as_posix(), source.format, len(source.images)))
            break
    return tuple(found)


def _records(output: Path) -> dict[str, Any]:
    try:
        value = json.loads((output / RECORD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _finished(name: str, output: Path) -> FetchReport | None:
    """Return the report of a set that is here, whole; archives may have been deleted since."""
    try:
        plain = dict(_records(output)[name])
        files = tuple(FetchedFile(**file) for file in plain.pop("files"))
        ready = tuple((str(folder), str(kind), int(images)) for folder, kind, images in plain.pop("ready"))
        report = FetchReport(output=output, files=files, ready=ready, already_complete=True, **plain)
    except (KeyError, TypeError, ValueError):
        return None
    here = all((output / (file.unpacked or file.name)).exists() for file in files)
    return report if here else None


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def _size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "?"
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"
