"""What the next trial tries. It follows from the seed and the trials before it alone, so that a study that was
interrupted goes on as it would have."""

from __future__ import annotations

import itertools
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nnrules.catalog.space import Parameter

STARTUP = 10  # trials drawn by lot before TPE looks at what was found


def distribution(parameter: Parameter) -> BaseDistribution:
    """As Optuna has it; choices are JSON."""
    if parameter.values:
        return CategoricalDistribution([json.dumps(value) for value in parameter.values])
    low, high, step = parameter.low, parameter.high, parameter.step
    if parameter.whole:
        return IntDistribution(int(low), int(high), log=parameter.log, step=int(step or 1))
    return FloatDistribution(low, high, log=parameter.log, step=step)


def value_of(parameter: Parameter, drawn: Any) -> Any:
    """What a stage gets: of a number that is not whole, 4 digits."""
    if parameter.values:
        return json.loads(drawn)
    if parameter.whole:
        return int(drawn)
    return min(max(float(f"{drawn:.4g}"), parameter.low), parameter.high)


def combinations(space: Sequence[Parameter]) -> int | None:
    """How many there are; None: without end."""
    counts = [len(each.values) or _steps(each) for each in space]
    return None if None in counts else math.prod(count for count in counts if count)


def _steps(parameter: Parameter) -> int | None:
    """How many values a range has that is whole or has steps."""
    step = parameter.step or (1 if parameter.whole else None)
    return math.floor((parameter.high - parameter.low) / step + 1e-9) + 1 if step else None


class Drawer(BaseSampler):
    """`method`: tpe (Bergstra et al., NeurIPS 2011; multivariate, Falkner et al., ICML 2018) or random; where all
    combinations are to be tried, each comes once, in an order drawn by lot."""

    def __init__(self, space: Sequence[Parameter], method: str, seed: int, whole: bool) -> None:
        self._distributions = {each.name: distribution(each) for each in space}
        self._method, self._seed, self._whole = method, seed, whole

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters are drawn together."""
        return {name: each for name, each in self._distributions.items() if not each.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See Optuna."""
        if self._whole:
            return self._next_combination(study, search_space)
        return self._inner(study, trial).sample_relative(study, trial, dict(search_space))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """See Optuna."""
        names = list(self._distributions)
        by_lot = RandomSampler(seed=self._of(study, trial) * len(names) + names.index(param_name))
        return by_lot.sample_independent(study, trial, param_name, param_distribution)

    def _of(self, study: Study, trial: FrozenTrial) -> int:
        """A seed for each trial, by how many that count were before it."""
        before = sum(lives(each) and each.number < trial.number for each in study.get_trials(False))
        return int(np.random.default_rng([self._seed, before]).integers(2**24))

    def _inner(self, study: Study, trial: FrozenTrial) -> BaseSampler:
        if self._method == "random":
            return RandomSampler(seed=self._of(study, trial))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return TPESampler(seed=self._of(study, trial), n_startup_trials=STARTUP, multivariate=True)

    def _next_combination(self, study: Study, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
        """The first one that no trial has."""
        every = [_every(each) for each in space.values()]
        taken = {
            tuple(_told(trial.params.get(name)) for name in space) for trial in study.get_trials(False) if lives(trial)
        }
        ordered = list(itertools.product(*every))
        for index in np.random.default_rng(self._seed).permutation(len(ordered)).tolist():
            if tuple(map(_told, ordered[index])) not in taken:
                return dict(zip(space, ordered[index], strict=True))
        return {}


def lives(trial: FrozenTrial) -> bool:
    """Whether a trial counts: not those whose process was killed, which are tried again under another number, and those
    that were one too many."""
    return trial.state != TrialState.FAIL or "fault" in trial.user_attrs


def _every(distribution: BaseDistribution) -> list[Any]:
    """All values that it has."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    assert isinstance(distribution, FloatDistribution)
    assert distribution.step is not None
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    return [distribution.low + index * distribution.step for index in range(count)]


def _told(value: Any) -> str:
    """Comparable although it was stored and read back."""
    return f"{value:.9g}" if isinstance(value, float) else str(value)
