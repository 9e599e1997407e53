"""What a worker notices: outages, topics that change, transactions, odd fleets; and its log.

Nothing here changes what is served.
"""
