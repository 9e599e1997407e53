"""The control side: agents for commands, ramps and heartbeats, and seeding.

Edges around `registry.rollout`; no rule of their own.
"""
