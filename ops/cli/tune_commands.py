"""``recstream tune``: search for better parameters on the current interactions.

Knows options, what is shown, and the order of reading and searching. The search itself is in
`training.runs.tune`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import (
    AsJson,
    Bootstrap,
    Registry,
    read_file,
    require_folder,
    settings_with,
    write_file,
)

if TYPE_CHECKING:
    from registry.settings import Settings
    from training.runs.tune import Trial, Tuned


def tune(
    trials: Annotated[
        int,
        typer.Option(min=1, max=10_000, help="Number of trials, including those of earlier runs."),
    ] = 40,
    minutes: Annotated[float, typer.Option(min=0.01, help="Time limit of this run.")] = 15,
    study: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Stores the trials, so that a later run can continue them."
        ),
    ] = Path("recstream-tune.journal"),
    env: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the best settings to this .env file."),
    ] = None,
    as_json: AsJson = False,
    registry: Registry = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Search for better parameters on the current interactions, and print them as settings.

    The search starts from the current settings. It can be interrupted: the same command resumes it.
    The best parameters are evaluated on users that no trial has seen. Needs the extra `tune`.

    Examples
    --------
      recstream tune --trials 100 --minutes 30
      recstream tune --env .env
    """
    from ops.views import terminal
    from ops.views import tuning_tables as tuning_view
    from training.runs.tune import env_lines, merged

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap, MODEL_REGISTRY=registry)
    require_folder("--env", env)
    before = read_file("--env", env) if env is not None and env.exists() else ""
    found = _search(settings, trials, minutes, study, hidden=as_json)
    lines = env_lines(found.best)
    if env is not None:
        write_file(env, merged(before, lines).encode())
    if as_json:
        terminal.print_json(tuning_view.summary(found, lines))
        return
    for table in tuning_view.tables(found):
        terminal.out.print(table)
    for name, value in lines.items():
        terminal.out.print(f"{name}={value}")


def _search(settings: Settings, trials: int, minutes: float, study: Path, *, hidden: bool) -> Tuned:
    """Read the interactions, and search; each trial is shown on standard error."""
    from ops.views import terminal
    from ops.views.training_progress import StageDisplay
    from ops.views.tuning_tables import trial_line
    from training.data.snapshot import read_snapshot
    from training.fitting.als import one_blas_thread
    from training.fitting.backends import fit_of
    from training.runs.progress import Journal
    from training.runs.regularization_choice import choose_regularization, settle
    from training.runs.run_rules import parameters_of, rules_of
    from training.runs.tune import SearchBounds, require_optuna, tune

    require_optuna()
    asked = parameters_of(settings)
    with StageDisplay(terminal.err, hidden=hidden) as display, one_blas_thread():
        snapshot = read_snapshot(
            settings, lambda done, total: display.show("snapshot", done, total, None)
        )
        settled, rules = settle(asked, snapshot.cells), rules_of(settings, snapshot.report)
        start = choose_regularization(asked, settled, rules, Journal("", lambda _: None))
        display.show("tune", 0, trials, None)

        def report(trial: Trial, best: Trial | None) -> None:
            display.show("tune", trial.number + 1, trials, trial_line(trial, best))

        return tune(
            settled.cells,
            snapshot.described.id,
            start,
            rules.holdout,
            SearchBounds(trials, minutes * 60),
            study,
            fit_of(settings),
            rules.threads,
            report,
            rules.order,
        )
