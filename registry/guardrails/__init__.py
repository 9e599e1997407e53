"""Guardrails: whether a canary version is worse than allowed, and on what evidence.

Pure statistics of counts and heartbeats. No Kafka, no clock, no setting.
"""
