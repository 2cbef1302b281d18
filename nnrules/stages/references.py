"""The user's Python in a stage: classes named "path.py:Class", and the modules that their files import.

They are always compiled from their source: a build counts the source's content, while Python takes a ``.pyc`` whose
source has its length and its time in seconds, as after a quick edit or a checkout.
"""

import os
import sys
from collections.abc import Collection
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import CodeType
from typing import Any

from nnrules.catalog.sources import reference_file
from nnrules.error import UserError, suggest

_INSTALLED = (sys.prefix, sys.base_prefix, str(Path(__file__).resolve().parents[1]))


class _SourceLoader(SourceFileLoader):
    """Neither reads nor writes bytecode."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def load_reference(text: str) -> Any:
    """The object that "path.py:Name" names; modules beside the file may be imported by it."""
    path, name = reference_file(text)
    folder = str(path.resolve().parent)
    compile_always()
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    module_name = path.stem
    known = sys.modules.get(module_name)
    if known is not None and Path(str(getattr(known, "__file__", ""))).resolve() != path.resolve():
        module_name, known = f"{path.parent.name}.{path.stem}", sys.modules.get(f"{path.parent.name}.{path.stem}")
    module = known or _load(module_name, path, text)
    try:
        return getattr(module, name)
    except AttributeError:
        classes = [each for each, value in vars(module).items() if getattr(value, "__module__", "") == module_name]
        near = suggest(name, classes)
        cure = near if near.startswith("did") else "define it or correct the SConscript"
        raise UserError(str(path), f"has no {name!r}", cure) from None


def compile_always() -> None:
    """From now on the user's modules are compiled from their source."""
    if _users_finder not in sys.path_hooks:
        sys.path_hooks.insert(0, _users_finder)
        sys.path_importer_cache.clear()


def imported_files(before: Collection[str]) -> set[str]:
    """The real paths of all modules imported since that are neither Python's, nor installed, nor nnrules'."""
    modules = [module for name, module in list(sys.modules.items()) if name not in before]
    files = (getattr(module, "__file__", None) for module in modules)
    real = {os.path.realpath(file) for file in files if file and Path(file).is_absolute()}
    return {file for file in real if _is_users(file) and Path(file).is_file()}


def _load(module_name: str, path: Path, text: str) -> Any:
    if path.suffix not in SOURCE_SUFFIXES:
        raise UserError(text, "is not a Python file", 'name a class like "network.py:Net"')
    spec = spec_from_loader(module_name, _SourceLoader(module_name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


def _is_users(path: str) -> bool:
    return not path.startswith(_INSTALLED) and "-packages" not in path


def _users_finder(folder: str) -> FileFinder:
    """What sys.path_hooks holds for the user's folders."""
    if not _is_users(os.path.realpath(folder)) or not Path(folder).is_dir():
        raise ImportError(folder)
    return FileFinder(folder, (ExtensionFileLoader, EXTENSION_SUFFIXES), (_SourceLoader, SOURCE_SUFFIXES))
