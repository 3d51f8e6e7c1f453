"""How is a formula written? Text is read into terms and checked against the names there are; nothing is run.

Python's own parser takes the text apart, and everything but arithmetic over metrics is refused. It must not know what a
formula is computed of.
"""

from __future__ import annotations

import ast
import difflib
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from peakmark.formula.metric_spellings import with_names
from peakmark.formula.terms import (
    ALONG_CONFIDENCES,
    CLASS_METRIC_NAMES,
    METRIC_NAMES,
    NAMED,
    Condition,
    Formula,
    Metric,
    Number,
    Operation,
    Term,
    bounds,
    may_be_negative,
)

_LONGEST: Final = 500
_FUNCTION = re.compile(r"function ([\w.<>]+)")
_WHERE = re.compile(r"\bwhere\b")
_OPERATORS: Final[Mapping[type[ast.AST], str]] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
    ast.USub: "negative",
    ast.UAdd: "positive",
}
_FUNCTIONS: Final = ("abs", "min", "max")
_COMPARISONS: Final[Mapping[type[ast.AST], str]] = {ast.GtE: ">=", ast.Gt: ">", ast.LtE: "<=", ast.Lt: "<"}


def as_setting(wish: Any) -> str:
    """Gives the one spelling of a fitness that was given as a name, weights, an expression or a Python function.

    Raises ValueError with what is wrong, as the end of a sentence that begins with `fitness=...`.
    """
    if callable(wish):
        return f"function {getattr(wish, '__qualname__', type(wish).__name__)}"
    if isinstance(wish, Mapping):
        return read_formula(_weighted(wish)).text
    if not isinstance(wish, str):
        raise ValueError("is no formula; write a name, weights such as {map50: 0.3, recall: 0.7}, or an expression")
    text = wish.strip()
    if text.startswith("{") and text.endswith("}"):
        return read_formula(_weighted(_pairs(text))).text
    return read_formula(text).text


def read_formula(text: str) -> Formula:
    """Reads a formula. Raises ValueError where it is none, naming the nearest name for one that is unknown."""
    if text in NAMED:
        written_out = _read(NAMED[text])
        return Formula(text, written_out.written_out, written_out.value, written_out.conditions)
    if _FUNCTION.fullmatch(text):
        return Formula(text, text, None)
    return _read(text)


def read_condition(text: str) -> Condition:
    """Reads one comparison, such as `map50_95 >= 0.5`. Raises ValueError where it is none."""
    conditions = list(_conditions(_parsed(text)))
    if len(conditions) != 1:
        raise ValueError("holds more than one comparison; give them one by one")
    return conditions[0]


# --- from text to terms ---------------------------------------------------------------------------------------------


def _read(text: str) -> Formula:
    value_text, *conditions_text = _WHERE.split(text)
    if len(conditions_text) > 1:
        raise ValueError("has more than one 'where'; join conditions with 'and'")
    parsed = _parsed(value_text)
    value = _term(parsed)
    spelling = ast.unparse(parsed)
    conditions: tuple[Condition, ...] = ()
    if conditions_text:
        conditions = tuple(_conditions(_parsed(conditions_text[0])))
        spelling += f" where {' and '.join(condition.text for condition in conditions)}"
    if conditions and may_be_negative(value):
        raise ValueError(
            "may be negative, and beside a 'where' that is kept for epochs that miss the condition; write e.g. 1 -"
            " confidence instead of -confidence"
        )
    low, high = bounds(value)
    if high < 0 or low > 1:
        raise ValueError(
            f"is {_range(low, high)}, where every metric lies between 0 and 1; for the mean over the thresholds 0.5"
            " to 0.95 write map50_95"
        )
    formula = Formula(spelling, spelling, value, conditions)
    if not any(metric.name != "confidence" for metric in formula.metrics):
        raise ValueError("reads no metric, so no epoch would be better than another")
    if conditions and not any(metric.name in ALONG_CONFIDENCES for metric in formula.metrics):
        raise ValueError(
            f"has a 'where', but nothing in it changes with the confidence as {_listed(ALONG_CONFIDENCES)}"
        )
    return formula


