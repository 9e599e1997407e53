"""What an answer holds, and how it is written: recommended items as values and as JSON.

Must not know how items are ranked (`registry.scoring`), who asks, or Kafka.
"""
