"""Operators: layers `(x [N, in], edge_index [2, E]) -> [N, out]`, one plug-in module each."""