def _parsed(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} characters")
    named = with_names(text.strip())
    try:
        return ast.parse(named, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(
            f"can't be read as a formula; write e.g. {', '.join(NAMED)}, 0.3 * map50 + 0.7 * recall, or"
            " precision where recall >= 0.95"
        ) from None


def _term(node: ast.expr) -> Term:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _number(number)
        case ast.Name(id=name):
            return Metric(_known(name, METRIC_NAMES))
        case ast.Subscript(value=ast.Name(id=name), slice=index):
            return Metric(_known(name, CLASS_METRIC_NAMES, " of one class"), _class_of(index))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            return Operation(_OPERATORS[type(sign)], (_term(left), _term(right)))
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _OPERATORS:
            return Operation(_OPERATORS[type(sign)], (_term(operand),))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS and arguments:
            if name == "abs" and len(arguments) > 1:
                raise ValueError("gives abs more than one number")
            return Operation(name, tuple(_term(argument) for argument in arguments))
    raise ValueError(
        f"holds {ast.unparse(node)!r}; a formula is made of numbers, metrics, + - * / **, {_listed(_FUNCTIONS)} and"
        " parentheses"
    )


def _number(number: float) -> Number:
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError("holds a number that is too large")
    return Number(value)


def _class_of(index: ast.expr) -> str | int:
    match index:
        case ast.Name(id=name):
            return name
        case ast.Constant(value=str() | int() as name) if not isinstance(name, bool):
            return name
    raise ValueError(
        f"holds [{ast.unparse(index)}], which names no class; write recall[RBC], recall['red cell'] or recall[0]"
    )


def _conditions(node: ast.expr) -> Iterator[Condition]:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            for part in parts:
                yield from _conditions(part)
        case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in _COMPARISONS:
            condition = Condition(ast.unparse(node), _term(left), _COMPARISONS[type(sign)], _term(right))
            _may_hold_or_fail(condition)
            yield condition
        case _:
            raise ValueError(f"holds {ast.unparse(node)!r}, which is no comparison such as recall >= 0.95")


def _may_hold_or_fail(condition: Condition) -> None:
    """Refuses a comparison of which metrics decide nothing: `recall >= 95` never holds, `map50 - 95 <= 0.5` always."""
    (left_low, left_high), (right_low, right_high) = bounds(condition.left), bounds(condition.right)
    if not condition.metrics:
        return  # what it lacks is said where it is used
    if left_high < right_low:
        left_is = "below"
    elif left_low > right_high:
        left_is = "above"
    else:
        return
    raise ValueError(
        f"compares {_range(left_low, left_high)} with {_range(right_low, right_high)}, so the left side is"
        f" always {left_is} the right one: metrics lie between 0 and 1; write e.g. recall >= 0.95, and map50_95 for"
        " mAP50-95"
    )


def _range(low: float, high: float) -> str:
    """Says between which numbers a term lies: `-95 to -94`."""
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _known(name: str, names: tuple[str, ...], of: str = "") -> str:
    if name in names:
        return name
    typed, known = name.lower(), (*names, *({} if of else NAMED))
    begun = [each for each in known if typed and each.startswith(typed)]
    near = begun or difflib.get_close_matches(typed, known, n=1, cutoff=0.5)
    if near and near[0] in names:
        raise ValueError(f"names {name!r}, which is no metric{of}; the nearest one is {near[0]}")
    if near:
        raise ValueError(f"names {name!r}; the nearest name is {near[0]}, which stands alone: fitness={near[0]}")
    raise ValueError(f"names {name!r}, which is no metric{of}; there are {_listed(names)}")


# --- weights --------------------------------------------------------------------------------------------------------


def _pairs(text: str) -> Mapping[str, str]:
    """Splits `{map50: 0.3, recall: 0.7}`."""
    pairs = {}
    for part in filter(None, (part.strip() for part in text[1:-1].split(","))):
        name, colon, weight = part.rpartition(":")
        if not colon:
            raise ValueError(f"holds {part!r}; weights are written as {{map50: 0.3, recall: 0.7}}")
        pairs[name.strip().strip("'\"")] = weight.strip()
    return pairs


def _weighted(weights: Mapping[Any, Any]) -> str:
    """Writes weights as the sum that they stand for."""
    if not weights:
        raise ValueError("gives no weight to anything")
    parts = []
    for name, weight in weights.items():
        try:
            number = float(weight)
        except (TypeError, ValueError):
            raise ValueError(f"gives {name} the weight {weight!r}, which is no number") from None
        if isinstance(weight, bool) or not math.isfinite(number):
            raise ValueError(f"gives {name} the weight {weight!r}, which is no number")
        if not isinstance(_term(_parsed(str(name))), Metric):
            raise ValueError(f"gives a weight to {name!r}, which is no metric")
        parts.append(f"{number:g} * {name}" if float(f"{number:g}") == number else f"{number!r} * {name}")
    if not any(float(weight) for weight in weights.values()):
        raise ValueError("gives no weight above or below 0 to anything")
    return " + ".join(parts)


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
