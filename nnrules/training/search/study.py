"""The trials of one search: begun, watched, ended, and the best of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from nnrules.catalog.stages import SearchOptions
from nnrules.training.search.draw import Drawer, combinations, distribution, lives, value_of
from nnrules.training.search.storage import HEARTBEAT

_DRAWING = 2.0  # seconds that another machine may take to say what it has drawn
_LAST = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: complete, pruned, failed, running or waiting. `metric`: of one that is complete, of a pruned one the
    last that was seen; `cost`: the second objective; `curve`: metric by epochs done; `seconds`: that it took."""

    number: int
    state: str
    chosen: dict[str, Any]
    metric: float | None = None
    cost: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float]] = []
    fault: str = ""


class Begun(msgspec.Struct, frozen=True):
    """A trial to be run; `first`: the number of the one that was killed and that this one tries again, else its own."""

    trial: Any
    chosen: dict[str, Any]
    first: int

    @property
    def number(self) -> int:
        """Counted from 0."""
        return int(self.trial.number)


class Study:
    """`longest`: epochs of a trial at most. `limit`: how many trials there are at most; of a study that has more, the
    first ones count."""

    def __init__(self, storage: BaseStorage, name: str, options: SearchOptions, longest: int) -> None:
        self._storage, self._options, self._space = storage, options, options.space
        self._distributions = {each.name: distribution(each) for each in options.space}
        there_are = combinations(options.space)
        whole = there_are is not None and options.trials is not None and there_are <= options.trials
        self.limit = min((count for count in (there_are, options.trials) if count is not None), default=None)
        self._drawer = Drawer(options.space, options.sampler, options.seed, whole)
        self._alone = not isinstance(storage, RDBStorage)
        self._mine: dict[int, Begun] = {}
        self._others: set[int] = set()
        self._beaten = 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study = optuna.create_study(
                storage=storage,
                study_name=name,
                load_if_exists=True,
                directions=["maximize", "minimize"] if options.minimize else ["maximize"],
                sampler=self._drawer,
                pruner=_pruner(options, longest),
            )

    def resume(self) -> int:
        """Of a study that nobody else can be at, try again the trials that a killed process had begun; how many."""
        stale = [trial for trial in self._trials() if trial.state == TrialState.RUNNING] if self._alone else []
        for trial in stale:
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._retry(trial)
        return len(stale)

    def next(self) -> Begun | None:
        """A trial to run; None where there is none now."""
        while True:
            trials = self._trials()
            waits = any(trial.state == TrialState.WAITING for trial in trials)
            if not waits and self._is_enough(trials):
                return None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trial = self._study.ask(self._distributions)
            begun = Begun(trial, self._chosen(trial.params), self._first(trial.number))
            if self._is_to_run(begun):
                self._mine[begun.number] = begun
                self._beat(begun)
                return begun

    def report(self, begun: Begun, step: int, value: float) -> bool:
        """The metric after `step` epochs; whether the trial is to end here, as one does that others gave up."""
        if self._options.minimize:
            return False
        try:
            if step not in self._study.trials[begun.number].intermediate_values:
                begun.trial.report(value, step)
        except UpdateFinishedTrialError:
            return True
        return bool(begun.trial.should_prune())

    def complete(self, begun: Begun, metric: float, cost: float | None, **attributes: Any) -> None:
        """The trial is over, with its objectives."""
        self._end(begun, TrialState.COMPLETE, [metric] if cost is None else [metric, cost], attributes)

    def pruned(self, begun: Begun, **attributes: Any) -> None:
        """The trial was ended early."""
        self._end(begun, TrialState.PRUNED, None, attributes)

    def failed(self, begun: Begun, fault: str, **attributes: Any) -> None:
        """What was drawn cannot be trained."""
        self._end(begun, TrialState.FAIL, None, {**attributes, "fault": fault})

    def again(self, begun: Begun) -> bool:
        """A trial that was cut off is to go on; False where it is one that did before."""
        if begun.first != begun.number:
            return False
        del self._mine[begun.number]
        with suppress(UpdateFinishedTrialError):
            self._study.tell(begun.trial, state=TrialState.FAIL)
            self._retry(self._study.trials[begun.number])
        return True

    def _retry(self, trial: FrozenTrial) -> None:
        RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)(self._study, trial)

    def beat(self) -> None:
        """Once in a while: say that the trials here go on, try again those of machines that no longer say so."""
        if isinstance(self._storage, RDBStorage) and time.monotonic() > self._beaten + HEARTBEAT:
            for begun in self._mine.values():
                self._beat(begun)
            self._watch_others()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                optuna.storages.fail_stale_trials(self._study)
            self._beaten = time.monotonic()

    def _watch_others(self) -> None:
        """Begin to wait for each trial elsewhere; one whose machine died before it ever said that it goes on would be
        waited for without end."""
        for trial in self._trials():
            if trial.state == TrialState.RUNNING and trial.number not in self._mine.keys() | self._others:
                self._storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
                self._others.add(trial.number)

    def forget(self) -> None:
        """Where all trials have failed but those that end with this search: begin anew the next time."""
        if all(trial.state == TrialState.FAIL or trial.number in self._mine for trial in self._trials()):
            optuna.delete_study(study_name=self._study.study_name, storage=self._storage)

    def is_over(self) -> bool:
        """Whether all trials have ended, here and elsewhere."""
        return self._is_enough(self._trials()) and all(trial.state in _LAST for trial in self._counted())

    def trials(self) -> list[Trial]:
        """Those that count, in their order."""
        return [self._plain(trial) for trial in self._counted()]

    @property
    def metric_name(self) -> str:
        """What the data set calls it."""
        return next((trial.user_attrs["name"] for trial in self._trials() if "name" in trial.user_attrs), "metric")

    def importances(self) -> dict[str, float]:
        """How much of the metric's variance each parameter explains (fANOVA, Hutter et al., ICML 2014); empty where too
        few trials tell."""
        complete = [trial for trial in self._counted() if trial.state == TrialState.COMPLETE]
        varied = [name for name, each in self._distributions.items() if not each.single()]
        if len(complete) < 4 or len({trial.values[0] for trial in complete}) == 1:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._options.seed)
            apart = optuna.create_study(directions=self._study.directions)
            apart.add_trials(complete)
            found = optuna.importance.get_param_importances(
                apart, evaluator=evaluator, params=varied, target=lambda trial: trial.values[0]
            )
            return {name: round(float(share), 4) for name, share in found.items()}

    def _trials(self) -> list[FrozenTrial]:
        return list(self._study.get_trials(deepcopy=False))

    def _counted(self) -> list[FrozenTrial]:
        return [trial for trial in self._trials() if lives(trial)][: self.limit]

    def _is_enough(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether no further trial may begin."""
        counted, options = [trial for trial in trials if lives(trial)], self._options
        if self._drawer.is_at_end or (self.limit is not None and len(counted) >= self.limit):
            return True
        if options.seconds and sum(trial.user_attrs.get("seconds", 0.0) for trial in counted) >= options.seconds:
            return True
        return bool(options.epochs and sum(trial.user_attrs.get("epochs", 0) for trial in counted) >= options.epochs)

    def _is_to_run(self, begun: Begun) -> bool:
        """Not where somebody else began the last ones at the same time, or a trial had the same."""
        end = time.monotonic() + _DRAWING
        while True:
            before = [trial for trial in self._trials() if lives(trial) and trial.number < begun.number]
            if all(self._distributions.keys() <= trial.params.keys() for trial in before) or time.monotonic() > end:
                break
            time.sleep(0.05)
        if self.limit is not None and len(before) >= self.limit:
            self._study.tell(begun.trial, state=TrialState.FAIL)
            return False
        if any(self._chosen(trial.params) == begun.chosen for trial in before):
            self._study.tell(begun.trial, state=TrialState.FAIL)
            return False
        return True

    def _end(self, begun: Begun, state: TrialState, values: list[float] | None, attributes: Mapping[str, Any]) -> None:
        """To no effect where this machine was not heard of for so long that others try it again."""
        del self._mine[begun.number]
        with suppress(UpdateFinishedTrialError):
            for name, value in attributes.items():
                begun.trial.set_user_attr(name, value)
            self._study.tell(begun.trial, values, state, skip_if_finished=True)

    def _beat(self, begun: Begun) -> None:
        if isinstance(self._storage, RDBStorage):
            self._storage.record_heartbeat(begun.trial._trial_id)

    def _first(self, number: int) -> int:
        found = RetryHeartbeatStaleTrialCallback.retried_trial_number(self._study.trials[number])
        return number if found is None else found

    def _chosen(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {each.name: value_of(each, params[each.name]) for each in self._space if each.name in params}

    def _plain(self, trial: FrozenTrial) -> Trial:
        metric, *rest = trial.values or [None]
        state = {"FAIL": "failed"}.get(trial.state.name, trial.state.name.lower())
        return Trial(
            number=trial.number,
            state=state,
            chosen=self._chosen(trial.params),
            metric=metric,
            cost=rest[0] if rest else None,
            epochs=trial.user_attrs.get("epochs", 0),
            seconds=trial.user_attrs.get("seconds", 0.0),
            curve=sorted(trial.intermediate_values.items()),
            fault=trial.user_attrs.get("fault", ""),
        )


def winner(trials: Sequence[Trial], drop: float) -> Trial | None:
    """The best metric; with a second objective, the cheapest of those whose metric is at most `drop` below it. Of equal
    ones the first. None where no trial is complete."""
    complete = [trial for trial in trials if trial.state == "complete" and trial.metric is not None]
    if not complete:
        return None
    best = max(trial.metric or 0.0 for trial in complete)
    if complete[0].cost is None:
        return next(trial for trial in complete if trial.metric == best)
    good = [trial for trial in complete if (trial.metric or 0.0) >= best - drop - 1e-9]
    return min(good, key=lambda trial: (trial.cost, -(trial.metric or 0.0), trial.number))


def front(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that no other beats in one objective without being worse in the other, cheapest first."""
    complete = [trial for trial in trials if trial.state == "complete" and trial.cost is not None]
    found: list[Trial] = []
    for trial in sorted(complete, key=lambda each: (each.cost, -(each.metric or 0.0), each.number)):
        if not found or (trial.metric or 0.0) > (found[-1].metric or 0.0):
            found.append(trial)
    return found


def _pruner(options: SearchOptions, longest: int) -> BasePruner:
    """Median rule (Golovin et al., KDD 2017), Hyperband (Li et al., JMLR 2018)."""
    if options.pruner == "median":
        return MedianPruner(n_startup_trials=4)
    return (
        HyperbandPruner(min_resource=1, max_resource=max(1, longest)) if options.pruner == "hyperband" else NopPruner()
    )
