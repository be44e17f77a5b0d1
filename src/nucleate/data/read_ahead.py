"""Images decoded by a second thread while the ones before them are worked on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from nucleate.data.sources.source import SourceImage, read_pixels

# Two images are in memory at once, so larger files wait for their turn.
MOST_AHEAD_BYTES = 4 * 2**20

ReadPixels = Callable[[], NDArray[np.uint8]]


def read_ahead(images: Sequence[SourceImage]) -> Generator[ReadPixels]:
    """Yield, for each image, a function that returns its pixels, or raises what reading them raised.

    While the caller works on one image, the next is read. Close the iterator, or take all of it.

    Args:
        images: in the order in which they are worked on.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read") as reader:
        ahead: Future[NDArray[np.uint8]] | None = None
        for index, image in enumerate(images):
            current = reader.submit(read_pixels, image) if ahead is None else ahead
            following = images[index + 1] if index + 1 < len(images) else None
            ahead = reader.submit(read_pixels, following) if following is not None and _is_small(following) else None
            yield current.result


def _is_small(image: SourceImage) -> bool:
    try:
        return image.page is None and image.path.stat().st_size <= MOST_AHEAD_BYTES
    except OSError:
        return False
