"""Exports: a network with its weights, as a folder that runs without this program."""
