"""How results look on a terminal: tables, progress, styles.

Nothing here talks to Kafka or HTTP.
"""
