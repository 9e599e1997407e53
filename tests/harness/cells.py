"""Tables of cells: one test runs them all, and a failure names each cell that failed.

``pytest.mark.parametrize`` makes a test of each cell, for 2 ms each. A table of hundreds is a test
of its own: every cell is run, whatever became of those before it. For tests without fixtures of
their own: what a cell leaves behind, the next one would find.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, TypeAlias

import pytest
from _pytest.mark import ParameterSet

Test: TypeAlias = Callable[..., None]

Cell = tuple[str, dict[str, Any]]
"""Its name, and its arguments."""


def each_cell(
    names: str | Iterable[str],
    values: Iterable[Any],
    ids: Iterable[str] | Callable[[Any], str] | None = None,
) -> Callable[[Test], Test]:
    """Run a test with each of `values`; the arguments are those of ``pytest.mark.parametrize``.

    Two decorators make the product of their tables. The test has ``cells``, their number.
    """
    columns = [name.strip() for name in names.split(",")] if isinstance(names, str) else [*names]
    own = [*_cells(columns, values, ids)]

    def gather(test: Test) -> Test:
        inner = getattr(test, "table", [("", {})])
        table = [
            ("-".join(filter(None, (inner_id, other))), {**given, **more})
            for (inner_id, given), (other, more) in product(inner, own)
        ]
        cell = getattr(test, "cell", test)

        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            failed = [error for made in table if (error := _failure(cell, made, fixtures))]
            if failed:
                raise BaseExceptionGroup(
                    f"{len(failed)} of {len(table)} cells failed: "
                    + ", ".join(error.__notes__[-1] for error in failed),
                    failed,
                )

        parameters = inspect.signature(cell).parameters.values()
        left = [parameter for parameter in parameters if parameter.name not in table[0][1]]
        vars(run).pop("__wrapped__", None)  # its signature would be taken
        vars(run).update(
            table=table, cell=cell, cells=len(table), __signature__=inspect.Signature(left)
        )
        return run

    return gather


def _failure(cell: Callable[..., None], made: Cell, fixtures: dict[str, Any]) -> Any:
    name, given = made
    try:
        cell(**fixtures, **given)
    except (Exception, pytest.fail.Exception) as error:
        error.add_note(f"cell {name}")
        return error
    return None


def _cells(
    columns: list[str], values: Iterable[Any], ids: Iterable[str] | Callable[[Any], str] | None
) -> Iterable[Cell]:
    named = None if ids is None or callable(ids) else [*ids]
    for place, value in enumerate(values):
        name = named[place] if named else None
        if isinstance(value, ParameterSet):
            name, row = value.id or name, value.values
        else:
            row = (value,) if len(columns) == 1 else tuple(value)
        assert len(row) == len(columns), f"{value!r} is no row of {columns}"
        words = map(ids, row) if callable(ids) else map(repr, row)
        yield (
            str(name or ", ".join(str(word)[:60] for word in words)),
            dict(zip(columns, row, strict=True)),
        )
