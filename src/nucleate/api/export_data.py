"""`nucleate export DATA`: a prepared data set in the formats of other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from nucleate.core import OverlapRule
from nucleate.data import read_dataset
from nucleate.errors import ConfigError
from nucleate.export import DatasetExport, DatasetFormat, write_dataset
from nucleate.export.dataset_export import LABEL_FORMATS

DATASET_FORMATS: tuple[DatasetFormat, ...] = get_args(DatasetFormat)


def is_dataset(path: Path) -> bool:
    """Return whether a path is a folder that `prepare` made, or a COCO file."""
    return (path / "annotations" / "all.json").is_file() or (path.suffix.lower() == ".json" and path.is_file())


def export_dataset(given: Sequence[Path], *, to: str, output: Path, overlaps: OverlapRule = "score") -> DatasetExport:
    """Write one data set as another program wants it.

    Raises:
        ConfigError: several data sets, a format that is for slides' results, or a rule for overlaps in another format.
        DataError: the data set is damaged, or nuclei overlap that must not.
        ResultsError: the output is not empty or can't be written.
    """
    if len(given) > 1:
        raise ConfigError(f"{given[1]}: one data set a call")
    for name in DATASET_FORMATS:
        if name == to:
            if overlaps != "score" and name not in LABEL_FORMATS:
                raise ConfigError(f"--overlaps is for {', '.join(sorted(LABEL_FORMATS))}: {to} gives no pixel an owner")
            return write_dataset(read_dataset(given[0]), name, output, overlaps=overlaps)
    raise ConfigError(f"--to {to} is for slides' results; a data set goes to {', '.join(DATASET_FORMATS)}")
