"""How mistakes end a build: one line, exit code 2, no traceback."""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import SCons.Node
from SCons.Errors import BuildError
from SCons.Node.FS import get_default_fs
from SCons.Script import Main

import nnrules
from nnrules.error import UserError, suggest

P = ParamSpec("P")
R = TypeVar("R")

_OURS = tuple(  # modules that stand between what a user wrote and us
    str(Path(file).resolve().parent) for file in (nnrules.__file__, SCons.__file__, functools.__file__)
)
_GIVEN = ("self", "env", "workspace")  # parameters that no user writes


class StageError(BuildError):
    """A stage that failed and has already said why."""


class _Quiet:
    """Over a task class of SCons: silent about failures that were explained, for all others as it was."""

    def failed(self: Any) -> None:
        """Fail without a second message after a StageError."""
        failure = self.exc_info()[1]
        if not isinstance(failure, StageError):
            super().failed()  # type: ignore[misc]
            return
        _forget_failed(self.tm)
        self.exception = (failure, failure, None)
        self.do_failed(failure.exitstatus)
        self.exc_clear()


def _forget_failed(taskmaster: Any) -> None:
    """Before the end, where SCons takes what waits for failed nodes and has failed so itself for a cycle (-k)."""

    def cleanup() -> None:
        waiting = taskmaster.pending_children
        taskmaster.pending_children = {each for each in waiting if each.get_state() != SCons.Node.failed}
        type(taskmaster).cleanup(taskmaster)

    taskmaster.cleanup = cleanup


def explain_once() -> None:
    """Let SCons say nothing after a StageError; the class of tasks that it uses now, whosever it is, stays beneath."""
    if not issubclass(Main.BuildTask, _Quiet):
        Main.BuildTask = type("Task", (_Quiet, Main.BuildTask), {})


def stop(fault: UserError) -> NoReturn:
    """Print the one line and leave."""
    sys.stdout.flush()
    print(fault, file=sys.stderr)
    raise SystemExit(2)


def explained(function: Callable[P, R]) -> Callable[P, R]:
    """For what a SConstruct or SConscript calls: a UserError, and a call that does not fit, ends the build with its one
    line."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def guarded(*positional: P.args, **named: P.kwargs) -> R:
        try:
            _require_fit(signature, positional, named)
            return function(*positional, **named)
        except UserError as fault:
            stop(fault)

    return guarded


def _require_fit(signature: inspect.Signature, positional: Sequence[Any], named: Mapping[str, Any]) -> None:
    """Raises UserError for arguments that a function has not, and where some are missing."""
    try:
        signature.bind(*positional, **named)
    except TypeError as fault:
        parameters = signature.parameters.values()
        known = [each.name for each in parameters if each.name not in _GIVEN and each.kind is not each.VAR_KEYWORD]
        takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
        for name in () if takes_any else named:
            if name not in known:
                raise UserError(caller(), f"there is no argument {name!r}", suggest(name, known)) from None
        raise UserError(caller(), str(fault), f"the arguments are {', '.join(known)}") from None


def caller() -> str:
    """`models/x/SConscript:7`: the line of the user's that called us, relative to the top of the project."""
    frame: Any = sys._getframe()
    while frame is not None and _is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return "SConscript"
    return f"{_from_top(frame.f_code.co_filename, get_default_fs().Top.get_abspath())}:{frame.f_lineno}"


@functools.cache
def _is_ours(file: str) -> bool:
    return str(Path(file).resolve()).startswith(_OURS)


@functools.cache
def _from_top(file: str, top: str) -> str:
    path = Path(top, file).resolve()
    return str(path.relative_to(top) if path.is_relative_to(top) else path)
