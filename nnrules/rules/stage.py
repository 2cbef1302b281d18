"""A stage: a step that is a Python process of `nnrules.stages`."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from nnrules.catalog.identity import stage_identity
from nnrules.catalog.sources import Sources
from nnrules.catalog.stages import Options
from nnrules.rules.keys import Content
from nnrules.rules.step import Step
from nnrules.rules.templates import templates

if TYPE_CHECKING:
    from nnrules.rules.engine import Engine


class Stage(Step, frozen=True, eq=False, kw_only=True):
    """`name`: the verb. `references`: "path.py:Class" by input name. `tools`: versions by program; `fresh`: not forked.

    `data`: the folder whose files are the input `data`, "": that has no folder. `searched`: options that the input
    `best` gives; `alternatives`: options with the methods that it may name.
    """

    options: Options
    references: Mapping[str, str]
    sources: Sources
    tools: Mapping[str, str]
    data: str = ""
    fresh: bool = False
    searched: tuple[str, ...] = ()
    alternatives: tuple[Options, ...] = ()

    def again(self) -> "Stage":
        """With the Python files parsed again where they changed."""
        return msgspec.structs.replace(self, sources=self.sources.again())

    def describe(self) -> dict[str, Any]:
        """See stage_identity."""
        identity = stage_identity(self.name, self.options, self.references, self.sources, self.alternatives)
        given = {"searched": list(self.searched)} if self.searched else {}
        return {**identity, **given, "tools": dict(self.tools)}

    def implicit(self, content: Content) -> list[Any]:
        """The kernels of the plan that is generated."""
        if self.name != "generate":
            return []
        (plan,) = self.inputs["plan"]
        text = content(plan)
        return [] if text is None else [plan.fs.File(str(file)) for file in templates(text)]

    def command(self) -> list[str]:
        """The process that runs the stage."""
        words = [sys.executable, "-m", f"nnrules.stages.{self.name}", "--model", self.model]
        words += ["--target", self.target] if self.target else []
        for name, text in self.references.items():
            words += ["--in", f"{name}={text}"]
        for name, nodes in self.inputs.items():
            paths = [self.data] if name == "data" and self.data else nodes
            words += [word for path in paths for word in ("--in", f"{name}={path}")]
        for name, node in self.outputs.items():
            words += ["--out", f"{name}={node}"]
        words += [word for name in self.searched for word in ("--best", name)]
        return [*words, "--options", msgspec.json.encode(self.options, order="sorted").decode()]

    def run(self, engine: "Engine") -> int:
        """In a worker."""
        return engine.workers.run(self.name, self.label, self.command(), self.fresh)
