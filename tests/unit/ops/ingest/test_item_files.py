"""Items of files: titles and labels as they are written, and only what the topic has not yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.ingest.item_files import read_items
from registry.catalogue.item_changes import changes
from registry.errors import ConfigurationError
from registry.wire.training_records.catalogue_items import CatalogueItem

MOVIES = """movieId,title,genres
1,"Two, and a comma",Adventure|Crime
2,Nothing,(no genres listed)
x-3, ,Drama
"""


def written(folder: Path, text: str, name: str = "movies.csv") -> Path:
    (folder / name).write_text(text, "utf-8")
    return folder / name


def test_genres_are_a_label_unless_labels_are_named(tmp_path: Path) -> None:
    assert list(read_items(written(tmp_path, MOVIES)).values()) == [
        CatalogueItem(1, "Two, and a comma", {"genre": ["Adventure", "Crime"]}),
        CatalogueItem(2, "Nothing", {"genre": []}),
        CatalogueItem("x-3", labels={"genre": ["Drama"]}),
    ]
    named = read_items(tmp_path / "movies.csv", labels={"kind": "3"}, separator=" ")
    assert named[1].labels == {"kind": ["Adventure|Crime"]}


def test_movielens_older_files_are_read_by_name(tmp_path: Path) -> None:
    dat = written(tmp_path, "4::Léon::The Professional::Crime|Drama\n", "movies.dat")
    assert read_items(dat) == {
        4: CatalogueItem(4, "Léon::The Professional", {"genre": ["Crime", "Drama"]})
    }
    u_item = written(tmp_path, "1|Toy Story (1995)|01-Jan-1995||0|1\n", "u.item")
    assert read_items(u_item) == {1: CatalogueItem(1, "Toy Story (1995)")}
    flags = "0|0|0|1|1|1" + 13 * "|0"
    head, unknown = "Toy Story (1995)|01-Jan-1995||http://x|", "|1" + 18 * "|0"
    u_item = written(tmp_path, f"1|{head}{flags}\n2|{head}{unknown[1:]}\n", "u.item")
    assert read_items(u_item, separator=";") == {
        1: CatalogueItem(1, "Toy Story (1995)", {"genre": ["Animation", "Children's", "Comedy"]}),
        2: CatalogueItem(2, "Toy Story (1995)", {"genre": []}),
    }
    wrong = written(tmp_path, f"1|{head}{flags}\n2|{head}{flags[:-1]}2\n", "u.item")
    with pytest.raises(ConfigurationError, match=r"line 2: its last 19 columns are genres"):
        read_items(wrong)


@pytest.mark.parametrize(
    ("name", "text"),
    [("movies.dat", "4::Léon::Crime\n"), ("u.item", "4|Léon|Crime\n")],
)
def test_labels_of_a_file_that_is_read_by_its_name_need_all_its_columns(
    tmp_path: Path, name: str, text: str
) -> None:
    file = written(tmp_path, text, name)
    with pytest.raises(ConfigurationError, match="the columns of labels are not used"):
        read_items(file, labels={"kind": "3"})

    named = read_items(file, {"item": "1", "title": "2"}, {"kind": "3"})
    assert named == {4: CatalogueItem(4, "Léon", {"kind": ["Crime"]})}


def test_a_table_of_any_kind_has_the_columns_that_are_named(tmp_path: Path) -> None:
    table = written(tmp_path, "sku\tname\tbrand\nb-1\tBoots\tAlpha\n", "products.tsv")
    found = read_items(table, {"item": "sku", "title": "name"}, {"brand": "brand"})
    assert found == {"b-1": CatalogueItem("b-1", "Boots", {"brand": ["Alpha"]})}


@pytest.mark.parametrize(
    ("text", "labels", "names"),
    [
        (MOVIES, {"kind": "no"}, "no such column for a label: no; the columns are movieId"),
        ("sku,label\n1,One\n", None, "name the columns, for example item=id,title=name"),
        (MOVIES + '1,"Another",Drama\n', None, "line 5: item 1 is there twice"),
        (MOVIES + "9,Nine\n", None, "line 5: 2 columns"),
        (MOVIES + ",Nine,\n", None, "line 5"),
        (MOVIES + f"9,{'x' * 501},\n", None, "line 5"),
        (MOVIES + f"9,Nine,{'|'.join(map(str, range(33)))}\n", None, "line 5"),
    ],
)
def test_a_bad_line_is_named_and_ends_the_reading(
    tmp_path: Path, text: str, labels: dict[str, str] | None, names: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_items(written(tmp_path, text), labels=labels)
    assert names in str(refused.value)


def test_only_what_is_new_or_different_is_sent_and_withdrawals_stay() -> None:
    known = {
        1: CatalogueItem(1, "One", {"genre": ["a"]}),
        2: CatalogueItem(2, "Old", {"region": ["eu"]}, available_until=5.0, withdrawn=True),
        3: CatalogueItem(3, "Three"),
    }
    of_file = [
        CatalogueItem(1, "One", {"genre": ["a"]}),
        CatalogueItem(2, "Two", {"genre": ["b"]}),
        CatalogueItem(3),
        CatalogueItem("1", "a text"),
    ]
    sent = list(changes(of_file, known.get))
    assert sent == [
        CatalogueItem(
            2, "Two", {"region": ["eu"], "genre": ["b"]}, available_until=5.0, withdrawn=True
        ),
        CatalogueItem("1", "a text"),
    ]
    known |= {item.item_id: item for item in sent}
    assert list(changes(of_file, known.get)) == []


def test_a_label_whose_cell_was_emptied_is_removed_and_others_stay(tmp_path: Path) -> None:
    known = {"b-1": CatalogueItem("b-1", "Boots", {"region": ["eu"], "brand": ["Alpha"]})}
    table = written(tmp_path, "sku\tname\tmarket\nb-1\tBoots\t\nb-2\tBelt\t\n", "products.tsv")
    items = read_items(table, {"item": "sku", "title": "name"}, {"region": "market"}).values()

    sent = list(changes(items, known.get))

    assert sent == [
        CatalogueItem("b-1", "Boots", {"brand": ["Alpha"]}),
        CatalogueItem("b-2", "Belt"),
    ]
    known |= {str(item.item_id): item for item in sent}
    assert list(changes(items, known.get)) == []
