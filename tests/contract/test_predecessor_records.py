"""The release before reads our records, by its own program: ADR 8. Without Kafka."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec

from registry.catalogue.item_labels import labelled
from registry.rollout.command_log import EMPTY_LOG, follow
from registry.versions.store import Store
from registry.wire.commands import CommandType
from registry.wire.instants import write_instant
from registry.wire.training_records.gate_results import ItemsRead
from registry.wire.training_records.training_messages import TrainingRun
from tests.unit.registry.builders import BEGAN, a_command, a_description, a_plan, some_arrays
from tests.unit.test_layout import ROOT

READER = """
import json, msgspec, sys
from registry.control import ControlLog
from registry.records import Command, TrainingRun
kinds = {"command": Command, "log": ControlLog, "run": TrainingRun}
assert ".whl" in sys.modules["registry.records"].__file__
ours = json.load(sys.stdin)
read = [msgspec.convert(record, kinds[kind], str_keys=True) for kind, record in ours]
print(json.dumps(msgspec.to_builtins(read, str_keys=True)))
"""
"""Prints what the release before makes of our records."""


NEW = {"origin", "ramp_id", "repeats", "topic_id"}
"""Fields that the release before does not know."""


def unread(ours: Any, theirs: Any) -> Iterator[str]:
    """Yield the fields of `ours` that are not in `theirs`; what is in both must be the same."""
    if isinstance(ours, dict):
        yield from ours.keys() - theirs.keys()
        for name in ours.keys() & theirs.keys():
            yield from unread(ours[name], theirs[name])
    elif isinstance(ours, list):
        for mine, other in zip(ours, theirs, strict=True):
            yield from unread(mine, other)
    else:
        assert ours == theirs


def test_the_release_before_reads_commands_logs_and_runs_of_this_one() -> None:
    ramp = a_command(
        "rollout", canary_version="v0.2", ramp=a_plan(), ramp_id="deploy", origin="ramp"
    )
    commands = [
        a_command(kind, origin="ramp", **({"step": 1} if kind == "step" else {}))
        for kind in get_args(CommandType)
        if kind != "begin_era"  # newer than the release before
    ]
    log = EMPTY_LOG
    for offset, command in enumerate((a_command("swap", model_version="v0.1"), ramp)):
        log = follow(
            log,
            msgspec.structs.replace(command, command_id=f"c{offset}"),
            offset=offset,
            at=BEGAN,
            problems={},
        ).log
    run = TrainingRun("x-again", "w1", "timer@w1", BEGAN, BEGAN, origin="timer", repeats="x")
    ours = [*(("command", command) for command in (*commands, ramp)), ("log", log), ("run", run)]
    records = json.loads(msgspec.json.encode(ours, enc_hook=write_instant))

    theirs = json.loads(_by_predecessor(READER, given=json.dumps(records)))
    assert set(unread([record for _, record in records], theirs)) == NEW


def _by_predecessor(program: str, *arguments: str, given: str = "") -> str:
    """Run a program by the release before; return what it prints."""
    (wheel,) = (ROOT / "tests/predecessor").glob("*.whl")
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *arguments],
        input=given,
        env=os.environ | {"PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


OPEN_LABELLED = """
import sys
from pathlib import Path
import registry.store
assert ".whl" in registry.store.__file__
store = registry.store.Store(Path(sys.argv[1]))
store.verify("v0.1")
print(store.open("v0.1").version)
"""


def test_the_release_before_serves_a_version_with_labels(tmp_path: Path) -> None:
    arrays = dataclasses.replace(some_arrays(), labels=labelled([{"genre": ["Drama"]}, *[{}] * 6]))
    read = ItemsRead("reco.items", end=3, records=1, titled=1, labelled=1)
    snapshot = msgspec.structs.replace(a_description().data_snapshot, catalogue=read)
    description = a_description(data_snapshot=snapshot)
    Store(str(tmp_path)).publish(arrays, description, {"items.jsonl.gz": lambda _: b"records"})
    assert _by_predecessor(OPEN_LABELLED, str(tmp_path)).strip() == "v0.1"
