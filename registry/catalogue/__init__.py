"""The catalogue: what records of the items topic say, and which items no answer may show.

Decides only: no Kafka client, no clock. Who follows the topic is in `streams.catalogue`.
"""
