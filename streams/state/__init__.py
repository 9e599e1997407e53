"""What a worker knows and serves: rollout table, view of it, acting state.

No HTTP, no rule of its own.
"""
