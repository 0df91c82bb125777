"""Plug-ins that each break one clause of their contract, which has to notice."""
