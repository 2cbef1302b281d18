"""Quantizers and pruners, one file each, found by their names."""
