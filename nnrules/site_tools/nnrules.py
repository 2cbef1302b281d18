"""nnrules as a SCons tool, wherever the package is installed; written by `nnrules site-tools`."""

__path__ = __import__("pkgutil").extend_path([], "nnrules")  # beside this file, which has the package's name
from nnrules.site_tools import exists, generate  # noqa
