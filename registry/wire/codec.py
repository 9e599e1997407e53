"""The codec: records to bytes and back.

Messages are JSON objects; unknown fields are ignored, missing or mistyped ones are refused.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from registry.error_codes import RecordCode
from registry.errors import RecordError
from registry.wire.commands import Command
from registry.wire.interactions import Interaction
from registry.wire.requests import Request

Record = TypeVar("Record", bound=Struct)

_encoder = msgspec.json.Encoder()
_decoders: dict[type[Struct], msgspec.json.Decoder[Any]] = {
    record: msgspec.json.Decoder(record) for record in (Request, Interaction, Command)
}


def encode(record: Struct) -> bytes:
    """Return `record` as UTF-8 JSON."""
    return _encoder.encode(record)


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
            f"{kind.__name__}: the record is empty, a JSON object is needed", RecordCode.EMPTY
        )
    if max_bytes is not None and len(payload) > max_bytes:
        raise RecordError(
            f"{kind.__name__}: {len(payload)} bytes, at most {max_bytes} are allowed",
            RecordCode.TOO_LARGE,
        )
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        record: Record = decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise RecordError(f"{kind.__name__}: {error}", RecordCode.INVALID) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(
            f"{kind.__name__}: not JSON in UTF-8: {error}", RecordCode.MALFORMED
        ) from error
    return record
