"""A run: lock → snapshot → fit → evaluate → fit → gate → publish.

Knows the order of the stages and how a run ends; must not know how a stage does its work. A run
that does not publish leaves the registry unchanged: publication comes last, and the store makes a
version visible in one step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeAlias

from msgspec import structs

from registry.error_codes import TrainingCode
from registry.errors import DamagedVersion, RecstreamError
from registry.kafka.item_records import ItemRecords, read_item_records
from registry.settings import Settings
from registry.versions.manifest import Description, Parameters, content_digest
from registry.versions.store import Store, store_of
from registry.wire.training_records.data_report import DataReport
from registry.wire.training_records.gate_results import DataSnapshot, ItemsRead
from registry.wire.training_records.training_messages import TrainingResult
from training.catalogue.version_items import ITEMS_FILE, VersionItems, encode_items, items_of
from training.data.data_warnings import warned
from training.data.item_order import by_falling_norm
from training.data.snapshot import Snapshot, read_snapshot
from training.fitting.als import Fit, one_blas_thread
from training.fitting.backends import fit_of, warming_of
from training.judging.findings import Learned
from training.judging.gate import refusal
from training.judging.incumbent import Incumbent
from training.report.report_pages import About, report_pages
from training.runs.learn import learn
from training.runs.memory_limit import peak_memory_bytes
from training.runs.progress import Journal, Report
from training.runs.provenance import code_sha, provenance_of
from training.runs.regularization_choice import choose_regularization, settle
from training.runs.run_rules import rules_of
from training.runs.training_lock import training_lock
from training.runs.version_arrays import arrays_of

Keep: TypeAlias = Callable[[Mapping[str, bytes]], None]

logger = logging.getLogger(__name__)


def train(
    settings: Settings,
    parameters: Parameters,
    *,
    run_id: str,
    incumbent: str | None,
    report: Report,
    created_by: str,
    fit: Fit | None = None,
    keep: Keep = lambda _: None,
) -> TrainingResult:
    """Learn one version from what is on the interaction topic now, and publish it if it is good.

    Parameters
    ----------
    settings
        Broker, topics, registry and the gate's limits.
    parameters
        Of the fit, and the mapping of events to weights; a transform that is ``auto``, and what is
        `BY_SIZE`, is settled by the snapshot.
    run_id
        Goes into every line of progress and into the result.
    incumbent
        The version that is served now; None if there is none.
    report
        Receives the progress. What it raises ends the run.
    created_by
        Who asked for the run; goes into the manifest.
    fit
        What makes all factors, each from random ones; None for what ``TRAIN_BACKEND`` names.
    keep
        Receives the report's files by name, of a refused run too; once more, with the version in
        their titles, when it is published. Those are stored with it.

    Returns
    -------
    `published`, or `refused` with the checks that did not pass, or `failed` with the code and
    message of the error; the latter two leave the registry as it was.
    """
    journal = Journal(run_id, report)
    try:
        return _train(settings, parameters, incumbent, created_by, fit, journal, keep)
    except RecstreamError as error:
        return TrainingResult(
            run_id,
            "failed",
            code=error.code,
            reason=str(error),
            stage_seconds=dict(journal.stage_seconds),
        )


def _train(
    settings: Settings,
    parameters: Parameters,
    incumbent: str | None,
    created_by: str,
    fit: Fit | None,
    journal: Journal,
    keep: Keep,
) -> TrainingResult:
    store = store_of(settings)
    served = _served(store, incumbent) if incumbent else None
    with ExitStack() as held:
        held.enter_context(one_blas_thread())
        with journal.stage("lock"):
            store.require_publishable()  # not after the fit
            lock = held.enter_context(training_lock(settings))
        journal.check_each_step(lock.require)
        with journal.stage("snapshot"):
            asked = parameters.weights
            records = read_item_records(settings)
            snapshot = read_snapshot(settings, journal.advance, asked)
            settled = settle(parameters, snapshot.cells)
            items = items_of(settled.cells, records.get)
            settled = settled._replace(cells=items.entitle(settled.cells))
            snapshot = replace(snapshot, described=_with_items(snapshot.described, records, items))
            data = warned(snapshot.report, asked, settled.parameters.weights)
            if items.mistyped:
                data = structs.replace(data, warnings=(*data.warnings, _mistyped(items)))
            journal.advance(1, 1, _summary(snapshot))
        if records.absent is not None:
            logger.info(
                "training run %s: titles of interactions only: %s", journal.run_id, records.absent
            )
        for warning in data.warnings:
            logger.warning("training run %s: %s", journal.run_id, warning)
        rules = rules_of(settings, snapshot.report)
        cells = settled.cells
        parameters = choose_regularization(parameters, settled, rules, journal)
        learned = learn(
            cells,
            parameters,
            served,
            rules,
            fit or fit_of(settings),
            journal,
            None if fit else warming_of(settings),
            data,
        )
        if learned.start is not None:
            logger.info("training run %s: the fit started %s", journal.run_id, learned.start)
        description = _description(
            settings, parameters, created_by, snapshot, data, learned, journal.stage_seconds
        )
        pages = report_pages(_about(journal.run_id, incumbent, description), learned, cells)
        keep({name: page(None) for name, page in pages.items()})
        ended = TrainingResult(
            journal.run_id,
            "refused",
            code=TrainingCode.GATE,
            reason=refusal(learned.gate),
            gate=learned.gate,
            metrics=learned.metrics,
            snapshot=snapshot.described,
            stage_seconds=dict(journal.stage_seconds),
            warnings=data.warnings,
        )
        if learned.factors is None or not learned.gate.passed:
            return ended
        with journal.stage("publish"):
            ordered = by_falling_norm(cells, learned.factors)
            arrays = arrays_of(*ordered, parameters, items)
            lock.confirm()
            read = {ITEMS_FILE: lambda _version: encode_items(items)} if items.records else {}
            version = store.publish(arrays, description, {**pages, **read}).version
        keep({name: page(version) for name, page in pages.items()})
        return structs.replace(
            ended,
            status="published",
            version=version,
            code=None,
            reason=None,
            stage_seconds=dict(journal.stage_seconds),
        )


def _mistyped(items: VersionItems) -> str:
    return (
        f"{items.mistyped:,} items are on the items topic under the other JSON type only (42 for "
        '"42"): their titles and labels are not used'
    )


def _with_items(described: DataSnapshot, records: ItemRecords, items: VersionItems) -> DataSnapshot:
    """Return the snapshot with what was read of the items topic, if there is one."""
    if records.absent is not None:
        return described
    read = ItemsRead(
        records.topic,
        records.end,
        len(items.records),
        items.titled,
        items.labelled,
        items.mistyped,
        dict(sorted(records.refused.items())),
    )
    return structs.replace(described, catalogue=read)


def _description(
    settings: Settings,
    parameters: Parameters,
    created_by: str,
    snapshot: Snapshot,
    data: DataReport,
    learned: Learned,
    stage_seconds: Mapping[str, float],
) -> Description:
    made = structs.replace(
        provenance_of(settings),
        durations=dict(stage_seconds),
        peak_memory_bytes=peak_memory_bytes(),
        start=learned.start,
    )
    return Description(
        model_name=settings.model_name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        created_by=created_by,
        git_sha=code_sha(settings),
        image_digest=settings.image_digest,
        data_snapshot=snapshot.described,
        parameters=parameters,
        metrics=learned.metrics,
        gate=learned.gate,
        intervals=dict(learned.quality.intervals) if learned.quality else {},
        data_report=data,
        provenance=made,
    )


def _about(run_id: str, incumbent: str | None, description: Description) -> About:
    return About(
        run_id=run_id,
        created_at=description.created_at,
        created_by=description.created_by,
        model_name=description.model_name,
        git_sha=description.git_sha,
        incumbent=incumbent,
        snapshot=description.data_snapshot,
        parameters=description.parameters,
        data=description.data_report,
    )


def _served(store: Store, version: str) -> Incumbent:
    """Return the incumbent; one whose files are damaged must not keep its cure from being made."""
    manifest = store.manifest(version)
    incumbent = Incumbent(
        version, manifest.parameters, backend=manifest.backend, digest=content_digest(manifest)
    )
    try:
        return replace(incumbent, arrays=store.open(version).arrays)
    except DamagedVersion as error:
        return replace(incumbent, complaint=str(error))


def _summary(snapshot: Snapshot) -> str:
    described = snapshot.described
    size = (
        f"{described.interactions} interactions of {described.users} users "
        f"with {described.items} items; {snapshot.fresh} of {snapshot.records} records read from "
        f"Kafka, the others from the registry"
    )
    read = described.catalogue
    known = f"{read.records} of these items are on {read.topic}" if read and read.records else ""
    return "; ".join(filter(None, (size, described.unusable_words, known)))
