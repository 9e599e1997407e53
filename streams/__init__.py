"""The serving half: Faust agents, the rollout table, resident versions, answers and the pages."""
