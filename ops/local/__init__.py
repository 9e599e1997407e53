"""Local processes: the embedded broker, Apache Kafka from its jars, child processes, ports.

Nothing here knows the recommender.
"""
