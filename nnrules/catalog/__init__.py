"""Checked, frozen records of what the build knows: stages, toolchains, kernels."""
