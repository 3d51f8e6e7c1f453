"""A run that is logged to TensorBoard, MLflow and W&B: the same run, and all numbers there, whoever is killed when."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from peakmark import YOLO, log
from peakmark.events import EpochEnded, Event, Notice, RunStarted
from peakmark.loggers.story import metric_name

EPOCHS = 3
ALL = "tensorboard,mlflow,wandb"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each logger without a server; gives where MLflow has its runs."""
    place = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    monkeypatch.setenv("WANDB_MODE", "offline")
    return place


def senders(run: Path) -> dict[str, psutil.Process]:
    """The processes that send a run, by the name of their logger."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        words: list[str] = []
        with contextlib.suppress(psutil.Error):  # one that has just ended
            words = process.cmdline()
        if "peakmark.loggers.sender" in words and str(run) in words:
            found[words[words.index(str(run)) + 1]] = process
    return found


def expected(run: Path) -> dict[str, dict[int, float]]:
    """What results.csv says, by the loggers' names and epoch."""
    found: dict[str, dict[int, float]] = {}
    for row in csv.DictReader((run / "results.csv").read_text().splitlines()):
        for column, text in row.items():
            if "/" in column and text and math.isfinite(float(text)):
                found.setdefault(metric_name(column), {})[int(row["epoch"])] = float(text)
    assert len(found) > 10
    return found


