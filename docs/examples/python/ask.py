"""A script: ask for recommendations, send an interaction, handle an answer that is an error."""

import os

from recstream_client import AnswerTimeout, Client, Interaction

kafka = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
prefix = os.environ.get("RECSTREAM_TOPIC_PREFIX", "reco")

with Client(kafka, topic_prefix=prefix) as client:
    answer = client.ask(42, k=3)
    for item in answer.items:
        print("item", item.item_id, item.title, round(item.score, 3))

    film = answer.items[0].item_id
    client.send_interaction(
        Interaction(user_id=42, item_id=film, event="click", request_id=answer.request_id)
    )
    print("sent a click on", film)

    refused = client.ask(42, model_version="v9.9")
    if refused.error is not None:
        print("error", refused.error.code, refused.error.message)

    for user_id in (2**53 + 1, "日本"):  # any integer of 64 bits, or text
        print("answered", client.ask(user_id).user_id)

    try:
        client.ask(42, deadline_seconds=0.0005)
    except AnswerTimeout:
        print("no answer in time: show the bestsellers")
