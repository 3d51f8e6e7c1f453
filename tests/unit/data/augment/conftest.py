"""Sets of smooth images and of noise."""

from __future__ import annotations

import pytest
from tests.unit.data.augment.both_ways import (
    index_of,
    noise,
    smooth,
)

from peakmark.data.source.indexed_split import Index


@pytest.fixture(scope="session")
def smooth_index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return index_of(tmp_path_factory.mktemp("smooth"), smooth)


@pytest.fixture(scope="session")
def noise_index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return index_of(tmp_path_factory.mktemp("noise"), noise)
