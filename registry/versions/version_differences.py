"""The differences of two versions: what of their manifests is compared, field by field. Pure.

Must not know how they are shown (`ops.views.registry_tables`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from registry.versions.manifest import Manifest

NOT_COMPARED: Final = frozenset({"version", "schema_version", "created_at"})
"""Fields that always differ, or never."""


class Difference(Struct, frozen=True):
    """One field that differs, by its path; None means that the version does not have it."""

    field: str
    left: str | None
    right: str | None


def differences(left: Manifest, right: Manifest) -> list[Difference]:
    """Return the fields that differ, in the order of the manifest.

    >>> from registry.versions.manifest import DataSnapshot, Gate, Parameters
    >>> data, gate = DataSnapshot("s1", "reco.interactions", {}, 9, 3, 3), Gate(True, ())
    >>> narrow, wide = (Parameters(factors, 15, 3.0, 1.0, 42) for factors in (8, 16))
    >>> texts = dict.fromkeys(("model_name", "created_at", "created_by", "git_sha"), "")
    >>> old = Manifest("v0.1", {}, image_digest="", data_snapshot=data, parameters=narrow,
    ...     metrics={}, gate=gate, **texts)
    >>> differences(old, msgspec.structs.replace(old, version="v0.2", parameters=wide))
    [Difference(field='parameters.factors', left='8', right='16')]
    """
    before, after = (dict(_flatten(msgspec.to_builtins(manifest))) for manifest in (left, right))
    fields = list(dict.fromkeys([*before, *after]))
    return [
        Difference(field, before.get(field), after.get(field))
        for field in fields
        if before.get(field) != after.get(field) and field.partition(".")[0] not in NOT_COMPARED
    ]


def _flatten(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the fields of a manifest by path; empty ones are left out."""
    if value is None or value == {}:
        return
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _flatten(part, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, part in enumerate(value):
            yield from _flatten(part, f"{path}.{part.get('name', number)}")
    else:
        yield path, value if isinstance(value, str) else msgspec.json.encode(value).decode()
