"""Windows cut an epoch without a gap, never reach over its end, and grow while the run warms up."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from peakmark.settings.fields import Settings
from peakmark.train.windows import epoch_windows

wishes = st.builds(
    Settings,
    data=st.just("x.yaml"),
    batch=st.integers(1, 40),
    nbs=st.integers(1, 130),
    warmup_epochs=st.sampled_from([0.0, 0.3, 1.0, 2.5, 3.0]),
)


@given(wishes, st.integers(1, 400), st.integers(0, 5))
def test_every_image_is_in_exactly_one_window(settings: Settings, images: int, epoch: int):
    windows = epoch_windows(settings, images, epoch)
    taken = [n for w in windows for part in w.microbatches for n in range(part.first, part.first + part.count)]
    assert taken == list(range(images))
    assert all(0 < part.count <= settings.batch for w in windows for part in w.microbatches)
    assert windows[0].first == 0
    assert windows[-1].end == images
    assert all(one.end == other.first for one, other in pairwise(windows))
    assert sum(w.images for w in windows) == images


@given(wishes, st.integers(1, 400))
def test_windows_and_the_warm_up_grow_and_reach_their_end(settings: Settings, images: int):
    full = max(1, round(settings.nbs / settings.batch))
    epochs = [epoch_windows(settings, images, epoch) for epoch in range(5)]
    sizes = [len(w.microbatches) for windows in epochs for w in windows[:-1]]  # the last one takes what is left
    assert sizes == sorted(sizes)
    assert all(1 <= size <= full for size in sizes)
    shares = [w.warmup for windows in epochs for w in windows]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    after = epoch_windows(settings, images, 4)  # every warm-up above is over
    assert all(w.warmup == 1 for w in after)
    assert all(len(w.microbatches) == full for w in after[:-1])


def test_without_warm_up_windows_are_full_at_once():
    windows = epoch_windows(Settings(data="x", batch=16, nbs=64, warmup_epochs=0), 205, 0)
    assert [w.images for w in windows] == [64, 64, 64, 13]
    assert {w.warmup for w in windows} == {1.0}


def test_the_first_update_of_a_warm_up_comes_after_one_microbatch():
    windows = epoch_windows(Settings(data="x", batch=16, nbs=64, warmup_epochs=3), 205, 0)
    assert windows[0].images == 16
    assert windows[0].warmup == 0


def test_a_batch_larger_than_the_nominal_one_is_a_window():
    windows = epoch_windows(Settings(data="x", batch=100, nbs=64, warmup_epochs=0), 250, 0)
    assert [w.images for w in windows] == [100, 100, 50]
