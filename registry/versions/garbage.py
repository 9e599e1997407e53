"""Retention: which versions may be removed, and the two steps of the removal.

Knows the rules and the order of removal. Must not know where uses are recorded: they are given. A
version is removed in two steps, so that no reader is disturbed and a mistake can be undone:

1. it is hidden: its manifest moves away, so new readers do not find it, while readers that have
  begun still find all files;
2. a later run, `grace` after, removes its files. If the version is named again by then, it is
  restored instead.

Leftover files of killed publishers, which never were a version, are removed after `grace` as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from msgspec import Struct

from registry.errors import ConfigurationError, DamagedVersion
from registry.ids import VersionName
from registry.storage.objects import MissingObject
from registry.versions.published_versions import MANIFEST, REMOVED
from registry.versions.store import Store

Named: TypeAlias = Mapping[str, Sequence[str]]
"""Who names a version, in words, by version."""

Fate: TypeAlias = Literal["kept", "hidden", "hiding", "restored", "removed"]


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """What is kept.

    Parameters
    ----------
    keep
        So many of the newest versions, at least 1.
    grace
        How old a version must be to be hidden, and how long it is hidden before its files go.
    """

    keep: int
    grace: timedelta

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise ConfigurationError(f"keep {self.keep}: must be at least 1")
        if self.grace < timedelta(0):
            raise ConfigurationError(f"grace {self.grace}: must not be negative")


@dataclass(frozen=True, slots=True)
class Held:
    """One version folder: when its manifest was written, or, without one, its youngest object."""

    version: str
    published: bool
    written_at: datetime


class VersionFate(Struct, frozen=True):
    """What becomes of one version, and why."""

    version: str
    fate: Fate
    why: str


def judge(
    held: Iterable[Held], named: Named, rules: RetentionRules, now: datetime
) -> list[VersionFate]:
    """Say what becomes of each version folder, oldest first. Pure.

    Parameters
    ----------
    held
        All version folders.
    named
        What may not go, by version.
    rules
        What else may not.
    now
        The time, of the clock that ``written_at`` is of.
    """
    ordered = sorted(held, key=lambda folder: VersionName.parse(folder.version))
    newest = {
        folder.version
        for folder in [folder for folder in ordered if folder.published][-rules.keep :]
    }
    return [
        _judged(folder, named.get(folder.version, ()), folder.version in newest, rules, now)
        for folder in ordered
    ]


def _judged(
    folder: Held, names: Sequence[str], is_new: bool, rules: RetentionRules, now: datetime
) -> VersionFate:
    young = now - folder.written_at < rules.grace
    fates: list[tuple[bool, Fate, str]]  # the first that holds
    if folder.published:
        fates = [
            (bool(names), "kept", _listed(names)),
            (is_new, "kept", f"among the newest {rules.keep}"),
            (young, "kept", f"younger than {rules.grace}"),
            (True, "hiding", "nobody names it"),
        ]
    else:
        fates = [
            (bool(names), "restored", _listed(names)),
            (young, "hidden", f"its files are removed after {rules.grace}"),
            (True, "removed", f"hidden, or never published, for {rules.grace}"),
        ]
    return next(VersionFate(folder.version, fate, why) for holds, fate, why in fates if holds)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def collect(
    store: Store, named: Named, rules: RetentionRules, now: datetime, *, dry_run: bool
) -> list[VersionFate]:
    """Do what :func:`judge` says, unless `dry_run`; return what it says.

    Raises
    ------
    ArtifactError
        If the registry cannot be read or written. What was done until then is as it should be,
        and the next run does the rest.
    """
    judged = judge(_held(store), named, rules, now)
    if dry_run:
        return judged
    done = [_done(store, folder) for folder in judged]
    store.objects.discard_parts(now - rules.grace)
    return done


def _done(store: Store, judged: VersionFate) -> VersionFate:
    if judged.fate == "hiding":
        store.hide(judged.version)
    elif judged.fate == "removed":
        store.delete_files(judged.version)
    elif judged.fate == "restored":
        try:
            store.restore(judged.version)
        except (MissingObject, DamagedVersion) as error:
            return VersionFate(
                judged.version, "hidden", f"{judged.why}; cannot be restored: {error}"
            )
    return judged


def _held(store: Store) -> list[Held]:
    listed = {
        version: {folder.path: folder.modified_at for folder in store.objects.found(version)}
        for version in store.folders()
    }
    # only now: whoever hides a version meanwhile writes this first, and then takes its manifest
    hidden_at = {folder.path: folder.modified_at for folder in store.objects.found(REMOVED)}
    held = []
    for version, written in listed.items():
        if MANIFEST in written:
            held.append(Held(version, True, written[MANIFEST]))
        elif written:
            written |= {path: at for path, at in hidden_at.items() if path == f"{version}.json"}
            held.append(Held(version, False, max(written.values())))
    return held
