"""The demo's step on fresh interactions: what a user did a moment ago counts in the next answer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any, Final

from ops.clients import kafka_client
from ops.demo import demo_fleet
from ops.demo.demo_fleet import DemoFleet
from ops.demo.tour_screen import Screen
from ops.ingest.title_files import read_titles
from registry.errors import TransportError
from registry.ids import ItemId
from registry.kafka.topics import topics_of
from registry.wire.codec import encode
from registry.wire.requests import Request
from registry.wire.responses import Response
from registry.wire.training_records.interactions import Interaction

NEW_USER: Final = 2001
"""No user of the data set has this id."""

KNOWN_USER: Final = 73

FILMS: Final = (260, 1214, 541)
"""What the new user watches: Star Wars, Alien and Blade Runner."""

SHOWN: Final = 2
"""Titles on a line."""

SECONDS: Final = 10.0
"""How long to wait until an interaction counts; it takes less than one."""


def show_fresh(fleet: DemoFleet, screen: Screen) -> dict[str, Any]:
    """Watch films as a new and as a known user, then forget the new one; return the figures."""
    titles = read_titles(demo_fleet.MOVIES)
    before = _ask(fleet, NEW_USER)
    say = _columns(screen)
    say(f"user {NEW_USER}, who is new", _line(before))
    seconds = _send(fleet, NEW_USER, "watch", *FILMS)
    after = _wait(fleet, NEW_USER, lambda answer: answer.source == "fold_in")
    took = seconds()
    say("  watches", "; ".join(str(titles[film]) for film in FILMS))
    say(f"  {took:.1f} s later", _line(after))

    known = _ask(fleet, KNOWN_USER)
    film = known.items[0]
    say(f"user {KNOWN_USER}", _line(known))
    _send(fleet, KNOWN_USER, "watch", film.item_id)
    watched = _wait(fleet, KNOWN_USER, lambda answer: film.item_id not in _items(answer))
    say("  watches", str(film.title))
    say("  and then", _line(watched))

    _send(fleet, NEW_USER, "forget")
    forgotten = _wait(fleet, NEW_USER, lambda answer: answer.source == "popular")
    say(f"user {NEW_USER}, forgotten", _line(forgotten))
    return {
        "fold_in": {
            "sources": [answer.source for answer in (before, after, forgotten)],
            "seconds": round(took, 2),
            "same_as_before": _items(before) == _items(forgotten),
        },
        "watched_is_gone": film.item_id not in _items(watched),
    }


def _columns(screen: Screen) -> Callable[[str, str], None]:
    return lambda name, what: screen.say(f"{name:<22} {what}")


def _line(answer: Response) -> str:
    shown = "; ".join(str(item.title or item.item_id) for item in answer.items[:SHOWN])
    return f"{answer.source or answer.status}: {shown} …"


def _items(answer: Response) -> list[ItemId]:
    return [item.item_id for item in answer.items]


def _ask(fleet: DemoFleet, user: int) -> Response:
    request = Request(request_id=str(uuid.uuid4()), user_id=user)
    return kafka_client.ask(fleet.settings, [request]).by_request_id[request.request_id]


def _send(fleet: DemoFleet, user: int, event: str, *items: ItemId) -> Callable[[], float]:
    """Send an event of each item, or one without; return a clock of the seconds since."""
    records = [Interaction(user_id=user, item_id=item, event=event) for item in items or (None,)]
    topic = topics_of(fleet.settings).interactions
    kafka_client.produce_all(fleet.settings, topic, [(user, encode(event)) for event in records])
    sent = time.monotonic()
    return lambda: time.monotonic() - sent


def _wait(fleet: DemoFleet, user: int, counts: Callable[[Response], bool]) -> Response:
    """Ask until the answer takes account of what was sent."""
    deadline = time.monotonic() + SECONDS
    while not counts(answer := _ask(fleet, user)):
        if time.monotonic() > deadline:
            raise TransportError(
                f"what user {user} did does not count after {SECONDS:g} s: the answer is "
                f"{_line(answer)} (fresh: {answer.provenance.fresh})"
            )
    return answer
