"""Pictures that are no slides (PNG, JPEG and what else Pillow reads), for who wants one treated as a slide."""

from __future__ import annotations

from pathlib import Path

from nucleate.files import image_mpp, read_rgb
from nucleate.slides.info import Scale, SlideInfo, Window, describe_slide
from nucleate.slides.levels import LevelPixels


class PictureLevels:
    """A picture in memory: one level. These formats can't be read in parts, so the limits of images hold.

    Args:
        path: the file.
        given_mpp: overrides the file's um/px.

    Raises:
        DataError: the file is no image, damaged, or above the limits.
    """

    colour_profile: bytes | None = None

    def __init__(self, path: Path, given_mpp: float | None = None) -> None:
        self._rgb = read_rgb(path)
        mpp = image_mpp(path)
        self.info: SlideInfo = describe_slide(
            path,
            "picture",
            level_sizes_wh=[(self._rgb.shape[1], self._rgb.shape[0])],
            stated=Scale(mpp_x=mpp, mpp_y=mpp),
            given_mpp=given_mpp,
        )

    def read_level(self, index: int, window_xyxy: Window) -> LevelPixels:
        """Return a window of the picture (see `LevelSource`)."""
        assert index == 0
        x1, y1, x2, y2 = window_xyxy
        return LevelPixels(rgb=self._rgb[y1:y2, x1:x2], origin_xy=(x1, y1))

    def close(self) -> None:
        """Do nothing: the file is closed."""
