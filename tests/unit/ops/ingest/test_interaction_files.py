import datetime
import gzip
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ops.demo.demo_fleet import MOVIES, RATINGS, RATINGS_COUNT
from ops.ingest.interaction_files import BadLine, read_interactions
from ops.ingest.title_files import read_titles
from registry.errors import ConfigurationError
from registry.wire.training_records.interactions import Interaction

HEADER = "userId,movieId,rating,timestamp\n"


def file_of(tmp_path: Path, name: str, text: str | bytes) -> Path:
    path = tmp_path / name
    payload = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(payload) if name.endswith(".gz") else payload)
    return path


def rating(user: int | str, item: int | str, value: float, at: float) -> Interaction:
    return Interaction(user_id=user, item_id=item, event="rate", value=value, timestamp=at)


@pytest.mark.parametrize("name", ["r.csv", "r.csv.gz", "R.CSV"])
def test_csv_ratings_become_rate_events_with_integer_ids(tmp_path: Path, name: str) -> None:
    path = file_of(tmp_path, name, HEADER + "1,31,2.5,1260759144\r\n2,anna,4,7\n")
    assert list(read_interactions(path)) == [
        rating(1, 31, 2.5, 1260759144.0),
        rating(2, "anna", 4.0, 7.0),
    ]


def test_csv_columns_go_by_the_header_not_by_their_place(tmp_path: Path) -> None:
    path = file_of(tmp_path, "r.csv", "\ufefftimestamp,rating,extra,userId,movieId\n9,4,x,1,2\n")
    assert list(read_interactions(path)) == [rating(1, 2, 4.0, 9.0)]


def test_a_csv_of_records_has_their_fields_in_any_order_and_an_empty_cell_is_none(
    tmp_path: Path,
) -> None:
    lines = (
        "event,user_id,item_id,value,timestamp,title,shop\n"
        'watch,5,sku-1,,7,"Tea, green",eu\n'
        "rate,anna,31,4.5,,,eu\n"
        "forget,042,,,,,eu\n"
    )
    assert list(read_interactions(file_of(tmp_path, "e.csv", lines))) == [
        Interaction(user_id=5, item_id="sku-1", event="watch", timestamp=7.0, title="Tea, green"),
        Interaction(user_id="anna", item_id=31, event="rate", value=4.5),
        Interaction(user_id="042", event="forget"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",31,watch,7", "user_id"),
        ("1,,watch,7", "a watch needs an `item_id`"),
        ("1,31,a nap,7", "$.event"),
        ("1,31,watch,monday", "timestamp 'monday': must be a number"),
        ("1,31", "too few columns"),
    ],
)
def test_a_bad_line_of_a_csv_of_records_says_why(tmp_path: Path, line: str, reason: str) -> None:
    head = "user_id,item_id,event,timestamp\n"
    (bad,) = read_interactions(file_of(tmp_path, "e.csv", f"{head}{line}\n"))
    assert isinstance(bad, BadLine)
    assert reason in bad.reason


def test_dat_ratings_are_read_without_a_header(tmp_path: Path) -> None:
    path = file_of(tmp_path, "ratings.dat", "1::1193::5::978300760\n")
    assert list(read_interactions(path)) == [rating(1, 1193, 5.0, 978300760.0)]


def test_json_lines_are_interaction_records_and_unknown_fields_are_ignored(tmp_path: Path) -> None:
    line = '{"user_id": "1", "item_id": 2, "event": "watch", "new": true}\n'
    path = file_of(tmp_path, "e.jsonl.gz", line)
    assert list(read_interactions(path)) == [Interaction(user_id="1", item_id=2, event="watch")]


def table_of(tmp_path: Path, **columns: Any) -> Path:
    path = tmp_path / "events.parquet"
    pq.write_table(pa.Table.from_pydict(columns), path)
    return path


def test_a_parquet_table_of_records_keeps_the_ids_types_and_leaves_nulls_out(
    tmp_path: Path,
) -> None:
    path = table_of(
        tmp_path,
        user_id=["1", "anna"],
        item_id=[2, None],
        event=["watch", "forget"],
        value=[None, None],
        timestamp=[7, None],
        more=[True, False],
    )
    assert list(read_interactions(path)) == [
        Interaction(user_id="1", item_id=2, event="watch", timestamp=7.0),
        Interaction(user_id="anna", event="forget"),
    ]


