"""Arguments that several commands share, and how they become settings.

Knows names and help texts. Must not know what a command does.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from registry.ids import UserId
    from registry.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Bootstrap = Annotated[
    str | None,
    typer.Option(
        "--bootstrap", metavar="HOST:PORT", help="Kafka, instead of KAFKA_BOOTSTRAP_SERVERS."
    ),
]
Registry = Annotated[
    str | None,
    typer.Option("--registry", metavar="URL", help="The registry, instead of MODEL_REGISTRY."),
]
ExpectedEpoch = Annotated[
    int | None,
    typer.Option(metavar="N", help="Refuse unless the epoch is N (compare-and-set)."),
]
Reason = Annotated[str | None, typer.Option(help="Why; kept in the audit trail.")]


class NegativeIds(TyperCommand):
    """A command whose ids may be negative: ``-5`` is no option, as no option is called so."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the arguments apart."""
        ctx.ignore_unknown_options = any(re.fullmatch("-[0-9]+", one) for one in args)
        return super().parse_args(ctx, args)


def user_id_of(text: str, string_id: bool) -> UserId:
    """Return the user that a command's argument names; a ``.0`` that is dropped, it says.

    Parameters
    ----------
    text
        The argument.
    string_id
        It is a string, whatever it looks like (``--string-id``).
    """
    from ops.views import terminal
    from registry.ids import is_whole_float, parse_id

    if string_id:
        return text
    user = parse_id(text)
    if is_whole_float(text):
        terminal.err.print(f"{text} is read as {user}; --string-id keeps it", markup=False)
    return user


def settings_with(**overrides: str | float | None) -> Settings:
    """Read the settings from the environment, with variables overridden by those given here.

    Raises
    ------
    ConfigurationError
        Naming the variable that is wrong.
    """
    from registry.settings import read_settings

    given = {name: str(value) for name, value in overrides.items() if value is not None}
    return read_settings({**os.environ, **given})
