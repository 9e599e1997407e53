"""The codec: records to bytes and back.

Messages are JSON objects; unknown fields are ignored, missing or mistyped ones are refused. Records
that state their origin are translated from older spellings (`registry.wire.older_records`) here,
and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from registry.error_codes import RecordCode
from registry.errors import RecordError
from registry.wire.commands import AnyCommand, Command, require_own_arguments
from registry.wire.instants import read_instant, write_instant
from registry.wire.older_records import state_origin
from registry.wire.requests import Request
from registry.wire.training_records.interactions import Interaction

Record = TypeVar("Record", bound=Struct)

_encoder = msgspec.json.Encoder(enc_hook=write_instant)
_decoders: dict[type[Struct], msgspec.json.Decoder[Any]] = {
    record: msgspec.json.Decoder(record) for record in (Request, Interaction)
}


def encode(record: Struct) -> bytes:
    """Return `record` as UTF-8 JSON."""
    return _encoder.encode(record)


def encode_all(records: Sequence[Struct]) -> bytes:
    """Return `records` as one UTF-8 JSON array."""
    return _encoder.encode(records)


def decode(kind: type[Record], payload: bytes | None, max_bytes: int | None = None) -> Record:
    """Read one record of type `kind`.

    Raises
    ------
    RecordError
        With code ``empty`` (no bytes), ``too_large`` (more than `max_bytes`), ``malformed`` (not
        JSON in UTF-8) or ``invalid`` (JSON of another shape); the message names the field.
    """
    if not payload:
        raise RecordError(
            f"{kind.__name__}: the record is empty; it must be a JSON object", RecordCode.EMPTY
        )
    if max_bytes is not None and len(payload) > max_bytes:
        raise RecordError(
            f"{kind.__name__}: {len(payload)} bytes, at most {max_bytes} are allowed",
            RecordCode.TOO_LARGE,
        )
    try:
        if "origin" in kind.__struct_fields__:
            return from_document(kind, msgspec.json.decode(payload))
        decoder = _decoders.get(kind)
        if decoder is None:
            decoder = _decoders[kind] = msgspec.json.Decoder(kind, dec_hook=read_instant)
        record: Record = decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise RecordError(f"{kind.__name__}: {error}", RecordCode.INVALID) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(
            f"{kind.__name__}: not JSON in UTF-8: {error}", RecordCode.MALFORMED
        ) from error
    return record


def from_document(kind: type[Record], document: Any) -> Record:
    """Read one record of type `kind` from JSON that is decoded already, and may be changed.

    Raises
    ------
    msgspec.ValidationError
        If it has another shape; the message names the field.
    """
    state_origin(document)
    if kind is not Command:
        return msgspec.convert(document, kind, str_keys=True, dec_hook=read_instant)
    command: Any = msgspec.convert(document, AnyCommand, str_keys=True)
    require_own_arguments(command, document)
    return cast("Record", command)
