"""nnrules as a SCons tool. The file nnrules.py here is the tool as SCons finds it, also after a copy to site_scons."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
_PACKAGE = HERE.parent / "__init__.py"


def toolpath() -> str:
    """The folder for `toolpath=`."""
    return str(HERE)


def tool(**options: Any) -> Callable[[Any], None]:
    """For `tools=[...]`; `options`: see generate."""

    def apply(env: Any) -> None:
        generate(env, **options)

    return apply


def generate(env: Any, **options: Any) -> None:
    """Give an Environment the methods NNModel and NNCache; nothing else of it changes.

    Options: `target`, `isa`, `selftest`: the defaults of env.NNModel; `build_dir`, `cache`, `data`: of the whole build,
    where the command line does not say otherwise.
    """
    _restore_package()
    from nnrules.rules.foreign.methods import add_methods

    add_methods(env, options)


def exists(env: Any) -> bool:
    """What SCons asks of a tool."""
    return True


def _restore_package() -> None:
    """SCons has put the tool's one file where Python keeps the package of the same name."""
    if getattr(sys.modules.get("nnrules"), "__file__", None) == str(_PACKAGE):
        return
    spec: Any = importlib.util.spec_from_file_location("nnrules", _PACKAGE)
    package = importlib.util.module_from_spec(spec)
    sys.modules["nnrules"] = package
    spec.loader.exec_module(package)
    for name, module in list(sys.modules.items()):
        parent, _, child = name.rpartition(".")
        if parent == "nnrules":
            setattr(package, child, module)
