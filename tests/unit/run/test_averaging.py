"""Is an average the average, with statistics of its own; and is it recommended only where it is better?"""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from peakmark import YOLO, inspect
from peakmark.checkpoint.digest import digest
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.data.loader import Microbatch
from peakmark.errors import DataError, ModelFileError
from peakmark.evaluate.uncertainty import Estimate
from peakmark.events import Event, Notice, RunEnded, ValidationProgress
from peakmark.machine.devices import settle
from peakmark.model.detector import build_detector
from peakmark.model.scales import SCALES
from peakmark.nouns.batch import Batch
from peakmark.record.folder import RunFolder
from peakmark.run.end import average_trial
from peakmark.run.end.averaging import average, measure_statistics, microbatches_for_statistics

if TYPE_CHECKING:
    from peakmark import TrainResults

LEARNS = {
    "optimizer": "AdamW", "lr0": 0.01, "warmup_epochs": 0, "nbs": 4, "epochs": 6, "imgsz": 64, "mosaic": 0,
    "scale": 0.1,
}  # fmt: skip
"""So that the last epochs have a fitness above 0."""


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_weights_are_averaged_and_counters_are_the_first_one_s():
    one = {"weight": torch.tensor([1.0, 2.0]), "norm.num_batches_tracked": torch.tensor(7)}
    two = {"weight": torch.tensor([2.0, 6.0]), "norm.num_batches_tracked": torch.tensor(9)}
    made = average([one, two, two])
    assert made["weight"].tolist() == [pytest.approx(5 / 3), pytest.approx(14 / 3)]
    assert made["weight"].dtype == torch.float32
    assert made["norm.num_batches_tracked"].item() == 7


def test_an_average_is_added_up_in_double_precision():
    """In float32 the small one is lost beside the large one, and the order of the epochs shows in the last bits."""
    large, small = {"weight": torch.tensor([1e8])}, {"weight": torch.tensor([1.0])}
    weights = [large, small, {"weight": torch.tensor([-1e8])}]
    assert average(weights)["weight"].item() == pytest.approx(1 / 3)


def test_the_average_of_one_is_itself():
    one = {"weight": torch.rand(5, generator=torch.Generator().manual_seed(0))}
    assert torch.equal(average([one])["weight"], one["weight"])


@pytest.mark.parametrize(("images", "groups"), [(1, 1), (7, 1), (16, 1), (17, 1), (40, 2), (1024, 64), (5000, 64)])
def test_statistics_are_measured_on_groups_of_one_size(images, groups):
    made = microbatches_for_statistics(images)
    assert len(made) == groups
    assert {group.count for group in made} == {min(images, 16)}
    assert [group.first for group in made] == [number * min(images, 16) for number in range(groups)]
    assert made[-1].first + made[-1].count <= images
    assert isinstance(made[0], Microbatch)


def batches(count: int = 3) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    nothing = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), ())
    shape = (4, 3, 64, 64)
    return [Batch(torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8), *nothing) for _ in range(count)]


def test_statistics_are_the_mean_over_the_batches_and_nothing_else_changes():
    arithmetic = settle(device="cpu", amp=False, deterministic=True, threads=1)
    model = build_detector(SCALES["yolov8t"], 2, seed=0)
    before = copy.deepcopy(model.state_dict())
    first_conv, norm = model.get_submodule("backbone.stem.conv"), "running_mean"
    (name,) = [name for name in before if name.endswith(norm)][:1]
    made = measure_statistics(model, batches(), arithmetic, frozen=())
    with torch.no_grad():
        outputs = [first_conv(batch.images_BCHW.float() / 255) for batch in batches()]
    expected = torch.stack([output.mean(dim=(0, 2, 3)) for output in outputs]).mean(dim=0)
    assert torch.allclose(made[name], expected, atol=1e-5)
    variance = torch.stack([output.transpose(0, 1).flatten(1).var(dim=1) for output in outputs]).mean(dim=0)
    assert torch.allclose(made[name.replace("mean", "var")], variance, rtol=1e-3, atol=1e-6)
    changed = {name for name, tensor in made.items() if not torch.equal(tensor, before[name])}
    assert changed
    assert {name.rpartition(".")[2] for name in changed} == {"running_mean", "running_var"}


