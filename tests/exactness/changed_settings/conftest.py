"""Runs whose settings are changed: ended, stopped inside an epoch and in a validation."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.exactness.changed_settings.changes import WISHES

from peakmark.events import MicrobatchDone, ValidationProgress


@pytest.fixture(scope="session")
def whole(train_in, tmp_path_factory):
    return train_in(tmp_path_factory.mktemp("whole"), **WISHES).save_dir


@pytest.fixture(scope="session")
def inside(train_in, stop_at, tmp_path_factory):
    """Stopped in its second epoch of three, after two of five microbatches: at a window's start."""
    return train_in(tmp_path_factory.mktemp("inside"), observer=stop_at(MicrobatchDone, 7), **WISHES).save_dir


@pytest.fixture(scope="session")
def validating(train_in, stop_at, tmp_path_factory):
    """Stopped in the validation of its second epoch; each has three batches."""
    return train_in(tmp_path_factory.mktemp("validating"), observer=stop_at(ValidationProgress, 4), **WISHES).save_dir


@pytest.fixture
def copy_of(runs):
    def copy(run: Path, name: str = "train") -> Path:
        return Path(shutil.copytree(run, runs / name))

    return copy
