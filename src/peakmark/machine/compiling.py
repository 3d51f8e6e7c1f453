"""How is a function compiled so that it computes the same in every process? `torch.compile`, with its choices pinned.

A graph for each shape, whole, for a settled number of threads: nothing follows from the shapes that came before, from
a clock, or from what a cache holds, and nothing is left uncompiled without a word. It must not know what it compiles.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from peakmark.errors import MachineError
from peakmark.machine.devices import Arithmetic
from peakmark.machine.memory import is_out_of_memory

Function = TypeVar("Function", bound=Callable[..., Any])

_MOST_SHAPES = 4096
"""Beyond its own limit of 8 torch would compute without compiling, or for shapes that it doesn't know."""
_SWITCHES = ("TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE")


def compiled(function: Function, arithmetic: Arithmetic) -> Function:
    """Gives a function that is compiled for each shape when it first comes, inside `compiling()`; elsewhere that
    raises RuntimeError, so that nothing is compiled unannounced."""
    known = torch._inductor.config.get_config_copy()
    options = {name: value for name, value in _choices(arithmetic).items() if name in known}
    made = torch.compile(function, fullgraph=True, dynamic=False, options=options)

    def call(*arguments: Any) -> Any:
        with torch.compiler.set_stance("default" if _is_compiling else "fail_on_recompile"):
            return made(*arguments)

    return call  # type: ignore[return-value]


def _choices(arithmetic: Arithmetic) -> dict[str, Any]:
    """What of torch's choices would bear on a bit; the environment can set each of them otherwise."""
    return {
        "cpp.threads": arithmetic.threads,
        "cpp.dynamic_threads": False,
        # Each of these takes the time of several kernels and keeps the fastest: another one on another day.
        "max_autotune": False,
        "max_autotune_gemm": False,
        "max_autotune_pointwise": False,
        "coordinate_descent_tuning": False,
        "benchmark_fusion": False,
        "deterministic": arithmetic.deterministic,
        # A graph's gradients lie where its next replay writes, so those of a window's microbatches would not add up
        # (pytorch issues 96693, 169545).
        "triton.cudagraphs": False,
    }


_is_compiling = False


@contextmanager
def compiling() -> Iterator[None]:
    """Lets `compiled` functions be compiled, as many as there are shapes. Raises MachineError where torch can't."""
    global _is_compiling
    limits: dict[str, Any] = {
        "recompile_limit": _MOST_SHAPES,
        "accumulated_recompile_limit": _MOST_SHAPES,
        "fail_on_recompile_limit_hit": True,
        "suppress_errors": False,
    }
    _is_compiling = True
    try:
        # Compilers one after another, in this thread: helpers would outlive a Ctrl-C, and the exit would wait for them.
        torch._inductor.config.compile_threads = 1
        with torch._dynamo.config.patch(limits):
            yield
    except (RuntimeError, OSError, ImportError) as error:
        if is_out_of_memory(error):
            raise
        raise MachineError(f"compile=True: {_reason(error)} Or leave compile=True out.") from error
    finally:
        _is_compiling = False


def check_compiler(arithmetic: Arithmetic) -> None:
    """Compiles the least there is, for the device. Raises MachineError where that fails, with the remedy."""
    if off := [name for name in _SWITCHES if os.environ.get(name) == "1"]:
        raise MachineError(f"compile=True: {off[0]}=1 switches compiling off in this process; unset it.")
    with compiling():
        compiled(torch.neg, arithmetic)(torch.zeros(1, device=arithmetic.device))


def _reason(error: Exception) -> str:
    """Says what stood in the way and what helps, in a sentence."""
    folder = os.environ.get("TORCHINDUCTOR_CACHE_DIR", "torch's folder for compiled code")
    if isinstance(error, OSError):
        return f"{folder} can't be written ({error.strerror}); name another folder with TORCHINDUCTOR_CACHE_DIR."
    if " " in folder:
        return (
            f"{folder} has a space in it, which torch can't do with; name another folder with TORCHINDUCTOR_CACHE_DIR."
        )
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None and "InvalidCxxCompiler" in str(error):
        return f"there is no C++ compiler ({compiler}) here; install one (apt install g++) or name yours with CXX."
    lines = str(error).splitlines()
    told = next((line for line in lines if "error:" in line), lines[0] if lines else type(error).__name__)
    return (
        f"torch could not compile the network here ({told.strip()}); where the compiler is whole, {folder} may be"
        " damaged, and can be removed."
    )
