"""``.env.example``: every setting with its default, made from the settings type.

``python -m ops.docs.env_example > .env.example`` writes it; a test compares the two.
"""

from __future__ import annotations

import sys
import textwrap
from typing import Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from registry.settings import Settings

HEAD: Final = """\
# recstream's settings, each with its default. Copy to .env, set what differs (in quotes if it has
# blanks), and load it before a command: set -a; . ./.env; set +a
# Made by `python -m ops.docs.env_example` from registry/setting_groups/; do not edit.
"""


def env_example() -> str:
    """Return the text of ``.env.example``."""
    return HEAD + "".join(_entry(field) for field in Settings.model_fields.values())


def _entry(field: FieldInfo) -> str:
    comment = textwrap.fill(
        field.description or "",
        width=96,
        initial_indent="# ",
        subsequent_indent="# ",
        break_on_hyphens=False,
    )
    return f"\n{comment}\n{field.alias}={_default(field)}\n"


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return "" if value is None else str(value)


if __name__ == "__main__":
    sys.stdout.write(env_example())
