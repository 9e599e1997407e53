"""What a version is able to do beyond ranking: take fresh interactions in, let new items join.

Read from its manifest and arrays. No Kafka; must not know how vectors are solved for.
"""
