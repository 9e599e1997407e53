"""Interleaved answers: what two versions made of a request, mixed into one answer.

Pure. If only one of them has a list of its own for a request, it answers alone, and nobody gets
credit for what the user does with that answer. Must not know routes, records or counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from registry.answers.recommendation import Recommendation
from registry.errors import without_frames
from registry.interleaving.team_draft import Team, coins_of, draft
from registry.versions.model import Model
from registry.wire.requests import Request
from registry.wire.responses import FreshState, Item, Provenance, Source

Scoring: TypeAlias = Callable[[Model, Sequence[Request]], Sequence[Recommendation]]
Scored: TypeAlias = Recommendation | Exception

KNOWS_LESS: Final[tuple[FreshState | None, ...]] = (
    None, "followed", "catching_up", "incomplete", "unknown",
)  # fmt: skip
"""How much of what users did lately an answer knows, from all to nothing."""


def score_each(model: Model, requests: Sequence[Request], score: Scoring) -> list[Scored]:
    """Return what `model` makes of each request, or why it could not.

    A request that cannot be scored costs the others one more call, and nothing else.
    """
    try:
        return list(score(model, requests))
    except Exception as error:  # a bug in scoring must cost one answer, not the whole fleet
        if len(requests) == 1:
            return [without_frames(error)]
    return [found for request in requests for found in score_each(model, [request], score)]


class Both(NamedTuple):
    """What both versions made of a request: their lists are mixed."""

    primary: Recommendation
    canary: Recommendation

    @property
    def source(self) -> Source | None:
        """What ranked both lists; None if it is not the same."""
        return self.primary.source if self.primary.source == self.canary.source else None


class Alone(NamedTuple):
    """What one version answers a request with; ``is_missed`` if the other should have, too."""

    team: Team
    found: Recommendation
    is_missed: bool


def settle(of_primary: Scored, of_canary: Scored) -> Both | Alone | Exception:
    """Return who answers a request, and with what; the primary's error if neither can.

    Popular items do not show a version's taste: one that has nothing else steps back. If neither
    has, the primary answers with its own.
    """
    if isinstance(of_primary, Exception):
        return of_primary if isinstance(of_canary, Exception) else Alone("canary", of_canary, True)
    if isinstance(of_canary, Exception):
        return Alone("primary", of_primary, True)
    if of_primary.source != "popular" and of_canary.source != "popular":
        return Both(of_primary, of_canary)
    if of_canary.source != "popular":
        return Alone("canary", of_canary, True)
    return Alone("primary", of_primary, of_primary.source != "popular")


def mix(
    of_primary: Sequence[Item], of_canary: Sequence[Item], request: Request, salt: str
) -> list[Item]:
    """Return the items of the mixed answer, each with the variant that contributed it.

    The scores of two versions do not compare: each item has that of its own version.
    """
    primary, canary = ({item.item_id: item for item in items} for items in (of_primary, of_canary))
    coins = coins_of(request.request_id, salt)
    return [
        replace((canary if team == "canary" else primary)[item_id], variant=team)
        if team is not None
        else primary.get(item_id) or canary[item_id]
        for item_id, team in draft(list(primary), list(canary), request.k, coins)
    ]


def provenance_of_both(of_primary: Provenance, of_canary: Provenance) -> Provenance:
    """Return the provenance of an answer of two versions: of what differs, the less favourable.

    Their code and snapshots are not in it: both manifests have them.
    """
    withdrawn = [found for found in (of_primary, of_canary) if found.withdrawn_items is not None]
    most = max(withdrawn, key=lambda found: found.withdrawn_items or 0, default=of_primary)
    return replace(
        of_primary,
        git_sha=None,
        data_snapshot=None,
        image_digest=None,
        fresh=max(of_primary.fresh, of_canary.fresh, key=KNOWS_LESS.index),
        withdrawn_items=most.withdrawn_items,
        items_offset=most.items_offset,
        unknown_items=max(of_primary.unknown_items, of_canary.unknown_items),
    )
