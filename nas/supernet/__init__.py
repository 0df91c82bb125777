"""Supernets from outside a search: how well slices rank, and the best of them for a device."""
