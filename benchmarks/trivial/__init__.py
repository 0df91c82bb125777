"""Plug-ins that cost nothing: what a study of theirs takes is the program's own time."""
