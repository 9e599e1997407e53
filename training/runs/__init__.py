"""Runs: the order of the stages, the lock, progress, provenance, tuning, reproduction.

The only package here that combines the others.
"""
