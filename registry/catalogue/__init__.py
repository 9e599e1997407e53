"""The catalogue: the records of the items topic, and which items no answer may show.

Decides only: no Kafka client, no clock. Who follows the topic is in `streams.catalogue`.
"""
