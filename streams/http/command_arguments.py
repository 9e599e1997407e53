"""The arguments of the write endpoints: their names, and how they are read.

Pure: query text, form text or JSON in, fields of a command out. Beyond its type, the rules decide
which values are valid. An unknown name is refused: a typo must not be ignored silently.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, Struct, UnsetType

from registry.error_codes import RecordCode
from registry.errors import RecordError
from registry.wire.commands import KINDS, Command, CommandType

Fields = TypeVar("Fields", bound=Struct)

MOST_FIELDS: Final = 100
"""Of one query or form; there are not half as many arguments."""

NESTED: Final = frozenset({"ramp", "environments"})
"""Not flat: as text, they are JSON."""

WITHOUT_ENDPOINT: Final = frozenset({"step"})
"""Only a ramp steps."""

FLEETS_OWN: Final = frozenset({"origin", "ramp_id", "cause", "findings", "baseline"})
"""Fields that only the fleet's own commands have: what comes by HTTP is an operator's."""

ALIASES: Final = {"model": "model_version", "version": "model_version"}
"""Other names of a command's field, at most one of them in a request."""


def _struct(kind: CommandType) -> type[Struct]:
    fields = msgspec.structs.fields(KINDS[kind])
    own_first = sorted(fields, key=lambda field: field.name in Command.__struct_fields__)
    types = {
        field.name: field.type | UnsetType for field in own_first if field.name not in FLEETS_OWN
    }
    aliases = {name: types[field] for name, field in ALIASES.items() if field in types}
    return msgspec.defstruct(
        f"{KINDS[kind].__name__}Arguments",
        [(name, type_, UNSET) for name, type_ in (aliases | types).items()],
        namespace={"__doc__": f"Arguments of the command ``{kind}``; each may be absent."},
        module=__name__,
        frozen=True,
        forbid_unknown_fields=True,
    )


ARGUMENTS: Final[Mapping[CommandType, type[Struct]]] = {
    kind: _struct(kind) for kind in KINDS if kind not in WITHOUT_ENDPOINT
}


def arguments_of(kind: CommandType, query: str, form: str, body: bytes) -> dict[str, Any]:
    """Return the fields that a request gives to a command of type `kind`.

    Parameters
    ----------
    kind
        One with an endpoint.
    query
        The query string, percent-encoded.
    form
        The body of a form, percent-encoded; a field without text counts as not given, because a
        page's form cannot leave one out.
    body
        A JSON object; empty for none. Its fields, and the form's, go before the query's.

    Raises
    ------
    RecordError
        With code ``malformed`` or ``invalid``; the message names the field.
    """
    fields = ARGUMENTS[kind]
    given = _from_text(fields, pairs(query))
    given |= _from_text(fields, {name: text for name, text in pairs(form).items() if text})
    if body:
        given |= _given(from_json(fields, body))
    return dict(_renamed(given))


def pairs(text: str) -> dict[str, str]:
    """Return the names and values of a query or form.

    >>> pairs("reason=so+far&salt=")
    {'reason': 'so far', 'salt': ''}

    Raises
    ------
    RecordError
        If it is not percent-encoded UTF-8, or gives a name twice.
    """
    try:
        text.encode()
        found = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError as error:  # UnicodeError is one
        raise RecordError(f"query or form: {error}", RecordCode.MALFORMED) from error
    by_name = dict(found)
    if len(by_name) < len(found):
        names = [name for name, _ in found]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise RecordError(f"{', '.join(twice)}: given more than once", RecordCode.INVALID)
    return by_name


def from_text(fields: type[Fields], texts: Mapping[str, str]) -> Fields:
    """Return `texts` as the numbers, booleans and texts that `fields` wants.

    Raises
    ------
    RecordError
        With code ``invalid`` or, of nested JSON, ``malformed``.
    """
    _require_known(fields, texts)
    values: dict[str, Any] = {
        name: _json(name, text) if name in NESTED else text for name, text in texts.items()
    }
    try:
        return msgspec.convert(values, fields, strict=False)
    except msgspec.ValidationError as error:
        raise RecordError(str(error), RecordCode.INVALID) from error


def _from_text(fields: type[Struct], texts: Mapping[str, str]) -> dict[str, Any]:
    given = _given(from_text(fields, texts))
    for name, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise RecordError(f"{name} {value}: must be a finite number", RecordCode.INVALID)
    return given


def from_json(fields: type[Fields], body: bytes) -> Fields:
    """Return a JSON object as what `fields` wants.

    Raises
    ------
    RecordError
        With code ``invalid`` or ``malformed``.
    """
    try:
        _require_known(fields, msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
        return msgspec.json.decode(body, type=fields)
    except msgspec.ValidationError as error:
        raise RecordError(f"body: {error}", RecordCode.INVALID) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"body: not JSON in UTF-8: {error}", RecordCode.MALFORMED) from error


def _require_known(fields: type[Struct], names: Iterable[str]) -> None:
    known = fields.__struct_fields__
    if unknown := [name for name in names if name not in known]:
        shown = ", ".join(unknown[:10])[:200]
        raise RecordError(f"{shown}: unknown; known are {', '.join(known)}", RecordCode.INVALID)


def _json(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RecordError(
            f"{name}: as text it must be JSON: {error}", RecordCode.MALFORMED
        ) from error


def _given(arguments: Struct) -> dict[str, Any]:
    values = msgspec.structs.asdict(arguments)
    return {name: value for name, value in values.items() if value is not UNSET}


def _renamed(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    names = [name for name in given if ALIASES.get(name, name) == "model_version"]
    if len(names) > 1:
        raise RecordError(f"{', '.join(names)}: give one of them", RecordCode.INVALID)
    yield from ((ALIASES.get(name, name), value) for name, value in given.items())
