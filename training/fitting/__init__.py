"""The fit: ALS by `implicit` or Spark, and warm starts.

A matrix in, factors out; nothing here reads Kafka or judges.
"""