def test_a_frozen_layer_keeps_its_statistics():
    arithmetic = settle(device="cpu", amp=False, deterministic=True, threads=1)
    model = build_detector(SCALES["yolov8t"], 2, seed=0)
    before = copy.deepcopy(model.state_dict())
    layer = copy.deepcopy(model.layers()[0].state_dict())
    made = measure_statistics(model, batches(1), arithmetic, frozen=(0,))
    kept = [
        name for name, tensor in made.items() if name.endswith("running_mean") and torch.equal(tensor, before[name])
    ]
    assert len(kept) == sum(name.endswith("running_mean") for name in layer)


# --- in a run --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(train_in, tmp_path_factory) -> Iterator[TrainResults]:
    """A run to its end, of which nothing was averaged. Nothing may be written into it."""
    project = tmp_path_factory.mktemp("plain")
    yield train_in(project, **LEARNS)
    shutil.rmtree(project)


@pytest.fixture
def again(plain, runs) -> Callable[..., TrainResults]:
    """Ends the run again, in a copy of its own: its average is tried then as at the end of any run."""

    def end(name: str = "train", **settings: Any) -> TrainResults:
        if not (runs / name).exists():
            # Files are replaced and never written into, so the copy may share them with the run.
            shutil.copytree(plain.save_dir, runs / name, copy_function=os.link)
        observer = settings.pop("observer", lambda event: None)
        return YOLO().resume(runs / name, observer=observer, **{"average": True, **settings})

    return end


@pytest.fixture
def surely_better(monkeypatch):
    """Has every average judged as better, so that what follows from it can be looked at."""
    monkeypatch.setattr(average_trial, "gain_of", lambda *_, **__: Estimate(0.02, 0.005, 0.01, 0.03))


def test_a_better_average_is_written_and_recommended_and_best_stays(plain, train, surely_better):
    told: list[Event] = []
    results = train(**LEARNS, average=True, name="averaged", observer=told.append)
    folder = RunFolder(results.save_dir)
    averaging = results.summary["averaging"]
    assert averaging["file"] == "weights/averaged.pt"
    assert averaging["text"].startswith("The average of the weights of epochs ")
    (ended,) = [event for event in told if isinstance(event, RunEnded)]
    assert ended.averaging == averaging["text"]
    assert "recommended" in ended.averaging
    assert ended.recommended == folder.averaged, "what the last words tell to use"
    assert [event for event in told if isinstance(event, ValidationProgress)]
    assert inspect(folder.best)["digests"] == inspect(plain.best)["digests"], "the run itself is the same run"
    written = read(folder.averaged)
    assert not written.complete
    assert digest(written.model) != digest(read(folder.best).model)
    assert written.fitness == averaging["fitness"]
    assert sorted(epoch + 1 for epoch in written.provenance["averaged_epochs"]) == list(averaging["epochs"])
    said = inspect(folder.averaged)["weights"]
    assert said.startswith(f"the average of those after epochs {', '.join(map(str, averaging['epochs']))}, validated")


def test_what_it_says_of_itself_is_what_val_finds_and_it_can_be_used(again, train, surely_better, tmp_path, tiny_data):
    results = again()
    file = RunFolder(results.save_dir).averaged
    evaluation = YOLO(file).val(project=tmp_path, plots=False, workers=0, observer=lambda event: None)
    assert {name: repr(value) for name, value in evaluation.metrics.items()} == {
        name: repr(value) for name, value in (read(file).metrics or {}).items()
    }
    assert len(YOLO(file).predict(tiny_data.parent / "images/val/00.png")) == 1
    assert train(model=file, epochs=1, name="tuned").outcome == "finished"
    with pytest.raises(ModelFileError, match="is stripped"):
        YOLO().resume(file, observer=lambda event: None)


