"""The rollout rules: what commands do, who is assigned to what, how a ramp moves.

Pure functions of frozen values. No Kafka, no storage, no clock, no setting.
"""
