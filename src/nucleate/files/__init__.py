"""The disk: writes that can't be half done, one writer a folder, images read within limits."""

from __future__ import annotations

from nucleate.files.array_pickle import load_array_pickle
from nucleate.files.atomic import json_text, unwritable, write_bytes, write_json, write_path, write_text
from nucleate.files.images import (
    NPY_SUFFIX,
    has_one_channel,
    image_mode,
    image_size,
    label_map_from_array,
    open_npy,
    read_label_map,
    read_rgb,
    read_stored_labels,
    write_image,
)
from nucleate.files.limits import DAMAGED, ReadLimits, check_file, check_pixels
from nucleate.files.lock import folder_lock
from nucleate.files.pixels import check_array, check_picture, rgb_from_array, rgb_from_picture
from nucleate.files.resolution import image_mpp

__all__ = [
    "DAMAGED",
    "NPY_SUFFIX",
    "ReadLimits",
    "check_array",
    "check_file",
    "check_picture",
    "check_pixels",
    "folder_lock",
    "has_one_channel",
    "image_mode",
    "image_mpp",
    "image_size",
    "json_text",
    "label_map_from_array",
    "load_array_pickle",
    "open_npy",
    "read_label_map",
    "read_rgb",
    "read_stored_labels",
    "rgb_from_array",
    "rgb_from_picture",
    "unwritable",
    "write_bytes",
    "write_image",
    "write_json",
    "write_path",
    "write_text",
]
