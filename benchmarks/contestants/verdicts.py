"""The goals of the comparison, sentence by sentence: met or not, and by how much."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from benchmarks.contestants.measurements import Comparison, Series, Spread

STAR_CONVEX, MASK_RCNN, STARDIST = "star-convex", "Mask R-CNN", "StarDist"
NETWORK, CALL, NETWORK_AS_USED, CALL_AS_USED = "network", "call", "network as used", "call as used"

USUAL_NUCLEI = 45
_NUCLEI_TOLERANCE = 0.25
_FASTER_FP32, _FASTER_BF16, _CALL_FASTER = 8.0, 20.0, 25.0
_CALL_OF_NETWORK = 1.5
_FASTER_THAN_STARDIST = 1.5
_MEMORY_MB = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One goal, at one number of threads.

    Attributes:
        goal: in words, with the number to reach.
        compared: what with what.
        threads: of the processor; None where they play no part.
        measured: in words.
        met: None where it could not be measured, or is told for information.
    """

    goal: str
    compared: str
    threads: int | None
    measured: str
    met: bool | None


def verdicts(comparison: Comparison) -> list[Verdict]:
    """Return a verdict for every goal and number of threads."""
    answer = [_usual_images(comparison)]
    for threads in comparison.threads:
        answer += _against_mask_rcnn(comparison, threads)
        answer += _call_against_network(comparison, threads)
        answer += _against_stardist(comparison, threads)
        answer += _memory(comparison, threads)
    return answer


def _precisions(comparison: Comparison, threads: int) -> list[Series]:
    found = (comparison.find(STAR_CONVEX, precision, threads) for precision in ("fp32", "bf16"))
    return [series for series in found if series is not None]


def _usual_images(comparison: Comparison) -> Verdict:
    annotated = statistics.mean(comparison.scenes.annotated_nuclei())
    found = statistics.mean(comparison.series[0].nuclei)
    within = (1 - _NUCLEI_TOLERANCE) * USUAL_NUCLEI, (1 + _NUCLEI_TOLERANCE) * USUAL_NUCLEI
    return Verdict(
        goal=f"images with about {USUAL_NUCLEI} nuclei (found: {within[0]:.0f} to {within[1]:.0f})",
        compared=comparison.scenes.origin,
        threads=None,
        measured=f"{annotated:.1f} annotated, {found:.1f} found",
        met=within[0] <= found <= within[1],
    )


def _against_mask_rcnn(comparison: Comparison, threads: int) -> list[Verdict]:
    theirs = comparison.find(MASK_RCNN, "fp32", threads)
    assert theirs is not None, "the Mask R-CNN always takes part"
    answer = []
    for precision, goal in (("fp32", _FASTER_FP32), ("bf16", _FASTER_BF16)):
        ours = comparison.find(STAR_CONVEX, precision, threads)
        words = f"{goal:g} times faster than Mask R-CNN fp32, in {precision}"
        if ours is None:
            answer.append(_unmeasured(words, threads, comparison.absent.get("bf16", "not measured")))
            continue
        answer += [_faster(words, ours, part, theirs, part, goal) for part in (NETWORK, CALL)]
    both = comparison.find(STAR_CONVEX, "bf16", threads), comparison.find(MASK_RCNN, "bf16", threads)
    if both[0] is not None and both[1] is not None:
        answer.append(_faster("for information: bf16 against bf16", both[0], CALL, both[1], CALL, None))
    return answer


def _call_against_network(comparison: Comparison, threads: int) -> list[Verdict]:
    answer = []
    for ours in _precisions(comparison, threads):
        for network, call in ((NETWORK, CALL), (NETWORK_AS_USED, CALL_AS_USED)):
            if call not in ours.timings:
                continue
            # How many times as long the call took: the same series on both sides.
            ratio = ours.times_faster(network, ours, call)
            answer.append(
                Verdict(
                    goal=f"image to instance map under {_CALL_OF_NETWORK:g} times the bare network",
                    compared=f"{ours.entry.precision}: {call} / {network}",
                    threads=threads,
                    measured=f"{ratio.median:.2f} ({ratio.lowest:.2f} to {ratio.highest:.2f})",
                    met=ratio.median < _CALL_OF_NETWORK,
                )
            )
    return answer


def _against_stardist(comparison: Comparison, threads: int) -> list[Verdict]:
    theirs = comparison.find(STARDIST, "fp32", threads)
    mask_rcnn = comparison.find(MASK_RCNN, "fp32", threads)
    assert mask_rcnn is not None, "the Mask R-CNN always takes part"
    answer = []
    for ours in _precisions(comparison, threads):
        than_mask_rcnn = ours.times_faster(CALL, mask_rcnn, CALL)
        met: bool | None = than_mask_rcnn.median >= _CALL_FASTER
        if theirs is None:
            than_stardist = f"not measured ({comparison.absent.get(STARDIST, 'it took no part')})"
            # One of two goals that nobody measured may still be met.
            met = met or None
        else:
            ratio = ours.times_faster(CALL, theirs, CALL)
            than_stardist = _in_words(ratio)
            met = met or ratio.median >= _FASTER_THAN_STARDIST
        answer.append(
            Verdict(
                goal=f"{_FASTER_THAN_STARDIST:g} times faster than StarDist, or {_CALL_FASTER:g} than Mask R-CNN",
                compared=f"{ours.entry.precision} call / their calls in fp32",
                threads=threads,
                measured=f"StarDist: {than_stardist}; Mask R-CNN: {_in_words(than_mask_rcnn)}",
                met=met,
            )
        )
    return answer


def _memory(comparison: Comparison, threads: int) -> list[Verdict]:
    answer = []
    for ours in _precisions(comparison, threads):
        goal = f"memory of the process under {_MEMORY_MB:g} MB"
        if ours.peak_memory_mb is None:
            answer.append(_unmeasured(goal, threads, "this system doesn't tell a process's memory"))
            continue
        answer.append(
            Verdict(
                goal=goal,
                compared=f"{ours.entry.precision}: largest resident memory",
                threads=threads,
                measured=f"{ours.peak_memory_mb:.0f} MB",
                met=ours.peak_memory_mb < _MEMORY_MB,
            )
        )
    return answer


def _faster(goal: str, ours: Series, part: str, theirs: Series, their_part: str, least: float | None) -> Verdict:
    ratio = ours.times_faster(part, theirs, their_part)
    return Verdict(
        goal=goal,
        compared=f"{ours.entry.precision} {part} / {theirs.entry.name} {theirs.entry.precision} {their_part}",
        threads=ours.threads,
        measured=_in_words(ratio),
        met=None if least is None else ratio.median >= least,
    )


def _in_words(ratio: Spread) -> str:
    return f"{ratio.median:.1f} times ({ratio.lowest:.1f} to {ratio.highest:.1f})"


def _unmeasured(goal: str, threads: int, why: str) -> Verdict:
    return Verdict(goal=goal, compared="", threads=threads, measured=f"not measured: {why}", met=None)
