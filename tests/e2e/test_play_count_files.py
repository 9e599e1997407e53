"""Play counts as Last.fm has them, from a file to a version, by the commands of the how-to page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from harness.fresh import OPEN_GATE, environment_of
from harness.workers import ROOT
from typer.testing import CliRunner

from ops.cli.main import app
from registry.settings import Settings
from registry.versions.store import Store
from registry.wire.codec import encode
from registry.wire.training_records.interactions import Interaction
from tests.unit.training.builders import checkerboard_events, forget, play_counts, watch
from training.judging.comparison_checks import BY_CHANCE

PAGE = (ROOT / "docs" / "how-to" / "bring-your-interactions.md").read_text("utf-8")
SECTION = PAGE.split("\n## Play counts without times, like Last.fm's\n")[1].split("\n## ")[0]
COMMANDS = re.findall(r"^\d\. `recstream ([^`]*)`", SECTION, re.MULTILINE)


def ran(settings: Settings, line: str, *codes: int, **environment: str) -> Any:
    """Run a command as the page has it; return what it prints for machines."""
    given = environment_of(settings) | {"RETRAIN_FACTORS": "16"} | environment
    done = CliRunner().invoke(app, [*line.split(), "--json"], env=given)
    assert done.exit_code in (codes or (0,)), (line, done.output, done.exception)
    return json.loads(done.stdout)


def test_counts_without_times_become_a_version_that_was_judged_by_what_can_be_known(
    topics_created: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = topics_created
    monkeypatch.chdir(tmp_path)
    rows = [f"{play.user_id};{play.item_id};{play.value:.0f};Café" for play in play_counts()]
    plays = "\n".join(["userID;artistID;weight;name", *rows])
    Path("plays.csv").write_bytes(f"{plays}\n".encode("latin-1"))
    ingest, inspect, train = COMMANDS

    sent = ran(settings, f"{ingest} --columns user=userID,item=artistID,value=weight,title=name")
    assert sent["sent"] == len(rows)
    seen = ran(settings, inspect)
    assert {warning["code"] for warning in seen["warnings"]} == {"wide_values", "no_times"}
    (largest,) = [
        warning["found"] for warning in seen["warnings"] if warning["code"] == "wide_values"
    ]
    assert re.search(r"reach 3\d\d,\d{3}", largest), largest

    result = ran(settings, f"{train} --report report.html")["training"]
    assert result["status"] == "published", result["reason"]
    assert {warning["code"] for warning in result["warnings"]} == {"wide_values", "no_times"}
    checks = {check["name"]: check for check in result["gate"]["checks"]}
    assert BY_CHANCE in checks["better_than_popularity"]["seen"]
    assert checks["plausible"]["verdict"] == "pass"
    page = Path("report.html").read_text("utf-8")
    for baseline in ("popularity", "cosine", "bm25"):
        assert baseline in page.lower()
    manifest = Store(settings.model_registry).manifest(result["version"])
    assert manifest.parameters.event_weights["watch"].transform == "log"

    raw = ran(settings, train, 1, RETRAIN_EVENT_WEIGHTS="watch=1:linear")["training"]
    checks = {check["name"]: check for check in raw["gate"]["checks"]}
    assert (raw["status"], checks["plausible"]["verdict"]) == ("refused", "inconclusive")
    for transform in ("sqrt", "bm25", "binary"):
        given = {"RETRAIN_EVENT_WEIGHTS": f"watch=1:{transform}"}
        other = ran(settings, train, 0, 1, **given)["training"]
        assert other["metrics"]["ndcg_at_10"] > raw["metrics"]["ndcg_at_10"], transform
    assert other["status"] == "published", other["reason"]
    used = Store(settings.model_registry).manifest(other["version"]).parameters.event_weights
    assert used["watch"].transform == "binary"

    given = {"RETRAIN_EVENT_WEIGHTS": "watch=1:linear"}
    tuned = ran(settings, "tune --trials 8 --study study.journal", **given)
    assert re.match(r"watch=1:(log|sqrt|binary|bm25)", tuned["settings"]["RETRAIN_EVENT_WEIGHTS"])
    assert tuned["worth"]["transform_of_watch"]["ndcg_at_10"] > 0.1, tuned["worth"]


def test_what_is_unusual_is_warned_of_by_the_run_in_its_result_its_version_and_its_report(
    topics_created: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = topics_created.model_copy(update=OPEN_GATE)
    monkeypatch.chdir(tmp_path)
    bots = [watch(user, number % 9, at=number) for user in (900, 901, 902) for number in range(300)]
    bought = Interaction(user_id=1, item_id=1, event="purchase", timestamp=1.0)
    events = [*checkerboard_events(80), *bots, bought, forget(404, at=1.0)]
    Path("events.jsonl").write_bytes(b"\n".join(encode(event) for event in events))
    weights = "watch=1,purchse=3"
    sent = ran(settings, "ingest events.jsonl", RETRAIN_EVENT_WEIGHTS=weights)
    assert sent["sent"] == len(events)

    result = ran(settings, "train --report report.md", RETRAIN_EVENT_WEIGHTS=weights)["training"]

    assert result["status"] == "published", result["reason"]
    found = {warning["code"]: warning["found"] for warning in result["warnings"]}
    assert found.keys() == {
        "heavy_users",
        "repeats",
        "no_weight",
        "no_events",
        "forget_of_nobody",
    }
    assert found["heavy_users"].startswith("3 users make ")
    assert "names `purchse`, but there are no such events" in found["no_events"]
    assert found["no_weight"] == "event `purchase` has no weight: 1 events ignored"
    assert found["forget_of_nobody"] == "1 `forget` events met no user, so nothing was forgotten"
    report = Store(settings.model_registry).manifest(result["version"]).data_report
    assert report is not None
    assert {warning.code for warning in report.warnings} == found.keys()
    assert {heavy.id for heavy in report.heaviest_users[:3]} == {900, 901, 902}
    page = Path("report.md").read_text("utf-8")
    assert not [what for what in found.values() if what not in page]
