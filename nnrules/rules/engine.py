"""What the steps of one build share while it runs: cache, workers, terminal, record."""

import shlex
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SCons.Script import GetOption

from nnrules.cache import Settings
from nnrules.catalog.sources import REMEMBERED, Sources
from nnrules.catalog.tools import Tools
from nnrules.error import UserError
from nnrules.rules.journal import Journal
from nnrules.rules.keys import Key, Keys
from nnrules.rules.options import Wishes, require_writable
from nnrules.rules.prints import Prints
from nnrules.rules.processes import Processes
from nnrules.rules.step import USER_ERROR, Step
from nnrules.rules.terminal import Terminal
from nnrules.rules.unsaved import Unsaved, force

if TYPE_CHECKING:
    from nnrules.cache import Cache
    from nnrules.rules.forecast import Forecast
    from nnrules.rules.workers import Workers

MEMORY = Path(".nnrules")


class Engine:
    """`top`, `build`, `data`: folders of the project, of the build and of the data set. `settings`: of the cache,
    None for none; it may change until the first step runs. What only a build with something to do needs is
    imported then."""

    def __init__(self, top: Path, build: Path, data: Path | None, wishes: Wishes) -> None:
        self.wishes = wishes
        self.settings: Settings | None = None
        self.sources, self.tools = Sources(REMEMBERED), Tools(MEMORY / "tools.json")
        self.prints = Prints(MEMORY / "fingerprints.json", self.sources.members)
        self.keys = Keys(top, top / build, data)
        self.unsaved = Unsaved(build / ".unsaved")
        self.terminal, self.processes = Terminal(), Processes()
        self.journal = Journal(build / "last_build.json", self.terminal, bool(GetOption("silent")))
        self._cache: Cache | None = None
        self._workers: Workers | None = None
        self._forecast: Forecast | None = None
        self._lock = threading.Lock()

    @property
    def cache(self) -> "Cache | None":
        """Opened by the first step that runs."""
        from nnrules.cache import Cache

        with self._lock:
            if self._cache is None and self.settings:
                self._cache = Cache(self.settings, self.terminal.error)
            return self._cache

    @property
    def workers(self) -> "Workers":
        """Made by the first stage that runs."""
        from nnrules.rules.workers import Workers

        with self._lock:
            self._workers = self._workers or Workers(self.terminal, self.processes)
            return self._workers

    @property
    def forecast(self) -> "Forecast":
        """What would become of each step."""
        from nnrules.rules.forecast import Forecast

        self._forecast = self._forecast or Forecast(
            self.journal.steps, self.keys, self.cache, self.prints, self.unsaved.lost
        )
        return self._forecast

    def open(self) -> None:
        """Steps may run from here on. Raises UserError where what was asked for cannot be written."""
        for option, path in (("--cache-log", self.wishes.log), ("--graph", self.wishes.graph)):
            if path:
                require_writable(option, path)
        if gone := self.unsaved.clear():
            self.terminal.say(f"the last build was killed: {gone} files that it made are made again")
        self.processes.watch_signals()

    def expect(self, step: Step) -> None:
        """A step that this build may run."""
        self.journal.expect(step)
        for node in step.outputs.values():
            if node.get_internal_path() in self.unsaved.lost:  # str() is seen from the SConscript that is read
                force(node)

    def changed(self, step: Step, key: Key) -> str:
        """What is not as it was when a step began; empty where all is."""
        now = self.keys.of(step.again())
        if now.digest == key.digest:
            return ""
        before, after = (sorted(_flat(each.components)) for each in (key, now))
        names = sorted({name for name, _ in set(before) ^ set(after)})
        return f"{', '.join(names)} changed"

    def restore(self, key: Key, files: Mapping[str, Path]) -> bool:
        """Take a step's outputs from the cache; whether they were there."""
        return bool(self.cache and self.cache.restore(key.digest, files))

    def store(self, key: Key, files: Mapping[str, Path], seconds: float) -> None:
        """Give a step's outputs to the cache."""
        if self.cache:
            self.cache.store(key.digest, files, seconds)

    def repeat(self, step: Step, status: int | None = None) -> str:
        """The command that runs a step alone, after how it ended."""
        ending = "" if status is None else f" {_ending(status)}; to repeat it alone"
        return f"{step.label}{ending}: {shlex.join(step.command())}"

    def close(self) -> None:
        """The build is over: end what still runs, write what was learnt, tell how it went."""
        if self._workers:
            self._workers.close()
        self.unsaved.saved(self.journal.visited())
        for part in (self.journal.close, self._log, self._close_cache, self._draw_build, self._remember):
            try:
                part()
            except OSError as fault:
                self.terminal.error(f"{fault.filename}: {fault.strerror}; that is left out")

    def foresee(self) -> None:
        """For a dry run, with every step that there is by now: lets SCons know which are not current; it does not look
        beyond the first of them."""
        from nnrules.rules.forecast import CURRENT

        self._forecast = None
        for step in self.journal.steps:
            if self.forecast.of(step).state != CURRENT:
                for node in step.outputs.values():
                    node.set_always_build(True)

    def tell_forecast(self) -> None:
        """What a build would do, for all steps that SCons came to."""
        from nnrules.rules.forecast import CURRENT

        reached = [step for step in self.journal.steps if self.journal.reached(step)]
        for step in reached:
            outlook = self.forecast.of(step)
            if outlook.state != CURRENT:
                why = f" because {'; '.join(outlook.why)}" if self.wishes.explain else ""
                self.terminal.say(f"{step.label}: {outlook.state}{why}")
                if self.wishes.commands:
                    self.terminal.say(self.repeat(step))
        if self.wishes.log:
            from nnrules.rules import cachelog

            outlooks = {step: self.forecast.of(step) for step in reached}
            keys = {step: each.key for step, each in outlooks.items() if each.key}
            results = {step: each.state for step, each in outlooks.items()}
            cachelog.write(self.wishes.log, results, keys, self)
        self._draw({step: ((known := self.forecast.of(step)).state, "\n".join(known.why)) for step in reached})
        for memory in (self.sources, self.tools):
            memory.save()

    def _log(self) -> None:
        """The file of --cache-log."""
        if self.wishes.log:
            from nnrules.rules import cachelog

            results = {step: result for step in self.journal.steps if (result := self.journal.result(step))}
            cachelog.write(self.wishes.log, results, self.journal.keys, self)

    def _close_cache(self) -> None:
        if self._cache:
            self._cache.close(wait=not self.processes.interrupted)
            if text := self._cache.summary.text():
                self.terminal.say(text)

    def _draw_build(self) -> None:
        if self.wishes.graph:
            self._draw({step: (result, "") for step in self.journal.steps if (result := self.journal.result(step))})

    def _remember(self) -> None:
        """What was learnt about files, for the next build."""
        for memory in (self.sources, self.tools):
            memory.save()
        if self.journal.worked:
            self.prints.save()

    def _draw(self, standing: Mapping[Step, tuple[str, str]]) -> None:
        """The picture that was asked for."""
        if self.wishes.graph and standing:
            from nnrules.rules import picture

            try:
                picture.write(self.wishes.graph, standing, standing.__getitem__)
                self.terminal.say(f"{self.wishes.graph}: the build is drawn there")
            except UserError as fault:
                self.terminal.error(str(fault))


def _flat(components: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The parts of a key as (name, text): `sources`, `input data`, `file x.h`."""
    for part, value in components.items():
        if isinstance(value, Mapping):
            yield from ((f"{part} {name}", str(each)) for name, each in value.items())
        else:
            yield part, str(value)


def _ending(status: int) -> str:
    """How a step went wrong; status 2 has told why already."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return "failed" if status == USER_ERROR else f"failed with status {status}"
