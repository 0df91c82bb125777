"""Datasets. Each module here with a `build` is one; `_base` has the contract."""
