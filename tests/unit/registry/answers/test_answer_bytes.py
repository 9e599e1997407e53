"""Answers put together from pieces are, byte for byte, what msgspec writes of the same values."""

from __future__ import annotations

import math
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from registry.answers.answer_bytes import Filling, form_of, write_answers
from registry.answers.item_texts import ItemTexts
from registry.answers.recommendation import Recommendation
from registry.ids import LEAST_INTEGER, MOST_INTEGER
from registry.wire.codec import decode, encode
from registry.wire.field_types import Strategy, Variant
from registry.wire.responses import Because, FreshState, Item, Provenance, Response, Source

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(
        ['"', "\\", '","user_id":null', '"provenance":{', "é\n\u2028", "null", "🎬", ""]
    ),
)
ids = st.one_of(texts, st.integers(LEAST_INTEGER, MOST_INTEGER))
maybe_text, maybe_number = st.none() | texts, st.none() | st.integers(0, MOST_INTEGER)
scores = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1e16, 1e-7, 123456.0]),
)
provenances = st.builds(
    Provenance,
    environment=texts,
    worker=texts,
    latency_ms=st.none(),
    strategy=st.none() | st.sampled_from(get_args(Strategy)),
    rollout_epoch=maybe_number,
    bucket=st.none(),
    git_sha=maybe_text,
    data_snapshot=maybe_text,
    image_digest=maybe_text,
    fresh=st.none() | st.sampled_from(get_args(FreshState)),
    fresh_offsets=st.dictionaries(texts, st.integers(0, MOST_INTEGER), max_size=2),
    withdrawn_items=maybe_number,
    items_offset=maybe_number,
    unknown_items=st.integers(0, 3),
)
responses = st.builds(
    Response,
    request_id=texts,
    user_id=st.none() | ids,
    status=st.just("ok"),
    provenance=provenances,
    model_version=maybe_text,
    variant=st.none() | st.sampled_from(get_args(Variant)),
    source=st.sampled_from(get_args(Source)),
    assigned_version=maybe_text,
    fallback_reason=maybe_text,
    error=st.none(),
    session_id=maybe_text,
)
catalogues = st.lists(st.tuples(ids, maybe_text), min_size=1, max_size=5)
becauses = st.lists(st.builds(Because, ids, scores, maybe_text), max_size=2)
whole_items = st.builds(Item, ids, scores, maybe_text, becauses)


@given(st.data(), catalogues, st.integers(0, 9))
def test_answers_are_what_msgspec_writes(
    data: st.DataObject, catalogue: list[tuple[int | str, str | None]], most_kept: int
) -> None:
    known = ItemTexts([item for item, _ in catalogue], [title for _, title in catalogue], most_kept)
    rows = st.lists(st.integers(0, len(catalogue) - 1), max_size=4)
    fillings, found, expected = [], [], []
    for _ in range(data.draw(st.integers(0, 4))):
        response = data.draw(responses)
        latency = data.draw(st.none() | st.floats(0, 1e9))
        bucket = data.draw(st.none() | st.integers(0, 9999))
        shown = data.draw(rows)
        ranked = data.draw(st.lists(scores, min_size=len(shown), max_size=len(shown)))
        whole = data.draw(st.none() | st.lists(whole_items, max_size=3))
        made = Recommendation(shown, ranked, "model", known, whole)
        found.append(made)
        fillings.append(
            Filling(form_of(response), response.request_id, response.user_id, latency, bucket)
        )
        provenance = replace(response.provenance, latency_ms=latency, bucket=bucket)
        expected.append(encode(replace(response, provenance=provenance, items=made.items)))
    assert write_answers(fillings, found, known) == expected
    assert write_answers(fillings, found, known) == expected  # from what is kept now


def test_an_answer_without_a_latency_leaves_it_out_beside_one_that_has_it() -> None:
    known = ItemTexts([7], ["Up"])
    form = form_of(Response("", None, "ok", Provenance("production", "w1")))
    made = Recommendation([0], [math.pi], "model", known)
    fillings = [Filling(form, "r1", 1, None, None), Filling(form, "r2", 2, 1.5, 0)]
    first, second = (
        decode(Response, answer) for answer in write_answers(fillings, [made, made], known)
    )
    assert (first.provenance.latency_ms, first.provenance.bucket) == (None, None)
    assert (second.provenance.latency_ms, second.provenance.bucket) == (1.5, 0)
    assert first.items == second.items == made.items


def test_the_json_of_no_more_items_is_kept_than_allowed() -> None:
    known = ItemTexts(list(range(9)), [None] * 9, most_kept=4)
    for _ in range(2):
        (written,) = known.write([list(range(9))], [[1.0] * 9])
        assert len(written.split(b"},{")) == 9
    assert len(known._before) == len(known._after) == 4
