"""``registry``: model versions, looked at, compared, named, and removed when nobody needs them.

Knows options and what is shown. Must not know how a version is stored or who may remove it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, Reason, Registry, settings_with
from registry.errors import ArtifactError, ConfigurationError

if TYPE_CHECKING:
    from registry.settings import Settings
    from registry.versions.garbage import Named
    from registry.versions.labels import Labels, Mark
    from registry.versions.store import Store

app = typer.Typer(
    no_args_is_help=True,
    help="The model versions: list, show, verify, compare, name, pin, remove.",
)

Version = Annotated[
    str, typer.Argument(metavar="VERSION", help="Like v0.4, `latest`, or a label like `stable`.")
]


@app.command(name="list")
def list_versions(as_json: AsJson = False, registry: Registry = None) -> None:
    """List the versions, oldest first, with where they come from and how good they were."""
    from ops.views import registry_tables as registry_view
    from ops.views import terminal

    store, labels = _opened(registry)
    listing = registry_view.listing_of(store, labels)
    if as_json:
        terminal.print_json(listing)
    elif not (listing.versions or listing.problems):
        terminal.out.print(f"no versions in {store.url}; `recstream train` makes the first")
    else:
        terminal.out.print(registry_view.listing_table(listing))


@app.command()
def show(version: Version, as_json: AsJson = False, registry: Registry = None) -> None:
    """Show one version: provenance, parameters, metrics, gate and files."""
    from ops.views import registry_tables as registry_view
    from ops.views import terminal

    store, labels = _opened(registry)
    manifest = store.manifest(labels.resolve(version))
    if as_json:
        terminal.print_json(manifest)
        return
    for table in registry_view.manifest_tables(manifest, registry_view.marks_in(store, labels)):
        terminal.out.print(table)


@app.command()
def verify(
    versions: Annotated[
        list[str] | None, typer.Argument(metavar="[VERSION]...", help="Default: all of them.")
    ] = None,
    as_json: AsJson = False,
    registry: Registry = None,
) -> None:
    """Compare every file with its checksum, and look into the arrays; exit code 1 if wrong.

    Reads the registry itself, all of it, and not this machine's cache. With RECSTREAM_SIGNING_KEY
    set, signatures are checked as well.
    """
    from ops.views import terminal

    store, labels = _opened(registry)
    problems: dict[str, str | None] = {}
    for version in [labels.resolve(one) for one in versions or []] or store.versions():
        try:
            store.verify(version)
            problems[version] = None
        except ArtifactError as error:
            problems[version] = str(error)
    if as_json:
        terminal.print_json({version: {"problem": why} for version, why in problems.items()})
    for version, why in {} if as_json else problems.items():
        terminal.out.print(f"{version}  {'sound' if why is None else why}", markup=False)
    if any(problems.values()):
        raise typer.Exit(1)


@app.command()
def diff(
    left: Annotated[str, typer.Argument(metavar="VERSION", help="Like v0.3, or a label.")],
    right: Annotated[str, typer.Argument(metavar="OTHER", help="Like v0.4, or `latest`.")],
    as_json: AsJson = False,
    registry: Registry = None,
) -> None:
    """Show where two versions differ: parameters, metrics, data, code, files."""
    from ops.views import registry_tables as registry_view
    from ops.views import terminal

    store, labels = _opened(registry)
    one, other = (store.manifest(labels.resolve(name)) for name in (left, right))
    differences = registry_view.differences(one, other)
    if as_json:
        terminal.print_json(differences)
    elif not differences:
        terminal.out.print(f"{one.version} and {other.version} differ in nothing but their names")
    else:
        terminal.out.print(registry_view.difference_table(one, other, differences))


@app.command()
def pin(
    version: Version, reason: Reason = None, as_json: AsJson = False, registry: Registry = None
) -> None:
    """Keep a version from being removed by `gc`."""
    from ops.views import terminal

    _, labels = _opened(registry)
    mark = _mark(labels.resolve(version), reason)
    labels.pin(mark)
    if as_json:
        terminal.print_json(mark)
    else:
        terminal.out.print(f"{mark.version} pinned")


@app.command()
def unpin(version: Version, as_json: AsJson = False, registry: Registry = None) -> None:
    """Take a pin back."""
    from ops.views import terminal

    _, labels = _opened(registry)
    resolved = labels.resolve(version)
    labels.unpin(resolved)
    if as_json:
        terminal.print_json({"version": resolved})
    else:
        terminal.out.print(f"{resolved} no longer pinned")


@app.command(name="promote-label")
def promote_label(
    label: Annotated[str, typer.Argument(metavar="LABEL", help="Like `stable`.")],
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="Like v0.4, `latest`, or a label.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the label.")] = False,
    reason: Reason = None,
    as_json: AsJson = False,
    registry: Registry = None,
) -> None:
    """Point a label to a version; other commands take the label in the version's place.

    It names a version for people and scripts. Who answers requests is the rollout's business:
    `recstream swap` and `recstream rollout`.

    Examples
    --------
      recstream registry promote-label stable v0.4 --reason "two weeks without a complaint"
      recstream registry promote-label old --remove
    """
    from ops.views import terminal

    if remove == (version is not None):
        raise ConfigurationError("give either a VERSION to point to, or --remove")
    _, labels = _opened(registry)
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
        terminal.out.print(f"{label} is {mark.version}{was}")


@app.command()
def gc(
    keep: Annotated[int, typer.Option(metavar="N", help="Newest versions to keep.")] = 10,
    grace_hours: Annotated[
        float,
        typer.Option(
            metavar="HOURS",
            help="Age from which a version may be hidden, and for how long before its files go.",
        ),
    ] = 24,
    history_days: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="DAYS", help="How far history keeps versions; default: for ever."
        ),
    ] = None,
    control_prefix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PREFIX",
            help="Control topics of the environments that share this registry; repeatable. "
            "Default: RECSTREAM_CONTROL_PREFIX, then RECSTREAM_TOPIC_PREFIX.",
        ),
    ] = None,
    versions_in_use: Annotated[
        str | None,
        typer.Option(
            metavar="VERSIONS",
            help="What environments use, versions or labels by commas, instead of asking Kafka; "
            "'' for none.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run/--remove", help="Only say what would be done.")
    ] = True,
    as_json: AsJson = False,
    registry: Registry = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Remove versions that nobody needs. Only says what it would do, unless --remove is given.

    A version stays if it is among the newest, younger than the grace period, labelled or pinned,
    or named by the rollout state, the history or a waiting command of any environment. Those are
    read from Kafka; without Kafka nothing is removed, unless you say what is in use.

    It goes in two steps: a run hides it, and a run after the grace period removes its files, or
    brings it back if it is named again by then.

    Examples
    --------
      recstream registry gc --keep 5
      recstream registry gc --keep 5 --history-days 90 --remove
      recstream registry gc --control-prefix eu --control-prefix us --remove
      recstream registry gc --versions-in-use v0.3,v0.7 --remove
    """
    from ops.views import registry_tables as registry_view
    from ops.views import terminal
    from registry.versions.garbage import Rules, collect

    rules = Rules(keep, timedelta(hours=grace_hours))
    store, labels = _opened(registry)
    now = datetime.now(UTC)
    if versions_in_use is None:
        since = None if history_days is None else now - timedelta(days=history_days)
        named = _named_in_kafka(
            settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap), control_prefix, since
        )
    else:
        told = [one.strip() for one in versions_in_use.split(",") if one.strip()]
        named = {labels.resolve(one): ["--versions-in-use"] for one in told}
    marked = registry_view.named_by(registry_view.marks_in(store, labels))
    named = {one: [*named.get(one, ()), *marked.get(one, ())] for one in {**named, **marked}}
    judged = collect(store, named, rules, now, dry_run=dry_run)
    if as_json:
        terminal.print_json({"dry_run": dry_run, "versions": judged})
    else:
        for shown in registry_view.retention_tables(judged, dry_run=dry_run):
            terminal.out.print(shown)


def _named_in_kafka(
    settings: Settings, prefixes: list[str] | None, since: datetime | None
) -> Named:
    from registry.kafka.versions_in_use import versions_in_use

    named: dict[str, list[str]] = {}
    for prefix in prefixes or [settings.control_prefix or settings.topic_prefix]:
        asked = settings.model_copy(update={"control_prefix": prefix})
        for version, who in versions_in_use(asked, since).items():
            named.setdefault(version, []).extend(who)
    return named


def _mark(version: str, reason: str | None) -> Mark:
    from ops.clients import kafka_client as client
    from registry.versions.labels import Mark

    return Mark(version, client.who(), datetime.now(UTC).isoformat(timespec="seconds"), reason)


def _opened(url: str | None) -> tuple[Store, Labels]:
    """Return the registry without a cache: people want to know what is there."""
    from registry.versions.labels import Labels
    from registry.versions.signing import read_keys
    from registry.versions.store import Store

    settings = settings_with(MODEL_REGISTRY=url)
    keys = read_keys(settings.signing_key.get_secret_value())
    store = Store(settings.model_registry, keys=keys)
    return store, Labels(store)
