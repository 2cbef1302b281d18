"""What every stage process shares: command line, checked options, outputs that appear whole or not at all, errors."""

import argparse
import errno
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Generic, NamedTuple

from typing_extensions import TypeVar

from nnrules.catalog.checked import checked
from nnrules.catalog.identity import BUILD_PROCESS, REPORTS, python_files, stage_identity
from nnrules.catalog.paths import files_in
from nnrules.catalog.sources import REMEMBERED, Sources, reference_file
from nnrules.catalog.space import NETWORK, arguments_of, group_of, read_best, with_chosen
from nnrules.catalog.stages import Options
from nnrules.error import UserError
from nnrules.stages.references import imported_files, load_reference

INTERRUPTED = 130  # exit code
_CHOSEN = {NETWORK: "best", "teacher_network": "teacher_best"}  # inputs that a search made, by what they are for
FULL = os.strerror(errno.ENOSPC)

O = TypeVar("O", bound=Options, default=Any)  # noqa: E741


@dataclass(frozen=True)
class Request(Generic[O]):
    """One run of a stage. `outputs` are temporary names: the runner moves them into place when `run` returns. `before`:
    the modules that were imported when it began. `after_epoch`: is told, by stages that train, how many epochs are done
    and the network."""

    verb: str
    model: str
    target: str
    options: O
    inputs: Mapping[str, list[str]] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    before: frozenset[str] = field(default_factory=lambda: frozenset(sys.modules), repr=False)
    after_epoch: Callable[[int, Any], None] | None = None

    def input(self, name: str) -> Path:
        """The one file given as `name`."""
        (path,) = self.inputs[name]
        return Path(path)

    def optional(self, name: str) -> Path | None:
        """The one file given as `name`, or None where it was not given."""
        return self.input(name) if name in self.inputs else None

    def output(self, name: str) -> Path:
        """The temporary name to write `name` to; its last component is the final one."""
        return Path(self.outputs[name])

    def reference(self, name: str) -> Any:
        """The class that the reference input `name` ("path.py:Class") names; the network's with the arguments that a
        search chose for it."""
        (text,) = self.inputs[name]
        found = load_reference(text)
        self.require_seen()
        given = self.arguments(name)
        return partial(found, **given) if given else found

    def arguments(self, name: str) -> dict[str, Any]:
        """What the reference input `name` is constructed with."""
        best = self.optional(_CHOSEN[name]) if name in _CHOSEN else None
        return arguments_of(read_best(best)) if best else {}

    def require_seen(self, imported: Collection[str] | None = None) -> None:
        """Raises UserError where one of the user's modules was imported that no build would notice a change of.
        ``imported``: their real paths, None: all that this process has."""
        if not self.references:
            return
        seen = _reached(tuple(python_files(self.verb, self.options, self.references)))
        named = {str(Path(text).resolve()) for text in self.inputs.get("files", ())}
        for file in sorted(imported_files(self.before) if imported is None else imported):
            if file not in seen and file not in named:
                place = os.path.relpath(file)
                raise UserError(place, "is imported in a way that no build sees", "name it in files= of env.Model")

    @property
    def references(self) -> dict[str, str]:
        """The inputs that are "path.py:Class"."""
        return {name: text for name, (text, *_) in self.inputs.items() if ".py:" in text}

    @cached_property
    def checkpoints(self) -> Path:
        """A folder for checkpoints, one for each run with its model, outputs, options, versions, sources and inputs.

        It survives a kill and goes on success.
        """
        references = self.references
        identity = {
            **stage_identity(self.verb, self.options, references, sources()),
            "model": [self.model, self.target],
            "references": references,
            "outputs": self.outputs,
            "inputs": {
                name: [[text, content_digest(Path(text))] for text in texts]
                for name, texts in self.inputs.items()
                if name not in references
            },
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
        folder = Path(".nnrules/checkpoints") / digest.hexdigest()[:32]
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class Work(NamedTuple, Generic[O]):
    """What the processes of one run share: the request, and where its checkpoints are."""

    request: Request[O]
    checkpoints: Path

    def blamed(self, fault: Exception) -> UserError | None:
        """See blame."""
        return blame(fault, self.request.inputs)


def main(run: Callable[[Request[Any]], None], options: type[Options], arguments: list[str] | None = None) -> None:
    """Run one stage from its command line and leave the process.

    Exit code 0: done; 2: the user's mistake, one line on stderr; 1: our bug, with its traceback; 130: interrupted.
    """
    parsed = _parser().parse_args(arguments)
    if build := os.environ.pop(BUILD_PROCESS, None):
        _join(int(build), sys.argv[1:] if arguments is None else arguments)
    inputs = _pairs(parsed.inputs)
    finals = {name: paths[0] for name, paths in _pairs(parsed.outputs).items()}
    try:
        given = json.loads(parsed.options)
        values = {**given, **_searched(_verb(run), parsed.best, inputs, given)}
        chosen = checked("--options", options, values)
        _run_whole(run, Request(_verb(run), parsed.model, parsed.target, chosen, inputs), finals)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except UserError as fault:
        print(fault, file=sys.stderr)
        sys.exit(2)
    except Exception as fault:
        blamed = blame(fault, inputs)
        if blamed is None:
            traceback.print_exc()
            sys.exit(1)
        print(blamed, file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


@cache
def _reached(roots: tuple[Path, ...]) -> frozenset[str]:
    """The files that a stage's own files import, for as long as it runs."""
    return frozenset(sources().reached(roots))


def sources() -> Sources:
    """The Python files as they are now; what the last build and this process have parsed is not parsed again."""
    return _parsed().again()


@cache
def _parsed() -> Sources:
    return Sources(REMEMBERED)


def remove_partial(arguments: list[str]) -> None:
    """Remove what a stage with this command line wrote and did not finish."""
    finals = _pairs(_parser().parse_args(arguments).outputs)
    if finals:
        shutil.rmtree(_partial(next(iter(finals.values()))[0]), ignore_errors=True)


def _join(build: int, arguments: list[str]) -> None:
    """Under a build or its server (process id `build`): whole lines, reports of progress, and an end with it."""
    os.environ[REPORTS] = "1"
    sys.stdout, sys.stderr = (
        open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        for number in (1, 2)
    )
    threading.Thread(target=_end_with, args=(build, arguments), daemon=True).start()


def _end_with(build: int, arguments: list[str]) -> None:
    """Leave, with all processes of the stage's own, when the build was killed: another may start at once."""
    while os.getppid() == build:
        time.sleep(0.2)
    remove_partial(arguments)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(INTERRUPTED)


def _partial(first: str) -> Path:
    """The folder that a stage writes into, beside its first output."""
    path = Path(first)
    return path.parent / f".{path.name}.partial"


def _run_whole(run: Callable[[Request[Any]], None], bare: Request[Any], finals: Mapping[str, str]) -> None:
    """Let `run` write into a folder beside the first output, then move every output into place."""
    partial = _partial(next(iter(finals.values())))
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    outputs = {name: str(partial / Path(final).name) for name, final in finals.items()}
    request = Request(bare.verb, bare.model, bare.target, bare.options, bare.inputs, outputs)
    try:
        run(request)
        request.require_seen()
        for name, final in finals.items():
            Path(final).parent.mkdir(parents=True, exist_ok=True)
            os.replace(outputs[name], final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if "checkpoints" in request.__dict__:
        shutil.rmtree(request.checkpoints, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--model", required=True)
    parser.add_argument("--target", default="")
    parser.add_argument("--in", dest="inputs", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--out", dest="outputs", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--options", default="{}", help="JSON")
    parser.add_argument("--best", action="append", default=[], metavar="OPTION", help="to be taken from the input best")
    return parser


def _searched(
    verb: str, names: Collection[str], inputs: Mapping[str, list[str]], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The options `names` of a stage as a search chose them; of a table, the other entries are as given."""
    if not names:
        return {}
    found = with_chosen(group_of(verb), given, read_best(Path(inputs["best"][0])))
    return {name: found[name] for name in names}


def _pairs(texts: list[str]) -> dict[str, list[str]]:
    pairs: dict[str, list[str]] = {}
    for text in texts:
        name, _, path = text.partition("=")
        pairs.setdefault(name, []).append(path)
    return pairs


def _verb(run: Callable[..., None]) -> str:
    """The stage's verb is the name of its module, also when that runs as `__main__`."""
    return Path(run.__code__.co_filename).stem


def content_digest(path: Path) -> str:
    """SHA-256 of what an input holds; a folder counts by its files."""
    digest = hashlib.sha256()
    for file in files_in(path) if path.is_dir() else [path]:
        digest.update(f"{file.relative_to(path)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def blame(fault: Exception, inputs: Mapping[str, list[str]]) -> UserError | None:
    """The user's error where the exception passed through a file that a reference names, or the disk is full; else
    None."""
    if FULL in str(fault):
        return UserError(str(Path.cwd()), "there is no space left on its disk", "make room and build again")
    texts = [text for given in inputs.values() for text in given if ".py:" in text]
    files = {str(path.resolve()): str(path) for path, _ in map(reference_file, texts)}
    cure = "fix the exception and build again"
    kind = f"{type(fault).__name__}: {str(fault).splitlines()[0] if str(fault) else 'no message'}"
    if isinstance(fault, SyntaxError) and fault.filename and (name := str(Path(fault.filename).resolve())) in files:
        return UserError(f"{files[name]}:{fault.lineno}", f"SyntaxError: {fault.msg}", cure)
    for frame in reversed(traceback.extract_tb(fault.__traceback__)):
        name = str(Path(frame.filename).resolve())
        if name in files:
            return UserError(f"{files[name]}:{frame.lineno}", kind, cure)
    return None
