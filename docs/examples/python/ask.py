"""A script: ask for recommendations, send an interaction, handle an answer that is an error."""

import os

from recstream_client import AnswerTimeout, Client, Interaction

kafka = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
prefix = os.environ.get("RECSTREAM_TOPIC_PREFIX", "reco")

with Client(kafka, topic_prefix=prefix) as client:
    answer = client.ask(42, k=3)
    for item in answer.items:
        print("item", item.item_id, item.title, round(item.score, 3))

    click = Interaction(user_id=42, item_id=answer.items[0].item_id, event="click")
    client.send_interaction(click)
    print("sent a click on", click.item_id)

    refused = client.ask(42, model_version="v9.9")
    if refused.error is not None:
        print("error", refused.error.code, refused.error.message)

    for user_id in (2**53 + 1, "日本"):  # any integer of 64 bits, or text
        print("answered", client.ask(user_id).user_id)

    try:
        client.ask(42, deadline_seconds=0.0005)
    except AnswerTimeout:
        print("no answer in time: show the bestsellers")
