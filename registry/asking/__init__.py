"""Asking the fleet: send a request record and await its answer; send interactions.

What the Python client is made of (`ops/client_wheel/`), and what workers answer HTTP by. Needs
msgspec and confluent-kafka alone: no setting, no topic administration, no Faust.
"""
