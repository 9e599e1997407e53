"""Guardrails: whether a canary version is worse than it may be, and on what evidence.

Pure statistics of counts and heartbeats. No Kafka, no clock, no setting.
"""
