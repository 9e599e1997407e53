"""Connecting to Kafka: client configuration, first contact, and why it fails.

Nothing here knows a topic or a record.
"""