def test_a_parquet_table_of_ratings_is_read_by_the_names_of_the_csv(tmp_path: Path) -> None:
    moment = datetime.datetime(1970, 1, 1, 0, 1)
    path = table_of(tmp_path, rating=[4.5], movieId=[2], userId=[1], timestamp=[moment])
    assert list(read_interactions(path, {2: "Jumanji"})) == [
        Interaction(user_id=1, item_id=2, event="rate", value=4.5, timestamp=60.0, title="Jumanji")
    ]


def test_a_bad_row_of_a_parquet_table_comes_out_with_its_number(tmp_path: Path) -> None:
    path = table_of(
        tmp_path,
        user_id=[1, 2, 3, None],
        item_id=[1, None, 3, 4],
        event=["watch", "watch", "rate", "watch"],
        value=[None, None, float("nan"), None],
    )
    good, *bad = read_interactions(path)
    assert good == Interaction(user_id=1, item_id=1, event="watch")
    assert [line.number for line in bad if isinstance(line, BadLine)] == [2, 3, 4]


def test_a_parquet_table_without_the_columns_is_refused_and_says_what_it_has(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match=r"the columns are user_id: which .* item"):
        list(read_interactions(table_of(tmp_path, user_id=[1])))


def test_a_parquet_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not readable"):
        list(read_interactions(file_of(tmp_path, "e.parquet", "no table")))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,2,good,3", "rating 'good'"),
        ("1,2,nan,3", "rating 'nan'"),
        ("1,2,4,inf", "timestamp 'inf'"),
        ("1,2,4", "too few columns"),
        (",2,4,3", "must not be empty"),
    ],
)
def test_a_bad_csv_line_comes_out_with_its_number_and_the_rest_goes_on(
    tmp_path: Path, line: str, reason: str
) -> None:
    path = file_of(tmp_path, "r.csv", f"{HEADER}\n{line}\n1,2,4,3\n")
    bad, good = read_interactions(path)
    assert isinstance(bad, BadLine)
    assert (bad.number, reason in bad.reason) == (3, True)
    assert good == rating(1, 2, 4.0, 3.0)


def test_a_line_of_other_bytes_within_utf8_is_a_bad_line(tmp_path: Path) -> None:
    lines = HEADER.encode() + "zoë,2,4,3\n".encode() + b"\xff,2,4,3\n"
    good, bad = read_interactions(file_of(tmp_path, "r.csv", lines))
    assert good == rating("zoë", 2, 4.0, 3.0)
    assert isinstance(bad, BadLine)
    assert "not UTF-8" in bad.reason


def test_a_bad_json_line_names_the_field(tmp_path: Path) -> None:
    path = file_of(tmp_path, "e.jsonl", '{"user_id": 1, "item_id": 2, "event": "a nap"}\n[\n')
    first, second = read_interactions(path)
    assert isinstance(first, BadLine)
    assert "$.event" in first.reason
    assert second == BadLine(2, second.reason if isinstance(second, BadLine) else "")


def test_a_title_goes_with_the_first_interaction_of_its_item_only(tmp_path: Path) -> None:
    path = file_of(tmp_path, "r.csv", HEADER + "1,2,4,3\n5,2,4,3\n")
    titles = [
        interaction.title
        for interaction in read_interactions(path, {2: "Jumanji"})
        if isinstance(interaction, Interaction)
    ]
    assert titles == ["Jumanji", None]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("r.txt", "", "empty"),
        (
            "r.csv",
            "1,31,2.5,1260759144\n",
            "without a header; the delimiter and the col",
        ),
        ("r.csv", "who,what\n1,2\n", "which one is the user and the item"),
        ("r.csv", "user_id,item_id\n1,2\n", "the delimiter and the columns would be guessed"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_what_is_needed(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        list(read_interactions(file_of(tmp_path, name, text)))


def test_a_file_named_gz_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.csv.gz"
    path.write_text(HEADER)
    with pytest.raises(ConfigurationError, match="not readable"):
        list(read_interactions(path))


def test_the_shipped_ratings_are_whole_and_every_movie_has_a_title() -> None:
    """Counted as lines: to read all of them takes as long as hundreds of tests."""
    titles = read_titles(MOVIES)
    head, *ratings = gzip.decompress(RATINGS.read_bytes()).decode("ascii").split()
    assert (head, len(ratings)) == (HEADER.strip(), RATINGS_COUNT)
    assert {int(line.split(",", 2)[1]) for line in ratings} <= set(titles)
    for interaction in islice(read_interactions(RATINGS, titles), 1_000):
        assert isinstance(interaction, Interaction)
        assert interaction.item_id in titles


def test_the_licence_of_the_shipped_ratings_lies_beside_them() -> None:
    assert "Usage License" in (RATINGS.parent / "README.txt").read_text("utf-8")
