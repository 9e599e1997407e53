"""From files of interactions to the interaction topic.

Reading a file, and sending it once.
"""
