"""The report of an experiment that has ended: what was known of it, in Markdown and as HTML.

Pure: one list of lines and tables, written twice. Must not know where reports are kept
(`streams.outcomes.report_writer`), nor what the figures mean (`registry.outcomes`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from markupsafe import Markup, escape

from registry.interleaving.preference import Preference
from registry.outcomes.arm_comparison import Comparison
from registry.outcomes.conclusion import Arm, Conclusion
from registry.wire.command_results import CommandResult
from registry.wire.rollout_state import RolloutState

HTML: Final = "report.html"
MARKDOWN: Final = "report.md"

STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border-bottom:1px solid #999;"
    "padding:.3rem .8rem;text-align:left}"
)


class ReportTable(NamedTuple):
    """Rows of cells below their titles."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Block: TypeAlias = "str | ReportTable"


class EndedExperiment(NamedTuple):
    """An experiment that has ended.

    Parameters
    ----------
    state
        Under which its users were counted.
    command
        That ended it.
    found
        What could be concluded then.
    """

    state: RolloutState
    command: CommandResult
    found: Conclusion | Preference


def report_pages(ended: EndedExperiment) -> dict[str, bytes]:
    """Return the report's files by name; the last is what pages link to."""
    state = ended.state
    title = f"Experiment of epoch {state.epoch}: {state.canary_version} and {state.primary_version}"
    blocks = tuple(_blocks(ended))
    return {MARKDOWN: _markdown(title, blocks).encode(), HTML: _html(title, blocks).encode()}


def _blocks(ended: EndedExperiment) -> Iterator[Block]:
    state, command, found = ended
    yield found.words
    yield ReportTable(
        ("", ""),
        (
            ("environment", state.environment),
            ("strategy", state.strategy),
            ("primary version", state.primary_version),
            ("canary version", state.canary_version or ""),
            ("began", f"{state.updated_at or 'unknown'}, by {state.updated_by or 'unknown'}"),
            ("ended", f"{command.at}, by {command.type} of {command.issued_by}"),
            ("reason", command.reason or "none given"),
            ("verdict", found.verdict),
        ),
    )
    if isinstance(found, Preference):
        yield from _of_preference(found)
    else:
        yield from _of_arms(found)
    yield (
        "Each user counts once, when his attribution window has closed; windows that were open at "
        "the end are not in it. Intervals hold however often somebody looked."
    )


def _of_preference(found: Preference) -> Iterator[Block]:
    yield ReportTable(
        ("prefer", "version", "users"),
        (
            ("canary", found.canary_version, f"{found.wins:,}"),
            ("primary", found.primary_version, f"{found.losses:,}"),
            ("neither", "", f"{found.ties:,}"),
        ),
    )
    yield (
        f"The canary's share of those who prefer one is {_figure(found.share)}, between "
        f"{_figure(found.lower)} and {_figure(found.upper)}."
    )


def _of_arms(found: Conclusion) -> Iterator[Block]:
    yield ReportTable(
        ("arm", "version", "users", "converted", "outcomes", "exposures"),
        (_arm(found.primary), _arm(found.canary)),
    )
    yield ReportTable(
        ("metric", found.primary.variant, found.canary.variant, "difference", "from", "to"),
        (_metric(found.conversion), _metric(found.outcomes_per_exposure)),
    )
    yield f"Split of the users: {found.sample_ratio.message}."


def _arm(arm: Arm) -> tuple[str, ...]:
    sums = arm.sums
    return (
        arm.variant,
        arm.version,
        f"{sums.users:,}",
        f"{sums.converted:,}",
        f"{sums.x:,g}",
        f"{sums.y:,g}",
    )


def _metric(shown: Comparison) -> tuple[str, ...]:
    figures = shown.primary, shown.canary, shown.difference, shown.lower, shown.upper
    return shown.metric.replace("_", " "), *map(_figure, figures)


def _figure(figure: float | None) -> str:
    return "?" if figure is None else f"{figure:.4f}"


def _html(title: str, blocks: tuple[Block, ...]) -> str:
    body = Markup("").join(_element(block) for block in blocks)
    return Markup(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        "<style>{style}</style><h1>{title}</h1>{body}</html>\n"
    ).format(title=title, style=Markup(STYLE), body=body)


def _element(block: Block) -> Markup:
    if isinstance(block, str):
        return Markup("<p>{}</p>").format(block)
    rows = [_row("th", block.titles), *(_row("td", row) for row in block.rows)]
    return Markup("<table>{}</table>").format(Markup("").join(rows))


def _row(tag: str, cells: tuple[str, ...]) -> Markup:
    inner = Markup("").join(Markup(f"<{tag}>{escape(cell)}</{tag}>") for cell in cells)
    return Markup("<tr>{}</tr>").format(inner)


def _markdown(title: str, blocks: tuple[Block, ...]) -> str:
    return "\n\n".join([f"# {_cell(title)}", *map(_paragraph, blocks)]) + "\n"


def _paragraph(block: Block) -> str:
    if isinstance(block, str):
        return _cell(block)
    rows = [block.titles, ("---",) * len(block.titles), *block.rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _cell(text: str) -> str:
    """Return text that is no markup: reasons are somebody's own words."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
