"""The small arithmetic of kernel descriptions: ``2 * k_h * in_w``, ``groups == 1 and k_h <= 7``, ``max(in_c, 4)``."""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

Number = int | float
Parameters = Mapping[str, int | Sequence[int]]

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
    return _value(_parsed(text), text, parameters)


@cache
def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError as fault:
        raise ValueError(f"{text!r} is not an expression") from fault


def _value(node: ast.expr, text: str, parameters: Parameters) -> Any:  # noqa: PLR0911, one for each kind of node
    def value(child: ast.expr) -> Any:
        return _value(child, text, parameters)

    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            if name not in parameters:
                raise ValueError(f"{text!r} uses {name!r}, which the operator does not have")
            return parameters[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _ARITHMETIC[type(op)](value(left), value(right))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](value(operand))
        case ast.BoolOp(op=ast.And(), values=terms):
            return all(value(term) for term in terms)
        case ast.BoolOp(op=ast.Or(), values=terms):
            return any(value(term) for term in terms)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return value(body) if value(test) else value(orelse)
        case ast.Compare(left=left, ops=ops, comparators=rights) if all(type(op) in _COMPARISONS for op in ops):
            sides = [value(left), *(value(right) for right in rights)]
            return all(_COMPARISONS[type(op)](*pair) for op, *pair in zip(ops, sides, sides[1:], strict=False))
        case ast.Call(func=ast.Name(id=function), args=arguments, keywords=[]) if function in _FUNCTIONS:
            return _FUNCTIONS[function](*(value(argument) for argument in arguments))
    raise ValueError(f"{text!r} may not contain {ast.unparse(node)!r}")
