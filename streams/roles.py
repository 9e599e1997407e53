"""Roles: what a caller of the pages may do."""

from __future__ import annotations

from typing import Literal, TypeAlias

Role: TypeAlias = Literal["command", "read"]
