"""How does a run get to an MLflow server? By its client, to where MLFLOW_TRACKING_URI says, as MLflow users have it.

The experiment is MLFLOW_EXPERIMENT_NAME, or peakmark.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from peakmark.loggers.logger import Ending, Point, RunFacts
from peakmark.nouns.outcome import OVER

_LONGEST_VALUE = 500
_PARAMS_AT_ONCE = 100
_METRICS_AT_ONCE = 1000


class MLflow:
    """A run of an experiment."""

    keeps_what_is_sent = True

    def __init__(self) -> None:
        # Of its own accord the client waits and asks again for minutes; here somebody else does that, and says so.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        self._client: Any = None
        self._run = ""
        self._experiment = ""

    def open(self, run: RunFacts, known_id: str | None) -> str:
        from mlflow import MlflowClient
        from mlflow.entities import Param, RunTag
        from mlflow.tracking import get_tracking_uri

        self._client = MlflowClient(get_tracking_uri())
        if known_id is None:
            self._experiment = self._experiment_id(os.environ.get("MLFLOW_EXPERIMENT_NAME") or "peakmark")
            self._run = self._client.create_run(self._experiment, run_name=run.name).info.run_id
        else:
            self._run = known_id
            self._experiment = self._client.get_run(known_id).info.experiment_id
            self._client.update_run(known_id, status="RUNNING")
        # A parameter can't be changed, and telling it again with the same value changes nothing.
        there = self._client.get_run(self._run).data.params
        params = [Param(name, str(value)[:_LONGEST_VALUE]) for name, value in run.settings.items() if name not in there]
        for first in range(0, len(params), _PARAMS_AT_ONCE):
            self._client.log_batch(self._run, params=params[first : first + _PARAMS_AT_ONCE])
        tags = [RunTag(f"changed.{name}", text) for name, text in run.changed.items()]
        self._client.log_batch(self._run, tags=[RunTag("peakmark.folder", str(run.folder)), *tags])
        return self._run

    def _experiment_id(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self._client.create_experiment(name))
        except MlflowException:
            # Another run has made it at this very moment.
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def send(self, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        # Of two that are the same in name, value, time and step the server keeps one.
        metrics = [
            Metric(name, value, round(point.at_s * 1000), point.epoch)
            for point in points
            for name, value in point.values.items()
        ]
        for first in range(0, len(metrics), _METRICS_AT_ONCE):
            self._client.log_batch(self._run, metrics=metrics[first : first + _METRICS_AT_ONCE])

    def close(self, ending: Ending | None) -> None:
        from mlflow.entities import RunTag

        if ending is None:
            return
        self._client.log_batch(
            self._run,
            tags=[RunTag("peakmark.outcome", ending.outcome), RunTag("mlflow.note.content", ending.text)],
        )
        failed = "FAILED" if ending.outcome in ("not_finite", "broken") else "KILLED"
        self._client.set_terminated(self._run, status="FINISHED" if ending.outcome in OVER else failed)

    @property
    def where(self) -> str:
        return f"MLflow at {server()}, experiment {self._experiment}, run {self._run}"


def server() -> str:
    """Where the client goes. Asks nobody."""
    from mlflow.tracking import get_tracking_uri

    return str(get_tracking_uri())


def make() -> MLflow:
    return MLflow()
