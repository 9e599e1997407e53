"""The release before reads our records, by its own program: ADR 8. Without Kafka."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, get_args

import msgspec

from registry.rollout.command_log import EMPTY_LOG, follow
from registry.wire.commands import CommandType
from registry.wire.instants import write_instant
from registry.wire.training_records.training_messages import TrainingRun
from tests.unit.registry.builders import BEGAN, a_command, a_plan
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

    (wheel,) = (ROOT / "tests/predecessor").glob("*.whl")
    done = subprocess.run(
        [sys.executable, "-P", "-c", READER],
        input=json.dumps(records),
        env=os.environ | {"PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(unread([record for _, record in records], json.loads(done.stdout))) == NEW
