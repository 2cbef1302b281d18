"""Pruners. A file is one, with

OPTIONS: those of PruneOptions that it has beside the ones every method has
SCOPES: where it has not all that `scope` may be, those that it has
REMOVES_CHANNELS: whether channels that nothing is taken of are removed when its training is over
choose(layers, sparsity, options) -> masks of the layers' weights, 1 or 0; a layer without one stays as it was
learned(weight, options) -> where it has this: a parametrization of the weight that choose goes by, with `penalty`, or
    None
"""
