"""Latency of networks on a device: measured, profiled, predicted in a study."""
