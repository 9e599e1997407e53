"""What runs on a laptop: the embedded broker, Kafka's jars, child processes, ports.

Nothing here knows the recommender.
"""
