"""Control commands (topic ``control``): one type per kind, with just its fields."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias, cast, get_args

from msgspec import UNSET, Meta, Struct, UnsetType, ValidationError, field

from registry.epochs import MAX_EPOCH
from registry.wire.counts import ArmCounts
from registry.wire.field_types import Id, Word
from registry.wire.origins import Origin, operator
from registry.wire.ramp_values import Finding, Ramp, RampCause

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

Deploy: TypeAlias = Literal["swap", "canary", "shadow", "ramp", "none"]


class Command(Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """A control command (topic ``control``, keyed by environment): the fields of every kind.

    An argument of another kind is refused; a field that no kind knows is ignored.
    """

    command_id: Id
    issued_by: Annotated[str, Meta(min_length=1, max_length=200)]
    environment: Id = "production"
    expected_epoch: Annotated[int, Meta(ge=-1, le=MAX_EPOCH)] | None = None
    reason: Annotated[str, Meta(max_length=1000)] | None = None
    origin: Origin = field(default_factory=operator)

    @property
    def type(self) -> CommandType:
        """The kind of command, as it is called on the wire."""
        return cast(
            "CommandType", self.__struct_config__.tag
        )  # test_codec.py sees that each is one

    @property
    def common(self) -> dict[str, Any]:
        """The fields that all kinds have: for a command of another kind, by the same issuer."""
        return {name: getattr(self, name) for name in Command.__struct_fields__}


class _Judged(Command, frozen=True, omit_defaults=True):
    """A command that a ramp may issue: ``findings`` and ``baseline`` are what it found out."""

    findings: tuple[Finding, ...] = ()
    baseline: ArmCounts | None = None


class Swap(Command, frozen=True, omit_defaults=True, tag="swap"):
    """Make a version primary."""

    model_version: Id | UnsetType = UNSET


class Rollout(Command, frozen=True, omit_defaults=True, tag="rollout"):
    """Change the fields given, and only those; with ``ramp``, start a ramp.

    ``ramp_id`` says which ramp continues in another environment, ``cause`` which training run it
    comes from. ``fit`` compares the ramp with the present traffic: false refuses one that
    gets too few requests, true stretches its holds, null starts it as it is.
    """

    strategy: Word | UnsetType = UNSET
    canary_version: Id | UnsetType = UNSET
    canary_percentage: float | UnsetType = UNSET
    bucketing: Word | UnsetType = UNSET
    salt: Word | UnsetType = UNSET
    shadow_sample_percentage: float | UnsetType = UNSET
    ramp: Ramp | UnsetType = UNSET
    environments: Annotated[tuple[Id, ...], Meta(max_length=100)] | UnsetType = UNSET
    ramp_id: Id | UnsetType = UNSET
    cause: RampCause | None = None
    fit: bool | None = None


class Promote(_Judged, frozen=True, omit_defaults=True, tag="promote"):
    """Make the canary version primary."""


class Rollback(_Judged, frozen=True, omit_defaults=True, tag="rollback"):
    """Go back to the previous primary version."""


class Abort(_Judged, frozen=True, omit_defaults=True, tag="abort"):
    """Drop the canary version."""


class Pause(Command, frozen=True, omit_defaults=True, tag="pause"):
    """Stop the ramp where it is."""


class Resume(Command, frozen=True, omit_defaults=True, tag="resume"):
    """Resume a paused ramp."""


class Step(_Judged, frozen=True, omit_defaults=True, tag="step", kw_only=True):
    """The ramp enters its stage number ``step``, or ends if there is none of that number."""

    step: Annotated[int, Meta(ge=0, le=1000)]


class Retrain(Command, frozen=True, omit_defaults=True, tag="retrain"):
    """Start a training run; what is not given, the settings say."""

    factors: Annotated[int, Meta(ge=1, le=4096)] | UnsetType = UNSET
    iterations: Annotated[int, Meta(ge=1, le=1000)] | UnsetType = UNSET
    regularization: Annotated[float, Meta(gt=0)] | UnsetType = UNSET
    alpha: Annotated[float, Meta(gt=0)] | UnsetType = UNSET
    deploy: Deploy | UnsetType = UNSET


class BeginEra(Command, frozen=True, omit_defaults=True, tag="begin_era"):
    """Follow the control topic that is there now."""


AnyCommand: TypeAlias = (
    Swap | Rollout | Promote | Rollback | Abort | Pause | Resume | Step | Retrain | BeginEra
)
Judged: TypeAlias = Promote | Rollback | Abort | Step

KINDS: Final[dict[CommandType, type[AnyCommand]]] = {
    kind.__struct_config__.tag: kind for kind in get_args(AnyCommand)
}

ARGUMENTS: Final = frozenset(name for kind in KINDS.values() for name in kind.__struct_fields__)
"""All fields of all kinds."""


def require_own_arguments(command: Command, given: dict[str, Any]) -> None:
    """Refuse an argument of another kind, which must not silently do nothing.

    A field that no kind knows is a later release's, and ignored.

    Raises
    ------
    msgspec.ValidationError
        Naming the fields, and those of this kind.
    """
    known = command.__struct_fields__
    if foreign := sorted(ARGUMENTS.intersection(given).difference(known)):
        raise ValidationError(
            f"{', '.join(foreign)}: not an argument of {command.type}; known are {', '.join(known)}"
        )
