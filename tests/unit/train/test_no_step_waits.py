"""No step waits for its device, but where it says so; a device apart gets the very update that a processor gets.

A GPU is not needed to see it: torch is watched for every operation that would wait for one, and the step is told that
its device is apart. What is excused is named: what the processor finds out from its own truths, and `fetched`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from peakmark.data.loader import Microbatch
from peakmark.distributed.processes import ALONE
from peakmark.loss import assignment, detection
from peakmark.loss.detection import Objective, detection_loss
from peakmark.machine.devices import Arithmetic
from peakmark.model import norm_statistics
from peakmark.model.norm_statistics import StatisticsByWindow
from peakmark.nouns.batch import Batch
from peakmark.nouns.losses import Gains, HeadOutput, LossSums
from peakmark.settings.recipe import VERSION
from peakmark.state.state import RunState
from peakmark.train import readings, step
from peakmark.train.network import PlainNetwork
from peakmark.train.schedule import Rates
from peakmark.train.step import Attempt, Stepper
from peakmark.train.windows import Window

GAINS = Gains(7.5, 0.5, 1.5)
WAIT_BY_NAME = {
    "_local_scalar_dense", "item", "is_nonzero", "nonzero", "nonzero_numpy", "argwhere", "masked_select", "equal",
    "unique_dim", "unique_consecutive", "_unique", "_unique2", "bincount",
}  # fmt: skip
"""Operations whose result, or its shape, is known only once the device has computed it."""
WAIT_BY_METHOD = {"tolist", "cpu", "numpy", "item", "__bool__", "__int__", "__float__", "__index__", "__array__"}
"""Of a tensor, in Python: on a processor most of them come to no operation of torch at all."""


def _of_flags(operation: str, arguments: Sequence[Any]) -> bool:
    """Whether an index of flags is among the indices of an operation: how many are set is known only there."""
    indices = arguments[1] if operation.startswith(("index", "_index", "_unsafe_index")) and len(arguments) > 1 else ()
    flags = (torch.bool, torch.uint8)
    return any(isinstance(index, torch.Tensor) and index.dtype in flags for index in indices or ())


class Waits:
    """Which operations that wait for a device were called within it, by name."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._excused = 0
        waits = self

        class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
            def __torch_dispatch__(
                self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
            ) -> Any:
                name = func._overloadpacket.__name__
                lengths = name == "repeat_interleave" and (kwargs or {}).get("output_size") is None
                if name in WAIT_BY_NAME or lengths or _of_flags(name, args):
                    waits.count(name)
                return func(*args, **(kwargs or {}))

        class Methods(TorchFunctionMode):
            def __torch_function__(
                self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
            ) -> Any:
                name = getattr(func, "__name__", "")
                # As a word alone: `.to(other.device)` leads back to where the tensors are, here to the processor.
                to_processor = name == "to" and "cpu" in [
                    x for x in (*args[1:2], (kwargs or {}).get("device")) if isinstance(x, str)
                ]
                if name in WAIT_BY_METHOD or to_processor:
                    waits.count(name)
                return func(*args, **(kwargs or {}))

        self._modes: tuple[Callable[[], Any], ...] = (Operations, Methods)

    def count(self, name: str) -> None:
        if not self._excused:
            self.found.append(name)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for mode in self._modes:
                stack.enter_context(mode())
            yield

    def excused(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, of which nothing is counted."""

        def call(*arguments: Any, **named: Any) -> Any:
            self._excused += 1
            try:
                return function(*arguments, **named)
            finally:
                self._excused -= 1

        return call


def go_apart(patch: pytest.MonkeyPatch) -> None:
    """Lets a step take the processor for a device that has to be waited for."""
    for module in (assignment, readings):
        patch.setattr(module, "is_apart", lambda device: True)


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    go_apart(monkeypatch)


class Steps(NamedTuple):
    stepper: Stepper
    state: RunState
    told: list[str]
    """The first file of each batch that was told of, and "updated" at each update."""


def steps_of(state: RunState, arithmetic: Arithmetic, clip_grad: float = 10.0) -> Steps:
    objective = Objective(GAINS, VERSION, (1.0, 2.0))
    statistics = StatisticsByWindow(state.model, VERSION, ALONE)
    return Steps(Stepper(state, PlainNetwork(state.model, arithmetic), objective, clip_grad, statistics), state, [])


def attempt(steps: Steps, batches: Sequence[Batch]) -> Attempt:
    parts = tuple(Microbatch(2 * number, len(batch)) for number, batch in enumerate(batches))
    return steps.stepper.attempt(
        Window(parts, 1.0),
        iter(batches),
        Rates(0.01, 0.01, 0.9),
        watch=lambda computed, batch: steps.told.append(batch.files[0] if batch else ""),
        stop_requested=lambda: False,
    )


HALF_WITH_SCALER = Arithmetic("cpu", "test", "float16", 1, True, True)


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("clip_grad", [10.0, 0.0])
@pytest.mark.parametrize("optimizer", ["AdamW", "SGD"])
def test_a_step_waits_once_a_window(
    make_state: Any, make_batch: Any, arithmetic: Arithmetic, monkeypatch: Any, optimizer: str, clip_grad: float
):
    on_device = replace(arithmetic, device="cpu:0")  # by another name than the processor's: images go there
    steps = steps_of(make_state(optimizer=optimizer), on_device, clip_grad)
    waits, fetches = Waits(), []
    batches = [make_batch(number) for number in range(3)]

    def fetch(values: torch.Tensor) -> list[float]:
        fetches.append(len(values))
        return values.tolist()

    def pairs(grid: Any, truths: torch.Tensor, *, version: int) -> Any:
        assert any(truths is batch.boxes_xyxy_px for batch in batches), "only what the processor has itself is excused"
        return assignment.pairs_inside(grid, truths, version=version)

    monkeypatch.setattr(readings, "fetched", waits.excused(fetch))
    monkeypatch.setattr(norm_statistics, "fetched", waits.excused(lambda values: values.tolist()))
    monkeypatch.setattr(detection, "pairs_inside", waits.excused(pairs))
    with waits.watched():
        assert attempt(steps, batches).outcome == "updated"
    assert waits.found == []
    assert fetches == [3 * 4 + 1], "three terms and the loss of each microbatch, and the gradient's norm, in one go"


@pytest.mark.parametrize(
    ("waiting", "name"),
    [
        (lambda t: t.sum().item(), "_local_scalar_dense"),
        (lambda t: bool(t.isfinite().all()), "_local_scalar_dense"),
        (lambda t: float(t[0]), "_local_scalar_dense"),
        (lambda t: int(t[0]), "_local_scalar_dense"),
        (lambda t: t.tolist(), "tolist"),
        (lambda t: t.cpu(), "cpu"),
        (lambda t: t.to("cpu"), "to"),
        (lambda t: t.to(device="cpu"), "to"),
        (lambda t: t.numpy(), "numpy"),
        (lambda t: t.nonzero(), "nonzero"),
        (lambda t: torch.where(t > 0), "nonzero"),
        (lambda t: torch.argwhere(t), "nonzero"),
        (lambda t: t[t > 0], "index"),
        (lambda t: t.index_put_((t > 0,), t.new_zeros(())), "index_put_"),
        (lambda t: t.masked_select(t > 0), "masked_select"),
        (lambda t: t.unique(), "_unique2"),
        (lambda t: torch.equal(t, t), "equal"),
        (lambda t: t.repeat_interleave(t.long()), "repeat_interleave"),
        (lambda t: torch.bincount(t.long()), "bincount"),
    ],
)
def test_each_way_to_wait_is_noticed(waiting: Callable[[torch.Tensor], Any], name: str):
    values, waits = torch.tensor([1.0, 2.0, 3.0]), Waits()
    with waits.watched():
        (values * 2).sum()
        assert waits.found == []
        waiting(values)
    assert name in waits.found


def test_what_a_processor_reads_at_once_would_be_noticed(
    make_state: Any, make_batch: Any, arithmetic: Arithmetic
) -> None:
    steps, waits = steps_of(make_state(), arithmetic), Waits()
    with waits.watched():
        assert attempt(steps, [make_batch(0)]).outcome == "updated"
    assert {"nonzero", "tolist"} <= set(waits.found)


def _tensors(steps: Steps) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in steps.state.model.state_dict().items()}


def test_a_device_apart_gets_the_update_of_a_processor(
    make_state: Any, make_batch: Any, arithmetic: Arithmetic, monkeypatch: pytest.MonkeyPatch
):
    """The same to the last digits: sums are over entries that weigh 0 as well."""
    batches = [make_batch(number) for number in range(3)]
    here = steps_of(make_state(), arithmetic)
    before = _tensors(here)
    of_processor = attempt(here, batches)
    go_apart(monkeypatch)
    there = steps_of(make_state(), arithmetic)
    of_device = attempt(there, batches)
    assert there.told == here.told == [batch.files[0] for batch in batches]
    for one, other in zip(of_processor.losses, of_device.losses, strict=True):
        assert tuple(one[0].values()) == pytest.approx(tuple(other[0].values()), rel=1e-4)
    ours, moved = _tensors(there), _tensors(here)
    far = {name: float((tensor - ours[name]).norm()) for name, tensor in moved.items() if tensor.is_floating_point()}
    long = {name: float((tensor - before[name]).norm()) for name, tensor in moved.items() if name in far}
    assert sum(far.values()) < 0.02 * sum(long.values())


def test_a_device_apart_writes_nothing_over_the_winner_of_an_anchor(monkeypatch: pytest.MonkeyPatch):
    """Two truths of a class, one inside the other: losers share anchor and class with those that won."""
    from tests.unit.loss.test_detection_loss import make

    output, batch = make(torch.float64)
    crowded = Batch(
        batch.images_BCHW,
        torch.tensor([[4.0, 4.0, 60.0, 60.0], [6.0, 6.0, 58.0, 58.0], [28.5, 28.5, 30.0, 30.0]], dtype=torch.float64),
        torch.zeros(3, dtype=torch.int64),
        torch.tensor([0, 0, 1]),
        batch.files,
    )
    sums: list[LossSums] = [detection_loss(output, crowded, version=VERSION)]
    go_apart(monkeypatch)
    sums.append(detection_loss(output, crowded, version=VERSION))
    for name in ("box", "cls", "dfl", "target_scores"):
        assert getattr(sums[1], name).item() == pytest.approx(getattr(sums[0], name).item(), rel=1e-12), name


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("half", [False, True])
def test_a_loss_that_is_not_finite_is_found_at_the_windows_end_and_harms_nothing(
    make_state: Any, make_batch: Any, arithmetic: Arithmetic, monkeypatch: pytest.MonkeyPatch, at: int, half: bool
):
    used = HALF_WITH_SCALER if half else arithmetic
    steps = steps_of(make_state(arithmetic=used), arithmetic)
    scale = steps.state.scaler.get_scale() if steps.state.scaler else None
    calls = iter(range(1000))

    def spoiled(output: HeadOutput, batch: Batch, **rules: Any) -> LossSums:
        sums = detection_loss(output, batch, **rules)
        factor = float("nan") if next(calls) in (at, at + 1) else 1.0
        return LossSums(sums.box * factor, sums.cls, sums.dfl, sums.target_scores)

    monkeypatch.setattr(step, "detection_loss", spoiled)
    before, batches = _tensors(steps), [make_batch(number) for number in range(4)]
    done = attempt(steps, batches)
    assert (done.outcome, done.what, done.files, len(done.losses)) == ("skipped", "the loss", batches[at].files, at)
    assert steps.told == [batch.files[0] for batch in batches[:at]]
    assert all(torch.equal(tensor, before[name]) for name, tensor in steps.state.model.state_dict().items())
    assert all(parameter.grad is None for parameter in steps.state.model.parameters())
    assert scale is None or (steps.state.scaler is not None and steps.state.scaler.get_scale() == scale)
    monkeypatch.setattr(step, "detection_loss", detection_loss)
    assert attempt(steps, batches).outcome == "updated"


@pytest.mark.usefixtures("apart")
def test_whoever_watches_raises_before_anything_is_changed(make_state: Any, make_batch: Any, arithmetic: Arithmetic):
    steps = steps_of(make_state(), arithmetic)
    before = _tensors(steps)

    def watch(computed: Any, batch: Batch | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        steps.stepper.attempt(
            Window((Microbatch(0, 2),), 1.0),
            iter([make_batch(0)]),
            Rates(0.01, 0.01, 0.9),
            watch=watch,
            stop_requested=lambda: False,
        )
    assert steps.state.whole
    assert all(torch.equal(tensor, before[name]) for name, tensor in steps.state.model.state_dict().items())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_torch_itself_sees_no_wait_in_a_step(
    make_state: Any, make_batch: Any, monkeypatch: pytest.MonkeyPatch, precision: Any
):
    device = Arithmetic("cuda:0", torch.cuda.get_device_name(0), precision, 1, True, True)
    steps = steps_of(make_state(arithmetic=device), device)

    def fetch(values: torch.Tensor) -> list[float]:
        torch.cuda.set_sync_debug_mode("default")
        try:
            return values.tolist()
        finally:
            torch.cuda.set_sync_debug_mode("error")

    with device.in_force():
        for number in range(2):  # what is made once is made
            attempt(steps, [make_batch(number)])
        for module in (readings, norm_statistics):
            monkeypatch.setattr(module, "fetched", fetch)
        torch.cuda.set_sync_debug_mode("error")
        try:
            assert attempt(steps, [make_batch(number) for number in range(3)]).outcome == "updated"
            with pytest.raises(RuntimeError, match="synchroniz"):
                torch.ones(3, device="cuda:0").sum().item()
        finally:
            torch.cuda.set_sync_debug_mode("default")
