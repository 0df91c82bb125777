"""Hypothesis as these tests want it: the same examples on every run, and no bound on time."""

from hypothesis import settings

settings.register_profile("search_spaces", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("search_spaces")
