"""Masks of the areas of an image where nobody can say what is a nucleus."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from nucleate.data import CocoDataset, ImageRecord
from nucleate.errors import DataError
from nucleate.files import read_label_map

SUFFIXES = (".png", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class VagueAreas:
    """A folder with one mask an image, at the image's path inside its folder or under its name; not 0 is vague.

    Attributes:
        folder: the suffix of a mask may differ from its image's.
    """

    folder: Path

    def fingerprint(self, dataset: CocoDataset) -> str:
        """Return 16 hexadecimal digits that change with the masks of a data set's images.

        Raises:
            DataError: an image has no mask.
        """
        digest = hashlib.sha256()
        missing = [record.file_name for record in dataset.records if self._path(record) is None]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(dataset)} images have no vague area, the first is {missing[0]!r}; an image "
                "without one needs a mask of zeros",
                path=self.folder,
            )
        for record in dataset.records:
            digest.update(self._checked_path(record).read_bytes())
        return digest.hexdigest()[:16]

    def read(self, record: ImageRecord) -> NDArray[np.bool_]:
        """Return the (H, W) vague pixels of an image.

        Raises:
            DataError: it has no mask, or one of another size.
        """
        path = self._checked_path(record)
        vague = read_label_map(path) != 0
        if vague.shape != record.frame.shape:
            raise DataError(
                f"a vague area of {vague.shape[1]} x {vague.shape[0]} for an image of {record.frame.width_px} x "
                f"{record.frame.height_px}",
                path=path,
            )
        return np.asarray(vague)

    def _checked_path(self, record: ImageRecord) -> Path:
        path = self._path(record)
        if path is None:
            raise DataError(f"no vague area of {record.file_name!r}", path=self.folder)
        return path

    def _path(self, record: ImageRecord) -> Path | None:
        name = PurePosixPath(record.file_name).with_suffix("")
        stems = [self.folder / name, self.folder / name.name]
        candidates = (stem.with_name(stem.name + suffix) for stem in stems for suffix in SUFFIXES)
        return next((path for path in candidates if path.is_file()), None)
