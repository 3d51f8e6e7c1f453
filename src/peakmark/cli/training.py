"""Which words train a model and use it? Each command reads its pairs, hands them to the facade and shows the result.

It must not compute anything.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer

import peakmark
from peakmark.cli.answering import help_wanted, model_and_pairs, out, run_and_pairs, told_plainly
from peakmark.cli.pairs import read_pairs
from peakmark.cli.progress import shown_results
from peakmark.cli.show import show_evaluation
from peakmark.errors import SettingsError
from peakmark.nouns.outcome import EXIT_CODES
from peakmark.nouns.resume import ChangePlan
from peakmark.report.terminal.console import ConsoleObserver
from peakmark.settings.familiar_words.translation import flags_of
from peakmark.settings.fields import PredictSettings, ResumeSettings, Settings, TrackSettings, ValSettings


def train(context: typer.Context) -> None:
    """Train a detector: peakmark train data=data.yaml model=yolov8n.yaml epochs=100"""
    example = "peakmark train data=data.yaml model=yolov8n.yaml epochs=100 imgsz=640"
    if help_wanted(context, Settings, example, "resume=True, or resume=FOLDER, is peakmark resume (which see)."):
        return
    with told_plainly():
        pairs = read_pairs(context.args, flags_of(Settings))
        with peakmark.YOLO.leading():
            run = _run_that_train_resumes(pairs)
            if run is not None:
                _resume(run or None, pairs, yes=False)
            model, pairs = model_and_pairs(Settings, pairs)
            raise typer.Exit(EXIT_CODES[model.train(observer=None, **pairs).outcome])


def resume(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree to what is called dangerous.")] = False,
) -> None:
    """Resume a run, exactly where it stopped, or with other settings: peakmark resume runs/detect/train"""
    if help_wanted(context, ResumeSettings, "peakmark resume runs/detect/train epochs=150 lr0=0.001", _RESUME):
        return
    with told_plainly():
        run, pairs = run_and_pairs(context.args, Settings)
        if dry_run:
            planned = peakmark.YOLO().plan_resume(run, **pairs)
            ConsoleObserver(out())(planned)
            raise typer.Exit(SettingsError.exit_code if planned.plan.refusals else 0)
        with peakmark.YOLO.leading():
            _resume(run, pairs, yes=yes)


def val(context: typer.Context) -> None:
    """Validate a checkpoint: peakmark val model=best.pt data=data.yaml"""
    if help_wanted(
        context, ValSettings, "peakmark val model=runs/detect/train/weights/best.pt data=data.yaml split=test"
    ):
        return
    with told_plainly():
        pairs = read_pairs(context.args, flags_of(ValSettings))
        model, pairs = model_and_pairs(ValSettings, pairs)
        with ConsoleObserver(out()) as observer:
            results = model.val(observer=observer, **pairs)
        show_evaluation(out(), results.evaluation)


def predict(context: typer.Context) -> None:
    """Find objects: peakmark predict model=best.pt source=images/"""
    if help_wanted(context, PredictSettings, "peakmark predict model=best.pt source=images/ save=True", _SOURCE):
        return
    _find(context.args, PredictSettings)


def track(context: typer.Context) -> None:
    """Find objects and follow them: peakmark track model=best.pt source=video.mp4"""
    if help_wanted(context, TrackSettings, "peakmark track model=best.pt source=video.mp4 save=True", _SOURCE):
        return
    _find(context.args, TrackSettings)


def _find(words: list[str], kind: type[PredictSettings]) -> None:
    with told_plainly():
        pairs = read_pairs(words, flags_of(kind))
        source = pairs.pop("source", None)
        missing = () if source else ("source is missing; " + _SOURCE.replace("\n", " "),)
        model, pairs = model_and_pairs(kind, pairs, mistakes=missing)
        console = out()
        with _ended_like_ctrl_c(), ConsoleObserver(console) as observer, shown_results(console) as shown:
            found = (
                model.track(source, stream=True, observer=observer, **pairs)
                if kind is TrackSettings
                else model.predict(source, stream=True, observer=observer, **pairs)
            )
            for result in found:
                shown.show(result)


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """A service is stopped by SIGTERM: the video of a camera has to be closed then as well."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


_SOURCE = (
    "source=... is an image, a video, a folder, a glob such as 'images/*.jpg', a .txt list of images,\n"
    "the number of a camera, or the address of a stream (rtsp://...)."
)


_RESUME = """
Without a run: the newest that was stopped. A run's folder, or last.pt in it,
goes on in place; another state of it branches into a new folder, and a lone
last.pt, copied from elsewhere, gets one beside it. Every setting of
`peakmark train --help` may be given, and is changed from there on.
Before the first step a table says what becomes of each part of the run.
  --dry-run  stops there
  --yes, -y  agrees to what the table calls dangerous"""


def _resume(run: str | None, pairs: Mapping[str, str], *, yes: bool) -> NoReturn:
    raise typer.Exit(EXIT_CODES[peakmark.YOLO().resume(run, observer=None, yes=yes or _asked, **pairs).outcome])


def _asked(plan: ChangePlan) -> bool:
    """Asks the person at the terminal; where there is none, nobody has agreed."""
    return sys.stdin.isatty() and typer.confirm(f"{len(plan.dangers)} of this is dangerous. Go on?")


def _run_that_train_resumes(pairs: dict[str, str]) -> str | None:
    """Takes `resume=` out of the pairs: None for a new run, "" for the newest that was stopped, else the one named."""
    wish = pairs.pop("resume", "False")
    if wish.lower() == "false":
        return None
    if wish.lower() != "true":
        return wish
    return pairs.pop("model") if pairs.get("model", "").endswith(".pt") else ""
