"""What `segment` returns: images with their nuclei, ready to look at."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nucleate.core import ImageScale, Instances, describe_scales
from nucleate.export import NucleusRow, draw_overlay, instance_map, nucleus_rows, side_by_side
from nucleate.inference.inputs import ImageInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentedImage:
    """One image and its nuclei.

    Attributes:
        source: the input; its pixels are read again when they are asked for.
        instances: the nuclei by falling score, in the image's pixels.
        class_names: the classes that `instances.class_indices` count.
        scale: what the image was resampled by for the network, and why.
    """

    source: ImageInput
    instances: Instances
    class_names: tuple[str, ...]
    scale: ImageScale

    @property
    def file(self) -> str:
        """Return the image's name as the tables have it."""
        return self.source.file

    @property
    def image_shape(self) -> tuple[int, int]:
        """Return (height_px, width_px)."""
        return self.instances.frame.shape

    @property
    def table(self) -> list[NucleusRow]:
        """Return one row a nucleus: the columns of nuclei.csv."""
        return nucleus_rows(self.file, self.instances, self.class_names)

    def __len__(self) -> int:
        return len(self.instances)

    def image_rgb(self) -> NDArray[np.uint8]:
        """Return the (H, W, 3) pixels.

        Raises:
            DataError: the file is gone or unreadable.
        """
        return self.source.read()

    def labels(self) -> NDArray[Any]:
        """Return the (H, W) instance map: 0 is background, i is row i of the table (see `instance_map`)."""
        return instance_map(self.instances)

    def overlay(self) -> NDArray[np.uint8]:
        """Return the (H, W, 3) image with boxes and coloured masks."""
        return draw_overlay(self.image_rgb(), self.instances, self.class_names)

    def plot(self) -> Figure:
        """Return a figure of the image beside its overlay."""
        return side_by_side(self.image_rgb(), self.overlay(), titles=(self.file, count_of_nuclei(len(self))))

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        Image.fromarray(self.overlay()).save(content, format="PNG")
        return content.getvalue()


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
class Segmentation:
    """The images of one call, in input order; `result[0]` is the first.

    With an output folder the nuclei stay on disk and are read when an image is asked for.

    Attributes:
        loaders: one a segmented image.
        nuclei: in all images.
        scales: of the images.
        failures: inputs that could not be read; they are not among the images.
        output: where the files are; None when none were written.
        kept: images that an earlier call had finished.
    """

    loaders: tuple[Callable[[], SegmentedImage], ...]
    nuclei: int
    scales: tuple[ImageScale, ...] = ()
    failures: tuple[InputFailure, ...] = ()
    output: Path | None = None
    kept: int = 0

    def __len__(self) -> int:
        return len(self.loaders)

    def __getitem__(self, index: int) -> SegmentedImage:
        return self.loaders[index]()

    def __iter__(self) -> Iterator[SegmentedImage]:
        return (load() for load in self.loaders)

    @property
    def table(self) -> list[NucleusRow]:
        """Return the rows of all images: the content of nuclei.csv."""
        return [row for image in self for row in image.table]

    def summary(self) -> str:
        """Return what was done and where the files are, a few lines."""
        images = "1 image" if len(self) == 1 else f"{len(self):,} images"
        lines = [f"{images}, {count_of_nuclei(self.nuclei)}"]
        if self.kept:
            lines[0] += f" ({self.kept:,} finished before)"
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


def count_of_nuclei(count: int) -> str:
    """Return "1 nucleus" or "1,234 nuclei"."""
    return "1 nucleus" if count == 1 else f"{count:,} nuclei"
