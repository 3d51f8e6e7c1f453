"""Which words can a user type? Each command reads its pairs, hands them to the facade and shows what comes of it.

It starts fast: nothing here loads torch for a help, or for words that are no pairs. It must not compute anything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

import peakmark
from peakmark.cli.pairs import read_pairs
from peakmark.cli.settings_help import show_settings
from peakmark.cli.show import (
    show_audit,
    show_comparison,
    show_description,
    show_diagnosis,
    show_error,
    show_evaluation,
    show_release,
    show_replayed,
    show_selection,
    show_verdict,
)
from peakmark.errors import PeakmarkError, SettingsError, TrainingError
from peakmark.events import Event, RunEnded
from peakmark.nouns import ChangePlan
from peakmark.report.console import ConsoleObserver
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.fields import (
    AuditSettings,
    CompareSettings,
    GateSettings,
    PredictSettings,
    PromoteSettings,
    ResumeSettings,
    Settings,
    ValSettings,
)

EXIT_INTERRUPTED = 130
"""What a shell gives for a program that Ctrl-C ended."""

EXIT_NOT_PASSED = 1
"""What a gate ends with where a requirement doesn't hold."""

EXIT_MEDIUM = 5
EXIT_HIGH = 6
"""What an audit ends with, by its worst finding; the errors have 2 to 4."""

EXIT_NOT_RANKED = 7
"""What a comparison ends with where its numbers are of different kinds: a pipeline must not take the first for best."""

app = typer.Typer(
    name="peakmark",
    help="Trains YOLOv8 object detectors and always knows which epoch was best. Settings are written key=value; "
    "[bold]peakmark train --help[/bold] lists them.",
    epilog="peakmark train data=shapes epochs=30 imgsz=320",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

# The arguments are read by read_pairs, --help included: a command has more settings than options could show.
_PAIRS = {"allow_extra_args": True, "ignore_unknown_options": True}


def run() -> None:
    """Runs the command line and ends the process; the entry point of the package."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        _out().print(f"peakmark {peakmark.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    # The options that stand before a command; the version has said all when its callback has run.
    pass


@app.command(context_settings=_PAIRS, add_help_option=False)
def train(context: typer.Context) -> None:
    """Train a detector: peakmark train data=data.yaml model=yolov8n.yaml epochs=100"""
    example = "peakmark train data=data.yaml model=yolov8n.yaml epochs=100 imgsz=640"
    if _help_wanted(context, Settings, example, "resume=True, or resume=FOLDER, is peakmark resume (which see)."):
        return
    with _told_plainly():
        pairs = read_pairs(context.args)
        run = _run_that_train_resumes(pairs)
        if run is not None:
            _resume(run or None, pairs, yes=False)
        model = peakmark.YOLO.from_settings(Settings, pairs)
        pairs.pop("model", None)
        with ConsoleObserver(_out()) as observer:
            watched = _Ending(observer)
            model.train(observer=watched, **pairs)
        raise typer.Exit(watched.exit_code)


@app.command(context_settings=_PAIRS, add_help_option=False)
def resume(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree to what is called dangerous.")] = False,
) -> None:
    """Go on with a run, exactly where it stopped, or with other settings: peakmark resume runs/detect/train"""
    if _help_wanted(context, ResumeSettings, "peakmark resume runs/detect/train epochs=150 lr0=0.001", _RESUME):
        return
    with _told_plainly():
        run, pairs = _run_and_pairs(context.args)
        if dry_run:
            planned = peakmark.YOLO().plan_resume(run, **pairs)
            ConsoleObserver(_out())(planned)
            raise typer.Exit(SettingsError.exit_code if planned.plan.refusals else 0)
        _resume(run, pairs, yes=yes)


@app.command(context_settings=_PAIRS, add_help_option=False)
def val(context: typer.Context) -> None:
    """Validate a checkpoint: peakmark val model=best.pt data=data.yaml"""
    if _help_wanted(
        context, ValSettings, "peakmark val model=runs/detect/train/weights/best.pt data=data.yaml split=test"
    ):
        return
    with _told_plainly():
        pairs = read_pairs(context.args)
        model = peakmark.YOLO.from_settings(ValSettings, pairs)
        del pairs["model"]
        with ConsoleObserver(_out()) as observer:
            evaluation = model.val(observer=observer, **pairs)
        show_evaluation(_out(), evaluation)


@app.command(context_settings=_PAIRS, add_help_option=False)
def predict(context: typer.Context) -> None:
    """Find objects: peakmark predict model=best.pt source=images/"""
    if _help_wanted(context, PredictSettings, "peakmark predict model=best.pt source=images/ save=True", _SOURCE):
        return
    with _told_plainly():
        pairs = read_pairs(context.args)
        source = pairs.pop("source", None)
        missing = () if source else (f"source is missing; {_SOURCE}",)
        model = peakmark.YOLO.from_settings(PredictSettings, pairs, mistakes=missing)
        del pairs["model"]
        with ConsoleObserver(_out()) as observer:
            for result in model.predict(source, stream=True, observer=observer, **pairs):
                _out().print(f"{result.path}: {result.verbose()}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A checkpoint, e.g. runs/detect/train/weights/best.pt")],
    json: Annotated[bool, typer.Option("--json", help="For a program: JSON, with the digests.")] = False,
) -> None:
    """Say what a checkpoint is: epoch, fitness, settings, where it came from."""
    with _told_plainly():
        show_description(_out(), peakmark.inspect(file), as_json=json)


@app.command()
def strip(
    file: Annotated[Path, typer.Argument(help="A checkpoint, e.g. runs/detect/train/weights/best.pt")],
    target: Annotated[Path | None, typer.Argument(help="Where to; without it best-stripped.pt beside it.")] = None,
) -> None:
    """Write a small copy of a checkpoint for shipping; no run can go on from it."""
    with _told_plainly():
        path, before, after = peakmark.strip(file, target)
        _say(f"{path}: {after / 1e6:.1f} MB instead of {before / 1e6:.1f} MB")


@app.command()
def select(
    run: Annotated[Path, typer.Argument(help="A run's folder, e.g. runs/detect/train")],
    fitness: Annotated[list[str], typer.Argument(help="fitness=..., as for peakmark train", metavar="fitness=...")],
    kept: Annotated[bool, typer.Option("--kept", help="Take the best of those whose weights are there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Make best.pt of the epoch that is best by another fitness: peakmark select runs/detect/train fitness=map50"""
    with _told_plainly():
        pairs = read_pairs(fitness)
        if set(pairs) != {"fitness"}:
            raise SettingsError(["select takes one setting: fitness=..., e.g. fitness=map50"])
        with ConsoleObserver(_out()) as observer:
            found = peakmark.select(run, fitness=pairs["fitness"], kept=kept, dry_run=dry_run, observer=observer)
        show_selection(_out(), found)
        raise typer.Exit(0 if found.done or dry_run else SettingsError.exit_code)


@app.command()
def replay(
    run: Annotated[Path, typer.Argument(help="A run's folder, or the checkpoint to start from.")],
    steps: Annotated[
        int | None, typer.Option(min=1, help="Updates to make; without it up to the next kept file, if it is near.")
    ] = None,
) -> None:
    """Make steps of a run again and compare: a proof, or the first step and tensor that differ."""
    with _told_plainly():
        with ConsoleObserver(_out()) as observer:
            done = peakmark.replay(run, steps=steps, observer=observer)
        show_replayed(_out(), done)
        raise typer.Exit(0 if done.equal else TrainingError.exit_code)


@app.command()
def diagnose(run: Annotated[Path, typer.Argument(help="A run's folder, e.g. runs/detect/train")]) -> None:
    """Say whether a run was gone on with soundly, and what may have broken it."""
    with _told_plainly():
        found = peakmark.diagnose(run)
        show_diagnosis(_out(), found)
        raise typer.Exit(0 if found.healthy else TrainingError.exit_code)


@app.command(context_settings=_PAIRS, add_help_option=False)
def audit(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="For a program: JSON, with every example.")] = False,
) -> None:
    """Look for what could spoil a training on a data set: peakmark audit data=data.yaml"""
    if _help_wanted(context, AuditSettings, "peakmark audit data=data.yaml fix=split", _AUDIT):
        return
    with _told_plainly():
        pairs = read_pairs(context.args)
        with ConsoleObserver(_err()) as observer:
            found = peakmark.audit(observer=observer, **pairs)
        show_audit(_out(), found, as_json=json)
        raise typer.Exit({"high": EXIT_HIGH, "medium": EXIT_MEDIUM}.get(found.severity or "", 0))


