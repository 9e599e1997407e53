"""Tables of answers: one answer with its provenance, and a tally of many."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from ops.clients.answer_tally import AnswerTally
from ops.views.terminal import Text, grid, pairs
from registry.error_codes import FallbackCode
from registry.ids import twin_of
from registry.wire.responses import Item, Response


def answer_tables(response: Response) -> list[Table | Text]:
    """Return the items and the provenance of an answer."""
    provenance = response.provenance
    shown: list[Table | Text] = []
    if response.error is not None:
        shown.append(Text(f"{response.error.code}: {response.error.message}", "red"))
    if response.items:
        is_mixed = bool(response.versions)
        rows = [
            (
                *(rank, item.item_id, item.title or _mark_of(item), f"{item.score:.3f}"),
                *((item.variant or "",) if is_mixed else ()),
            )
            for rank, item in enumerate(response.items, 1)
        ]
        shown.append(
            grid(("#", "item", "title", "score #", *(("from",) if is_mixed else ())), rows)
        )
    if any(item.because for item in response.items):
        shown.append(grid(("#", "because of", "adds #"), _because(response.items)))
    strategy = " ".join(
        str(part)
        for part in (
            provenance.strategy,
            f"epoch {provenance.rollout_epoch}" if provenance.rollout_epoch is not None else None,
            f"bucket {provenance.bucket}" if provenance.bucket is not None else None,
        )
        if part is not None
    )
    shown.append(
        pairs(
            {
                "version": " · ".join(
                    part
                    for part in (
                        response.model_version or " + ".join(response.versions.values()),
                        "interleaved" if response.versions else response.variant,
                        response.source,
                    )
                    if part
                ),
                "fallback": _fallback(response),
                "assigned version": response.assigned_version,
                "rollout": strategy,
                "learned from": provenance.data_snapshot,
                "code": provenance.git_sha,
                "image": provenance.image_digest,
                "worker": provenance.worker
                if provenance.latency_ms is None
                else f"{provenance.worker}, {provenance.latency_ms:.1f} ms",
            }
        )
    )
    return shown


def _mark_of(item: Item) -> str:
    """Return what to say of an item without a title."""
    return "" if item.vector_offset is None else "(new: the version does not know it)"


def _because(items: Sequence[Item]) -> list[tuple[int, str, str]]:
    return [
        (rank, own.title or str(own.item_id), f"{own.contribution:.3f}")
        for rank, item in enumerate(items, 1)
        for own in item.because
    ]


def _fallback(response: Response) -> str | None:
    """Return the fallback reason, with details if there are any."""
    mistyped = response.fallback_reason == FallbackCode.USER_ID_OF_OTHER_TYPE
    if not mistyped or response.user_id is None:
        return response.fallback_reason
    asked = "an integer" if isinstance(response.user_id, int) else "a string"
    return (
        f"{response.fallback_reason}: {response.model_version} knows "
        f"{twin_of(response.user_id)!r}, you asked for {asked}, {response.user_id!r}"
    )


def tally_table(tally: AnswerTally) -> Table:
    """Return one row per status, version, variant and source."""
    rows = [
        (
            count.status,
            count.version,
            count.variant,
            count.source,
            f"{count.answers:,}",
            "" if count.median_ms is None else count.median_ms,
        )
        for count in tally.counts()
    ]
    columns = ("status", "version", "variant", "source", "answers #", "median ms #")
    return grid(columns, rows)