def test_an_average_is_the_same_for_any_number_of_workers(again, surely_better):
    made = [read(RunFolder(again(f"w{workers}", workers=workers).save_dir).averaged) for workers in (0, 2)]
    assert digest(made[0].model) == digest(made[1].model)
    assert made[0].metrics is not None
    assert repr(made[0].metrics) == repr(made[1].metrics)


def test_a_worse_average_is_not_written_and_an_older_one_goes(again, monkeypatch):
    """The negative control: averaged with weights that are noise, nothing may be recommended."""

    def spoilt(weights):
        generator = torch.Generator().manual_seed(0)
        return {
            name: tensor + torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
            for name, tensor in average(weights).items()
        }

    monkeypatch.setattr("peakmark.run.end.average_trial.average", spoilt)
    results = again()
    folder = RunFolder(results.save_dir)
    averaging = results.summary["averaging"]
    assert averaging["file"] is None
    assert averaging["gain"]["value"] < 0
    assert "nothing that can be told from chance" in averaging["text"]
    assert not folder.averaged.exists()
    save(read(folder.best), folder.averaged)
    YOLO().resume(results.save_dir, observer=lambda event: None)
    assert not folder.averaged.exists(), "it was of another best"
    told: list[Event] = []
    YOLO().resume(results.save_dir, observer=told.append)
    assert [event.recommended for event in told if isinstance(event, RunEnded)] == [folder.best]


@pytest.mark.parametrize("wishes", [{"average": False}, {"keep": 1, "average": True}, {"epochs": 1, "average": True}])
def test_where_there_is_nothing_to_average_nothing_is_said(train, wishes):
    # Nothing is learnt that anybody looks at: as short and small as can be.
    results = train(**{**LEARNS, "epochs": 2, "imgsz": 32, **wishes})
    assert results.summary["averaging"] is None
    assert not RunFolder(results.save_dir).averaged.exists()


def test_a_stop_while_it_is_tried_leaves_the_run_to_be_ended_again(again, stop_at_average, surely_better):
    stopped = again(observer=stop_at_average)
    assert stopped.outcome == "interrupted"
    folder = RunFolder(stopped.save_dir)
    assert json.loads(folder.summary.read_text())["averaging"] is None
    assert not folder.averaged.exists()
    whole = again("whole")
    assert YOLO().resume(stopped.save_dir, observer=lambda event: None).outcome == "finished"
    assert digest(read(folder.averaged).model) == digest(read(RunFolder(whole.save_dir).averaged).model)


@pytest.fixture
def stop_at_average(monkeypatch):
    """Presses Ctrl-C as the first average is validated."""

    def watch(event: Event) -> None:
        if isinstance(event, ValidationProgress) and averaging:
            os.kill(os.getpid(), signal.SIGINT)

    averaging: list[Any] = []

    def told(weights):
        averaging.append(1)
        return average(weights)

    monkeypatch.setattr("peakmark.run.end.average_trial.average", told)
    return watch


def test_what_stands_in_its_way_does_not_cost_the_end(again, monkeypatch):
    def gone(weights):
        raise DataError("a.png can't be read any more.")

    monkeypatch.setattr("peakmark.run.end.average_trial.average", gone)
    told: list[Event] = []
    results = again(observer=told.append)
    assert results.outcome == "finished"
    assert results.summary["averaging"] is None
    assert [event for event in told if isinstance(event, Notice) and "given up. a.png" in event.text]


def test_a_damaged_epoch_is_left_out(again, plain):
    folder = RunFolder(again(average=False).save_dir)
    for epoch, path in folder.best_epoch_files().items():
        if epoch + 1 != plain.summary["best"]["epoch"]:
            damaged = path.read_bytes()[:-1]
            path.unlink()  # its bytes are those of the run that others look at
            path.write_bytes(damaged)
    assert again().summary["averaging"] is None
    assert replace(read(folder.best)).validated
