"""Files of others into a real topic: what the how-to page shows, and who must confirm a guess."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.fresh import publish_model
from harness.workers import Worker

from registry.kafka.topic_reader import messages, reading
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import decode
from registry.wire.training_records.interactions import Interaction
from tests.e2e.test_cli import ROOT, document, environment, recstream

PAGE = (ROOT / "docs" / "how-to" / "bring-your-interactions.md").read_text("utf-8")
(PLAYS,) = re.findall(r"^```tsv\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
(SESSION,) = re.findall(r"^```console\n\$ recstream (.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def interactions(settings: Settings) -> list[Interaction]:
    topic = topics_of(settings).interactions
    with reading(settings, topic, last=100) as consumer:
        found = messages(consumer, 20, to_end=True)
        return [decode(Interaction, message.value()) for message in found]


def test_the_walk_through_of_a_table_by_tabs_is_so(
    topics_created: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "plays.tsv"
    path.write_text(PLAYS)
    line, *shown = SESSION.splitlines()
    ran = recstream(topics_created, *line.replace("plays.tsv", str(path)).split())
    printed = ran.stderr + re.sub(r" in .*?;", ";", ran.stdout)
    seen = [" ".join(row.split()) for row in printed.splitlines() if set(row) - set(" ─")]
    assert [row for row in seen if "interactions  " not in row][-len(shown) :] == [
        " ".join(row.split()) for row in shown
    ]
    assert sorted(interactions(topics_created), key=repr) == [
        Interaction(user_id=2, item_id=51, event="watch", value=13883.0),
        Interaction(user_id=2, item_id=52, event="watch", value=11690.0),
        Interaction(user_id=3, item_id=51, event="watch", value=228.0),
    ]
    assert document(topics_created, *line.replace("plays.tsv", str(path)).split())["sent"] == 0


def test_ids_of_two_types_and_a_forget_that_meets_nobody_are_reported(
    topics_created: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"user_id": "42", "item_id": 1, "event": "watch"}\n'
        '{"user_id": 42, "item_id": "2", "event": "watch"}\n'
        '{"user_id": "7", "item_id": 1, "event": "watch"}\n'
        '{"user_id": 7, "event": "forget"}\n'
    )
    assert document(topics_created, "ingest", path)["sent"] == 4
    ran = recstream(topics_created, "registry", "ids", "--json")
    found = {
        (fault["kind"], fault["of"], fault["id"]) for fault in json.loads(ran.stdout)["faults"]
    }
    assert ran.returncode == 1
    assert found == {
        ("two_types", "user", "42"),
        ("changes_type", "user", "7"),
        ("changes_type", "item", "2"),
        ("forgets_nobody", "user", 7),
    }


def test_movielens_in_latin_1_and_several_files_go_in_whole(
    topics_created: Settings, tmp_path: Path
) -> None:
    for number in (1, 2):
        lines = f"{number}::73::5::978300760\n{number}::4::3::978300761\n"
        (tmp_path / f"ratings{number}.dat").write_text(lines)
    movies = tmp_path / "movies.dat"
    titles = "73::Misérables, Les (1995)::Drama\n4::Léon::The Professional::Crime\n"
    movies.write_bytes(titles.encode("latin-1"))
    ran = recstream(topics_created, "ingest", tmp_path / "ratings*.dat", "--titles", movies)
    assert ran.returncode == 0, ran.stderr
    assert "read as Latin-1" in ran.stderr
    assert "4 interactions sent" in ran.stdout
    found = interactions(topics_created)
    assert {item.item_id: item.title for item in found} == {
        73: "Misérables, Les (1995)",
        4: "Léon::The Professional",
    }
    again = document(topics_created, "ingest", tmp_path / "ratings*.dat", "--titles", movies)
    assert (again["sent"], again["sent_before"]) == (0, 4)


HEADER = "user_id,item_id,event,value\n"


def test_packed_files_and_odd_line_ends_go_in_as_they_are_meant(
    topics_created: Settings, tmp_path: Path
) -> None:
    """A user by each file."""
    rows = [f"{HEADER}{user},7,watch,\n".encode() for user in range(9)]
    (tmp_path / "1.csv.gz").write_bytes(gzip.compress(rows[1]))
    (tmp_path / "2.csv.bz2").write_bytes(bz2.compress(rows[2]))
    (tmp_path / "3.csv.zst").write_bytes(pa.Codec("zstd").compress(rows[3], asbytes=True))
    (tmp_path / "4.csv").write_bytes(b"\xef\xbb\xbf" + rows[4])
    (tmp_path / "5.csv").write_bytes(rows[5].replace(b"\n", b"\r"))
    (tmp_path / "6.jsonl").write_bytes(
        b'\xef\xbb\xbf{"user_id": 6, "item_id": 7, "event": "watch"}\n'
    )
    for user, width in ((7, pa.int8()), (8, pa.uint32())):
        columns = {"user_id": pa.array([user], width), "item_id": pa.array([7], width)}
        table = pa.table(columns | {"event": ["watch"]})
        pq.write_table(table, tmp_path / f"{user}.parquet")
    (tmp_path / "u.data").write_text("9\t7\t3\t881250949\n")
    (tmp_path / "u.item").write_bytes("7|Misérables, Les (1995)|x|y\n".encode("latin-1"))
    wide = tmp_path / "wide.csv"
    wide.write_bytes(rows[0].decode().encode("utf-16"))
    refused = recstream(topics_created, "ingest", tmp_path / "*.csv")
    assert refused.returncode == 2
    assert "wide.csv: UTF-16, expected UTF-8: use --encoding utf-16" in refused.stderr
    assert interactions(topics_created) == []

    wide.rename(tmp_path / "wide.txt")
    files = [tmp_path / name for name in ("*.csv*", "*.jsonl", "*.parquet", "u.data")]
    sent = document(topics_created, "ingest", *files, "--titles", tmp_path / "u.item")
    assert (sent["sent"], sent["bad_lines"]) == (9, 0)
    found = {event.user_id: event for event in interactions(topics_created)}
    assert found.keys() == set(range(1, 10))
    assert {event.item_id for event in found.values()} == {7}
    assert {event.title for event in found.values() if event.title} == {"Misérables, Les (1995)"}
    assert (found[9].event, found[9].value, found[9].timestamp) == ("rate", 3.0, 881250949)
    assert (
        document(topics_created, "ingest", tmp_path / "wide.txt", "--encoding", "utf-16", "--yes")[
            "sent"
        ]
        == 1
    )


def test_a_guess_sends_nothing_where_nobody_can_confirm_it(
    topics_created: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "plays.dat"
    path.write_text(PLAYS)
    refused = recstream(topics_created, "ingest", path)
    assert refused.returncode == 2
    assert "tabs, expected `::`" in refused.stderr
    assert "--yes" in refused.stderr
    assert document(topics_created, "ingest", path, "--yes")["sent"] == 3


@pytest.mark.parametrize(("answer", "sent"), [("y\n", 3), ("n\n", 0)])
def test_a_terminal_is_asked(
    topics_created: Settings, tmp_path: Path, answer: str, sent: int
) -> None:
    path = tmp_path / "plays.dat"
    path.write_text(PLAYS)
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    ran = subprocess.run(
        [sys.executable, "-m", "ops.cli.main", "ingest", str(path)],
        env=environment(topics_created),
        cwd=ROOT,
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert "Is this right?" in ran.stderr
    assert ran.returncode == (0 if sent else 1)
    assert len(interactions(topics_created)) == sent


def test_a_worker_says_that_it_knows_the_id_with_the_other_type(
    topics_created: Settings, start_worker: Callable[..., Worker]
) -> None:
    publish_model(topics_created)
    start_worker(topics_created.model_copy(update={"model_version": "v0.1"})).wait_ready()
    assert document(topics_created, "request", 3.0)["source"] == "model"
    shown = recstream(topics_created, "request", "3", "--string-id").stdout
    assert "user_id_of_other_type: v0.1 knows 3, you asked for" in " ".join(shown.split())
