"""``registry``: model versions, looked at.

Knows options and what is shown. Must not know how a version is learned or stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ops.arguments import AsJson, Registry, settings_with
from registry.errors import ArtifactError, ConfigurationError

if TYPE_CHECKING:
    from registry.store import Store

registry = typer.Typer(no_args_is_help=True, help="The model versions: list, show, verify.")


@registry.command(name="list")
def list_versions(as_json: AsJson = False, registry: Registry = None) -> None:
    """List the versions, oldest first, with where they come from and how good they were."""
    from ops import terminal

    store = _store(registry)
    manifests = [store.manifest(version) for version in store.versions()]
    if as_json:
        terminal.print_json({"latest": store.latest(), "versions": manifests})
        return
    if not manifests:
        terminal.out.print(f"no versions in {store.root}; `recstream train` makes the first")
        return
    rows = [
        (
            one.version,
            one.created_at,
            one.created_by,
            f"{one.data_snapshot.interactions:,}",
            one.parameters.factors,
            ", ".join(f"{name} {value:.3g}" for name, value in one.metrics.items()),
        )
        for one in manifests
    ]
    columns = ("version", "created", "by", "interactions #", "factors #", "metrics")
    terminal.out.print(terminal.grid(columns, rows))


@registry.command()
def show(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Like v0.4, or `latest`.")],
    as_json: AsJson = False,
    registry: Registry = None,
) -> None:
    """Show one version: provenance, parameters, metrics, gate and files."""
    from ops import terminal

    store = _store(registry)
    manifest = store.manifest(_named(store, version))
    if as_json:
        terminal.print_json(manifest)
        return
    for table in terminal.manifest_tables(manifest):
        terminal.out.print(table)


@registry.command()
def verify(
    versions: Annotated[
        list[str] | None, typer.Argument(metavar="[VERSION]...", help="Default: all of them.")
    ] = None,
    as_json: AsJson = False,
    registry: Registry = None,
) -> None:
    """Compare every file with its checksum, and look into the arrays; exit code 1 if wrong."""
    from ops import terminal

    store = _store(registry)
    problems: dict[str, str | None] = {}
    for version in [_named(store, one) for one in versions or []] or store.versions():
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


def _store(url: str | None) -> Store:
    from registry.store import Store

    return Store(settings_with(MODEL_REGISTRY=url).model_registry)


def _named(store: Store, version: str) -> str:
    if version != "latest":
        return version
    latest = store.latest()
    if latest is None:
        raise ConfigurationError(f"latest: {store.root} holds no version yet")
    return latest
