"""The command `nnrules`: a model's C for builds that are not SCons, the SCons tool's shim, and a look at cache logs."""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from nnrules.error import UserError, suggest

_SCONSTRUCT = Path(__file__).resolve().parent / "library/SConstruct"
_SHIM = Path(__file__).resolve().parent / "site_tools/nnrules.py"
_EPILOG = "Further words: cache=PLACE, data=FOLDER, build_dir=FOLDER, MODEL.STAGE.OPTION=VALUE."
_VARIABLES = ("build_dir", "cache", "data")


class _Parser(argparse.ArgumentParser):
    """A mistake is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(words: list[str] | None = None) -> NoReturn:
    """Do what the words say and leave: 0 done, 2 a mistake."""
    given, rest = _parser().parse_known_args(words)
    try:
        status = given.run(given, rest)
    except UserError as fault:
        print(fault, file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="nnrules", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("build", help="make the C library of a model", epilog=_EPILOG, allow_abbrev=False)
    command.add_argument("model", metavar="MODEL", help="the model's folder or SConscript, or its name in models/")
    command.add_argument("--out", required=True, metavar="DIR", help="where the library goes: a new or an empty folder")
    core = command.add_mutually_exclusive_group()
    core.add_argument("--target", metavar="NAME", help="a target of toolchains/: verified, measured and gated there")
    core.add_argument("--isa", metavar="NAME[,NAME]", help="instruction sets (default: portable C), verified here")
    command.add_argument("-j", dest="jobs", type=int, default=1, metavar="N", help="how many steps run at a time")
    command.set_defaults(run=_build)

    command = commands.add_parser("site-tools", help="write site_scons/site_tools/nnrules.py", allow_abbrev=False)
    command.set_defaults(run=_site_tools)

    command = commands.add_parser("cache-diff", help="say what made a cache miss", allow_abbrev=False)
    command.add_argument("first", metavar="FIRST", help="what --cache-log wrote in one build")
    command.add_argument("second", metavar="SECOND", help="and in another")
    command.set_defaults(run=_cache_diff)
    return parser


def _build(given: argparse.Namespace, variables: list[str]) -> int:
    """Run scons on the SConstruct that is part of the package."""
    for word in variables:
        _require_variable(word)
    wanted = {"model": given.model, "out": given.out, "target": given.target, "isa": given.isa}
    words = [f"{name}={value}" for name, value in wanted.items() if value is not None]
    command = [sys.executable, "-P", "-m", "SCons", "-Q", f"-j{given.jobs}", "-f", str(_SCONSTRUCT)]
    status = subprocess.run([*command, *words, *variables], check=False).returncode
    if status == 0:
        print(f"{given.out}: {', '.join(sorted(path.name for path in Path(given.out).iterdir()))}")
    return status


def _require_variable(word: str) -> None:
    name, equals, _ = word.partition("=")
    if word.startswith("-"):
        raise UserError(word, "there is no such option", "see nnrules build --help")
    if not equals or (name not in _VARIABLES and name.count(".") < 2):
        raise UserError(word, "there is no such variable", suggest(name, [*_VARIABLES, "model.stage.option"]))


def _site_tools(given: argparse.Namespace, rest: list[str]) -> int:
    """Copy the shim. Raises UserError where another file has its name."""
    _require_no(rest)
    target, text = Path("site_scons/site_tools/nnrules.py"), _SHIM.read_text(encoding="utf-8")
    if target.exists() and target.read_text(encoding="utf-8", errors="replace") != text:
        raise UserError(str(target), "is there, and is not what nnrules writes", "move it away")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    print(f"{target}: env.Tool('nnrules') works in this folder's SConstruct")
    return 0


def _cache_diff(given: argparse.Namespace, rest: list[str]) -> int:
    _require_no(rest)
    from nnrules.cache.compare import compare

    print(compare(Path(given.first), Path(given.second)).rstrip("\n"))
    return 0


def _require_no(rest: list[str]) -> None:
    if rest:
        raise UserError("nnrules", f"{rest[0]} is one word too many", "see nnrules --help")


if __name__ == "__main__":
    main()
