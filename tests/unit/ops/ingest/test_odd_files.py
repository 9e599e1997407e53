"""Files as people have them: read rightly, or refused with the cause. Nothing in between."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.cells import each_cell

from ops.ingest.column_roles import INTERACTION_ROLES, roles_named
from ops.ingest.file_check import check_file, warn_of_kinds
from ops.ingest.file_layout import NO_TIME, Layout, layout_of
from ops.ingest.file_tables import FileOptions
from ops.ingest.interaction_files import BadLine, read_interactions
from ops.ingest.interaction_rows import WHOLE_FLOATS
from ops.ingest.source_files import local_files
from ops.ingest.text_encoding import encoding_of
from ops.ingest.title_files import read_titles
from registry.errors import ConfigurationError
from registry.settings import read_settings
from registry.wire.training_records.interactions import Interaction

HEADER = "userId,movieId,rating,timestamp\n"
PLAYS = "userID\tartistID\tweight\n2\t51\t13883\n2\t52\t11690\n3\t51\t228\n"


def file_of(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def columns(text: str) -> Any:
    return roles_named(text, INTERACTION_ROLES)


def read(path: Path, layout: Layout | None = None) -> list[Interaction]:
    found = list(read_interactions(path, layout=layout))
    assert [line for line in found if isinstance(line, BadLine)] == []
    return [interaction for interaction in found if isinstance(interaction, Interaction)]


def reasons(path: Path, layout: Layout | None = None) -> list[tuple[int, str]]:
    found = read_interactions(path, layout=layout)
    return [(line.number, line.reason) for line in found if isinstance(line, BadLine)]


# --- what nobody must say ---------------------------------------------------------------------


def test_a_table_of_plays_is_guessed_with_what_it_shows(tmp_path: Path) -> None:
    path = file_of(tmp_path, "user_artists.dat", PLAYS)
    layout = layout_of(path)
    assert layout.guessed == ("delimiter", "columns")
    assert layout.seen == "tabs, expected `::`; with a header"
    assert layout.places == {"user": 0, "item": 1, "value": 2}
    assert layout.rows == (("2", "51", "13883"), ("2", "52", "11690"), ("3", "51", "228"))
    assert (layout.event, layout.notes) == ("watch", (NO_TIME,))
    assert read(path, layout)[0] == Interaction(user_id=2, item_id=51, event="watch", value=13883)


def test_what_is_guessed_is_read_only_by_who_has_confirmed_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="tabs, expected `::`"):
        list(read_interactions(file_of(tmp_path, "user_artists.dat", PLAYS)))


@pytest.mark.parametrize("delimiter", ["\t", ";", "|", ",", "::"])
def test_every_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    text = "user,item,stars,time\n7,sku-1,4.5,1478000000\nanna,8,3,1478000001\n"
    layout = layout_of(file_of(tmp_path, "x.txt", text.replace(",", delimiter)))
    assert layout.parting.delimiter == delimiter
    assert read(tmp_path / "x.txt", layout) == [
        Interaction(user_id=7, item_id="sku-1", event="rate", value=4.5, timestamp=1478000000),
        Interaction(user_id="anna", item_id=8, event="rate", value=3.0, timestamp=1478000001),
    ]


def test_a_semicolon_file_with_decimal_commas_says_so_of_each_value(tmp_path: Path) -> None:
    path = file_of(tmp_path, "x.csv", "user;item;rating\n1;2;4,5\n3;4;5,0\n")
    layout = layout_of(path)
    assert layout.seen == "semicolons, expected commas; with a header"
    assert reasons(path, layout)[0] == (2, "rating '4,5': must be a number with a decimal point")


def test_movielens_100k_is_known_by_its_names(tmp_path: Path) -> None:
    data = file_of(tmp_path, "u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n")
    assert layout_of(data).guessed == ()
    assert read(data)[0] == Interaction(
        user_id=196, item_id=242, event="rate", value=3.0, timestamp=881250949
    )
    item = file_of(tmp_path, "u.item", "543|Misérables, Les (1995)|x|y\n".encode("latin-1"))
    assert read_titles(item) == {543: "Misérables, Les (1995)"}
    assert "Latin-1" in encoding_of(item).notes[0]


def test_columns_without_names_are_guessed_by_what_they_hold(tmp_path: Path) -> None:
    path = file_of(tmp_path, "plays.tsv", "a\tb\t3\t1478000000\nc\td\t1\t1478000009\n")
    layout = layout_of(path)
    assert layout.places == {"user": 0, "item": 1, "value": 2, "time": 3}
    assert not layout.has_header


def test_a_long_bad_row_does_not_set_the_width(tmp_path: Path) -> None:
    rows = "1\t2\t3\n" * 20 + "1\t2\t3\t4\n"
    layout = layout_of(file_of(tmp_path, "x.tsv", rows))
    assert reasons(tmp_path / "x.tsv", layout) == [
        (21, "too many columns: 4, the first rows have 3")
    ]


def test_a_first_row_that_may_be_either_is_asked_for(tmp_path: Path) -> None:
    path = file_of(tmp_path, "x.tsv", "anna\tsku-1\nbert\tsku-2\n")
    with pytest.raises(ConfigurationError, match="a header"):
        layout_of(path)
    assert len(read(path, layout_of(path, FileOptions(header=False)))) == 2


# --- what is said -----------------------------------------------------------------------------


def test_columns_go_by_name_or_by_place(tmp_path: Path) -> None:
    path = file_of(tmp_path, "x.csv", "when,who,what\n1478000000000,7,9\n")
    for given in ("user=who,item=what,time=when", "user=2,item=3,time=1"):
        layout = layout_of(path, FileOptions(columns(given), event="click", unit="ms", header=True))
        assert layout.guessed == ()
        assert read(path, layout) == [
            Interaction(user_id=7, item_id=9, event="click", timestamp=1478000000.0)
        ]


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    path = file_of(tmp_path, "p.tsv", PLAYS)
    with pytest.raises(
        ConfigurationError, match=r"item=movie: no such .* userID, artistID, weight"
    ):
        layout_of(path, FileOptions(columns("user=userID,item=movie")))


@each_cell("text", ["user", "user=a", "who=a,item=b", "user=a,user=b,item=c", ""])
def test_columns_that_are_said_wrongly_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="columns"):
        columns(text)


@pytest.mark.parametrize(
    ("cell", "unit", "seconds"),
    [
        ("1478000000", "s", 1478000000),
        ("1478000000000", "ms", 1478000000),
        ("2016-11-01T11:33:20Z", "iso", 1478000000),
        ("2016-11-01 11:33:20", "iso", 1478000000),
        ("2016-11-01T12:33:20+01:00", "iso", 1478000000),
    ],
)
def test_a_unit_of_time_is_seen_or_said(
    tmp_path: Path, cell: str, unit: Any, seconds: float
) -> None:
    path = file_of(tmp_path, "x.tsv", f"user\titem\ttime\n1\t2\t{cell}\n")
    for asked in (FileOptions(), FileOptions(unit=unit)):
        layout = layout_of(path, asked)
        assert layout.unit == unit
        assert [interaction.timestamp for interaction in read(path, layout)] == [seconds]


@pytest.mark.parametrize(
    ("cell", "unit", "reason"),
    [
        ("1478000000000", "s", "too large for seconds since 1970; for milliseconds use --unit ms"),
        ("1478000000", "ms", "for seconds use --unit s"),
        ("2016-11-01", "s", "for dates use --unit iso"),
        ("monday", "iso", "must be ISO 8601"),
        ("1_000", "s", "must be a number"),
    ],
)
def test_a_time_of_another_unit_is_a_bad_line(
    tmp_path: Path, cell: str, unit: Any, reason: str
) -> None:
    path = file_of(tmp_path, "x.tsv", f"user\titem\ttime\n1\t2\t{cell}\n")
    ((number, why),) = reasons(path, layout_of(path, FileOptions(unit=unit)))
    assert (number, reason in why) == (2, True)


def test_an_event_that_a_column_says_is_not_said_twice(tmp_path: Path) -> None:
    path = file_of(tmp_path, "x.csv", "user_id,item_id,event\n1,2,watch\n")
    with pytest.raises(ConfigurationError, match="--event click contradicts the column event"):
        layout_of(path, FileOptions(event="click"))


# --- nothing is read wrongly in silence -------------------------------------------------------


def test_a_byte_order_mark_is_part_of_no_id(tmp_path: Path) -> None:
    dat = file_of(tmp_path, "ratings.dat", "\ufeff1::1193::5::978300760\n")
    assert [interaction.user_id for interaction in read(dat)] == [1]
    joined = file_of(tmp_path, "r.csv", "\ufeff" + HEADER + "1,2,3,4\n\ufeff5,6,7,8\n")
    assert [interaction.user_id for interaction in read(joined)] == [1, 5]


def test_a_byte_order_mark_refuses_no_json_line(tmp_path: Path) -> None:
    path = file_of(tmp_path, "e.jsonl", '\ufeff{"user_id": "1", "item_id": 2, "event": "watch"}\n')
    assert read(path) == [Interaction(user_id="1", item_id=2, event="watch")]


def test_line_ends_of_cr_alone_end_lines(tmp_path: Path) -> None:
    movies = file_of(tmp_path, "movies.csv", "movieId,title,genres\r1,Toy Story,x\r2,Jumanji,y\r")
    assert read_titles(movies) == {1: "Toy Story", 2: "Jumanji"}
    ratings = file_of(tmp_path, "r.csv", HEADER.replace("\n", "\r") + "1,2,3,4\r5,6,7,8\r")
    assert layout_of(ratings).notes == ("line endings are CR",)
    assert len(read(ratings)) == 2
    lines = '{"user_id": 1, "item_id": 2, "event": "watch"}\r' * 2
    assert len(read(file_of(tmp_path, "e.jsonl", lines))) == 2


def test_a_line_break_within_quotes_is_part_of_the_title(tmp_path: Path) -> None:
    text = 'movieId,title,genres\n7,"Un, \nDeux",Drama\n8,"American ""P""",Comedy\n'
    path = file_of(tmp_path, "movies.csv", text)
    assert read_titles(path) == {7: "Un, \nDeux", 8: 'American "P"'}


