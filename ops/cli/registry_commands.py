"""``recstream registry``: list, show, verify, compare, label, pin and remove model versions.

Knows options and what is shown. Storage and the rules for removal are in `registry.versions`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, Reason, Registry, settings_with
from registry.errors import ArtifactError, ConfigurationError

if TYPE_CHECKING:
    from registry.versions.store import Store
    from registry.versions.version_labels import Labels, Mark

app = typer.Typer(
    no_args_is_help=True,
    help="List, show, verify, compare, label, pin and remove model versions.",
)

Version = Annotated[
    str,
    typer.Argument(
        metavar="VERSION", help="A version like v0.4, `latest`, or a label like `stable`."
    ),
]


@app.command(name="list")
def list_versions(as_json: AsJson = False, registry: Registry = None) -> None:
    """List the versions, oldest first, with their origin and metrics."""
    from ops.views import registry_tables as registry_view
    from ops.views import terminal
    from registry.versions.version_listing import listing_of

    store, labels = _open_registry(registry)
    listing = listing_of(store, labels)
    if as_json:
        terminal.print_json(listing)
    elif not (listing.versions or listing.problems):
        terminal.out.print(f"no versions in {store.url} yet; `recstream train` publishes the first")
    else:
        terminal.out.print(registry_view.listing_table(listing))


@app.command()
def show(version: Version, as_json: AsJson = False, registry: Registry = None) -> None:
    """Show a version's provenance, parameters, metrics, gate and files."""
    from ops.views import registry_tables as registry_view
    from ops.views import terminal
    from registry.versions.version_listing import marks_in

    store, labels = _open_registry(registry)
    manifest = store.manifest(labels.resolve(version))
    if as_json:
        terminal.print_json(manifest)
        return
    for table in registry_view.manifest_tables(manifest, marks_in(store, labels)):
        terminal.out.print(table)


@app.command()
def verify(
    versions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VERSION]...", help="Versions or labels; default: all versions."),
    ] = None,
    as_json: AsJson = False,
    registry: Registry = None,
) -> None:
    """Verify the checksum of every file and the contents of the arrays; exit code 1 on failure.

    Reads the registry itself, not this machine's cache. If signing keys are set, signatures are
    verified, too.
    """
    from ops.views import terminal

    store, labels = _open_registry(registry)
    problems: dict[str, str | None] = {}
    for version in [labels.resolve(name) for name in versions or []] or store.versions():
        try:
            store.verify(version)
            problems[version] = None
        except ArtifactError as error:
            problems[version] = str(error)
    if as_json:
        terminal.print_json({version: {"problem": why} for version, why in problems.items()})
    for version, why in {} if as_json else problems.items():
        terminal.out.print(f"{version}  {'ok' if why is None else why}")
    if any(problems.values()):
        raise typer.Exit(1)


@app.command()
def diff(
    left: Annotated[
        str, typer.Argument(metavar="VERSION", help="A version like v0.3, or a label.")
    ],
    right: Annotated[
        str, typer.Argument(metavar="OTHER", help="A version like v0.4, `latest`, or a label.")
    ],
    as_json: AsJson = False,
    registry: Registry = None,
) -> None:
    """Show how two versions differ in parameters, metrics, data, code and files."""
    from ops.views import registry_tables as registry_view
    from ops.views import terminal
    from registry.versions.version_differences import differences

    store, labels = _open_registry(registry)
    before, after = (store.manifest(labels.resolve(name)) for name in (left, right))
    found = differences(before, after)
    if as_json:
        terminal.print_json(found)
    elif not found:
        terminal.out.print(f"{before.version} and {after.version} differ only in their names")
    else:
        terminal.out.print(registry_view.difference_table(before, after, found))


@app.command()
def pin(
    version: Version, reason: Reason = None, as_json: AsJson = False, registry: Registry = None
) -> None:
    """Pin a version, so that `gc` does not remove it."""
    from ops.views import terminal

    _, labels = _open_registry(registry)
    mark = _mark(labels.resolve(version), reason)
    labels.pin(mark)
    if as_json:
        terminal.print_json(mark)
    else:
        terminal.out.print(f"{mark.version} pinned")


@app.command()
def unpin(version: Version, as_json: AsJson = False, registry: Registry = None) -> None:
    """Remove a pin."""
    from ops.views import terminal

    _, labels = _open_registry(registry)
    resolved = labels.resolve(version)
    labels.unpin(resolved)
    if as_json:
        terminal.print_json({"version": resolved})
    else:
        terminal.out.print(f"{resolved} unpinned")


