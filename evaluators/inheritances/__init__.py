"""Inheritances: ways to start from the weights of another architecture, one plug-in module each.

A module's `inherit(network, architecture, parent)` changes the weights of a network that was just
built, of that architecture; `parent` is a `evaluators.Parent`.
"""