def test_a_title_with_colons_is_whole(tmp_path: Path) -> None:
    path = file_of(tmp_path, "movies.dat", "4::Léon::The Professional::Crime\n")
    assert read_titles(path) == {4: "Léon::The Professional"}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_titles_are_read_in_either_encoding(tmp_path: Path, encoding: str) -> None:
    text = "73::Misérables, Les (1995)::Drama\n".encode(encoding)
    assert read_titles(file_of(tmp_path, "movies.dat", text)) == {73: "Misérables, Les (1995)"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,2,4,3,9", "too many columns: 5, the header has 4"),
        ("1,2,4", "too few columns: 3, the header has 4"),
        ('1,"2"x,4,3', "unbalanced quotes"),
        ('1,"2,4,3', "unbalanced quotes, up to line 4"),
    ],
)
def test_a_row_that_does_not_fit_the_header_is_a_bad_line_with_its_number(
    tmp_path: Path, row: str, reason: str
) -> None:
    path = file_of(tmp_path, "r.csv", f"{HEADER}1,2,4,3\n{row}\n1,2,4,3\n")
    ((number, why),) = reasons(path)
    assert (number, reason in why) == (3, True)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("r.csv", HEADER.encode("utf-16"), "UTF-16, expected UTF-8: use --encoding utf-16"),
        ("e.jsonl", '{"user_id": 1}'.encode("utf-16"), "UTF-16, expected UTF-8"),
        ("r.csv", HEADER.encode("utf-16-le"), "contains NUL bytes: not text, or UTF-16"),
        ("r.csv", HEADER.encode() + b"\x93a\x94,1,2,3\n", "name the encoding, .* cp1252"),
        ("r.csv", b"PK\x03\x04 and so on", "a ZIP archive"),
        ("r.csv", gzip.compress(b"x", mtime=0), "gzip data: rename it to end in .gz"),
        ("r.csv.gz", HEADER.encode(), "ends in .gz, but it is not gzip data"),
        ("r.csv", b"one column\nonly\n", "none of commas, tabs, .* splits its rows"),
        ("e.json", b'[{"user_id": 1}]', "a JSON array; expected one object per line"),
    ],
)
def test_a_file_that_is_something_else_is_named_for_what_it_is(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        list(read_interactions(file_of(tmp_path, name, content)))


def test_utf_16_is_read_where_it_is_said(tmp_path: Path) -> None:
    path = file_of(tmp_path, "r.csv", (HEADER + "1,2,3,4\n").encode("utf-16"))
    assert len(read(path, layout_of(path, FileOptions(encoding="utf-16")))) == 1


def test_numbers_of_pandas_are_integers_and_counted(tmp_path: Path) -> None:
    path = file_of(tmp_path, "r.csv", HEADER + "42.0, 7 ,4.5,3\n")
    noticed: Counter[str] = Counter()
    (found,) = read_interactions(path, noticed=noticed)
    assert isinstance(found, Interaction)
    assert (found.user_id, found.item_id) == (42, 7)
    assert noticed == {WHOLE_FLOATS: 1}


def test_a_rate_without_its_value_is_a_bad_line(tmp_path: Path) -> None:
    path = file_of(tmp_path, "r.csv", HEADER + "1,2,,3\n")
    assert reasons(path) == [(2, "a rate needs a value")]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("m.csv", "movieId,title\n1,a\n1,b\n", "line 3: item 1 has two titles"),
        ("m.csv", f"movieId,title\n1,{'x' * 501}\n", "line 2: 501 characters"),
        ("m.csv", "movieId,title\n1,a,b\n", "line 2: 3 columns, the first row has 2"),
        ("m.csv", "what,ever\n1,a\n", "which column is the item and the title"),
        ("movies.dat", "1::a::b\n2::c\n", "line 2: 2 columns between `::`"),
    ],
)
def test_a_bad_line_of_titles_ends_the_reading(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        read_titles(file_of(tmp_path, name, text))


def test_titles_of_others_go_by_their_header_or_by_what_is_said(tmp_path: Path) -> None:
    path = file_of(tmp_path, "artists.dat", "id\tname\turl\n1\tMALICE MIZER\tx\n2\t\ty\n")
    assert read_titles(path) == {1: "MALICE MIZER"}
    assert read_titles(path, {"item": "id", "title": "url"}) == {1: "x", 2: "y"}


def test_quotes_of_a_table_by_tabs_may_be_quotes(tmp_path: Path) -> None:
    text = 'id\tname\n1\t"Weird Al" Yankovic\n2\tABBA\n'
    path = file_of(tmp_path, "artists.dat", text)
    assert read_titles(path) == {1: '"Weird Al" Yankovic', 2: "ABBA"}
    late = "id\tname\n" + "".join(f"{n}\tn\n" for n in range(500)) + '900\t"Heroes" live\n'
    path = file_of(tmp_path, "artists.tsv", late)
    assert read_titles(path)[900] == '"Heroes" live'


def test_book_crossing_is_guessed(tmp_path: Path) -> None:
    text = '"User-ID";"ISBN";"Book-Rating"\n"276725";"034545104X";"0"\n"276726";"0155061224";"5"\n'
    layout = layout_of(file_of(tmp_path, "BX-Book-Ratings.csv", text))
    assert read(tmp_path / "BX-Book-Ratings.csv", layout)[1] == Interaction(
        user_id=276726, item_id="0155061224", event="rate", value=5.0
    )


def test_kinds_that_no_weight_knows_are_counted_and_warned_of(tmp_path: Path) -> None:
    text = (
        "user_id,item_id,event\n" + "1,2,watch\n" * 3 + "1,2,wacth\n" * 2 + "1,,forget\n1,,watch\n"
    )
    path = file_of(tmp_path, "e.csv", text)
    checked = check_file(path, {}, layout_of(path), Counter())
    assert checked.count_by_kind == {"watch": 3, "wacth": 2, "forget": 1}
    assert (checked.good, [line.number for line in checked.bad]) == (6, [8])
    (warning,) = warn_of_kinds(checked.count_by_kind, read_settings({}).event_weights)
    assert "`wacth` has no weight: training ignores 2 events" in warning
    weighed = read_settings({"RETRAIN_EVENT_WEIGHTS": "watch=1,wacth=0"}).event_weights
    assert list(warn_of_kinds(checked.count_by_kind, weighed)) == []


# --- packed, Parquet, several -----------------------------------------------------------------


def zst(raw: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(raw, asbytes=True)
    return packed


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zst", zst)],
)
def test_packed_files_are_unpacked(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = file_of(tmp_path, f"r.csv.{suffix}", pack((HEADER + "1,2,3,4\n" * 1000).encode()))
    assert len(read(path)) == 1000


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zst", zst)],
)
def test_a_packed_file_that_was_cut_off_is_refused(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    whole = pack(HEADER.encode() + "".join(f"{n},{n},3,4\n" for n in range(9000)).encode())
    with pytest.raises(ConfigurationError, match="not readable"):
        list(read_interactions(file_of(tmp_path, f"r.csv.{suffix}", whole[: len(whole) // 2])))


@pytest.mark.parametrize("width", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"])
def test_parquet_has_integers_of_any_width(tmp_path: Path, width: str) -> None:
    numbers = pa.array([7, 100], getattr(pa, width)())
    path = tmp_path / "e.parquet"
    pq.write_table(
        pa.table({"userId": numbers, "movieId": numbers, "rating": numbers, "timestamp": numbers}),
        path,
    )
    assert [interaction.user_id for interaction in read(path)] == [7, 100]


def test_parquet_of_pandas_with_gaps_has_integers_and_other_names_are_guessed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "e.parquet"
    pq.write_table(pa.table({"user": [42.0, 43.0], "item": ["042", "b"]}), path)
    layout = layout_of(path)
    assert layout.guessed == ("columns",)
    noticed: Counter[str] = Counter()
    found = list(read_interactions(path, layout=layout, noticed=noticed))
    assert found[0] == Interaction(user_id=42, item_id="042", event="watch")
    assert noticed == {WHOLE_FLOATS: 2}


def test_json_of_other_names_keeps_the_ids_types(tmp_path: Path) -> None:
    path = file_of(tmp_path, "e.jsonl", '{"who": "42", "what": 7}\n{"who": 42, "what": 7}\n[1]\n')
    layout = layout_of(path, FileOptions(columns("user=who,item=what"), event="click"))
    first, second, bad = read_interactions(path, layout=layout)
    assert first == Interaction(user_id="42", item_id=7, event="click")
    assert second == Interaction(user_id=42, item_id=7, event="click")
    assert isinstance(bad, BadLine)


def test_globs_and_several_files_are_each_read_once(tmp_path: Path) -> None:
    a, b = (file_of(tmp_path, name, HEADER) for name in ("a.csv", "b.csv"))
    with local_files([str(tmp_path / "*.csv"), str(a)]) as found:
        assert found == [a, b]


@pytest.mark.parametrize(
    ("place", "says"),
    [("none.csv", "no such file"), ("*.none", "no file matches"), ("", "a folder; name its files")],
)
def test_a_place_without_a_file_is_refused(tmp_path: Path, place: str, says: str) -> None:
    with (
        pytest.raises(ConfigurationError, match=says),
        local_files([f"{tmp_path}/{place}".rstrip("/")]),
    ):
        pass


def test_a_url_is_copied_and_read(tmp_path: Path) -> None:
    path = file_of(tmp_path, "r.csv", HEADER + "1,2,3,4\n")
    with local_files([f"file://{tmp_path}/*.csv"]) as (copy,):
        assert copy != path
        assert len(read(copy)) == 1


@pytest.mark.parametrize(
    ("name", "options", "spelled"),
    [
        (
            "e.parquet",
            {"delimiter": ";", "quotes": False},
            "a Parquet file takes no --delimiter, --no-quotes;",
        ),
        (
            "e.parquet",
            {"encoding": "latin-1", "header": True},
            "a Parquet file takes no --encoding, --header;",
        ),
        (
            "e.jsonl",
            {"delimiter": ";", "header": False},
            "a file of JSON lines takes no --delimiter, --header;",
        ),
    ],
)
def test_an_option_that_would_do_nothing_for_a_file_is_refused(
    tmp_path: Path, name: str, options: dict[str, Any], spelled: str
) -> None:
    path = tmp_path / name
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"user_id": [1], "event": ["watch"], "item_id": [2]}), path)
    else:
        path.write_text('{"user_id": 1, "item_id": 2, "event": "watch"}\n')
    with pytest.raises(ConfigurationError, match=f"{name}: {spelled}"):
        layout_of(path, FileOptions(**options))
