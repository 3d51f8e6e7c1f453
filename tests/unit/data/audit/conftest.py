"""A surveyed split of any labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from peakmark.data.dataset import DatasetSpec
from peakmark.data.index import SurveyedSplit, survey_split


@pytest.fixture
def surveyed(make_dataset: Callable[..., DatasetSpec]) -> Callable[..., SurveyedSplit]:
    """Surveys the train split of a data set with these label texts."""

    def make(labels: Mapping[int, str] | None = None, count: int = 3) -> SurveyedSplit:
        return survey_split(make_dataset(count, labels), "train")

    return make