@app.command(context_settings=_PAIRS, add_help_option=False)
def compare(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="For a program: JSON, with every number.")] = False,
) -> None:
    """Compare runs, and say what differs: peakmark compare runs/detect/train runs/detect/train2"""
    if _help_wanted(context, CompareSettings, "peakmark compare runs/detect/train runs/detect/train2", _COMPARE):
        return
    with _told_plainly():
        runs, pairs = _runs_and_pairs(context.args)
        with ConsoleObserver(_err()) as observer:
            comparison = peakmark.compare(*runs, observer=observer, **pairs)
        show_comparison(_out(), comparison, as_json=json)
        raise typer.Exit(0 if comparison.ranked else EXIT_NOT_RANKED)


@app.command(context_settings=_PAIRS, add_help_option=False)
def promote(context: typer.Context) -> None:
    """Release a run's best epoch, versioned and for good: peakmark promote RUN to=DIR_OR_URL"""
    if _help_wanted(context, PromoteSettings, "peakmark promote runs/detect/train to=s3://models", _PROMOTE):
        return
    with _told_plainly():
        run, pairs = _run_and_pairs(context.args)
        if run is None:
            raise SettingsError(["No run is named; write its folder: peakmark promote runs/detect/train to=..."])
        show_release(_out(), peakmark.promote(run, **pairs))


