"""The SCons side: SConscripts declare models, each step is a stage run as a process. Imports nothing heavy."""

from nnrules.rules.budget import Budget
from nnrules.rules.project import Project

__all__ = ["Budget", "Project"]
