"""How a worker reads: slices, the assignor, workarounds for Faust and aiokafka.

Nothing here knows what a record is about.
"""
