"""The arguments of the write endpoints: how they are read, and what is refused."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import pytest
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import RecordError
from registry.wire.commands import KINDS, Command, CommandType
from streams.http.command_arguments import ALIASES, ARGUMENTS, FLEETS_OWN, arguments_of, pairs


def read(kind: CommandType = "rollout", query: str = "", form: str = "", body: bytes = b"") -> Any:
    return arguments_of(kind, query, form, body)


def code_of(**given: Any) -> str:
    with pytest.raises(RecordError) as refused:
        read(**given)
    return refused.value.code


def test_every_command_but_a_ramps_own_has_its_arguments() -> None:
    assert set(ARGUMENTS) == {
        "swap", "rollout", "promote", "rollback", "abort", "pause", "resume", "retrain",
        "begin_era",
    }  # fmt: skip
    for kind, fields in ARGUMENTS.items():
        names = {ALIASES.get(name, name) for name in fields.__struct_fields__}
        assert names == set(KINDS[kind].__struct_fields__) - FLEETS_OWN
        assert set(Command.__struct_fields__) - FLEETS_OWN <= names


def test_nothing_given_is_nothing() -> None:
    assert read() == {}


def test_text_becomes_what_the_field_wants() -> None:
    query = "canary_percentage=5&expected_epoch=17&reason=so+far&strategy=canary"
    assert read(query=query) == {
        "canary_percentage": 5.0,
        "expected_epoch": 17,
        "reason": "so far",
        "strategy": "canary",
    }


def test_the_body_goes_before_the_query() -> None:
    query = "canary_percentage=5&salt=a"
    body = b'{"canary_percentage": 6}'
    assert read(query=query, body=body) == {"canary_percentage": 6.0, "salt": "a"}
    assert read(query=query, form="salt=b") == {"canary_percentage": 5.0, "salt": "b"}


def test_an_empty_text_is_given_in_a_query_and_not_in_a_form() -> None:
    assert read(query="salt=") == {"salt": ""}
    assert read(form="salt=&canary_percentage=&reason=x") == {"reason": "x"}


@each_cell("name", ["model", "version", "model_version"])
def test_a_version_has_three_names(name: str) -> None:
    assert read("swap", query=f"{name}=v0.4") == {"model_version": "v0.4"}


def test_a_ramp_may_be_text_and_its_numbers_are_numbers() -> None:
    query = 'ramp={"steps":[5,100],"hold_seconds":60}&environments=["eu","us"]'
    given = read(query=query)
    assert (given["ramp"].steps, given["environments"]) == ((5.0, 100.0), ("eu", "us"))
    assert code_of(query='ramp={"steps":["5"],"hold_seconds":true}') == "invalid"


@each_cell(
    "query",
    [
        "canary_percentage=nan",
        "canary_percentage=-inf",
        "canary_percentage=1e999",
        "canary_percentage=many",
        "canary_percentage=",
        "canary_percentage= 5",
        "canary_percentage=5_0",
        "canary_percentge=5",
        "expected_epoch=1.5",
        "expected_epoch=",
        "expected_epoch=-2",
        f"expected_epoch={2**63}",
        "command_id=",
        "command_id=" + "x" * 201,
        "salt=a&salt=b",
        "step=1",
        "findings=[]",
        "origin=ramp",
        "ramp_id=deploy",
        "type=swap",
    ],
)
def test_a_query_that_is_not_arguments_is_invalid(query: str) -> None:
    assert code_of(query=query) == "invalid"


@each_cell(
    ("kind", "query"),
    [
        ("promote", "canary_percentage=5"),
        ("swap", "canary_version=v0.4"),
        ("swap", "model=v0.4&version=v0.5"),
        ("retrain", "alpha=inf"),
        ("retrain", "factors=1e18"),
        ("retrain", "deploy=everywhere"),
    ],
)
def test_each_command_takes_its_own_arguments_only(kind: CommandType, query: str) -> None:
    assert code_of(kind=kind, query=query) == "invalid"


@each_cell(
    "query",
    [
        "salt=%ff",
        "salt=\udcff",
        "ramp={",
        "environments=eu",
        "&".join(f"a{n}=" for n in range(200)),
    ],
)
def test_a_query_that_cannot_be_read_is_malformed(query: str) -> None:
    assert code_of(query=query) == "malformed"


@each_cell(
    ("body", "code"),
    [
        (b"{", "malformed"),
        (b"\xef\xbb\xbf{}", "malformed"),
        (b'{"reason": "\xff"}', "malformed"),
        (b'{"reason": "\\ud800"}', "malformed"),
        (b'{"x": ' + b"[" * 5_000, "malformed"),
        (b'{"canary_percentage": NaN}', "malformed"),
        (b'{"ramp": {"steps": ' + b"[" * 50_000, "malformed"),
        (b"[]", "invalid"),
        (b'"text"', "invalid"),
        (b"null", "invalid"),
        (b'{"canary_percentage": "5"}', "invalid"),
        (b'{"canary_percentage": 1e999}', "invalid"),
        (b'{"expected_epoch": true}', "invalid"),
        (b'{"ramp": {"steps": [5], "hold_secnds": 1}}', "invalid"),
        (b'{"ramp": {"steps": [], "hold_seconds": 1}}', "invalid"),
    ],
)
def test_a_body_that_is_no_json_object_of_arguments_is_refused(body: bytes, code: str) -> None:
    assert code_of(body=body) == code


def test_a_typo_is_told_what_is_known() -> None:
    with pytest.raises(RecordError, match="canary: unknown; known are strategy, canary_version,"):
        read(body=b'{"canary": 5}')


@given(query=st.text(), form=st.text(), body=st.binary())
def test_whatever_comes_is_read_or_refused(query: str, form: str, body: bytes) -> None:
    found: dict[str, Any] = {}
    with suppress(RecordError):
        found = read(query=query, form=form, body=body)
    assert set(found) <= set(ARGUMENTS["rollout"].__struct_fields__)


@given(st.dictionaries(st.sampled_from("abc"), st.text("xyzäß &=%+")))
def test_what_a_form_encodes_is_what_is_read(fields: dict[str, str]) -> None:
    assert pairs(urlencode(fields)) == fields
