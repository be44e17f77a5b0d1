"""The model zoo's `.pkl` files, read without running what a pickle may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nucleate.errors import CheckpointError, DataError
from nucleate.files import load_array_pickle


def read_array_pickle(path: Path) -> Any:
    """Return a pickle's dicts, lists, numbers, text and numpy arrays.

    Args:
        path: the file, of any pickle protocol, written by numpy 1 or 2 and by Python 2 or 3.

    Raises:
        CheckpointError: the file asks for anything else, is broken or can't be opened.
    """
    try:
        with path.open("rb") as file:
            return load_array_pickle(file)
    except DataError as error:
        raise CheckpointError(error.message, path=path) from error
    except OSError as error:
        raise CheckpointError(f"can't be read ({error.strerror})", path=path) from error
