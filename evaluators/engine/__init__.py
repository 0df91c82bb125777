"""Training in cohorts: networks read as programs, on sparse matrices, over receptive fields."""
