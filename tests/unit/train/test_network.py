"""Is the compiled network the same network? Near it in every number, and the state is as it was until it is stepped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest
import torch

from peakmark.checkpoint.digest import digest
from peakmark.checkpoint.format import snapshot
from peakmark.errors import MachineError
from peakmark.events import Event, Notice
from peakmark.machine.stopping import StopNow
from peakmark.state.state import RunState
from peakmark.train.network import CompiledNetwork, Network, PlainNetwork

pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def make_compiled(arithmetic, told):
    def make(state: RunState, at_once=nullcontext) -> CompiledNetwork:
        return CompiledNetwork(state.model, replace(arithmetic, compiled=True), 2, told.append, at_once)

    return make


def gradient(state: RunState, network: Network, images: torch.Tensor) -> torch.Tensor:
    output = network(images)
    loss = output.box_logits_BAR4.square().mean() + output.class_logits_BAC.square().mean()
    trained = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, trained)])


def test_outputs_and_gradients_are_those_of_the_plain_network(make_state, make_compiled, make_batch, arithmetic):
    state, images = make_state(), make_batch(0).images_BCHW
    network = make_compiled(state)
    assert network.ready_for(images)
    mine, plain = gradient(state, network, images), gradient(state, PlainNetwork(state.model, arithmetic), images)
    other = gradient(state, PlainNetwork(state.model, arithmetic), make_batch(1).images_BCHW)
    scale = plain.abs().max()
    assert (mine - plain).abs().max() < 1e-4 * scale
    assert (other - plain).abs().max() > 0.05 * scale


def test_getting_ready_leaves_no_trace(make_state, make_compiled, make_batch):
    state = make_state()
    before = digest(snapshot(state.model.state_dict()))
    assert make_compiled(state).ready_for(make_batch(0).images_BCHW)
    assert digest(snapshot(state.model.state_dict())) == before
    assert all(parameter.grad is None for parameter in state.model.parameters())
    assert not any("_orig_mod" in name for name in state.model.state_dict())


def test_it_is_told_once_for_a_shape(make_state, make_compiled, make_batch, told):
    network = make_compiled(make_state())
    for _ in range(2):
        assert network.ready_for(make_batch(0).images_BCHW)
    before, after = (event.text for event in told if isinstance(event, Notice))
    assert before.startswith("The network is compiled for 2 images of 32 px: minutes the first time")
    assert after.startswith("It was compiled in ")


def test_a_short_microbatch_is_computed_as_it_is_written(make_state, make_compiled, make_batch, arithmetic, told):
    state, images = make_state(), make_batch(0, images=1).images_BCHW.repeat(3, 1, 2, 2)
    network = make_compiled(state)
    assert network.ready_for(images)
    assert told == []
    assert torch.equal(gradient(state, network, images), gradient(state, PlainNetwork(state.model, arithmetic), images))


def test_a_frozen_network_is_compiled_as_well(make_state, make_compiled, make_batch):
    state, images = make_state(freeze=list(range(10))), make_batch(0).images_BCHW
    before = state.model.backbone.stem.norm.running_mean.clone()
    network = make_compiled(state)
    assert network.ready_for(images)
    assert gradient(state, network, images).abs().sum() > 0
    assert torch.equal(state.model.backbone.stem.norm.running_mean, before)


def _interrupted(*arguments: object) -> None:
    raise StopNow


def test_a_stop_drops_the_compilation(make_state, make_compiled, make_batch, monkeypatch):
    state = make_state()
    before = digest(snapshot(state.model.state_dict()))
    inside: list[bool] = []

    @contextmanager
    def at_once() -> Iterator[None]:
        inside.append(True)
        yield
        inside.append(False)  # not reached

    network = make_compiled(state, at_once)
    with monkeypatch.context() as patch:
        patch.setattr(torch.autograd, "grad", _interrupted)
        assert not network.ready_for(make_batch(0).images_BCHW)
    assert inside == [True]
    assert digest(snapshot(state.model.state_dict())) == before
    assert network.ready_for(make_batch(0).images_BCHW), "it can be done again"


def test_a_compiler_that_fails_is_told_with_the_remedy(make_state, make_compiled, make_batch, monkeypatch):
    def fail(*arguments: object) -> None:
        raise RuntimeError("C++ compile error\nfatal error: no space left on device")

    monkeypatch.setattr(torch.autograd, "grad", fail)
    with pytest.raises(MachineError, match=r"compile=True: torch could not compile .*no space left"):
        make_compiled(make_state()).ready_for(make_batch(0).images_BCHW)
