"""Answers as JSON, put together from what many of them have in common.

Byte for byte what `registry.wire.codec.encode` writes of the same `Response`: that is the slow twin
in the tests. Only what differs from answer to answer is written anew: ids, latency, bucket, scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from registry.answers.item_texts import ItemTexts
from registry.answers.recommendation import Recommendation
from registry.ids import UserId
from registry.wire.responses import Provenance, Response

_encode: Final = msgspec.json.Encoder().encode
_BEFORE_IDS: Final = b'{"request_id":"","user_id":null'


class Form(NamedTuple):
    """What stands around the ids, the latency, the bucket and the items of an answer."""

    before_latency: bytes
    before_bucket: bytes
    before_items: bytes
    after_items: bytes


class Filling(NamedTuple):
    """What one answer writes into its form; what is None is left out."""

    form: Form
    request_id: str
    user_id: UserId | None
    latency_ms: float | None
    bucket: int | None


def form_of(response: Response) -> Form:
    """Return the form of all answers that differ from `response` in what a `Filling` holds only.

    Its own ids, items, latency and bucket do not count.
    """
    provenance = replace(response.provenance, latency_ms=None, bucket=None)
    blank = replace(response, request_id="", user_id=None, items=[], provenance=provenance)
    first = Provenance(provenance.environment, provenance.worker)
    second = replace(first, strategy=provenance.strategy, rollout_epoch=provenance.rollout_epoch)
    whole, inner = _encode(blank), _encode(provenance)
    start = whole.index(inner, len(_BEFORE_IDS))
    latency, bucket = (len(_encode(part)) - 1 for part in (first, second))
    return Form(
        whole[len(_BEFORE_IDS) : start] + inner[:latency],
        inner[latency:bucket],
        inner[bucket:],
        whole[start + len(inner) :],
    )


def write_answers(
    fillings: Sequence[Filling], found: Sequence[Recommendation], texts: ItemTexts
) -> list[bytes]:
    """Return each answer as JSON.

    Parameters
    ----------
    fillings
        What is written around the items.
    found
        The items of each; all are of one version.
    texts
        Of that version.
    """
    items = texts.write([each.rows for each in found], [each.scores for each in found])
    latencies = _numbers([filling.latency_ms for filling in fillings])
    return [
        b'{"request_id":%b,"user_id":%b%b%b%b%b%b%b%b'
        % (
            _encode(request_id),
            _encode(user_id),
            form.before_latency,
            b"" if latency == b"null" else b',"latency_ms":%b' % latency,
            form.before_bucket,
            b"" if bucket is None else b',"bucket":%d' % bucket,
            form.before_items,
            _items(recommendation, written),
            form.after_items,
        )
        for (form, request_id, user_id, _, bucket), latency, recommendation, written in zip(
            fillings, latencies, found, items, strict=True
        )
    ]


def _numbers(values: Sequence[float | None]) -> list[bytes]:
    return _encode(values)[1:-1].split(b",") if values else []


def _items(recommendation: Recommendation, written: bytes) -> bytes:
    if recommendation.whole_items is not None:
        written = _encode(recommendation.whole_items)[1:-1]
    return b',"items":[%b]' % written if written else b""
