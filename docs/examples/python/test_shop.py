"""An application's own tests: without Kafka, on an embedded broker and a fleet that stands in."""

from recstream_client import Client, Interaction, Request, Response
from recstream_client.stand_in_fleet import StandInFleet, popular_items

pytest_plugins = ["recstream_client.testing"]  # belongs into the top-level conftest.py


def test_a_user_gets_films(recstream_fleet: StandInFleet) -> None:
    """The client is the real one; what the fleet answers is made up."""
    with Client(
        recstream_fleet.bootstrap_servers, topic_prefix=recstream_fleet.topic_prefix
    ) as client:
        answer = client.ask(42, k=3)
        client.send_interaction(Interaction(user_id=42, item_id=1, event="click"))

    assert [item.item_id for item in answer.items] == [1, 2, 3]
    assert recstream_fleet.requests[0].user_id == 42


def test_an_error_answer_is_handled(recstream_fleet: StandInFleet) -> None:
    """An answer without items says why."""

    def refuse(request: Request) -> Response:
        return Response(
            request.request_id, request.user_id, "error", popular_items(request).provenance
        )

    recstream_fleet.answer_with(refuse)
    with Client(
        recstream_fleet.bootstrap_servers, topic_prefix=recstream_fleet.topic_prefix
    ) as client:
        assert client.ask(42).status == "error"
