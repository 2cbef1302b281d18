"""The small arithmetic of kernel descriptions: ``2 * k_h * in_w``, ``groups == 1 and k_h <= 7``, ``max(in_c, 4)``."""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

Number = int | float
Parameters = Mapping[str, int | Sequence[int]]
_Function = Callable[[Parameters], Any]

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt,
    ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.Not: operator.not_}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"max": max, "min": min, "sum": sum}


def evaluate(text: str, parameters: Parameters) -> Number | bool:
    """The value of an expression over parameters; a division is exact (a float), ``//`` rounds down.

    >>> evaluate("2 * k_h * (in_w + 1) if k_h > 1 else 0", {"k_h": 3, "in_w": 7})
    48

    Raises ValueError for anything but numbers, parameters, + - * / // %, comparisons, and/or/not, if/else and the
    functions max, min and sum.
    """
    return _compiled(text)(parameters)


@cache
def _compiled(text: str) -> _Function:
    try:
        return _function(ast.parse(text, mode="eval").body, text)
    except SyntaxError as fault:
        raise ValueError(f"{text!r} is not an expression") from fault


def _function(node: ast.expr, text: str) -> _Function:  # noqa: PLR0911, one for each kind of node
    match node:
        case ast.Constant(value=int() | float() as number):
            return lambda parameters: number
        case ast.Name(id=name):
            return partial(_parameter, name, text)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            first, second, compute = _function(left, text), _function(right, text), _ARITHMETIC[type(op)]
            return lambda parameters: compute(first(parameters), second(parameters))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            of, change = _function(operand, text), _UNARY[type(op)]
            return lambda parameters: change(of(parameters))
        case ast.BoolOp(op=op, values=values):
            terms, decide = [_function(value, text) for value in values], all if isinstance(op, ast.And) else any
            return lambda parameters: decide(term(parameters) for term in terms)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            condition, yes, no = (_function(part, text) for part in (test, body, orelse))
            return lambda parameters: yes(parameters) if condition(parameters) else no(parameters)
        case ast.Compare(left=left, ops=ops, comparators=rights) if all(type(op) in _COMPARISONS for op in ops):
            sides, holds = [_function(side, text) for side in (left, *rights)], [_COMPARISONS[type(op)] for op in ops]
            return lambda parameters: _holds(holds, [side(parameters) for side in sides])
        case ast.Call(func=ast.Name(id=name), args=values, keywords=[]) if name in _FUNCTIONS:
            arguments, function = [_function(value, text) for value in values], _FUNCTIONS[name]
            return lambda parameters: function(*[argument(parameters) for argument in arguments])
    raise ValueError(f"{text!r} may not contain {ast.unparse(node)!r}")


def _parameter(name: str, text: str, parameters: Parameters) -> int | Sequence[int]:
    if name not in parameters:
        raise ValueError(f"{text!r} uses {name!r}, which the operator does not have")
    return parameters[name]


def _holds(comparisons: Sequence[Callable[[Any, Any], bool]], values: Sequence[Any]) -> bool:
    return all(holds(*pair) for holds, *pair in zip(comparisons, values, values[1:], strict=False))
