"""Pruners: <name>.py with `prune(network, example, options) -> report`, which makes the network smaller in place."""
