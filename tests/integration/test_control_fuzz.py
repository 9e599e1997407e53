"""Control records that are no commands, or none that may be applied: 10,000 change nothing."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from harness.client import Answer, Client
from harness.fresh import publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from registry.settings import Settings
from registry.wire.commands import KINDS
from streams.control.command_agent import MAX_COMMAND_BYTES

Start = Callable[..., Worker]
Drawn = random.Random
RECORDS = 10_000
SEED = 20_260_101
UNDECODABLE = {"malformed", "empty", "too_large", "invalid"}
BAD_WORDS = ("", "v1", "V0.1", "v0.1.2", "../v0.1", "v0.1\x00", "ｖ0.1", "latest", "v-1.0", " v0.1")
WRONG_TYPES: dict[str, tuple[Any, ...]] = {
    "command_id": (None, 7, [], {}, True, "", "x" * 201),
    "type": (None, 7, [], "explode", "SWAP", "swap ", ""),
    "issued_by": (None, 7, {}, "", "x" * 201),
    "environment": (None, 7, [], "", "x" * 201),
    "expected_epoch": ("1", 1.5, [], {}, True, -2),
    "reason": (7, [], "x" * 1001),
    "model_version": (7, [], {}, None, ""),
    "canary_version": (7, [], None, ""),
    "canary_percentage": ("10", [], None, {}, True),
    "bucketing": (7, [], None, "x" * 101),
    "salt": (7, None, "x" * 101),
    "ramp": (7, "fast", [], None, {}, {"steps": [1]}, {"steps": [], "hold_seconds": 1}),
    "environments": ("us", 7, [7], [""], {}, None),
    "step": ("1", 1.5, [], None, -1),
    "findings": ("none", [7], [{}], {}),
    "baseline": (7, [], {}, {"variant": "primary"}),
    "factors": (0, -1, 4097, 2**70, "32"),
    "regularization": (0, -1, "0"),
    "deploy": ("now", 7, None),
}
REFUSED_PLANS: tuple[dict[str, Any], ...] = (
    {"steps": [10, 10]},
    {"steps": [50, 10]},
    {"steps": [1.5]},  # whole percentages only under modulo
    {"steps": [100]},  # there would be no primary to compare with
)
INVALID_PLANS: tuple[dict[str, Any], ...] = (
    {"steps": [0]},
    {"steps": [-1]},
    {"steps": [101]},
    {"steps": [1], "hold_seconds": -1},
    {"steps": [1], "hold_seconds": 1e10},
    {"steps": [1], "min_requests": 0},
    {"steps": [1], "false_alarm": 0},
    {"steps": [1], "false_alarm": 0.9},
    {"steps": [1], "speed": "fast"},
    {"steps": [1], "guardrails": {"error_rate": 2}},
    {"steps": [1], "guardrails": {"latency_ratio": 0.5}},
    {"steps": [1], "guardrails": {"latency_quantile": 1}},
    {"steps": [1], "guardrails": {"errors": 0.1}},
    {"steps": [1], "shadow": {"hold_seconds": 1, "min_overlap": 2}},
    {"steps": list(range(1, 102))},
)


class Bad(NamedTuple):
    """A record that must be refused: with its command's id, or by its offset where it has none.

    ``ours`` is False for those of other environments, of which nothing is to be heard.
    """

    value: bytes | None
    command_id: str | None = None
    ours: bool = True


def a_command(number: int, **fields: Any) -> dict[str, Any]:
    common = {
        "command_id": f"fuzz-{number}",
        "type": "swap",
        "environment": "production",
        "issued_by": "fuzz",
    }
    own = {} if "type" in fields else {"model_version": "v0.2"}
    return common | own | fields


def text(command: dict[str, Any]) -> bytes:
    return json.dumps(command).encode()


def some_bytes(drawn: Drawn, number: int) -> Bad:
    return Bad(
        drawn.choice((b"", b"\x00", b"\xff\xfe", b"{", b'"')) + drawn.randbytes(drawn.randrange(60))
    )


def truncated(drawn: Drawn, number: int) -> Bad:
    whole = text(a_command(number))
    return Bad(whole[: drawn.randrange(len(whole))] or None)


def mistyped(drawn: Drawn, number: int) -> Bad:
    field = drawn.choice(list(WRONG_TYPES))
    kind = next(
        (name for name, struct in KINDS.items() if field in struct.__struct_fields__), "swap"
    )
    return Bad(text(a_command(number, **{"type": kind, field: drawn.choice(WRONG_TYPES[field])})))


def incomplete(drawn: Drawn, number: int) -> Bad:
    command = a_command(number)
    del command[drawn.choice(("command_id", "type", "issued_by"))]
    return Bad(text(command))


def no_object(drawn: Drawn, number: int) -> Bad:
    return Bad(drawn.choice((b"null", b"[]", b"7", b'"swap"', b"true", b"[{}]", b"{}")))


def nested(drawn: Drawn, number: int) -> Bad:
    depth = drawn.choice((2_000, 30_000))
    opened = drawn.choice((b"[", b'{"a":'))
    return Bad(b'{"command_id": "deep", "x": ' + opened * (depth // len(opened)))


def no_number(drawn: Drawn, number: int) -> Bad:
    value = drawn.choice((b"NaN", b"Infinity", b"-Infinity", b"1e999", b"0x10", b"01", b"1_0"))
    command = text(a_command(number, type="rollout", canary_percentage=-7))
    return Bad(command.replace(b"-7", value))


def no_text(drawn: Drawn, number: int) -> Bad:
    odd = drawn.choice((b'"\xff"', b'"\xc3\x28"', b'"\\ud800"', b'"\\x"', b'"\n"'))
    return Bad(text(a_command(number, reason="odd")).replace(b'"odd"', odd))


def huge(drawn: Drawn, number: int) -> Bad:
    return Bad(text(a_command(number, padding="x" * (MAX_COMMAND_BYTES + drawn.randrange(1_000)))))


def elsewhere(drawn: Drawn, number: int) -> Bad:
    environment = drawn.choice(("staging", "Production", "production ", "prod", "*"))
    return Bad(text(a_command(number, environment=environment)), ours=False)


def refused(number: int, **fields: Any) -> Bad:
    command = a_command(number, **fields)
    return Bad(text(command), command["command_id"])


def of_another_epoch(drawn: Drawn, number: int) -> Bad:
    return refused(number, expected_epoch=drawn.choice((-1, 10**6, 2**52, number + 10**5)))


def out_of_table(drawn: Drawn, number: int) -> Bad:
    kind = drawn.choice(("promote", "rollback", "abort", "pause", "resume", "step"))
    return refused(number, type=kind, **({"step": drawn.randrange(9)} if kind == "step" else {}))


def of_another_kind(drawn: Drawn, number: int) -> Bad:
    kind = drawn.choice(("swap", "promote", "rollback", "abort", "pause", "retrain"))
    foreign = drawn.choice(({"canary_version": "v0.2"}, {"step": 1}, {"ramp_id": "deploy"}))
    return Bad(text(a_command(number, type=kind, **foreign)))


def of_no_version(drawn: Drawn, number: int) -> Bad:
    missing = f"v{drawn.randrange(3, 99)}.{drawn.randrange(99)}"
    version = drawn.choice((missing, *BAD_WORDS[1:]))
    if drawn.random() < 0.5:
        return refused(number, model_version=version)
    return refused(number, type="rollout", strategy="canary", canary_version=version)


def out_of_range(drawn: Drawn, number: int) -> Bad:
    fields = drawn.choice(
        (
            {"canary_percentage": drawn.choice((-1, 101, 1e300, 0.5, 12.25))},
            {"canary_percentage": 0.001, "bucketing": "hash"},
            {"strategy": drawn.choice(("blue_green", "", "Canary", "canary"))},
            {"bucketing": drawn.choice(("random", "", "HASH"))},
            {"shadow_sample_percentage": drawn.choice((-1, 100.5, 0.001))},
            {"canary_version": "v0.1"},
            {"environments": ["production"]},
            {},
        )
    )
    return refused(number, type="rollout", unknown={"deep": [1, {}]}, **fields)


def a_ramp(number: int, plan: dict[str, Any]) -> dict[str, Any]:
    ramp = {"hold_seconds": 1} | plan
    return a_command(number, type="rollout", canary_version="v0.2", ramp=ramp)


def of_no_plan(drawn: Drawn, number: int) -> Bad:
    return Bad(text(a_ramp(number, drawn.choice(INVALID_PLANS))))


def of_a_refused_plan(drawn: Drawn, number: int) -> Bad:
    command = a_ramp(number, drawn.choice(REFUSED_PLANS))
    return Bad(text(command), command["command_id"])


RARELY = (huge, nested)
"""These are large: one in a hundred each."""

OFTEN = (
    some_bytes,
    truncated,
    mistyped,
    incomplete,
    no_object,
    no_number,
    no_text,
    of_no_plan,
    of_another_kind,
    elsewhere,
)
DECIDED = (of_another_epoch, out_of_table, of_no_version, out_of_range, of_a_refused_plan)
"""Commands as to their shape, so the rules decide each: two in ten, they are slower."""


def bad_records(seed: int) -> Iterator[Bad]:
    drawn = random.Random(seed)
    number = 0
    while True:
        number += 1
        kinds = drawn.choices((RARELY, OFTEN, DECIDED), (2, 78, 20))[0]
        yield drawn.choice(kinds)(drawn, number)


def test_ten_thousand_fuzzed_control_records_change_nothing_and_each_is_refused_with_a_reason(
    client: Client, topics_created: Settings, start_worker: Start, figure: Callable[[str], None]
) -> None:
    for seed in (0, 1):
        publish_model(topics_created, seed=seed)
    workers = [
        start_worker(topics_created.model_copy(update={"model_version": "v0.1"})) for _ in range(2)
    ]
    for worker in workers:
        worker.wait_ready()
    before = states(workers)
    records = list(islice(bad_records(SEED), RECORDS))
    heard = len(client.trail)
    started = time.monotonic()
    client.produce_all(client.topics.control, [record.value for record in records])
    refusals = sum(record.ours for record in records)
    try:
        wait_until(lambda: len(client.trail) - heard >= refusals, 120, f"{refusals} results")
    finally:
        figure(f"{len(client.trail) - heard} of {refusals} in {time.monotonic() - started:.1f} s")
    swapped = client.command(type="swap", model_version="v0.2")
    assert swapped["status"] == "applied", swapped
    results = client.trail[heard:-1]
    assert len(results) == refusals
    assert {result["status"] for result in results} == {"rejected"}
    assert all(result["error"]["message"] for result in results)
    codes = Counter(result["error"]["code"] for result in results)
    figure(f"by code: {dict(codes)}")
    first = before[0]["epoch"] + 1
    assert [named(result) for result in results] == [
        record.command_id or f"offset {first + place}"
        for place, record in enumerate(records)
        if record.ours
    ]
    undecodable = [
        record.value or None for record in records if record.ours and record.command_id is None
    ]
    assert [letter.value or None for letter in client.letters] == undecodable
    assert swapped["before"] == before[0] == before[1]
    for worker in workers:
        assert worker.process.poll() is None
        assert (
            'control_commands_total{status="failed",type=""} 0.0' in worker.fetch("/metrics").text
        )


def named(result: Answer) -> str:
    """Return what says which record a result is of."""
    offset = result["error"]["message"].split(":")[0]
    return str(result["command_id"]) or offset


def states(workers: Sequence[Worker]) -> list[Any]:
    return [worker.get("/rollout/status")["state"] for worker in workers]
