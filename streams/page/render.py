"""The status page: one worker's `Status` as HTML for people.

Knows how the values of `streams.page.status` are laid out. Must not know where they come from: a
pure function of them, with no clock (`Status.now` is the page's) and no network. The page can be
read without its script, which only follows the worker and sends the forms; nothing but that script
may run in it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from registry.outcomes.arm_comparison import LEAST_USERS
from registry.outcomes.outcome_guardrails import goal_words
from registry.ramp_plans.ramp_stages import SENTENCES
from registry.rollout.expected_epoch import NO_EPOCH
from registry.rollout.trail_wording import diff, ramp_words
from registry.wire.ramp_values import Guardrails, Ramp
from streams.comparing.try_user import SideBySide
from streams.page import formatting as wording
from streams.page.buttons import Now, fields, offers
from streams.page.charts import arms, headline, rungs, steps, worst_first
from streams.page.evidence_chart import evidence_pictures, whiskers
from streams.page.page_headers import headers_of
from streams.page.status import Status
from streams.roles import Role

POLL_SECONDS: Final = 2
"""How often a page asks that gets no events: as long as a command may take to reach a worker."""

SILENT_SECONDS: Final = 6
"""Without an event for so long, a page says that it is old; they come about every second."""

LAGGING_PARTITIONS_SHOWN: Final = 16
"""The worst ones; more would push everything else off a telephone's screen."""

COMMANDS_OPEN: Final = 4
"""The latest; the older ones are folded."""

PLAN: Final = Ramp(steps=(1, 5, 25, 50, 100), hold_seconds=600)
"""What the ramp form holds at first: the defaults of the command, with the usual steps."""


def render(status: Status, role: Role | None = None) -> str:
    """Return the whole page as HTML; every text of `status` is escaped.

    Parameters
    ----------
    status
        One worker at one moment. None, empty tuples and zero answers are shown as what they
        are, "no data yet", never as a number.
    role
        What the reader has logged in for; None if not at all.
    """
    return _page.render(_context(status) | {"role": role})


def render_main(status: Status) -> str:
    """Return the inside of the page's ``<main>``: what follows the worker, without the forms."""
    return _main.render(_context(status))


def render_login(complaint: str) -> str:
    """Return the page that asks for a token; `complaint` says what was wrong with the last one."""
    return _login.render(complaint=complaint)


def render_try(written: str, found: SideBySide | None, complaint: str = "") -> str:
    """Return the page on which a user is tried.

    Parameters
    ----------
    written
        What was written into the form.
    found
        What the versions answer; None without a user.
    complaint
        Why there is no answer.
    """
    return _try.render(written=written, found=found, complaint=complaint)


def share_class(percentage: float) -> str:
    """Return the class that makes an element as large as `percentage` of its room, 0..100.

    The page may hold no style but its own sheet's, so lengths are classes, in whole percents; what
    is there at all is seen.

    >>> share_class(0.01), share_class(33.4), share_class(100.0)
    ('p1', 'p33', 'p100')
    """
    return f"p{max(round(percentage), 1 if percentage > 0 else 0)}"


def now_of(status: Status) -> Now:
    """Return what the forms need to know of `status`."""
    return Now(
        mark=f"{status.worker} {status.program_version} {status.started_at}",
        epoch=NO_EPOCH if status.rollout is None else status.rollout.epoch,
        title=f"{'Ready' if status.ready else 'NOT READY'} · {status.worker} · recstream",
        headline=headline(status),
        environment=status.environment,
        versions=tuple(version.version for version in status.versions),
        fields=fields(status),
        offers=offers(status.rollout),
    )


def _context(status: Status) -> dict[str, Any]:
    now, ramp = now_of(status), status.rollout.ramp if status.rollout else None
    return {
        "status": status,
        "arms": arms(status),
        "ramp": ramp,
        "rungs": rungs(ramp, status.now) if ramp else (),
        "steps": steps(status.training) if status.training else (),
        "pictures": evidence_pictures(status.experiment.looks) if status.experiment else {},
        "lagging": sorted(status.lag, key=lambda lag: lag.lag, reverse=True),
        "now": now,
        "now_json": msgspec.json.encode(now).decode(),
    }


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("streams.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        word.__name__: word for word in (*wording.WORDS, worst_first, share_class)
    }
    environment.globals |= {
        "poll_seconds": POLL_SECONDS,
        "silent_seconds": SILENT_SECONDS,
        "lagging_shown": LAGGING_PARTITIONS_SHOWN,
        "commands_open": COMMANDS_OPEN,
        "plan": PLAN,
        "guardrails": Guardrails(),
        "sentences": SENTENCES,
        "changes": diff,
        "ramp_words": ramp_words,
        "by_count": wording.by_count,
        "span": wording.span,
        "signed": wording.signed,
        "goal_words": goal_words,
        "whiskers": whiskers,
        "least_users": LEAST_USERS,
    }
    environment.globals |= {
        "style": Markup(environment.get_template("status.css").render()),
        "script": Markup(environment.get_template("status.js").render()),
    }
    return environment


_templates: Final = _environment()
POLICY: Final = headers_of(_templates.globals["style"], _templates.globals["script"])
_page: Final = _templates.get_template("status.html")
_login: Final = _templates.get_template("login.html")
_main: Final = _templates.get_template("main.html")
_try: Final = _templates.get_template("try.html")
