"""Training, pruning and exporting."""
