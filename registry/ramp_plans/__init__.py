"""The plan of a ramp: stages, durations, what is refused, the traffic and evidence that it needs.

Pure. Knows no rollout state and no command log: when a ramp moves is `registry.rollout`'s.
"""
