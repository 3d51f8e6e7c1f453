"""What can one do with a detector? Train, validate, predict: the facade that the command line and Python users share.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, overload

import torch

from peakmark.api.asking import checked, function_of, read_data
from peakmark.api.bring_in import fetched
from peakmark.api.model.benchmark import Benchmark, benchmark_model
from peakmark.api.model.beside import audience_of, check_places, check_places_of_resume
from peakmark.api.model.callbacks import Callbacks, Watch, WithCallbacks
from peakmark.api.model.export import export_model
from peakmark.api.model.found import class_names_of, find_usable, kind_of, only_trainable
from peakmark.api.model.lacking import WithoutTheRest
from peakmark.api.model.placed import OnADevice
from peakmark.api.model.predict import find_objects, following_for
from peakmark.api.model.results import TrainResults, ValResults, results_in, train_results
from peakmark.api.model.together import (
    OfThisProcess,
    leading,
    resume_together,
    train_together,
    wants_others,
)
from peakmark.api.model.trained import data_of, say_what_is_guessed, trained_of
from peakmark.api.model.validate import run_validation
from peakmark.api.model.watching import heeding_verbose, watching
from peakmark.api.runs import passed_over, run_to_resume, wishes_of
from peakmark.deploy.results import Results, ResultsList
from peakmark.deploy.tracking.following import Following
from peakmark.errors import Mistakes, SettingsError
from peakmark.events import Event, Notice, Observer, ResumePlanned, RunStarted
from peakmark.export.exported import ExportedModel
from peakmark.export.exporting import Exported
from peakmark.export.parity import Parity
from peakmark.model.detector import Detector
from peakmark.model.predictor import ReadyPredictor
from peakmark.model.size import ModelSize, parameters_by_layer, size_of
from peakmark.nouns.resume import ChangePlan
from peakmark.report.terminal.notices import NoticesOnce
from peakmark.resume.resume import plan_resume, resume_run
from peakmark.run.begin import start_run
from peakmark.run.weights import ModelSource, find_weights
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.familiar_words.translation import in_our_names
from peakmark.settings.fields import PredictSettings, Settings, TrackSettings, ValSettings
from peakmark.settings.parse import parse
from peakmark.settings.settings_file import with_file

Resume = bool | str | Path


class YOLO(OnADevice, WithCallbacks, WithoutTheRest):
    """A detector, by the habits of the field.

    `YOLO("yolov8n.yaml")` is an architecture with fresh weights, `YOLO("best.pt")` a trained model.
    """

    task = "detect"

    def __init__(
        self,
        model: str | os.PathLike[str] = "yolov8n.yaml",
        task: str | None = None,
        verbose: bool = False,
        *,
        download: bool = False,
    ) -> None:
        """Raises ModelFileError where `model` is no architecture, no checkpoint of ours and no other program's weights.

        Another program's .pt is a model like any other; it is read without running anything in it. `task` can only be
        detect, the one that there is, or SettingsError is raised. `verbose` shows what `info` says. `download` fetches
        a known model such as yolov8n.pt, which is under its makers' licence, where it isn't there.
        """
        if task not in (None, self.task):
            raise SettingsError([f"task={task}: Peakmark detects objects only; leave it out, or write task=detect."])
        if download:
            with watching(None) as observe:
                fetched(os.fspath(model), None, observe)
        self._file: str | Path = os.fspath(model)
        self._found: ModelSource | ExportedModel | None = find_usable(self._file)
        self._model: Detector | None = None
        self._model_is_shared = False
        self._predictor = ReadyPredictor()
        self._callbacks = Callbacks()
        self._tell = NoticesOnce()
        self._run: Path | None = None
        self._following: Following | None = None
        if verbose:
            self.info()

    @classmethod
    def from_settings(
        cls, kind: type[SettingsModel], given: Mapping[str, Any], *, mistakes: Iterable[str] = ()
    ) -> YOLO:
        """Makes the model that the settings of a command name, once all of them are right.

        Raises every mistake in settings, model and data at once, those in `mistakes` (found before) among them.
        """
        given = with_file(kind, given)
        name = in_our_names(kind, given).get("model", kind.model_fields["model"].default)
        found = Mistakes(mistakes)
        model = settings = None
        with found.gathered():
            settings = parse(kind, given).settings
            check_places(settings)
        with found.gathered():
            # Where it must be given and is not, the settings have said so.
            model = cls(name) if isinstance(name, str | Path) else None
        with found.gathered():
            # Nothing is fetched where something else is wrong, nor is anybody asked.
            is_right = settings is not None and model is not None
            read_data(kind, given, getattr(settings, "download", None) if is_right else None)
        found.tell()
        assert model is not None
        return model

    @property
    def names(self) -> dict[int, str]:
        """The classes by their numbers; empty for an architecture that has seen no data."""
        return dict(enumerate(class_names_of(self._in_use)))

    @property
    def model(self) -> Detector:
        """The network, a `torch.nn.Module`: the validated weights of a checkpoint, or fresh ones for 80 classes."""
        self._model_is_shared = True
        return self._network()

    def _network(self) -> Detector:
        if self._model is None:
            self._model = self._source.detector()
        return self._model

    def load_state_dict(self, weights: Mapping[str, torch.Tensor]) -> YOLO:
        """Takes `torch.load("best.pt", weights_only=True)["model"]` as its weights, and gives the model itself.

        A state dict with the names of the field (model.0.conv.weight) is taken as well. It takes over their number of
        classes; names and settings stay unknown where this is another number. Raises ModelFileError where they are not
        those of this architecture.
        """
        held = self._model
        self._take(self._source.with_weights(weights))
        if held is not None and held.head.classes == self._source.classes:
            held.load_state_dict(self._source.weights or {})  # whoever was given the network has these weights as well
            self._model = held
        return self

    def load(self, weights: str | Path) -> YOLO:
        """Becomes the model of a checkpoint of the same architecture, and gives the model itself.

        Raises ModelFileError where the file isn't one.
        """
        self._take(find_weights(weights, self._source.scale))
        return self

    def _take(self, source: ModelSource) -> None:
        self._found, self._model, self._predictor = source, None, ReadyPredictor()

    def info(self, detailed: bool = False, verbose: bool = True, imgsz: int = 640) -> ModelSize:
        """Gives layers, parameters, gradients (parameters that train) and GFLOPs at `imgsz` px.

        `verbose` shows them, `detailed` the parameters of each layer as well.
        """
        size = size_of(self._network(), imgsz)
        if verbose or detailed:
            with watching(None) as observe:
                lines = parameters_by_layer(self._network()) if detailed else ()
                observe(Notice("\n".join([f"{self._source.scale.name}: {size}", *lines])))
        return size

    def fuse(self) -> YOLO:
        """Gives the model itself: val and predict fuse a copy whenever its weights changed: nothing is left."""
        self._tell(Notice("val and predict fuse the model by themselves: there is nothing left for fuse() to do."))
        return self

    def __repr__(self) -> str:
        known = class_names_of(self._in_use)
        classes = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
        return f"YOLO({self._name}: {kind_of(self._in_use)}, {len(known) or 'no'} classes{classes and ': '}{classes})"

    def train(self, *, resume: Resume = False, observer: Observer | None = None, **settings: Any) -> TrainResults:
        """Trains, and afterwards is the best model of the run (the last, where nothing was validated).

        `observer` is called with what happens, and an error in it is told once; None draws it on the terminal.
        `resume=True` resumes the run that this object trained last, however that ended, else with the run of its
        checkpoint, else with the newest that was stopped; a path names one. Raises SettingsError with every mistake at
        once, and other PeakmarkErrors; what stands on disk then still stands.
        """
        alone = OfThisProcess.of(settings, observer, self._callbacks)
        observer = heeding_verbose(observer, settings)
        if resume is not False:
            return self.resume(None if resume is True else resume, observer=observer, **settings)
        with leading() as note:
            if begun := note.begun_before():
                return self.resume(begun, observer=observer)
            given = {**self._placed(settings), "model": self._source.name}
            parsed, spec = checked(Settings, given, check_places)
            if wants_others(parsed.settings):
                return self._become(results_in(train_together(parsed, self._start, alone)))
            with self._watched(observer, note) as observe, audience_of(observe) as audience:
                ended = start_run(parsed, self._start, spec, audience, function_of(settings))
        return self._become(train_results(ended))

    def resume(
        self,
        run: str | Path | None = None,
        *,
        observer: Observer | None = None,
        yes: bool | Callable[[ChangePlan], bool] = False,
        **changes: Any,
    ) -> TrainResults:
        """Resumes a stopped or ended run, in place: with nothing changed bit for bit as if it had never stopped.

        `run`: its folder, or a checkpoint in it; None as for `train(resume=True)`. A checkpoint that is another state
        than the run's newest branches into a new folder; one that lies in no run's folder gets one beside it.
        `changes`: settings that get another value from here on, and those of `ResumeSettings`. `yes` agrees to a plan
        with dangers in it, or is asked. Raises as `train` does.
        """
        alone = OfThisProcess.of(changes, observer, self._callbacks)
        observer, run = heeding_verbose(observer, changes), self._own_run if run is None else run
        folder, asked = run_to_resume(run, changes, alone=True)
        wishes = wishes_of(self._placed(changes), yes if callable(yes) else lambda plan: bool(yes))
        check_places_of_resume(folder, wishes.changes)
        if others := resume_together(folder, asked, wishes, changes, alone):
            return self._become(results_in(others))
        with leading() as note, self._watched(observer, note) as observe, audience_of(observe) as audience:
            folder, asked, wishes = note.resumed_before(folder, asked, wishes)
            if text := passed_over(run, changes):
                observe(Notice(text))
            ended = resume_run(folder, asked, wishes, audience)
        return self._become(train_results(ended))

    def plan_resume(self, run: str | Path | None = None, **changes: Any) -> ResumePlanned:
        """Says what `resume` with these arguments would do to each part of the run, and does nothing."""
        folder, asked = run_to_resume(self._own_run if run is None else run, changes, alone=True)
        return plan_resume(folder, asked, wishes_of(changes, lambda plan: False))

    def val(self, *, observer: Observer | None = None, **settings: Any) -> ValResults:
        """Validates the checkpoint, by default on the data it was trained on; gives the numbers that were logged.

        Raises SettingsError with every mistake at once, and other PeakmarkErrors.
        """
        observer = heeding_verbose(observer, settings)
        trained = trained_of(self._in_use, "validated")
        given = with_file(ValSettings, self._placed(settings))
        given |= {"data": data_of(trained, given.get("data")), "model": self._name}
        parsed, spec = checked(ValSettings, given)
        with self._watched(observer) as observe:
            say_what_is_guessed(trained, observe)
            results = run_validation(self._computing(), trained, parsed, spec, observe)
            observe.validated(results.results_dict, results.save_dir)
            observe.hooks.tell_what_is_owed(observe)
        return results

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
        results = self._find(PredictSettings, source, settings, observer)
        return results if stream else ResultsList(results)

    __call__ = predict
    leading = staticmethod(leading)

    @overload
    def track(self, source: object, *, stream: Literal[True], **settings: Any) -> Iterator[Results]: ...
    @overload
    def track(self, source: object, *, stream: Literal[False] = False, **settings: Any) -> ResultsList: ...
    def track(
        self, source: object, *, stream: bool = False, persist: bool = False, **settings: Any
    ) -> ResultsList | Iterator[Results]:
        """Finds objects as `predict` does and follows them from frame to frame: `boxes.id` are their numbers.

        Several videos are each followed by themselves; pictures that are no video as frames of one. With `persist` this
        source goes on where the last call ended, for a program that hands over one frame after the other. Raises as
        `predict` does, and MachineError where scipy is missing.
        """
        results = self._find(TrackSettings, source, settings, settings.pop("observer", None), persist)
        return results if stream else ResultsList(results)

    def _find(
        self,
        kind: type[PredictSettings],
        source: object,
        settings: dict[str, Any],
        observer: Observer | None,
        persist: bool = False,
    ) -> Iterator[Results]:
        observer = heeding_verbose(observer, settings, quiet=self._tell)
        trained = trained_of(self._in_use, "used for prediction")
        given = with_file(kind, self._placed(settings))
        parsed = parse(kind, {**given, "model": self._name})
        observe = observer or self._tell
        say_what_is_guessed(trained, observe)
        for note in parsed.notes:
            observe(Notice(note))
        wishes = parsed.settings
        if isinstance(wishes, TrackSettings):
            self._following = following_for(wishes, self._following if persist else None)
        following = self._following if isinstance(wishes, TrackSettings) else None
        shared = self._model_is_shared
        return find_objects(
            source, trained, wishes, observe, self._computing(), self._predictor, shared=shared, following=following
        )

    def export(
        self, *, observer: Observer | None = None, yes: bool | Callable[[Parity], bool] = False, **settings: Any
    ) -> Exported:
        """Writes the model in another format (format="onnx", ...), and proves that it computes the same.

        `yes` agrees to a file that doesn't, or is asked. Raises ParityError where nobody agrees, and PeakmarkErrors.
        """
        observer = heeding_verbose(observer, settings)
        agree = yes if callable(yes) else lambda parity: bool(yes)
        source = only_trainable(self._in_use, "exported again")
        with watching(observer) as observe:
            return export_model(source, self._network(), settings, observe, agree)

    def benchmark(self, *, observer: Observer | None = None, **settings: Any) -> Benchmark:
        """Writes the model in every format that runs here, and compares size, speed and mAP. Raises PeakmarkErrors."""
        observer = heeding_verbose(observer, settings)
        with watching(observer) as observe:
            return benchmark_model(only_trainable(self._in_use, "exported again"), self._network(), settings, observe)

    @contextmanager
    def _watched(self, observer: Observer | None, note: Observer | None = None) -> Iterator[Watch]:
        with watching(observer) as observe:

            def remembering(event: Event) -> None:
                if isinstance(event, RunStarted):
                    self._run = event.folder
                if note:
                    note(event)
                observe(event)

            yield self._callbacks.watching(remembering)

    @property
    def _own_run(self) -> str | Path | None:
        """The run that this object trained last, in a notebook the one that was just interrupted; else its file's."""
        has_weights = isinstance(self._in_use, ModelSource) and self._in_use.weights is not None
        return self._run or (self._name if has_weights else None)

    @property
    def _start(self) -> ModelSource:
        """What a training starts from: the network as it is, where somebody was given it and changed it."""
        if self._model is None or not self._model_is_shared:
            return self._source
        now = {name: tensor.cpu() for name, tensor in self._model.state_dict().items()}
        before = self._source.detector().state_dict()
        same = all(torch.equal(tensor, before[name]) for name, tensor in now.items())
        return self._source if same else self._source.with_weights(now)

    @property
    def _in_use(self) -> ModelSource | ExportedModel:
        if self._found is None:
            self._found = find_usable(self._file)
        return self._found

    @property
    def _source(self) -> ModelSource:
        """What can be trained. Raises ModelFileError for an exported file."""
        return only_trainable(self._in_use, "trained, resumed or taken apart")

    @property
    def _name(self) -> str:
        """As the user wrote it."""
        return self._in_use.name if isinstance(self._in_use, ModelSource) else str(self._in_use.path)

    def _computing(self) -> Detector | ExportedModel:
        return self._in_use if isinstance(self._in_use, ExportedModel) else self._network()

    def _become(self, results: TrainResults) -> TrainResults:
        """Takes over the best weights of an ended run."""
        if (file := results.best or results.last).exists():
            # Read when it is used: a command that only trains ends sooner without.
            self._file, self._found, self._model = file, None, None
        return results
