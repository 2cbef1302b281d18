"""What the next trial tries. It follows from the seed, the trials before it, and whether there are to be as many as the
space has combinations, so that a study that was interrupted goes on as it would have."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nnrules.catalog.space import Parameter

STARTUP = 10  # trials drawn by lot before TPE looks at what was found
ATTEMPTS = 10  # draws for one that no trial had, the second half by lot, before one of the rest is taken
_LISTED = 100_000  # combinations that are put in an order


def distribution(parameter: Parameter) -> BaseDistribution:
    """As Optuna has it; choices are JSON."""
    if parameter.values:
        return CategoricalDistribution([json.dumps(value) for value in parameter.values])
    low, high, step = parameter.low, parameter.high, parameter.step
    if parameter.whole:
        return IntDistribution(int(low), int(high), log=parameter.log, step=int(step or 1))
    return FloatDistribution(low, high, log=parameter.log, step=step)


def value_of(parameter: Parameter, drawn: Any) -> Any:
    """What a stage gets: of a number that is not whole, 4 digits, and more where the range is narrow for its numbers
    (99.9 to 100) or has steps."""
    if parameter.values:
        return json.loads(drawn)
    if parameter.whole:
        return int(drawn)
    largest = max(abs(parameter.low), abs(parameter.high))
    more = max(0, math.floor(math.log10(largest / (parameter.high - parameter.low))))
    digits = 12 if parameter.step else 4 + more
    return min(max(float(f"{drawn:.{digits}g}"), parameter.low), parameter.high)


def combinations(space: Sequence[Parameter]) -> int | None:
    """How many there are; None: without end."""
    counts = [len(each.values) or _steps(each) for each in space]
    return None if None in counts else math.prod(count for count in counts if count)


def _steps(parameter: Parameter) -> int | None:
    """How many values a range has that is whole or has steps."""
    step = parameter.step or (1 if parameter.whole else None)
    return math.floor((parameter.high - parameter.low) / step + 1e-9) + 1 if step else None


class Drawer(BaseSampler):
    """What no trial had. `method`: tpe (Bergstra et al., NeurIPS 2011; multivariate, Falkner et al., ICML 2018) or
    random; where all combinations are to be tried (`whole`), they come in an order drawn by lot. `is_at_end`: nothing
    new was found."""

    def __init__(self, space: Sequence[Parameter], method: str, seed: int, whole: bool) -> None:
        self._space = {each.name: each for each in space}
        self._distributions = {each.name: distribution(each) for each in space}
        self._endless = combinations(space) is None
        self._method, self._seed, self._whole = method, seed, whole
        self.is_at_end = False

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters are drawn together."""
        return {name: each for name, each in self._distributions.items() if not each.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See Optuna."""
        space = dict(search_space)
        before = [each for each in study.get_trials(False) if lives(each) and each.number < trial.number]
        taken = {self._told(space, each.params) for each in before}
        for attempt in range(0 if self._whole else ATTEMPTS):
            seeds = [self._seed, len(before), *([attempt] if attempt else [])]
            method = self._method if 2 * attempt < ATTEMPTS else "random"
            found = self._drawn(study, trial, space, method, int(np.random.default_rng(seeds).integers(2**24)))
            if self._told(space, found) not in taken:
                return found
        found = {} if self._endless else self._untried(space, taken)
        self.is_at_end = not found
        return found

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """See Optuna; of what was not drawn together."""
        return self._by_lot(study, trial, param_name, param_distribution, self._seed + trial.number)

    def _drawn(
        self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution], method: str, seed: int
    ) -> dict[str, Any]:
        """All parameters; by lot as long as too few trials tell."""
        found = dict[str, Any]()
        if method == "tpe":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                sampler = TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True)
                found = sampler.sample_relative(study, trial, space)
        return found or {name: self._by_lot(study, trial, name, each, seed) for name, each in space.items()}

    def _by_lot(self, study: Study, trial: FrozenTrial, name: str, parameter: BaseDistribution, seed: int) -> Any:
        names = list(self._distributions)
        sampler = RandomSampler(seed=seed * len(names) + names.index(name))
        return sampler.sample_independent(study, trial, name, parameter)

    def _untried(self, space: dict[str, BaseDistribution], taken: Collection[Any]) -> dict[str, Any]:
        """A combination that no trial has; none where all have been tried."""
        sizes = [_size(each) for each in space.values()]
        count, rng = math.prod(sizes), np.random.default_rng(self._seed)
        listed = rng.permutation(count) if count <= _LISTED else rng.integers(min(count, 2**62), size=_LISTED)
        for index in listed.tolist():
            found, left = dict[str, Any](), index
            for name, size in zip(space, sizes, strict=True):
                left, position = divmod(left, size)
                found[name] = _at(space[name], position)
            if self._told(space, found) not in taken:
                return found
        return {}

    def _told(self, names: Iterable[str], drawn: Mapping[str, Any]) -> tuple[str, ...]:
        """What stages would get, comparable; of a process that was killed while it drew, not all."""
        return tuple(json.dumps(value_of(self._space[name], drawn[name])) for name in names if name in drawn)


def lives(trial: FrozenTrial) -> bool:
    """Whether a trial counts: not those whose process was killed, which are tried again under another number, and those
    that were one too many."""
    return trial.state != TrialState.FAIL or "fault" in trial.user_attrs


def _size(distribution: BaseDistribution) -> int:
    """How many values it has."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    assert distribution.step is not None
    return round((distribution.high - distribution.low) / distribution.step) + 1


def _at(distribution: BaseDistribution, position: int) -> Any:
    """The value of that number, counted from 0."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[position]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    assert distribution.step is not None
    return distribution.low + position * distribution.step
