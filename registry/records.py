"""The records on the wire, and their codecs.

Knows the shape of each message of PRODUCT.md §2. Must not know Kafka, topics' names or who sends
what. Messages are JSON objects; unknown fields are ignored, missing or mistyped ones are refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from registry.counts import ArmCounts
from registry.eras import MAX_EPOCH
from registry.errors import RecordError
from registry.ids import ItemId, UserId
from registry.manifest import DataSnapshot, Gate
from registry.ramps import Finding, Ramp, RampState

MAX_K: Final = 1000
"""Most items that one request may ask for; a larger `k` is refused."""

ID_CHARACTERS: Final = 200
"""Most characters of an id that a user, a request or a command may have."""

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=ID_CHARACTERS)]
Word: TypeAlias = Annotated[str, Meta(max_length=100)]
Variant: TypeAlias = Literal["primary", "canary", "A", "B"]
Source: TypeAlias = Literal["model", "popular"]
Strategy: TypeAlias = Literal["fixed", "canary", "ab_test", "shadow"]
Bucketing: TypeAlias = Literal["modulo", "hash"]
CommandType: TypeAlias = Literal[
    "swap",
    "rollout",
    "promote",
    "rollback",
    "abort",
    "pause",
    "resume",
    "step",
    "retrain",
    "begin_era",
]
ResultType: TypeAlias = Literal[CommandType, "training"]
"""What the audit trail tells of: commands, and a training run that ended without a version."""

Deploy: TypeAlias = Literal["swap", "canary", "shadow", "none"]
CommandStatus: TypeAlias = Literal["applied", "rejected", "duplicate"]
AnswerStatus: TypeAlias = Literal["ok", "error", "expired"]


class Request(Struct, frozen=True):
    """One recommendation request (topic ``requests``, keyed by user id)."""

    request_id: Id
    user_id: int | Id
    k: Annotated[int, Meta(ge=1, le=MAX_K)] = 10
    exclude_seen: bool = True
    exclude_items: list[ItemId] = []
    model_version: Id | None = None
    deadline_ms: Annotated[int, Meta(ge=1)] | None = None


class Item(Struct, frozen=True, omit_defaults=True):
    """One recommended item; ``score`` is the dot product of the factors, or a popularity count."""

    item_id: ItemId
    score: float
    title: str | None = None


class AnswerError(Struct, frozen=True):
    """Why an answer holds no items."""

    code: str
    message: str


class Provenance(Struct, frozen=True, omit_defaults=True):
    """Which rule and which bytes produced an answer.

    ``latency_ms`` is from the request record's timestamp to its scoring; absent where the timestamp
    is missing, or later than the worker's clock.
    """

    environment: str
    worker: str
    latency_ms: float | None = None
    strategy: Strategy | None = None
    rollout_epoch: int | None = None
    bucket: int | None = None
    git_sha: str | None = None
    data_snapshot: str | None = None
    image_digest: str | None = None


class Response(Struct, frozen=True, omit_defaults=True):
    """One answer (topic ``responses``, keyed by user id)."""

    request_id: str
    user_id: UserId
    status: AnswerStatus
    provenance: Provenance
    items: list[Item] = []
    model_version: str | None = None
    variant: Variant | None = None
    source: Source | None = None
    assigned_version: str | None = None
    fallback_reason: str | None = None
    error: AnswerError | None = None


EventKind: TypeAlias = Literal["watch", "rate", "click", "forget"]


class Interaction(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a user did (topic ``interactions``, keyed by user id).

    ``value`` is the rating of a ``rate`` event, or a weight of other events; ``timestamp`` is in
    seconds since the epoch, and falls back to the record's own. A ``forget`` takes back all that
    the user did before it, and needs no item.
    """

    user_id: int | Id
    item_id: int | Id | None = None
    event: EventKind
    value: float | None = None
    timestamp: float | None = None
    title: Annotated[str, Meta(max_length=500)] | None = None

    def __post_init__(self) -> None:
        if self.item_id is None and self.event != "forget":
            raise ValueError(f"a {self.event} needs an `item_id`")


