"""What can one do with a detector? Train, validate, predict: the facade that the command line and Python users share.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import torch

from peakmark.data.dataset import DatasetSpec, read_dataset
from peakmark.deploy.results import Results, ResultsList
from peakmark.errors import Mistakes
from peakmark.events import Event, Notice, Observer, ResumePlanned
from peakmark.machine.durable import write_text
from peakmark.model.detector import Detector, build_detector
from peakmark.model.predictor import ReadyPredictor
from peakmark.nouns import ChangePlan, Evaluation
from peakmark.pictures import artist
from peakmark.predictions import find_objects
from peakmark.record.folder import create_run_folder
from peakmark.record.plain_json import as_json
from peakmark.release.backup import Backup
from peakmark.releases import check_backup, check_backup_of_resume
from peakmark.report.console import ConsoleObserver
from peakmark.report.painter import (
    draw_evaluation,
)
from peakmark.results import TrainResults
from peakmark.runs import run_to_resume, wishes_of
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.fields import PredictSettings, Settings, ValSettings
from peakmark.settings.parse import Parsed, parse
from peakmark.train.ending import EndedRun
from peakmark.train.pictures import drawn
from peakmark.train.resumption import plan_resume, resume_run
from peakmark.train.session import start_run
from peakmark.train.start import ModelSource, find_model
from peakmark.train.validation import sample_detections
from peakmark.validations import OpenedSplit, checkpoint_of, open_split

M = TypeVar("M", bound=SettingsModel)
Resume = bool | str | Path


class YOLO:
    """A detector, by the habits of the field.

    `YOLO("yolov8n.yaml")` is an architecture with fresh weights, `YOLO("best.pt")` a trained model.
    """

    def __init__(self, model: str | Path = "yolov8n.yaml") -> None:
        """Raises ModelFileError where `model` is no architecture, no checkpoint of ours and no other program's weights.

        Another program's .pt can be fine-tuned from; its weights are read without running anything in it.
        """
        self._file: str | Path = model
        self._found: ModelSource | None = find_model(model)
        self._model: Detector | None = None
        self._model_is_shared = False
        self._predictor = ReadyPredictor()

    @classmethod
    def from_settings(
        cls, kind: type[SettingsModel], given: Mapping[str, Any], *, mistakes: Iterable[str] = ()
    ) -> YOLO:
        """Makes the model that the settings of a command name, once all of them are right.

        Raises every mistake in settings, model and data at once, those in `mistakes` (found before) among them.
        """
        name = given.get("model", kind.model_fields["model"].default)
        found = Mistakes(mistakes)
        with found.gathered():
            check_backup(parse(kind, given).settings)
        model = None
        with found.gathered():
            # Where it must be given and is not, the settings have said so.
            model = cls(name) if isinstance(name, str | Path) else None
        with found.gathered():
            _read_data(given)
        found.tell()
        assert model is not None
        return model

    @property
    def names(self) -> dict[int, str]:
        """The classes by their numbers; empty for an architecture that has seen no data."""
        return dict(enumerate(self._source.names))

    @property
    def model(self) -> Detector:
        """The network, a `torch.nn.Module`: the validated weights of a checkpoint, or fresh ones for 80 classes."""
        self._model_is_shared = True
        return self._network()

    def _network(self) -> Detector:
        if self._model is None:
            source = self._source
            self._model = build_detector(source.scale, len(source.names) or 80, seed=0)
            if source.weights is not None:
                self._model.load_state_dict(source.weights)
        return self._model

    def load_state_dict(self, weights: Mapping[str, torch.Tensor]) -> YOLO:
        """Puts `torch.load("best.pt")["model"]` into the network, which takes over its number of classes."""
        classes = len(weights["head.cls.0.2.bias"])
        if self._network().head.classes != classes:
            self._model = build_detector(self._source.scale, classes, seed=0)
        self._network().load_state_dict(weights)
        self._predictor = ReadyPredictor()
        return self

    def train(self, *, resume: Resume = False, observer: Observer | None = None, **settings: Any) -> TrainResults:
        """Trains, and afterwards is the best model of the run (the last, where nothing was validated).

        `observer` is called with what happens; None draws it on the terminal. `resume=True` goes on with the run of
        this checkpoint, or with the newest that was stopped; a path names one. Raises SettingsError with every mistake
        at once, and other PeakmarkErrors; what stands on disk then still stands.
        """
        if resume is not False:
            own_run = self._source.name if self._source.weights is not None else None
            return self.resume(own_run if resume is True else resume, observer=observer, **settings)
        parsed, spec = _checked(Settings, {**settings, "model": self._source.name})
        fitness = settings.get("fitness")
        with _watching(observer) as observe, closing(Backup()) as backup:
            function = fitness if callable(fitness) else None
            ended = start_run(parsed, self._source, spec, observe, artist(), backup, function)
        return self._become(ended)

    def resume(
        self,
        run: str | Path | None = None,
        *,
        observer: Observer | None = None,
        yes: bool | Callable[[ChangePlan], bool] = False,
        **changes: Any,
    ) -> TrainResults:
        """Goes on with a stopped or ended run, in place: with nothing changed bit for bit as if it had never stopped.

        `run`: its folder, or a checkpoint in it; None for the newest that was stopped. A checkpoint that is older than
        the run's newest state branches into a new folder. `changes`: settings that get another value from here on, and
        those of `ResumeSettings`. `yes` agrees to a plan with dangers in it, or is asked. Raises as `train` does.
        """
        folder, asked = run_to_resume(run, changes)
        agree = yes if callable(yes) else lambda plan: bool(yes)
        wishes = wishes_of(changes, agree)
        check_backup_of_resume(folder, wishes.changes)
        with _watching(observer) as observe, closing(Backup()) as backup:
            ended = resume_run(folder, asked, wishes, observe, artist(), backup)
        return self._become(ended)

    def plan_resume(self, run: str | Path | None = None, **changes: Any) -> ResumePlanned:
        """Says what `resume` with these arguments would do to each part of the run, and does nothing."""
        folder, asked = run_to_resume(run, changes)
        return plan_resume(folder, asked, wishes_of(changes, lambda plan: False))

    def val(self, *, observer: Observer | None = None, **settings: Any) -> Evaluation:
        """Validates the checkpoint, by default on the data it was trained on; gives the numbers that were logged.

        Raises SettingsError with every mistake at once, and other PeakmarkErrors.
        """
        checkpoint = checkpoint_of(self._source, "validated")
        data_yaml = settings.get("data") or checkpoint.provenance["data"]["yaml"]
        given = {**settings, "data": data_yaml, "model": self._source.name}
        parsed, spec = _checked(ValSettings, given)
        wishes = parsed.settings
        with _watching(observer) as observe:
            split = open_split(checkpoint, wishes, spec, observe)
            folder, said = create_run_folder(Path(wishes.project), wishes.name, exist_ok=wishes.exist_ok)
            for note in (*parsed.notes, *split.data.index.warnings, *said):
                observe(Notice(note))
            evaluation = split.validate(self._network(), observe).evaluation
            write_text(folder.path / "metrics.json", _metrics_json(evaluation))
            if wishes.plots:
                drawn("The pictures", partial(self._draw, folder.path, evaluation, split), observe)
            observe(Notice(f"Written to {folder.path}"))
        return evaluation

    def _draw(self, folder: Path, evaluation: Evaluation, split: OpenedSplit) -> None:
        draw_evaluation(folder, evaluation, sample_detections(self._network(), split.data, split.arithmetic))

    @overload
    def predict(
        self, source: object, *, stream: Literal[True], observer: Observer | None = None, **settings: Any
    ) -> Iterator[Results]: ...
    @overload
    def predict(
        self, source: object, *, stream: Literal[False] = False, observer: Observer | None = None, **settings: Any
    ) -> ResultsList: ...
    def predict(
        self, source: object, *, stream: bool = False, observer: Observer | None = None, **settings: Any
    ) -> ResultsList | Iterator[Results]:
        """Finds objects in images and videos: a file, folder, glob, .txt list, list, NumPy array (BGR) or PIL image.

        With `stream` the results come one by one and memory stays bounded; else as a list. Raises SettingsError and
        DataError; where anything is saved, MachineError as well.
        """
        checkpoint = checkpoint_of(self._source, "used for prediction")
        parsed = parse(PredictSettings, {**settings, "model": self._source.name})
        observe = observer or _say_nothing
        for note in parsed.notes:
            observe(Notice(note))
        results = find_objects(
            source, checkpoint, parsed.settings, observe, self._network(), self._predictor, shared=self._model_is_shared
        )
        return results if stream else ResultsList(results)

    __call__ = predict

    @property
    def _source(self) -> ModelSource:
        if self._found is None:
            self._found = find_model(self._file)
        return self._found

    def _become(self, ended: EndedRun) -> TrainResults:
        """Takes over the best weights of an ended run."""
        folder, best = ended.folder, ended.summary["best"]
        file = folder.best if best else folder.last
        if file.exists():
            # Read when it is used: a command that only trains ends sooner without.
            self._file, self._found, self._model = file, None, None
        return TrainResults(
            save_dir=folder.path,
            outcome=ended.outcome,
            best=folder.best if best else None,
            last=folder.last,
            metrics=best["metrics"] if best else {},
            fitness=best["fitness"] if best else None,
            summary=ended.summary,
        )


# --- parts of the above ---------------------------------------------------------------------------------------------


def _checked(kind: type[M], given: Mapping[str, Any]) -> tuple[Parsed[M], DatasetSpec]:
    """Checks settings and the data.yaml they name, and raises every mistake of both at once."""
    found = Mistakes()
    parsed: Parsed[M] | None = None
    spec: DatasetSpec | None = None
    with found.gathered():
        parsed = parse(kind, given)
        check_backup(parsed.settings)
    with found.gathered():
        spec = _read_data(given)
    found.tell()
    assert parsed is not None
    assert spec is not None
    return parsed, spec


def _read_data(given: Mapping[str, Any]) -> DatasetSpec | None:
    """Reads the data.yaml that settings name; None where they name none, which `parse` complains of where it must."""
    return read_dataset(given["data"]) if given.get("data") else None


@contextmanager
def _watching(observer: Observer | None) -> Iterator[Observer]:
    """The caller's observer, or a console for as long as it is needed."""
    if observer is not None:
        yield observer
        return
    with ConsoleObserver() as console:
        yield console


def _say_nothing(event: Event) -> None:
    """For a library call that gives its results back."""


def _metrics_json(evaluation: Evaluation) -> str:
    return as_json(
        {
            "protocol": evaluation.protocol,
            "metrics": evaluation.metrics,
            "names": evaluation.names,
            "per_class": evaluation.per_class,
            "images": evaluation.images,
            "truths": evaluation.truths,
        },
        indent=2,
    )
