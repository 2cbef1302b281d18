"""Checked, frozen records of what the build knows: stages, toolchains, kernels. Imports msgspec and the standard library only."""
