"""Which words can a user type? All of them, in the order of the help; the entry point of the package.

What a word does is loaded when it is typed: the help that lists them must come at once.
"""

from __future__ import annotations

import gc
import importlib
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import peakmark

__all__ = ["app", "run"]

_OTHER_TASK = "it detects boxes and does no other task"
_LACKING = {
    "detect": "write what it should do, e.g. peakmark train or peakmark predict",
    **dict.fromkeys(("segment", "classify", "pose", "obb", "semantic"), _OTHER_TASK),
    "checks": "write peakmark doctor, which looks at this machine",
    "settings": "there are no settings beside those of a command; peakmark train --help lists them",
    "cfg": "peakmark train --help lists the settings and their defaults",
    "copy-cfg": "a run's settings.yaml holds all its settings; peakmark train cfg=settings.yaml reads it",
    "version": "write peakmark --version",
    "help": "write peakmark --help",
}
"""Words of the field that are no commands here, and what to do instead."""

_OBJECTS_BETWEEN_COLLECTIONS = 100_000


@dataclass(frozen=True, slots=True)
class _Word:
    """A command, before it is loaded."""

    module: str
    """Of this room; the function in it has the command's name."""
    says: str
    """The first line of the function's docstring."""
    reads_pairs: bool = False
    """Its arguments are read by read_pairs, --help included: it has more settings than options could show."""
    function: str = ""
    """Where it has another name than the command: `import` is a word of Python's."""


_PANELS: dict[str, dict[str, _Word]] = {
    "Train and use": {
        "train": _Word(
            "training", "Train a detector: peakmark train data=data.yaml model=yolov8n.yaml epochs=100", True
        ),
        "resume": _Word(
            "training",
            "Resume a run, exactly where it stopped, or with other settings: peakmark resume runs/detect/train",
            True,
        ),
        "val": _Word("training", "Validate a checkpoint: peakmark val model=best.pt data=data.yaml", True),
        "predict": _Word("training", "Find objects: peakmark predict model=best.pt source=images/", True),
        "track": _Word("training", "Find objects and follow them: peakmark track model=best.pt source=video.mp4", True),
    },
    "Train many times": {
        "tune": _Word("many", "Search settings with Optuna: peakmark tune data=data.yaml trials=20 epochs=30", True),
        "seeds": _Word(
            "many",
            "Train with several seeds, and say what the seed does: peakmark seeds data=data.yaml n=5",
            True,
        ),
        "folds": _Word(
            "many",
            "Cross-validate, and find labels that held-out models contradict: peakmark folds data=data.yaml k=5",
            True,
        ),
    },
    "Judge": {
        "audit": _Word(
            "checks", "Look for what could spoil a training on a data set: peakmark audit data=data.yaml", True
        ),
        "compare": _Word(
            "checks", "Compare runs, and say what differs: peakmark compare runs/detect/train runs/detect/train2", True
        ),
        "watch": _Word("checks", "Watch runs in a browser while they go: peakmark watch runs/detect", True),
        "report": _Word(
            "checks", "Make a run's page anew, or that of a comparison: peakmark report runs/detect/train", True
        ),
        "gate": _Word(
            "checks", 'Say whether a model is good enough: peakmark gate model=best.pt require="map50_95>=0.5"', True
        ),
        "doctor": _Word(
            "checks", "Say whether this machine can be trusted with a training, in a minute: peakmark doctor", True
        ),
        "diagnose": _Word("checks", "Say whether a run was resumed soundly, and what may have broken it."),
    },
    "Data": {
        "convert": _Word(
            "conversion", "Write a data set in another format: peakmark convert source=VOC to=yolo target=set", True
        ),
    },
    "Weights and files": {
        "export": _Word(
            "exporting", "Write a model for another runtime, and compare the two: peakmark export model=best.pt", True
        ),
        "benchmark": _Word(
            "exporting", "Compare size, speed and mAP of a model's formats: peakmark benchmark model=best.pt", True
        ),
        "import": _Word(
            "weights", "Bring a model of another program in, as a checkpoint: peakmark import FILE", True, "import_"
        ),
        "inspect": _Word("weights", "Say what a checkpoint is: epoch, fitness, settings, where it came from."),
        "select": _Word(
            "weights",
            "Make best.pt of the epoch that is best by another fitness:"
            " peakmark select runs/detect/train fitness=map50",
        ),
        "promote": _Word(
            "weights", "Release a run's best epoch, versioned and for good: peakmark promote RUN to=DIR_OR_URL", True
        ),
        "log": _Word(
            "weights", "Send a run's numbers to where a team keeps its runs: peakmark log RUN to=mlflow", True
        ),
        "strip": _Word("weights", "Write a small copy of a checkpoint for shipping; no run can go on from it."),
        "replay": _Word(
            "weights", "Make steps of a run again and compare: a proof, or the first step and tensor that differ."
        ),
    },
}


class _LoadedWhenTyped(TyperGroup):
    """Puts the command that was typed in the place of its line in the help."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] == "detect" and len(args) > 1:
            args = args[1:]  # as the field writes it: detect train ...
        if args[0] in _LACKING:
            ctx.fail(f"{args[0]} is no command of Peakmark: {_LACKING[args[0]]}.")
        word = {name: word for words in _PANELS.values() for name, word in words.items()}.get(args[0])
        # A shell that asks how a word may end waits for the answer: with what a command needs, seconds at each Tab.
        if word is not None and not ctx.resilient_parsing:
            self.add_command(_load(args[0], word), args[0])
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_LoadedWhenTyped,
    name="peakmark",
    help="Trains YOLOv8 object detectors and always knows which epoch was best. Settings are written key=value; "
    "[bold]peakmark train --help[/bold] lists them.",
    epilog="peakmark train data=shapes epochs=30 imgsz=320",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"peakmark {peakmark.__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    # The options that stand before a command; the version has said all when its callback has run.
    pass


def _load(name: str, word: _Word) -> Any:
    """The command itself, with its arguments and options."""
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    function = getattr(importlib.import_module(f"peakmark.cli.{word.module}"), word.function or name)
    if word.reads_pairs:
        settings = {"allow_extra_args": True, "ignore_unknown_options": True}
        alone.command(name=name, context_settings=settings, add_help_option=False)(function)
    else:
        alone.command(name=name)(function)
    return typer.main.get_command(alone)


def _only_its_line() -> None:
    """What the help lists in the place of a command; it is replaced before it could be called."""


for _panel, _words in _PANELS.items():
    for _name, _word in _words.items():
        app.command(name=_name, help=_word.says, rich_help_panel=_panel)(_only_its_line)


def run() -> None:
    """Runs the command line and ends the process."""
    # Loading torch makes some hundred thousand objects that all stay. To look through them for garbage at every 700th
    # takes a tenth of a start; only here, where the process is ours.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    try:
        app()
    finally:
        # Python looks through them once more as it ends, up to a second after the last word and after a second Ctrl-C.
        gc.freeze()
