"""The way to Kafka: client configuration, first contact, why there is none.

Nothing here knows a topic or a record.
"""
