from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docstring_parser
import pytest

import nucleate
from nucleate import api, cli
from nucleate.cli import COMMANDS, build_app, run
from tests.synthetic import write_label_folder


@dataclasses.dataclass
class PartlyFailed:
    failures: tuple[str, ...] = ("b.png: damaged",)

    def summary(self) -> str:
        return "1 image"


def options_in_python(command: Callable[..., Any]) -> dict[str, Any]:
    """Return every option's name on the command line and its default, settings' fields one by one."""
    hints = typing.get_type_hints(command)
    options: dict[str, Any] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            continue
        if dataclasses.is_dataclass(hints[name]):
            for each in dataclasses.fields(hints[name]):
                options[each.name] = each.default
        else:
            options[name] = parameter.default
    return {f"--{name.strip('_').replace('_', '-')}": default for name, default in options.items()}


def options_on_the_command_line(command: Callable[..., Any]) -> dict[str, Any]:
    arguments = build_app()[command.__name__].assemble_argument_collection()
    options = {}
    for argument in arguments:
        if not argument.parse or not argument.name.startswith("--"):
            continue
        options[argument.name] = argument.field_info.default
    return options


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.__name__))
def test_every_command_has_its_functions_options_and_defaults(command: Callable[..., Any]) -> None:
    assert options_on_the_command_line(command) == options_in_python(command)


def test_every_command_is_a_function_of_the_package() -> None:
    for command in COMMANDS:
        # `nucleate.models` and `nucleate.export` are packages.
        name = {"models": "list_models", "export": "export_results"}.get(command.__name__, command.__name__)
        assert getattr(nucleate, name) is command
        assert name in nucleate.__all__


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.__name__))
def test_every_option_is_explained(command: Callable[..., Any]) -> None:
    explained = {each.arg_name for each in docstring_parser.parse(inspect.getdoc(command) or "").params}
    for hint in typing.get_type_hints(command).values():
        if dataclasses.is_dataclass(hint) and hint in cli.SETTINGS:
            # What settings have in common is explained in their base.
            for part in hint.__mro__[:-1]:
                explained |= {each.arg_name for each in docstring_parser.parse(inspect.getdoc(part) or "").params}
    names = {name.removeprefix("--").replace("-", "_") for name in options_in_python(command)}
    assert names <= {name.strip("_") for name in explained}


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        nucleate.fly  # noqa: B018


def test_help_and_version_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "prepare" in capsys.readouterr().out
    assert run(["--version"]) == 0
    assert nucleate.__version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["segmant", "x.png"],
        ["segment", "x.png", "--wrong"],
        ["segment", "/nowhere/at all/*.png"],
        ["prepare", "/nowhere", "--output", "out"],
        ["prepare", "/nowhere"],
        ["train", "/nowhere", "--output", "run", "--recipe", "none"],
        ["train", "/nowhere", "--output", "run"],
        ["evaluate", "/nowhere", "/nowhere"],
        ["segment", ".", "--model", "unknown"],
        ["segment", ".", "--score", "high"],
        ["export", "/nowhere", "--to", "csv", "--output", "a.csv"],
        ["export", "--to", "csv", "--output", "a.csv"],
        ["export", ".", "--to", "svg", "--output", "a.svg"],
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert captured.err.startswith("nucleate: ")


def test_several_sources_make_one_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_label_folder(tmp_path / "first", 2)
    write_label_folder(tmp_path / "second", 1)
    sources = [str(tmp_path / "first"), str(tmp_path / "second")]
    assert run(["prepare", *sources, "--output", str(tmp_path / "data"), "--split", "0.7"]) == 0
    assert "3" in capsys.readouterr().out
    assert len(nucleate.data.read_dataset(tmp_path / "data")) == 3


def test_failures_among_many_inputs_give_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def segment() -> PartlyFailed:
        """Segment."""
        return PartlyFailed()

    monkeypatch.setattr(cli, "COMMANDS", (segment,))
    assert run(["segment"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "1 image\n"
    assert captured.err == "nucleate: b.png: damaged\n"


def test_ctrl_c_is_exit_code_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def demo() -> None:
        """Wait."""
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "COMMANDS", (demo,))
    assert run(["demo"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "nucleate", "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.strip() == nucleate.__version__


def test_nothing_below_models_imports_torch() -> None:
    """The core installation has no torch: the commands' modules must load without it."""
    code = "import sys, nucleate.cli, nucleate.api; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_model_without_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(nucleate.errors.MissingExtraError, match=r"pip install '\.\[train\]'"):
        api.load_model(tmp_path)
    with pytest.raises(nucleate.errors.MissingExtraError, match="training needs the extra 'train'"):
        api.train(tmp_path, output=tmp_path / "run")
