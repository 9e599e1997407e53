"""The messages on the wire, one module each, and their codec.

Shapes and bounds only. No rule, no Kafka client, no setting.
"""
