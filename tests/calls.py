"""What was a function called with? For tests that watch without changing anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def recorded(function: Callable[..., Any], calls: list[Any]) -> Callable[..., Any]:
    """The function, with the arguments of each call written down."""

    def call(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return function(*arguments, **options)

    return call
