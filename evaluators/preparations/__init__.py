"""Preparations: what a study trains once, before its first proposal, one plug-in module each."""
