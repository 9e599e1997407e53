"""Model versions: manifest, artifact, the store that publishes them, the model that serves.

No Kafka, no rollout rule.
"""
