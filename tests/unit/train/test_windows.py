"""Windows cut an epoch without a gap, never reach over its end, and grow while the run warms up."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import accumulate, pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from peakmark.nouns.run import Segment
from peakmark.run.build import first_segment
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import recipe
from peakmark.train.windows import Window, epoch_windows


def cut(settings: Settings, images: int, epoch: int, **segment: Any) -> tuple[Window, ...]:
    chosen = asdict(recipe(settings, classes=2, images=images))
    return epoch_windows(
        settings, replace(Segment(0, 0, {}, "start", chosen, 100, "one set"), **segment), images, epoch
    )


wishes = st.builds(
    Settings,
    data=st.just("x.yaml"),
    batch=st.integers(1, 40),
    nbs=st.integers(1, 130),
    warmup_epochs=st.sampled_from([0.0, 0.3, 1.0, 2.5, 3.0]),
)


@given(wishes, st.integers(1, 400), st.integers(0, 5))
def test_every_image_is_in_exactly_one_window(settings: Settings, images: int, epoch: int):
    windows = cut(settings, images, epoch)
    taken = [n for w in windows for part in w.microbatches for n in range(part.first, part.first + part.count)]
    assert taken == list(range(images))
    assert all(0 < part.count <= settings.batch for w in windows for part in w.microbatches)
    assert windows[0].first == 0
    assert windows[-1].end == images
    assert all(one.end == other.first for one, other in pairwise(windows))
    assert sum(w.images for w in windows) == images


@given(wishes, st.integers(1, 400))
def test_windows_and_the_warm_up_grow_and_reach_their_end(settings: Settings, images: int):
    full = max(1, round((settings.nbs or 0) / settings.batch))
    epochs = [cut(settings, images, epoch) for epoch in range(5)]
    sizes = [len(w.microbatches) for windows in epochs for w in windows[:-1]]  # the last one takes what is left
    assert sizes == sorted(sizes)
    assert all(1 <= size <= full for size in sizes)
    shares = [w.warmup for windows in epochs for w in windows]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    after = cut(settings, images, 4)  # every warm-up above is over
    assert all(w.warmup == 1 for w in after)
    assert all(len(w.microbatches) == full for w in after[:-1])


def test_without_warm_up_windows_are_full_at_once():
    windows = cut(Settings(data="x", batch=16, nbs=64, warmup_epochs=0), 205, 0)
    assert [w.images for w in windows] == [64, 64, 64, 13]
    assert {w.warmup for w in windows} == {1.0}


def test_the_first_update_of_a_warm_up_comes_after_one_microbatch():
    windows = cut(Settings(data="x", batch=16, nbs=64, warmup_epochs=3), 205, 0)
    assert windows[0].images == 16
    assert windows[0].warmup == 0


def test_the_warm_up_of_an_update_is_read_at_its_last_microbatch():
    """Where the update is made: read where the window begins, every rate of the warm-up comes a window late."""
    settings = Settings(data="x", batch=16, nbs=64, warmup_epochs=3)
    windows = [window for epoch in (0, 1) for window in cut(settings, 205, epoch)]
    ends = list(accumulate(len(window.microbatches) for window in windows))
    assert max(len(window.microbatches) for window in windows) > 1
    assert [window.warmup for window in windows] == [(end - 1) / 39 for end in ends]


def test_a_batch_larger_than_the_nominal_one_is_a_window():
    windows = cut(Settings(data="x", batch=100, nbs=64, warmup_epochs=0), 250, 0)
    assert [w.images for w in windows] == [100, 100, 50]


@given(wishes, st.integers(1, 400), st.integers(0, 5), st.data())
def test_a_segment_that_begins_inside_an_epoch_cuts_what_is_left_of_it(settings, images, epoch, data):
    begin = data.draw(st.integers(0, images - 1))
    segment = {"from_epoch": epoch, "from_images": begin}
    windows = cut(settings, images, epoch, **segment)
    assert windows[0].first == begin
    assert windows[-1].end == images
    assert all(one.end == other.first for one, other in pairwise(windows))
    assert cut(settings, images, epoch + 1, **segment)[0].first == 0


@given(wishes, st.integers(1, 400), st.integers(0, 5), st.data())
def test_a_segment_with_nothing_changed_cuts_as_before(settings, images, epoch, data):
    """A changed mixup, say: the windows of the epoch that is open stay where they were."""
    before = cut(settings, images, epoch)
    begun = data.draw(st.sampled_from(before))
    assert cut(settings, images, epoch, from_epoch=epoch, from_images=begun.first) == before[before.index(begun) :]


def test_a_rewarm_rises_from_the_segments_begin():
    settings = Settings(data="x", batch=16, nbs=64, warmup_epochs=0)
    segment = {"from_epoch": 4, "from_images": 64, "rewarm_epochs": 1.0}
    shares = [w.rewarm for epoch in (4, 5, 6) for w in cut(settings, 256, epoch, **segment)]
    assert shares[:5] == [48 / 256, 112 / 256, 176 / 256, 240 / 256, 1.0]


@given(
    images=st.integers(1, 200), batch=st.integers(1, 20), nbs=st.integers(1, 64), count=st.integers(1, 9),
    warmup=st.sampled_from([0.0, 1.0, 3.0]), epoch=st.integers(0, 4),
)  # fmt: skip
def test_a_batch_that_is_cut_makes_the_windows_of_whole_ones(images, batch, nbs, count, warmup, epoch):
    settings = Settings.model_validate(
        {"data": "x", "batch": batch, "nbs": nbs, "warmup_epochs": warmup, "parts": min(count, batch)}
    )
    whole = settings.model_copy(update={"parts": 1})
    plain = epoch_windows(whole, first_segment(whole, recipe(whole, classes=1, images=images), None), images, epoch)
    cut = epoch_windows(
        settings, first_segment(settings, recipe(settings, classes=1, images=images), None), images, epoch
    )
    assert [(w.first, w.end, w.warmup, w.rewarm) for w in cut] == [(w.first, w.end, w.warmup, w.rewarm) for w in plain]
    for window in cut:
        ends = [part.first + part.count for part in window.microbatches]
        assert [part.first for part in window.microbatches] == [window.first, *ends[:-1]]
        assert all(1 <= part.count <= -(-batch // min(count, batch)) for part in window.microbatches)
