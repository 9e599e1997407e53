"""The manifest: read back as written, and refused when it is not what this program can serve."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import DamagedVersion
from registry.versions.manifest import (
    SCHEMA_VERSION,
    ColdStart,
    FileEntry,
    Start,
    TrainingProvenance,
    TrialStart,
    WarmStart,
    content_digest,
    decode_manifest,
    digest,
    encode_manifest,
    manifest_schema,
)
from tests.unit.registry.builders import a_manifest

DOCS = Path(__file__).resolve().parents[4] / "docs"


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(encode_manifest(a_manifest())) | fields).encode()


def refusal_of(payload: bytes, version: str = "v0.1") -> str:
    with pytest.raises(DamagedVersion) as refused:
        decode_manifest(payload, version)
    return str(refused.value)


def test_a_manifest_reads_back_as_it_was_written() -> None:
    assert decode_manifest(encode_manifest(a_manifest()), "v0.1") == a_manifest()


def test_provenance_and_intervals_read_back_as_they_were_written() -> None:
    made = TrainingProvenance("host", "3.12.1", libraries={"numpy": "2.4"}, durations={"fit": 1.5})
    manifest = a_manifest(provenance=made, intervals={"ndcg_at_10": (0.1, 0.2)})
    assert decode_manifest(encode_manifest(manifest), "v0.1") == manifest


@each_cell(
    "start",
    [
        WarmStart("v0.1", "d" * 64, users=3, items=4, iterations=5),
        TrialStart(0.2, 3, "v0.1 cannot be read"),
        ColdStart("none"),
        None,
    ],
)
def test_where_a_fit_began_reads_back_as_it_was_written(start: Start | None) -> None:
    manifest = a_manifest(provenance=TrainingProvenance("host", "3.12.1", start=start))
    written = encode_manifest(manifest)
    assert decode_manifest(written, "v0.1") == manifest
    jsonschema_rs.Draft202012Validator(manifest_schema()).validate(json.loads(written))


def test_what_fitted_a_version_is_implicit_unless_it_says_otherwise() -> None:
    assert a_manifest().backend == "implicit"
    by_spark = TrainingProvenance("host", "3.12.1", backend="spark")
    assert a_manifest(provenance=by_spark).backend == "spark"


def test_the_content_digest_is_of_names_and_checksums_alone() -> None:
    entries = {name: FileEntry(name * 64, 1) for name in "ab"}
    manifest = a_manifest(files=entries)
    same = a_manifest(files=dict(reversed(entries.items())), created_by="somebody else")
    assert content_digest(manifest) == content_digest(same)
    assert content_digest(manifest) == digest(b"a " + b"a" * 64 + b"\nb " + b"b" * 64 + b"\n")
    for other in ({"a": entries["a"]}, {"a": entries["b"], "b": entries["a"]}):
        assert content_digest(a_manifest(files=other)) != content_digest(manifest)


def test_a_manifest_of_before_provenance_is_readable() -> None:
    fields = json.loads(encode_manifest(a_manifest()))
    older = {
        name: fields[name] for name in fields.keys() - {"provenance", "intervals", "data_report"}
    }
    assert decode_manifest(json.dumps(older).encode(), "v0.1") == a_manifest()


def test_the_published_schema_is_that_of_the_code_and_accepts_what_is_written() -> None:
    schema = json.loads((DOCS / "reference" / "manifest.schema.json").read_text())
    assert schema == manifest_schema()
    validator = jsonschema_rs.Draft202012Validator(schema)
    made = TrainingProvenance("host", "3.12.1", libraries={"numpy": "2.4"}, dirty=True)
    for manifest in (a_manifest(), a_manifest(provenance=made, intervals={"a": (0.1, 0.2)})):
        validator.validate(json.loads(encode_manifest(manifest)))
    for wrong in ({"version": 5}, {"files": {"a": {"sha256": "x", "bytes": 1}}}, {"gate": None}):
        assert not validator.is_valid(json.loads(changed(**wrong)))


def test_it_is_indented_json_that_ends_its_last_line() -> None:
    assert encode_manifest(a_manifest()).startswith(b'{\n  "version": "v0.1"')
    assert encode_manifest(a_manifest()).endswith(b"}\n")


def test_unknown_fields_of_the_same_schema_are_ignored() -> None:
    assert decode_manifest(changed(note="later"), "v0.1") == a_manifest()


def test_a_newer_schema_is_refused_before_anything_else_is_read() -> None:
    message = refusal_of(b'{"schema_version": %d, "version": 5}' % (SCHEMA_VERSION + 1))
    assert f"schema {SCHEMA_VERSION + 1}" in message
    assert "upgrade" in message


@each_cell("held", ["v0.2", "v0.1 ", "../v0.1", ""])
def test_a_manifest_of_another_version_is_refused(held: str) -> None:
    assert repr(held) in refusal_of(changed(version=held))


def test_a_name_that_is_no_version_is_refused_even_if_the_manifest_agrees() -> None:
    refusal_of(changed(version="../v0.1"), "../v0.1")


@each_cell(
    "path",
    [
        "../v0.2/meta.json",
        "/etc/passwd",
        "als/../../x",
        "als//x",
        "./x",
        "",
        "als/",
        "a\\..\\b",
        "..",
    ],
)
def test_a_file_outside_of_the_folder_is_refused_and_named(path: str) -> None:
    message = refusal_of(encode_manifest(a_manifest(files={path: FileEntry("0" * 64, 1)})))
    assert repr(path) in message


@each_cell(
    ("fields", "named"),
    [
        ({"files": {"a": {"sha256": "0" * 63, "bytes": 1}}}, "sha256"),
        ({"files": {"a": {"sha256": "0" * 64 + "\n", "bytes": 1}}}, "sha256"),
        ({"files": {"a": {"sha256": "G" * 64, "bytes": 1}}}, "sha256"),
        ({"files": {"a": {"sha256": "0" * 64, "bytes": -1}}}, "bytes"),
        ({"gate": {"passed": "yes", "checks": []}}, "passed"),
        ({"metrics": {"ndcg": "good"}}, "metrics"),
        ({"data_snapshot": None}, "data_snapshot"),
        ({"schema_version": "1"}, "schema_version"),
    ],
)
def test_a_manifest_of_another_shape_is_refused_and_the_field_named(
    fields: dict[str, Any], named: str
) -> None:
    assert named in refusal_of(changed(**fields))


def test_a_missing_field_is_refused() -> None:
    fields = json.loads(encode_manifest(a_manifest()))
    for name in fields.keys() - {"provenance", "intervals", "data_report", "share_read"}:
        less = {other: value for other, value in fields.items() if other != name}
        assert name in refusal_of(json.dumps(less).encode())


@each_cell("payload", [b"", b"\xff", b"[]", b"null", b"{", b"[" * 100_000])
def test_what_is_not_a_json_object_is_refused(payload: bytes) -> None:
    assert "v0.1" in refusal_of(payload)


def test_nesting_without_end_is_refused() -> None:
    refusal_of(b'{"schema_version":1,"note":' + b"[" * 100_000)


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_damaged_version(payload: bytes) -> None:
    refusal_of(payload)


def test_digest_is_sha256_in_hexadecimal() -> None:
    assert digest(b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert FileEntry(digest(b""), 0).sha256.startswith("e3b0c442")