@app.command(name="promote-label")
def promote_label(
    label: Annotated[str, typer.Argument(metavar="LABEL", help="The label, like `stable`.")],
    version: Annotated[
        str | None,
        typer.Argument(metavar="VERSION", help="A version like v0.4, `latest`, or a label."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the label.")] = False,
    reason: Reason = None,
    as_json: AsJson = False,
    registry: Registry = None,
) -> None:
    """Point a label at a version; `registry` commands accept the label instead of the version.

    A label is a name for people and scripts. It does not change which version answers requests:
    see `recstream swap` and `recstream rollout`.

    Examples
    --------
      recstream registry promote-label stable v0.4 --reason "two weeks without a complaint"
      recstream registry promote-label old --remove
    """
    from ops.views import terminal

    if remove == (version is not None):
        raise ConfigurationError("give either a VERSION to point the label at, or --remove")
    _, labels = _open_registry(registry)
    if version is None:
        labels.remove(label)
        mark, before = None, None
    else:
        mark = _mark(labels.resolve(version), reason)
        before = labels.promote(label, mark)
    if as_json:
        terminal.print_json({"label": label, "before": before, "after": mark})
    elif mark is None:
        terminal.out.print(f"label {label} removed")
    else:
        was = f", was {before.version}" if before else ""
        terminal.out.print(f"{label} points to {mark.version}{was}")


@app.command()
def gc(
    keep: Annotated[int, typer.Option(metavar="N", help="Number of newest versions to keep.")] = 10,
    grace_hours: Annotated[
        float,
        typer.Option(
            metavar="HOURS",
            help="Minimum age of a version before it is hidden, and how long it then stays "
            "hidden before its files are removed.",
        ),
    ] = 24,
    history_days: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="DAYS",
            help="Keep versions named in the last N days of history; default: all of it.",
        ),
    ] = None,
    control_prefix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PREFIX",
            help="Control topic prefix of environments that share this registry; repeatable. "
            "Default: RECSTREAM_CONTROL_PREFIX, else RECSTREAM_TOPIC_PREFIX.",
        ),
    ] = None,
    versions_in_use: Annotated[
        str | None,
        typer.Option(
            metavar="VERSIONS",
            help="Versions or labels in use, separated by commas, instead of asking Kafka; '' for "
            "none.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run/--remove", help="Show what would be done, or do it.")
    ] = True,
    as_json: AsJson = False,
    registry: Registry = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Remove versions that are no longer needed. A dry run, unless --remove is given.

    A version is kept if it is among the newest, younger than the grace period, labelled or pinned,
    or named by the rollout state, the history or a pending command of any environment. Those are
    read from Kafka; without Kafka nothing is removed, unless --versions-in-use says what is in use.

    Removal takes two runs: the first hides a version; a run after the grace period removes its
    files, or restores it if it has come into use again.

    Examples
    --------
      recstream registry gc --keep 5
      recstream registry gc --keep 5 --history-days 90 --remove
      recstream registry gc --control-prefix eu --control-prefix us --remove
      recstream registry gc --versions-in-use v0.3,v0.7 --remove
    """
    from ops.views import registry_tables as registry_view
    from ops.views import terminal
    from registry.kafka.versions_in_use import versions_in_use_under
    from registry.versions.garbage import RetentionRules, collect
    from registry.versions.version_listing import marks_in

    rules = RetentionRules(keep, timedelta(hours=grace_hours))
    store, labels = _open_registry(registry)
    now = datetime.now(UTC)
    if versions_in_use is None:
        since = None if history_days is None else now - timedelta(days=history_days)
        settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
        prefixes = control_prefix or [settings.control_prefix or settings.topic_prefix]
        named = versions_in_use_under(settings, prefixes, since)
    else:
        names = [name.strip() for name in versions_in_use.split(",") if name.strip()]
        named = {labels.resolve(name): ["--versions-in-use"] for name in names}
    marked = registry_view.named_by(marks_in(store, labels))
    named = {
        version: [*named.get(version, ()), *marked.get(version, ())]
        for version in {**named, **marked}
    }
    judged = collect(store, named, rules, now, dry_run=dry_run)
    if as_json:
        terminal.print_json({"dry_run": dry_run, "versions": judged})
    else:
        for shown in registry_view.retention_tables(judged, dry_run=dry_run):
            terminal.out.print(shown)


def _mark(version: str, reason: str | None) -> Mark:
    from ops.clients import kafka_client as client
    from registry.versions.version_labels import Mark

    return Mark(version, client.who(), datetime.now(UTC).isoformat(timespec="seconds"), reason)


def _open_registry(url: str | None) -> tuple[Store, Labels]:
    """Open the registry without the local cache: commands show what the registry itself holds."""
    from registry.versions.store import Store, keys_of
    from registry.versions.version_labels import Labels

    settings = settings_with(MODEL_REGISTRY=url)
    store = Store(settings.model_registry, keys=keys_of(settings))
    return store, Labels(store)
