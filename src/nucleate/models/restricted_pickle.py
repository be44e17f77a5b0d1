"""Reading pickles of numpy arrays (the model zoo's `.pkl`) without running what a pickle may ask for."""

from __future__ import annotations

import codecs
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from nucleate.errors import CheckpointError

_RECONSTRUCT = np.zeros(0).__reduce__()[0]
"""numpy's own function that rebuilds an array, whatever this version's module is called."""
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): codecs.encode,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
}
_BROKEN = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)


class _ArrayUnpickler(pickle.Unpickler):
    """Finds only what rebuilds numpy arrays; anything else is refused before it is imported."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _ALLOWED[module_name, global_name]
        except KeyError:
            raise CheckpointError(
                f"not read: the pickle asks for {module_name}.{global_name}, only numpy arrays are allowed"
            ) from None


def read_array_pickle(path: Path) -> Any:
    """Return a pickle's dicts, lists, numbers, text and numpy arrays.

    Args:
        path: the file, of any pickle protocol, written by numpy 1 or 2 and by Python 2 or 3.

    Raises:
        CheckpointError: the file asks for anything else, is broken or can't be opened.
    """
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except CheckpointError as error:
        raise CheckpointError(error.message, path=path) from None
    except OSError as error:
        raise CheckpointError(f"can't be read ({error.strerror})", path=path) from error
    except _BROKEN as error:
        raise CheckpointError(f"is no readable pickle ({type(error).__name__})", path=path) from error
