"""What runs without Kafka stands on: rival models, protocols of papers, simulated ramps' counts.

Arrays and files only; nothing here starts Kafka or workers.
"""
