"""Hyper-parameter search: the study, where it is kept, what it tries next, the part of the data that it looks at."""
