"""Kafka outside of Faust: topics, client configuration, readers, the audit trail.

No rules: what a record means is decided elsewhere.
"""
