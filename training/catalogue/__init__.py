"""What a version takes from the items topic: titles and labels of its items.

Arrays in, arrays out; who reads the topic is `registry.kafka.item_records`.
"""
