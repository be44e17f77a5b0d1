"""One image with its nuclei, ready to look at and to count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nucleate.core import ImageScale, Instances, label_map_from_masks
from nucleate.errors import DataError
from nucleate.export import (
    ImageNuclei,
    NucleusRow,
    draw_overlay,
    geojson_text,
    nuclei_dataframe,
    nuclei_geodataframe,
    nucleus_rows,
    picture_html,
    picture_png,
    side_by_side,
)
from nucleate.inference.inputs import ImageInput

if TYPE_CHECKING:
    import geopandas
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
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
    def name(self) -> str:
        """Return what `result[name]` finds the image by, the stem of its result files."""
        return self.source.name

    @property
    def file(self) -> str:
        """Return the image's name as the tables have it."""
        return self.source.file

    @property
    def image_shape(self) -> tuple[int, int]:
        """Return (height_px, width_px)."""
        return self.instances.frame.shape

    @property
    def mpp(self) -> float | None:
        """Return micrometres a pixel, None when unknown."""
        stated = (self.instances.frame.mpp, self.scale.mpp, self.source.mpp)
        return next((mpp for mpp in stated if mpp is not None), None)

    @property
    def table(self) -> list[NucleusRow]:
        """Return one row a nucleus: the columns of nuclei.csv."""
        return nucleus_rows(self.file, self.instances, self.class_names)

    def __len__(self) -> int:
        return len(self.instances)

    def __bool__(self) -> bool:
        # An image without nuclei is an image.
        return True

    def image_rgb(self) -> NDArray[np.uint8]:
        """Return the (H, W, 3) pixels.

        Raises:
            DataError: the file is gone or unreadable.
        """
        return self.source.read()

    def labels(self) -> NDArray[np.int32]:
        """Return the (H, W) instance map: 0 is background, i is row i of the table; the higher score owns a pixel."""
        return label_map_from_masks(self.instances.masks, priority=self.instances.scores)

    def to_dataframe(self) -> pd.DataFrame:
        """Return the table as pandas' data frame, with `area_um2` where the mpp is known.

        Raises:
            MissingExtraError: pandas is not installed (extra `geo`).
        """
        return nuclei_dataframe([self.nuclei()])

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """Return the table with outlines in pixels as geometry, crs None; `area_um2` and `perimeter_um` with an mpp.

        Raises:
            MissingExtraError: geopandas is not installed (extra `geo`).
        """
        return nuclei_geodataframe([self.nuclei()])

    def to_geojson(self) -> str:
        """Return the text of NAME.geojson, which QuPath opens."""
        return geojson_text(self.file, self.instances, self.class_names)

    def nuclei(self) -> ImageNuclei:
        """Return what data frames hold of the image."""
        return ImageNuclei(file=self.file, instances=self.instances, class_names=self.class_names, mpp=self.mpp)

    def overlay(self) -> NDArray[np.uint8]:
        """Return the (H, W, 3) image with boxes and coloured masks.

        Raises:
            DataError: the file is gone or unreadable.
        """
        return draw_overlay(self.image_rgb(), self.instances, self.class_names)

    def plot(self) -> Figure:
        """Return a figure of the image beside its overlay.

        Raises:
            DataError: the file is gone or unreadable.
        """
        image_rgb = self.image_rgb()
        overlay_rgb = draw_overlay(image_rgb, self.instances, self.class_names)
        return side_by_side(image_rgb, overlay_rgb, titles=(self.file, count_of_nuclei(len(self))))

    def __repr__(self) -> str:
        height_px, width_px = self.image_shape
        scale = "" if self.mpp is None else f", {self.mpp:g} um a pixel"
        return f"SegmentedImage({self.file!r}, {count_of_nuclei(len(self))}, {width_px} x {height_px} px{scale})"

    def _repr_png_(self) -> bytes | None:
        try:
            return picture_png(self.overlay())
        except DataError:
            return None

    def _repr_html_(self) -> str:
        height_px, width_px = self.image_shape
        scale = "scale unknown" if self.mpp is None else f"{self.mpp:g} \N{MICRO SIGN}m a pixel"
        caption = f"{self.file}: {count_of_nuclei(len(self))}, {width_px} x {height_px} px, {scale}"
        try:
            return picture_html(self.overlay(), caption)
        except DataError as error:
            return picture_html(None, f"{caption}; no picture: {error}")


def count_of_nuclei(count: int) -> str:
    """Return "1 nucleus" or "1,234 nuclei"."""
    return "1 nucleus" if count == 1 else f"{count:,} nuclei"
