"""Kernels: how a kind of module computes for K networks at once. One file a kind of operator."""
