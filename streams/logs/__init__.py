"""A worker's own log: what it prints of its start, and how repeated lines are folded.

Knows lines. Must not know what they report.
"""
