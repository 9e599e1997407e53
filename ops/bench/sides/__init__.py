"""Processes that a benchmark compares: references, and sides that need their own memory.

Each is a program of its own.
"""
