"""A study in a browser while it runs: Optuna's dashboard over a mirror of the record."""
