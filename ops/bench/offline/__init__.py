"""What the benchmarks of quality stand on: rival models, and the protocols of papers.

Arrays and files only; nothing here starts Kafka or workers.
"""