@app.command(context_settings=_PAIRS, add_help_option=False)
def gate(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="For a program: JSON, with every number.")] = False,
) -> None:
    """Say whether a model is good enough: peakmark gate model=best.pt require="map50_95>=0.5\""""
    if _help_wanted(context, GateSettings, 'peakmark gate model=best.pt data=data.yaml require="map50_95>=0.5"', _GATE):
        return
    with _told_plainly():
        pairs = read_pairs(context.args)
        with ConsoleObserver(_err()) as observer:
            verdict = peakmark.gate(observer=observer, **pairs)
        show_verdict(_out(), verdict, as_json=json)
        raise typer.Exit(0 if verdict.passed else EXIT_NOT_PASSED)


_SOURCE = "source=... is an image, a video, a folder, a glob such as 'images/*.jpg', or a .txt list of images."


_AUDIT = f"""
Duplicates, torn sequences, splits that differ, too little data, faulty labels:
each finding with its severity, examples and what to do about it.
  --json  everything, for a program
It ends with {EXIT_HIGH} where the worst finding is of high severity, {EXIT_MEDIUM} for medium, else 0."""


_COMPARE = f"""
Two or more runs, named by their folders or by weights in them. Their best
epochs are held against each other on the same validation images. What differs
is listed; equal settings and seed should give equal digests.
  --json  everything, for a program
It ends with {EXIT_NOT_RANKED} where the runs can't be ranked, since they were validated on
other data or otherwise; else with 0, even where the lead may be chance."""


_GATE = f"""
Validates the model as `peakmark val` does and judges each requirement. Commas
separate requirements; each compares a metric, that of one class (recall[RBC]),
or arithmetic over them with a number, by >= > <= or <. Quote it for the shell.
  --json  everything, for a program
It ends with 0 where all of them hold, with {EXIT_NOT_PASSED} where one doesn't."""


_PROMOTE = """
Puts best.pt, summary.json, a model card and checksums into to=/NAME/VERSION,
all of it or nothing. A version that is there is never changed."""


_RESUME = """
Without a run: the newest that was stopped. A run's folder, or last.pt in it,
goes on in place; an older checkpoint of it branches into a new folder. Every
setting of `peakmark train --help` may be given, and is changed from there on.
Before the first step a table says what becomes of each part of the run.
  --dry-run  stops there
  --yes, -y  agrees to what the table calls dangerous"""


def _resume(run: str | None, pairs: Mapping[str, str], *, yes: bool) -> NoReturn:
    with ConsoleObserver(_out()) as observer:
        watched = _Ending(observer)
        peakmark.YOLO().resume(run, observer=watched, yes=yes or _asked, **pairs)
    raise typer.Exit(watched.exit_code)


def _asked(plan: ChangePlan) -> bool:
    """Asks the person at the terminal; where there is none, nobody has agreed."""
    return sys.stdin.isatty() and typer.confirm(f"{len(plan.dangers)} of this is dangerous. Go on?")


def _run_and_pairs(words: list[str]) -> tuple[str | None, dict[str, str]]:
    named, pairs = _runs_and_pairs(words)
    if len(named) > 1:
        raise SettingsError([f"More than one run is named: {', '.join(named)}. Settings are written key=value."])
    return next(iter(named), None), pairs


def _runs_and_pairs(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Takes the runs' folders out of the words; a folder may have an equals sign in its name."""
    named = [word for word in words if not word.startswith("-") and ("=" not in word or Path(word).exists())]
    return named, read_pairs([word for word in words if word not in named])


def _run_that_train_resumes(pairs: dict[str, str]) -> str | None:
    """Takes `resume=` out of the pairs: None for a new run, "" for the newest that was stopped, else the one named."""
    wish = pairs.pop("resume", "False")
    if wish.lower() == "false":
        return None
    if wish.lower() != "true":
        return wish
    return pairs.pop("model") if pairs.get("model", "").endswith(".pt") else ""


def _help_wanted(context: typer.Context, kind: type[SettingsModel], example: str, more: str = "") -> bool:
    if not {"--help", "-h", "help"} & set(context.args):
        return False
    console = _out()
    console.print(f"{(context.command.help or '').partition(':')[0]}. Settings are written key=value:", highlight=False)
    console.print(f"  {example}", highlight=False, markup=False)
    if more:
        console.print(more, highlight=False, markup=False)
    console.print("\nEach setting with its default, its meaning, and in brackets its range.\n", highlight=False)
    show_settings(console, kind)
    return True


class _Ending:
    """Passes events on and remembers which exit code the run's end comes to."""

    def __init__(self, observer: ConsoleObserver) -> None:
        self._observer = observer
        self.exit_code = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunEnded):
            codes: dict[str, int] = {
                "interrupted": EXIT_INTERRUPTED,
                "paused": EXIT_INTERRUPTED,
                "broken": TrainingError.exit_code,
                "not_finite": TrainingError.exit_code,
            }
            self.exit_code = codes.get(event.outcome, 0)
        self._observer(event)


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Turns a user's mistake into its sentence and exit code, and Ctrl-C into 130; a defect keeps its traceback."""
    try:
        yield
    except PeakmarkError as error:
        show_error(_err(), error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _say(text: str) -> None:
    _out().print(text, highlight=False, markup=False, soft_wrap=True)


def _out() -> Console:
    return Console()


def _err() -> Console:
    return Console(stderr=True)
