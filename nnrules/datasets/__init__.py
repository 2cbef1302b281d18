"""Data sets of nnrules' own, for models that have none of theirs."""
