"""How a worker sends: the confirmed producer, dead letters, records that Kafka refuses.

Nothing here knows what an answer or a command is.
"""
