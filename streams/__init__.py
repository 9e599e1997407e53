"""A worker: `worker` starts and stops it, `app` wires its parts, `metrics` counts.

The work is in the packages. Nothing here imports `training` or `ops`.
"""
