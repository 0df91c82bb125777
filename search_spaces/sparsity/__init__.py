"""Sparse subnetworks: which weights, units, heads, layers and edges are left of a network."""
