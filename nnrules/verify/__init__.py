"""Proof that every engine computes the same integers: layer by layer comparison, measuring and reporting."""
