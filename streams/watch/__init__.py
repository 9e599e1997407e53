"""What a worker notices: outages, topics that change, transactions, odd fleets.

Nothing here changes what is served.
"""
