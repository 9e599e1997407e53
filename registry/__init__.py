"""What all processes agree on, in packages: messages, rollout rules, guardrails, model versions.

At the top: the error tree, ids and the settings. Nothing here imports `streams`, `training` or
`ops`.
"""
