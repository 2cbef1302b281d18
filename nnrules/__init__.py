"""Neural networks as SCons build targets: from PyTorch to verified firmware, one rule per step.

For other people's SConstructs, each of these adds `env.NNModel` and `env.NNCache`, and nothing else:

    env.Tool("nnrules", toolpath=[nnrules.toolpath()])
    Environment(tools=["default", nnrules.tool(target="cortex-m7")])
    nnrules.generate(env, cache="https://cache.example.org")
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnrules.site_tools import exists, generate, tool, toolpath

__all__ = ["exists", "generate", "tool", "toolpath"]


def __getattr__(name: str) -> Any:
    """The functions for SConstructs, found when they are asked for: no stage depends on them."""
    if name in __all__:
        return getattr(importlib.import_module("nnrules.site_tools"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