def check_tensorboard(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = EventAccumulator(str(run))
    files.Reload()
    for name, values in expected(run).items():
        # Its numbers are of single precision. Each epoch is there once.
        assert [(each.step, each.value) for each in files.Scalars(name)] == [
            (epoch, pytest.approx(value, rel=1e-6)) for epoch, value in values.items()
        ], name
    assert b"| epochs | 3 |" in files.Tensors("settings")[0].tensor_proto.string_val[0]


def check_mlflow(run: Path, place: str, status: str = "FINISHED") -> None:
    from mlflow import MlflowClient

    client = MlflowClient(place)
    experiment = client.get_experiment_by_name("peakmark")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    for name, values in expected(run).items():
        history = client.get_metric_history(found.info.run_id, name)
        assert {each.step: each.value for each in history} == values, name
        assert len(history) == len(values), name
    assert found.info.status == status
    assert found.data.params["epochs"] == "3"
    assert found.data.tags["peakmark.outcome"] == "finished"


def check_wandb(run: Path) -> None:
    """Its files are a log of protocol buffers in LevelDB's form: blocks of 32 KiB, each record under seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    rows: dict[int, dict[str, Any]] = {}
    ids = set()
    for file in sorted((run / "logged/wandb/wandb").glob("offline-run-*/*.wandb")):
        ids.add(file.name)
        for content in _leveldb_records(file.read_bytes()[7:], first=7):
            record = Record()
            record.ParseFromString(content)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                row = {(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in items}
                rows[row["epoch"]] = row
    assert len(ids) == 1, "one logged run"
    for name, values in expected(run).items():
        assert {epoch: row[name] for epoch, row in rows.items() if name in row} == values, name


def _leveldb_records(content: bytes, first: int) -> Iterator[bytes]:
    at, whole = 0, b""
    while at + 7 <= len(content):
        left = 32768 - (at + first) % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        if kind == 0:
            break
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


@pytest.fixture
def server(tmp_path: Path, places: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real MLflow server, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", places, "--artifacts-destination", str(tmp_path / "artifacts")]
    address = f"http://127.0.0.1:{port}"
    with open(tmp_path / "server.txt", "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=tmp_path, start_new_session=True)
    try:
        until_s = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=2)
                break
            except OSError:
                assert time.monotonic() < until_s, (tmp_path / "server.txt").read_text()
                time.sleep(0.5)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_all_three_on_a_real_server_killed_in_mid_run(train, server):
    run = killed_in_mid_run(train, ALL)
    check_tensorboard(run)
    check_mlflow(run, server)
    check_wandb(run)


@pytest.mark.slow
def test_a_run_that_is_stopped_and_resumed_goes_on_in_the_same_logged_run(train, server):
    def stop(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.record.epoch == 0:
            signal.raise_signal(signal.SIGINT)

    stopped = train(epochs=EPOCHS, log_to=ALL, observer=stop)
    assert stopped.outcome == "interrupted"
    before = [path.read_text() for path in sorted((stopped.save_dir / "logged").glob("*/sent.json"))]
    assert YOLO().resume(stopped.save_dir, observer=lambda event: None).outcome == "finished"
    after = [path.read_text() for path in sorted((stopped.save_dir / "logged").glob("*/sent.json"))]
    assert [json.loads(text)["id"] for text in after] == [json.loads(text)["id"] for text in before]
    check_tensorboard(stopped.save_dir)
    check_mlflow(stopped.save_dir, server)
    check_wandb(stopped.save_dir)


def test_a_logger_that_is_killed_in_mid_run_changes_nothing_and_misses_nothing(train):
    check_tensorboard(killed_in_mid_run(train, "tensorboard"))


def test_an_ended_run_is_sent_from_its_folder(trained_briefly, places):
    (logged,) = log(trained_briefly, "mlflow")
    assert (logged.to, logged.epochs) == ("mlflow", EPOCHS)
    check_mlflow(trained_briefly, places)


@pytest.mark.slow
def test_what_is_there_is_not_sent_again(trained_briefly, places):
    for _ in range(2):
        logged = log(trained_briefly, "mlflow,wandb")
        assert [(each.to, each.epochs) for each in logged] == [("mlflow", EPOCHS), ("wandb", EPOCHS)]
    check_mlflow(trained_briefly, places)
    check_wandb(trained_briefly)


@pytest.fixture
def trained_briefly(train) -> Path:
    return Path(train(epochs=EPOCHS).save_dir)


def killed_in_mid_run(train: Any, names: str) -> Path:
    """Trains, kills each process that logs twice, and gives the run, which is as if nobody had logged it."""
    many = len(names.split(","))
    events: list[Event] = []
    killed: dict[int, set[str]] = {}

    def kill(event: Event) -> None:
        events.append(event)
        if isinstance(event, EpochEnded) and event.record.epoch in (0, 1):
            run = next(each.folder for each in events if isinstance(each, RunStarted))
            until_s = time.monotonic() + 60
            # After the first epoch each has begun its logged run; after the second one each is killed at any moment.
            while event.record.epoch == 0 and len(list((run / "logged").glob("*/sent.json"))) < many:
                assert time.monotonic() < until_s
                time.sleep(0.05)
            for name, process in senders(run).items():
                process.send_signal(signal.SIGKILL)
                while process.status() != psutil.STATUS_ZOMBIE:  # who started it learns how it ended
                    time.sleep(0.01)
                killed.setdefault(event.record.epoch, set()).add(name)

    results = train(epochs=EPOCHS, log_to=names, observer=kill)
    assert killed[0] == set(names.split(","))
    run = results.save_dir
    said = [event.text for event in events if isinstance(event, Notice)]
    assert sum("was ended by SIGKILL; another one goes on where it was" in text for text in said) == many
    assert sum("has all numbers" in text for text in said) == many
    quiet = train(epochs=EPOCHS)
    assert results.summary["digests"]["everything"] == quiet.summary["digests"]["everything"]
    return Path(run)


@pytest.mark.slow
def test_a_server_that_is_away_is_said_and_gets_all_later(train, monkeypatch, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", nobody)
    notices: list[Notice] = []

    def observe(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event)

    results = train(epochs=EPOCHS, log_to="mlflow", observer=observe)
    assert results.outcome == "finished"
    serious = [notice.text for notice in notices if notice.serious]
    assert any("mlflow takes no numbers; it is tried again" in text for text in serious)
    assert f"Send them later with: peakmark log {results.save_dir} to=mlflow" in serious[-1]
    place = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    (logged,) = log(results.save_dir, "mlflow")
    assert logged.epochs == EPOCHS
    assert place in logged.where
    check_mlflow(results.save_dir, place)
