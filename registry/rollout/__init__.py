"""The rollout rules: what commands do, which version a user is assigned, how a ramp moves.

Pure functions of frozen values. No Kafka, no storage, no clock, no setting.
"""
