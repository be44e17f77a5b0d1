"""The command line: every command is the function of `nucleate.api` with its name, options and defaults."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

import nucleate
from nucleate import api
from nucleate.errors import NucleateError

COMMANDS: tuple[Callable[..., Any], ...] = (
    api.demo,
    api.fetch,
    api.prepare,
    api.check,
    api.train,
    api.evaluate,
    api.compare,
    api.segment,
    api.regions,
    api.convert,
    api.export,
    api.models,
)
USER_ERROR = 2
SOME_INPUTS_FAILED = 1
INTERRUPTED = 130

# A settings class is one parameter in Python and one option a field on the command line.
SETTINGS = (
    api.PrepareSettings,
    api.TrainSettings,
    api.EvaluateSettings,
    api.CompareSettings,
    api.SegmentSettings,
    api.WholeSlideSettings,
    api.RegionSettings,
)
for _settings in SETTINGS:
    Parameter(name="*")(_settings)


def build_app() -> App:
    """Return the command line's parser, one command a function of `COMMANDS`."""
    app = App(
        name="nucleate",
        help="Nuclei instance segmentation in H&E histology: prepare -> train -> evaluate -> segment.\n\n"
        "Start with `nucleate demo`. Every command is a function in Python: `nucleate.segment(...)`.",
        version=nucleate.__version__,
        default_parameter=Parameter(negative=""),
    )
    for command in COMMANDS:
        app.command(command)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave the process.

    Exit code 0 when all went well, 1 where some inputs of many failed, 2 for a user's error (one line on stderr),
    130 after Ctrl-C.
    """
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; results go to stdout, errors to stderr (see `main`)."""
    # Damaged files are told in a line of our own.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    app = build_app()
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False, console=Console())
        result = command(*bound.args, **bound.kwargs)
    except CycloptsError as error:
        errors.print(f"nucleate: {' '.join(str(error).split())}", markup=False)
        return USER_ERROR
    except NucleateError as error:
        errors.print(f"nucleate: {error}", markup=False)
        return USER_ERROR
    except KeyboardInterrupt:
        errors.print("nucleate: interrupted; what was finished is kept", markup=False)
        return INTERRUPTED
    if hasattr(result, "summary") and (text := result.summary().rstrip("\n")):
        sys.stdout.write(text + "\n")
    failures = getattr(result, "failures", ())
    for failure in failures:
        errors.print(f"nucleate: {failure}", markup=False)
    return SOME_INPUTS_FAILED if failures else 0
