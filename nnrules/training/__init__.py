"""Training networks: the loop, its optimizers, checkpoints, and weights in files."""
