"""Parts of the benchmarks that run without Kafka: rival models, protocols of papers, simulated
ramps.

Arrays and files only; nothing here starts Kafka or workers.
"""
