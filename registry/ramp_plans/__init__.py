"""The plan of a ramp: its stages and durations, what is refused, the traffic and the evidence that it needs.

Pure. Knows no rollout state and no command log: when a ramp moves is `registry.rollout`'s.
"""