class Command(Struct, frozen=True, omit_defaults=True):
    """One control command (topic ``control``, keyed by environment).

    Fields that a type does not use are ignored; a field that is absent is ``UNSET``. ``step``,
    ``findings`` and ``baseline`` are what a ramp says of itself; see `registry.ramping`.
    """

    command_id: Id
    type: CommandType
    issued_by: Annotated[str, Meta(min_length=1, max_length=200)]
    environment: Id = "production"
    expected_epoch: Annotated[int, Meta(ge=-1, le=MAX_EPOCH)] | None = None
    reason: Annotated[str, Meta(max_length=1000)] | None = None
    model_version: Id | UnsetType = UNSET
    strategy: Word | UnsetType = UNSET
    canary_version: Id | UnsetType = UNSET
    canary_percentage: float | UnsetType = UNSET
    bucketing: Word | UnsetType = UNSET
    salt: Word | UnsetType = UNSET
    shadow_sample_percentage: float | UnsetType = UNSET
    ramp: Ramp | UnsetType = UNSET
    environments: Annotated[tuple[Id, ...], Meta(max_length=100)] | UnsetType = UNSET
    step: Annotated[int, Meta(ge=0, le=1000)] | UnsetType = UNSET
    findings: tuple[Finding, ...] | UnsetType = UNSET
    baseline: ArmCounts | UnsetType = UNSET
    factors: Annotated[int, Meta(ge=1, le=4096)] | UnsetType = UNSET
    iterations: Annotated[int, Meta(ge=1, le=1000)] | UnsetType = UNSET
    regularization: Annotated[float, Meta(gt=0)] | UnsetType = UNSET
    alpha: Annotated[float, Meta(gt=0)] | UnsetType = UNSET
    deploy: Deploy | UnsetType = UNSET


class RolloutState(Struct, frozen=True):
    """Who answers whom in one environment, from the command of ``epoch`` on (`registry.eras`).

    ``ramp`` is the one that goes on, or the last one, with its outcome, until the next command that
    is no ramp's.
    """

    environment: str
    epoch: int
    strategy: Strategy
    primary_version: str
    canary_version: str | None = None
    canary_percentage: float = 0.0
    bucketing: Bucketing = "modulo"
    salt: str = ""
    previous_versions: tuple[str, ...] = ()
    updated_at: str = ""
    updated_by: str = ""
    reason: str | None = None
    shadow_sample_percentage: float = 100.0
    ramp: RampState | None = None


class ShadowComparison(Struct, frozen=True, omit_defaults=True):
    """One request that both versions scored (topic ``shadow``, keyed by user id).

    Parameters
    ----------
    k
        Items compared: the request's, or as many as the primary gave.
    overlap
        Share of the primary's items that the canary version gives too, 0..1; 1 where both give
        none.
    rank_biased_overlap
        Agreement of the two rankings, the top weighing most, 0..1.
    score_shift
        Mean score of the canary's items minus that of the primary's; 0 where either gives none.
    primary_ms, canary_ms
        Scoring time per request of the batches in which each was scored.
    """

    request_id: str
    user_id: UserId
    environment: str
    rollout_epoch: int
    primary_version: str
    canary_version: str
    k: int
    overlap: float
    rank_biased_overlap: float
    score_shift: float
    primary_ms: float
    canary_ms: float
    worker: str
    at: str


class CommandResult(Struct, frozen=True, omit_defaults=True):
    """What became of one command (topic ``control-results``); ``epoch`` is the state's after it."""

    command_id: str
    type: str
    environment: str
    status: CommandStatus
    epoch: int | None
    issued_by: str
    at: str
    error: AnswerError | None = None
    before: RolloutState | None = None
    after: RolloutState | None = None
    reason: str | None = None


TrainingStage: TypeAlias = Literal[
    "lock", "snapshot", "fit", "evaluate", "gate", "publish", "announce"
]


class TrainingProgress(Struct, frozen=True, tag="progress", tag_field="kind"):
    """One line of a training child's output: ``done`` of ``total`` units of ``stage``."""

    run_id: str
    stage: TrainingStage
    done: int
    total: int
    message: str | None = None


class TrainingResult(Struct, frozen=True, tag="result", tag_field="kind"):
    """The last line of a training child's output.

    ``published``: ``version`` is in the registry. ``refused``: the gate said no, or there was too
    little new to learn from. ``failed``: the run ended before it had a model; ``code`` and
    ``reason`` say why.
    """

    run_id: str
    status: Literal["published", "refused", "failed"]
    version: str | None = None
    code: str | None = None
    reason: str | None = None
    gate: Gate | None = None
    metrics: dict[str, float] = {}
    snapshot: DataSnapshot | None = None
    stage_seconds: dict[str, float] = {}


TrainingLine: TypeAlias = TrainingProgress | TrainingResult


class TrainingRun(Struct, frozen=True, omit_defaults=True):
    """The latest training run of a fleet, as every worker knows it from the rollout table."""

    run_id: str
    worker: str
    requested_by: str
    started_at: str
    updated_at: str
    stage: TrainingStage = "lock"
    done: int = 0
    total: int = 0
    message: str | None = None
    result: TrainingResult | None = None
    announced: str | None = None


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
        raise RecordError(f"{kind.__name__}: the record is empty, a JSON object is needed", "empty")
    if max_bytes is not None and len(payload) > max_bytes:
        raise RecordError(
            f"{kind.__name__}: {len(payload)} bytes, at most {max_bytes} are allowed", "too_large"
        )
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        record: Record = decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise RecordError(f"{kind.__name__}: {error}", "invalid") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"{kind.__name__}: not JSON in UTF-8: {error}", "malformed") from error
    return record
