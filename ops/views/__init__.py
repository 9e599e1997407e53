"""Terminal output: tables, progress, styles, JSON.

Nothing here talks to Kafka or HTTP, except for what follows a run (`ops.views.training_progress`).
"""
