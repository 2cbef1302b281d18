"""Graph and plan -> C text, from the templates in kernels/."""
