"""The plan of a ramp: its stages and their arithmetic, the traffic and the evidence that it needs.

Pure. Knows no rollout state and no command log: when a ramp moves is `registry.rollout`'s.
"""
