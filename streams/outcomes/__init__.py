"""Outcomes on a worker: a thread that joins answers and interactions of this worker's partitions.

What is joined, and how, is decided in `registry.outcomes`. No statistics here.
"""
