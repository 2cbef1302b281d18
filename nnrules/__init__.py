"""Neural networks as SCons build targets: from PyTorch to verified firmware, one rule per step."""
