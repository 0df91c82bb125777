"""Ways to choose what is left, a module each."""
