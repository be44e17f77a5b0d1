"""What `segment` returns: the images of one call with their nuclei."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.core import ImageScale, describe_scales
from nucleate.errors import DataError
from nucleate.export import NucleusRow, nuclei_dataframe, nuclei_geodataframe, table_html
from nucleate.inference.inputs import ImageInput
from nucleate.inference.segmented_image import SegmentedImage, count_of_nuclei
from nucleate.inference.whole_slide.outcome import SlideResult, slides_table

if TYPE_CHECKING:
    import geopandas
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

# A notebook keeps the table that it shows; of more images it has the first.
ROWS_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFailure:
    """An input that could not be segmented.

    Attributes:
        file: its name.
        message: one line: where and what.
    """

    file: str
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredResult:
    """One image's result where it lies: in memory or in the output folder.

    Attributes:
        source: the input.
        nuclei: found in it.
        load: gives the image with its nuclei.
    """

    source: ImageInput
    nuclei: int
    load: Callable[[], SegmentedImage]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Segmentation:
    """The images of one call, in input order; `result[0]` is the first, `result["biopsy 3"]` the one of that name.

    `labels`, `plot` and a notebook's picture are those of the image where the call was given one.

    With an output folder the nuclei stay on disk and are read when an image is asked for.

    Attributes:
        stored: one a segmented image.
        scales: of the images.
        slides: what became of each slide; its nuclei are in its folder's table.
        failures: inputs that could not be read; they are not among the images.
        output: where the files are; None when none were written.
        kept: images that an earlier call had finished.
    """

    stored: tuple[StoredResult, ...]
    scales: tuple[ImageScale, ...] = ()
    slides: tuple[SlideResult, ...] = ()
    failures: tuple[InputFailure, ...] = ()
    output: Path | None = None
    kept: int = 0

    @property
    def nuclei(self) -> int:
        """Return the number of nuclei in all images."""
        return sum(result.nuclei for result in self.stored)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the images' names, by which `result[name]` finds them."""
        return tuple(result.source.name for result in self.stored)

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, key: int | str) -> SegmentedImage:
        """Return an image by its place, from 0 or from the end, by its name, or by its file as the tables have it.

        Raises:
            IndexError: there are not so many; tells what could not be read.
            DataError: no image has this name.
        """
        if isinstance(key, str):
            return self._named(key).load()
        if not -len(self) <= key < len(self):
            failed = f"; could not be read: {self.failures[0]}" if self.failures else ""
            raise IndexError(f"image {key} of {len(self)}{failed}")
        return self.stored[key].load()

    def __iter__(self) -> Iterator[SegmentedImage]:
        return (result.load() for result in self.stored)

    def _named(self, name: str) -> StoredResult:
        by_file = {result.source.file: result for result in self.stored}
        by_name = {result.source.name: result for result in self.stored}
        found = by_name.get(name) or by_file.get(name)
        if found is not None:
            return found
        failures = [failure for failure in self.failures if failure.file == name]
        if failures:
            raise DataError(f"could not be read: {failures[0]}", item=name)
        shown = ", ".join(self.names[:5]) + (", ..." if len(self) > 5 else "")
        raise DataError(f"no image of this name among {len(self)}: {shown}", item=name)

    @property
    def table(self) -> list[NucleusRow]:
        """Return the rows of all images: the content of nuclei.csv."""
        return [row for image in self for row in image.table]

    def to_dataframe(self) -> pd.DataFrame:
        """Return the rows of all images as pandas' data frame, with `area_um2` where an mpp is known.

        Raises:
            MissingExtraError: pandas is not installed (extra `geo`).
        """
        return nuclei_dataframe(image.nuclei() for image in self)

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """Return the rows of all images with outlines, each in the pixels of its own image (see `SegmentedImage`).

        Raises:
            MissingExtraError: geopandas is not installed (extra `geo`).
        """
        return nuclei_geodataframe(image.nuclei() for image in self)

    def labels(self) -> NDArray[np.int32]:
        """Return the (H, W) instance map of a call's only image (see `SegmentedImage`).

        Raises:
            DataError: there is not exactly one image.
        """
        return self._only_image("labels()").labels()

    def plot(self) -> Figure:
        """Return a figure of a call's only image beside its overlay.

        Raises:
            DataError: there is not exactly one image, or its file is gone or unreadable.
        """
        return self._only_image("plot()").plot()

    def _only_image(self, asked: str) -> SegmentedImage:
        if len(self) == 1:
            return self[0]
        if not self.stored and self.failures:
            raise DataError(f"no image: could not be read: {self.failures[0]}", item=asked)
        if not self.stored:
            raise DataError("no image among the results; a slide's nuclei are in its folder's table", item=asked)
        raise DataError(f"{len(self):,} images: take one of them, result[0].{asked}", item=asked)

    def summary(self) -> str:
        """Return what was done and where the files are, a few lines."""
        if self.slides and not self.stored:
            return "\n".join(slides_table(self.slides))
        lines = [*slides_table(self.slides), ""] if self.slides else []
        lines.append(f"{_count_of_images(len(self))}, {count_of_nuclei(self.nuclei)}")
        if self.kept:
            lines[-1] += f" ({self.kept:,} finished before)"
        if self.failures:
            lines.append(f"{len(self.failures):,} unreadable")
        lines += describe_scales(self.scales)
        if self.output is None:
            lines.append("no file written: give an output folder")
        else:
            lines += [
                f"{self.output / 'detectron-segmented'}: boxes and masks over the images",
                f"{self.output / 'predicted-ground-truth'}: instance maps, pixel value = number in the table",
                f"{self.output / 'nuclei.csv'}, nuclei.parquet: one row a nucleus",
                f"{self.output / 'coco_instances_results.json'}, *.geojson: for COCO tools and QuPath",
            ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failures" if self.failures else ""
        return f"Segmentation({len(self)} images, {self.nuclei} nuclei{failed}, output={self.output})"

    def _repr_html_(self) -> str:
        if len(self) == 1 and not (self.failures or self.slides):
            return self[0]._repr_html_()
        rows = [(result.source.file, f"{result.nuclei:,}") for result in self.stored[:ROWS_SHOWN]]
        if len(self) > ROWS_SHOWN:
            rest = self.stored[ROWS_SHOWN:]
            rows.append((f"{len(rest):,} more", f"{sum(result.nuclei for result in rest):,}"))
        rows += [(failure.file, f"unreadable: {failure}") for failure in self.failures[:ROWS_SHOWN]]
        if len(self.failures) > ROWS_SHOWN:
            rows.append((f"{len(self.failures) - ROWS_SHOWN:,} more", "unreadable"))
        caption = f"{_count_of_images(len(self))}, {count_of_nuclei(self.nuclei)}"
        return table_html(caption, ("image", "nuclei"), rows)


def _count_of_images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"
