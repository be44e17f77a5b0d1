"""How fast the star-convex model is, beside torchvision's Mask R-CNN and StarDist; see benchmarks/README.md."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.contestants.machine import Machine, load, this_machine
from benchmarks.contestants.measurements import Comparison, Series
from benchmarks.contestants.processes import Entry, has_stardist
from benchmarks.contestants.report import report_document, report_figure, report_text
from benchmarks.contestants.rounds import run_rounds
from benchmarks.contestants.scene_sources import dataset_scenes, drawn_scenes
from benchmarks.contestants.scenes import Scenes
from benchmarks.contestants.verdicts import MASK_RCNN, STAR_CONVEX, STARDIST, USUAL_NUCLEI
from nucleate.api.convert import ONNX_NAME, convert
from nucleate.api.loading import DEFAULT_MODEL, LoadedModel, load_model, model_folder
from nucleate.errors import ConfigError, NucleateError
from nucleate.export.figures import figure_png
from nucleate.files import write_bytes, write_json
from nucleate.models.run_card import RunCard

_USER_ERROR = 2
_SIDE_PX, _SMOKE_SIDE_PX, _SMOKE_NUCLEI = 512, 128, 6


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSettings:
    """What is compared, on which images.

    Attributes:
        images: a folder that `nucleate prepare` made: its images (of the test split where there is one) of at least
            512 x 512 pixels whose number of nuclei is nearest to 45; unset draws images whose nuclei have the size
            that the model works at.
        image_count: different images; round after round takes the next.
        rounds: in each, every contestant does the same image once; two more before them are not counted.
        threads: numbers of processor threads, each measured for itself.
        stardist_python: an interpreter that has stardist and tensorflow; unset takes this one where it has them.
        quick: a smoke run: one small image, two rounds, one thread. Its times mean nothing.
    """

    images: Path | None = None
    image_count: int = 5
    rounds: int = 20
    threads: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (1, 2)
    stardist_python: Path | None = None
    quick: bool = False

    def __post_init__(self) -> None:
        if min(self.image_count, self.rounds, *self.threads) < 1 or not self.threads:
            raise ConfigError("--image-count, --rounds and every number of --threads: at least 1")


DEFAULT_SETTINGS = ComparisonSettings()


def compare(
    model: str = DEFAULT_MODEL,
    *,
    output: Path = Path("out/inference"),
    settings: ComparisonSettings = DEFAULT_SETTINGS,
) -> Comparison:
    """Time the star-convex model against torchvision's Mask R-CNN R50-FPN and StarDist's 2D_versatile_he.

    Every contestant runs in a process of its own, so that its memory is its own, and has the same number of threads;
    they take turns on the same images. All networks see 512 x 512 pixels (magnification 1); where the model would
    resample the images to its working scale, its times there are told as well. The Mask R-CNN and StarDist have
    random weights: the first is made to detect as many nuclei as the star-convex model found, of the annotated ones'
    size; the second's post-processing gets maps made from the annotated nuclei. bf16 takes part where the processor
    has units for it. Leave the machine alone meanwhile: load is told, not corrected.

    Args:
        model: A star-convex run folder, an exported folder, or a model's name.
        output: Folder for inference.json (every round) and inference.png.
        settings: Images, rounds, threads.

    Raises:
        ConfigError: a model of another kind, an impossible setting, or an interpreter without StarDist.
        DataError: no data set, or not enough images of that size in it.
        ContestantError: a contestant failed.
    """
    # Before anything of ours makes a load.
    load_before = load()
    folder = model_folder(model)
    card = RunCard.read(folder)
    if card.network != "star-convex":
        raise ConfigError(f"{model} is a {card.network}: give a star-convex run or exported folder by --model")
    if settings.quick:
        settings = replace(settings, image_count=1, rounds=2, threads=(1,))
    machine = this_machine()
    with tempfile.TemporaryDirectory() as temporary:
        if not (folder / ONNX_NAME).is_file():
            folder = convert(folder, to="onnx", output=Path(temporary) / "exported").folder
        scenes = _scenes(load_model(folder, "cpu"), settings)
        scenes_file = Path(temporary) / "scenes.npz"
        scenes.write(scenes_file)
        entries, absent = _entries(folder, machine, settings.stardist_python)
        series: list[Series] = []
        for threads in settings.threads:
            series += run_rounds(
                entries,
                scenes,
                scenes_file,
                threads=threads,
                rounds=settings.rounds,
                on_round=lambda done: print(
                    f"{threads} threads: round {done} of {settings.rounds}",  # noqa: B023 - called at once
                    file=sys.stderr,
                ),
            )
    comparison = Comparison(
        series=tuple(series),
        scenes=scenes,
        machine=machine,
        load_before=load_before,
        load_after=load(),
        absent=absent,
        is_smoke=settings.quick,
    )
    write_json(output / "inference.json", report_document(comparison), indent=1)
    write_bytes(output / "inference.png", figure_png(report_figure(comparison)))
    return comparison


def _scenes(model: LoadedModel, settings: ComparisonSettings) -> Scenes:
    side_px, nuclei = (_SMOKE_SIDE_PX, _SMOKE_NUCLEI) if settings.quick else (_SIDE_PX, USUAL_NUCLEI)
    if settings.images is None:
        return drawn_scenes(model, count=settings.image_count, side_px=side_px, nuclei=nuclei)
    return dataset_scenes(model, settings.images, count=settings.image_count, side_px=side_px, nuclei=nuclei)


def _entries(folder: Path, machine: Machine, stardist_python: Path | None) -> tuple[list[Entry], dict[str, str]]:
    """Return who takes part in the order of turns, and who doesn't and why."""
    ours, theirs = (
        {"name": STAR_CONVEX, "module": "benchmarks.contestants.star_convex"},
        {"name": MASK_RCNN, "module": "benchmarks.contestants.mask_rcnn"},
    )
    exported = str(folder.resolve())
    entries = [Entry(**ours, precision="fp32", model=exported), Entry(**theirs, precision="fp32")]
    absent = {}
    python = sys.executable if stardist_python is None else str(stardist_python)
    if has_stardist(python):
        entries.append(
            Entry(name=STARDIST, module="benchmarks.contestants.versatile_he", precision="fp32", python=python)
        )
    elif stardist_python is not None:
        raise ConfigError(f"{python} finds no stardist and tensorflow: pip install them there")
    else:
        absent[STARDIST] = "no stardist and tensorflow here; --stardist-python names an interpreter that has them"
    if machine.has_bf16:
        entries += [Entry(**ours, precision="bf16", model=exported), Entry(**theirs, precision="bf16")]
    else:
        absent["bf16"] = "the processor has no units for it, by OpenVINO's OPTIMIZATION_CAPABILITIES"
    return entries, absent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 2 for a user's mistake, which is one line on stderr."""
    app = App(name="inference.py", help=compare.__doc__, default_parameter=Parameter(negative=""))
    app.default(compare)
    try:
        command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
        comparison = command(*bound.args, **bound.kwargs)
    except (NucleateError, CycloptsError) as error:
        print(f"inference.py: {' '.join(str(error).split())}", file=sys.stderr)
        return _USER_ERROR
    if isinstance(comparison, Comparison):
        print(report_text(comparison))
    return 0


if __name__ == "__main__":
    sys.exit(main())
