"""Kafka outside of Faust: topics, client configuration, readers, the audit trail.

No rule: what a record means is decided elsewhere.
"""
