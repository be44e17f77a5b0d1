"""The disk: writes that can't be half done, one writer a folder, images read within limits."""

from __future__ import annotations

from nucleate.files.atomic import write_bytes, write_json, write_path, write_text
from nucleate.files.images import (
    ReadLimits,
    has_one_channel,
    image_size,
    read_label_map,
    read_rgb,
    rgb_from_array,
    write_image,
)
from nucleate.files.lock import folder_lock
from nucleate.files.resolution import image_mpp

__all__ = [
    "ReadLimits",
    "folder_lock",
    "has_one_channel",
    "image_mpp",
    "image_size",
    "read_label_map",
    "read_rgb",
    "rgb_from_array",
    "write_bytes",
    "write_image",
    "write_json",
    "write_path",
    "write_text",
]
