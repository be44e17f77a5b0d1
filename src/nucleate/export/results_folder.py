"""The folder of image results: written image by image, resumed by a journal, its tables assembled at the end."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, ImageScale, Instances
from nucleate.errors import DataError, ResultsError
from nucleate.export.coco_results import ImagePredictions, read_coco_results, write_coco_results, write_records
from nucleate.export.geojson import write_geojson
from nucleate.export.instance_maps import instance_map, write_instance_map
from nucleate.export.overlays import draw_overlay
from nucleate.export.tables import NucleusRow, nucleus_rows, write_tables
from nucleate.files import write_image, write_json

MAPS_FOLDER = "predicted-ground-truth"
OVERLAYS_FOLDER = "detectron-segmented"
COCO_NAME = "coco_instances_results.json"
STATE_FOLDER = ".nucleate"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedImage:
    """One line of the journal.

    Attributes:
        name: stem of the result files.
        file: how the tables name the image.
        source: where it came from.
        sha256: of the input.
        height_px: of the image.
        width_px: of the image.
        nuclei: found in it.
        scale: what it was resampled by for the network, and why.
    """

    name: str
    file: str
    source: str
    sha256: str
    height_px: int
    width_px: int
    nuclei: int
    scale: ImageScale


class ResultsFolder:
    """One output folder of `segment`. The caller holds `folder_lock`.

    Args:
        folder: the output.
        settings: everything that decides results, as JSON values; a folder takes one.
        class_names: the model's; category ids count them from 1.
        fresh: remove what an earlier run left here.

    Raises:
        ResultsError: the folder holds results of other settings, or the journal is damaged.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], *, class_names: Sequence[str], fresh: bool = False
    ) -> None:
        self.folder = folder
        self._class_names = tuple(class_names)
        self._category_ids = tuple(range(1, len(self._class_names) + 1))
        self._state = folder / STATE_FOLDER
        self._journal = self._state / "journal.jsonl"
        if fresh:
            self._remove_all()
        else:
            self._check_settings(json.loads(json.dumps(settings)))
        write_json(self._state / "settings.json", settings, indent=1)
        self._finished = self._read_journal()

    @property
    def finished(self) -> tuple[FinishedImage, ...]:
        """Return the finished images, by name."""
        return tuple(self._finished[name] for name in sorted(self._finished))

    def finished_as(self, name: str) -> FinishedImage | None:
        """Return what the journal says of a name whose files are all here, None otherwise."""
        image = self._finished.get(name)
        return image if image is not None and all(path.is_file() for path in self._files(image)) else None

    def save(self, image: FinishedImage, image_rgb: NDArray[np.uint8], instances: Instances) -> None:
        """Write one image's map, overlay, GeoJSON and detections, then its line of the journal."""
        self._remove_files(image.name)
        write_instance_map(self.folder / MAPS_FOLDER, image.name, instance_map(instances))
        overlay = draw_overlay(image_rgb, instances, self._class_names)
        write_image(self.folder / OVERLAYS_FOLDER / f"{image.name}.png", overlay)
        write_geojson(self.folder / f"{image.name}.geojson", image.file, instances, self._class_names)
        found = ImagePredictions(image_id=0, file_name=image.file, instances=instances)
        write_coco_results(self._part(image.name), [found], category_ids=self._category_ids)
        self._append(asdict(image))
        self._finished[image.name] = image

    def forget(self, name: str) -> None:
        """Remove one image's files and its line."""
        self._append({"name": name, "removed": True})
        self._finished.pop(name)
        self._remove_files(name)

    def instances(self, name: str) -> Instances:
        """Return the nuclei of a finished image, as its files and the tables have them."""
        image = self._finished[name]
        frame = Frame(height_px=image.height_px, width_px=image.width_px)
        return read_coco_results(self._part(name), {0: frame}, self._category_ids)[0].instances

    def assemble(self, names: Sequence[str]) -> None:
        """Write the COCO results and the tables of everything finished.

        Args:
            names: the images in the order of image ids, from 1; other finished images follow by name.
        """
        order = [name for name in names if name in self._finished]
        order += [name for name in sorted(self._finished) if name not in set(order)]
        write_records(self.folder / COCO_NAME, self._records(order))
        write_tables(self.folder, self._rows(order))

    def _records(self, order: Sequence[str]) -> Iterator[str]:
        for image_id, name in enumerate(order, start=1):
            for record in json.loads(self._part(name).read_text(encoding="utf-8")):
                yield json.dumps({**record, "image_id": image_id}, ensure_ascii=False)

    def _rows(self, order: Sequence[str]) -> Iterator[NucleusRow]:
        for name in order:
            yield from nucleus_rows(self._finished[name].file, self.instances(name), self._class_names)

    def _part(self, name: str) -> Path:
        return self._state / "images" / f"{name}.json"

    def _files(self, image: FinishedImage) -> list[Path]:
        suffix = "tif" if image.nuclei > np.iinfo(np.uint16).max else "png"
        return [
            self.folder / MAPS_FOLDER / f"{image.name}.{suffix}",
            self.folder / OVERLAYS_FOLDER / f"{image.name}.png",
            self.folder / f"{image.name}.geojson",
            self._part(image.name),
        ]

    def _remove_files(self, name: str) -> None:
        maps = [self.folder / MAPS_FOLDER / f"{name}.{suffix}" for suffix in ("png", "tif")]
        overlay = self.folder / OVERLAYS_FOLDER / f"{name}.png"
        for path in (*maps, overlay, self.folder / f"{name}.geojson", self._part(name)):
            path.unlink(missing_ok=True)

    def _remove_all(self) -> None:
        if self._journal.is_file():
            for name in self._read_journal():
                self._remove_files(name)
        for name in (COCO_NAME, "nuclei.csv", "nuclei.parquet"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self._state, ignore_errors=True)

    def _check_settings(self, settings: dict[str, Any]) -> None:
        path = self._state / "settings.json"
        remedy = "choose another --output, or --fresh to start anew"
        if path.is_file():
            try:
                earlier = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ResultsError(f"damaged ({error}): {remedy}", path=path) from error
            if earlier == settings:
                return
            different = [key for key in settings if settings[key] != earlier.get(key)] or ["settings"]
            key = different[0]
            more = f" and {len(different) - 1} more" if len(different) > 1 else ""
            raise ResultsError(
                f"holds results of other settings ({key} {earlier.get(key)}, now {settings.get(key)}{more}): {remedy}",
                path=self.folder,
            )
        if any((self.folder / name).exists() for name in (COCO_NAME, MAPS_FOLDER, OVERLAYS_FOLDER)):
            raise ResultsError(f"holds results of unknown settings: {remedy}", path=self.folder)

    def _read_journal(self) -> dict[str, FinishedImage]:
        finished: dict[str, FinishedImage] = {}
        if not self._journal.is_file():
            return finished
        for line in self._journal.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                if entry.get("removed"):
                    finished.pop(entry["name"], None)
                else:
                    finished[entry["name"]] = FinishedImage(**{**entry, "scale": ImageScale(**entry["scale"])})
            except (DataError, ValueError, TypeError, KeyError, AttributeError):
                # The line that a crash cut off: its image is done again.
                continue
        return finished

    def _append(self, entry: Mapping[str, Any]) -> None:
        try:
            self._state.mkdir(parents=True, exist_ok=True)
            with self._journal.open("ab") as journal:
                # A torn line must not swallow this one: each entry starts a line of its own.
                journal.write(b"\n" + json.dumps(entry, ensure_ascii=False).encode("utf-8") + b"\n")
                journal.flush()
                os.fsync(journal.fileno())
        except OSError as error:
            raise ResultsError(f"can't be written: {error.strerror or error}", path=self._journal) from error
