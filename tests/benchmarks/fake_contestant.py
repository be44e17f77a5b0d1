"""A contestant that computes nothing: it answers the sum of the image, or dies."""

from __future__ import annotations

from benchmarks.contestants.scenes import Scenes
from benchmarks.contestants.serving import Answer, Assignment, serve, timed


class FakeContestant:
    def __init__(self, assignment: Assignment, scenes: Scenes) -> None:
        print("libraries talk on stdout")
        self._assignment, self._scenes = assignment, scenes

    @property
    def notes(self) -> tuple[str, ...]:
        return (f"{self._assignment.threads} threads",)

    def answer(self, scene: int, *, detections: int) -> Answer:
        if self._assignment.model == "fragile":
            raise RuntimeError("the fake broke")
        _, timing = timed(self._scenes.images_rgb[scene].sum)
        nuclei = detections or len(self._scenes.boxes_xyxy(scene))
        return Answer(timings={"network": timing, "call": timing + timing}, nuclei=nuclei)


if __name__ == "__main__":
    serve(FakeContestant)
