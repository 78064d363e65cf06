"""Files shaped like those that people have, with invented contents, read as they lie and refused where they are broken."""

import ast
import dataclasses
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import polars as pl
import pytest

from utilities import (
    describe_rows,
    get_data_loaders,
    inspect,
    load_movies,
    load_ratings,
    load_torch_data,
    movie_features,
    needs,
    own,
    rating_scale,
    settings,
    tables,
)
from utilities.columns import ONE_USER
from utilities.inspect import _claims, _skipped, describe
from utilities.own import own_file
from utilities.settings import ROOT

RANDOM = Random(0)
# Three in ten of what 60 users could rate of 40 items, in the order of users and items.
PAIRS = [(user, item) for user in range(1, 61) for item in range(1, 41) if RANDOM.random() < 0.3]
STARS = [RANDOM.randint(1, 5) for _ in PAIRS]
TRIPLES = [(*pair, stars) for pair, stars in zip(PAIRS, STARS, strict=True)]
EXPECTED = [(user, item, float(stars)) for user, item, stars in TRIPLES]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Give a folder for files; the data folder is another."""
    monkeypatch.setenv("MOVIELENS_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


@pytest.fixture
def write(folder):
    """Give a function that writes a table and gives its path."""

    def write(header, rows, name="my.csv", separator=",", end="\n", encoding="utf-8", quote=""):
        lines = [header.split(",")] if header else []
        text = "".join(separator.join(f"{quote}{value}{quote}" for value in row) + end for row in [*lines, *rows])
        (folder / name).write_bytes(text.encode(encoding))
        return str(folder / name)

    return write


def triples_of(dataset):
    return load_ratings(dataset).select("userId", "movieId", "rating").sort("userId", "movieId").rows()


def notes_of(dataset):
    return settings(dataset).release.notes


def refused(dataset):
    with pytest.raises((ValueError, OSError)) as error:
        settings(dataset)
    return str(error.value)


# What people have


def test_goodbooks_have_no_time_and_go_through_to_the_loaders(write):
    path = write("user_id,book_id,rating", RANDOM.sample(TRIPLES, len(TRIPLES)))
    ratings_df = load_ratings(path)
    assert triples_of(path) == EXPECTED
    assert ratings_df["userId"].is_sorted()
    assert ratings_df["timestamp"].null_count() == ratings_df.height
    assert rating_scale(path) == (1, 5, 1)
    assert load_movies(path).head(2).rows() == [(1, "1", None, []), (2, "2", None, [])]
    loaders = get_data_loaders(load_torch_data(path)[0])
    assert len(loaders.train.dataset) == round(0.7 * len(TRIPLES))
    assert movie_features(load_movies(path)).isfinite().all()


BX = [
    *((276_000 + user, f"{195153448 + item:010}", stars * 2) for user, item, stars in TRIPLES),
    (276_001, '0X "Q"; é', 7),
]


@pytest.fixture
def book_crossing(write, folder):
    """Give ratings of books, two in three of them zeros, as Book-Crossing was published."""
    zeros = [(user, f"{isbn}X", 0) for user, isbn, _ in BX for isbn in (isbn[:-1], isbn[:-2])]
    path = write("User-ID,ISBN,Book-Rating", [*BX, *zeros], separator=";", end="\r\n", encoding="latin-1", quote='"')
    content = (folder / "my.csv").read_bytes()
    (folder / "my.csv").write_bytes(content.replace(b'"Q"', rb"\"Q\""))
    return path


def test_book_crossing_is_refused_until_it_is_said_what_its_zeros_mean(book_crossing, monkeypatch):
    assert re.search(
        r"my.csv: 1,\d+ of 2,\d+ ratings are 0, the others go from 2 to 10\. .*MOVIELENS_NOT_RATED=0",
        refused(book_crossing),
    )
    monkeypatch.setenv("MOVIELENS_NOT_RATED", "0")
    assert rating_scale(book_crossing) == (1, 10, 1)
    isbns = {isbn: number for number, isbn in enumerate(sorted({isbn for _, isbn, _ in BX}), 1)}
    assert triples_of(book_crossing) == sorted((user, isbns[isbn], float(rating)) for user, isbn, rating in BX)
    titles = load_movies(book_crossing)["title"]
    assert titles.to_list() == list(isbns)
    assert pl.read_parquet(own_file(Path(book_crossing), "movie_ids"))["text"].to_list() == list(isbns)
    assert notes_of(book_crossing)["text"] == (
        "values parted by ';', lines that are not UTF-8 taken for Windows-1252: 1"
    )
    monkeypatch.setenv("MOVIELENS_NOT_RATED", "none")
    assert rating_scale(book_crossing) == (0, 10, 1)
    monkeypatch.setenv("MOVIELENS_NOT_RATED", "")
    monkeypatch.setenv("MOVIELENS_SCALE", "0:10")
    assert rating_scale(book_crossing) == (0, 10, 1)


def test_jester_has_any_value_from_minus_ten_to_ten(write):
    path = write("user,joke,rating", [(user, item, stars * 4 - 12.07) for user, item, stars in TRIPLES])
    assert rating_scale(path) == (-10, 10, None)
    assert load_ratings(path)["rating"].min() == pytest.approx(-8.07)


def test_what_was_watched_but_not_rated_is_left_out_of_an_anime_list(write, monkeypatch):
    rows = [(user, item, stars * 2 if item % 9 else -1) for user, item, stars in TRIPLES]
    path = write("user_id,anime_id,rating", rows)
    assert "ratings are -1, the others go from 2 to 10. If -1 means that there is no rating" in refused(path)
    monkeypatch.setenv("MOVIELENS_NOT_RATED", "-1")
    assert triples_of(path) == [(user, item, float(rating)) for user, item, rating in rows if rating > 0]
    assert notes_of(path)["not rated"] == f"-1: {sum(rating < 0 for *_, rating in rows)} rows left out"
    assert rating_scale(path) == (1, 10, 1)


@pytest.mark.parametrize("nothing", ["", "NaN", "NULL", "\\N"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_without_a_user_an_item_or_a_rating_are_left_out_if_it_is_said(
    write, folder, monkeypatch, nothing, suffix
):
    holes = [(7, 7, nothing), (nothing, 7, 3), (7, nothing, 3)]
    path = write("user,item,rating", [*TRIPLES[:9], *holes, *TRIPLES[9:]])
    if suffix == "parquet":
        pl.read_csv(path, null_values=nothing).write_parquet(path := str(folder / "my.parquet"))
    assert "MOVIELENS_NOT_RATED=empty leaves such rows out" in refused(path)
    monkeypatch.setenv("MOVIELENS_NOT_RATED", "empty")
    assert triples_of(path) == EXPECTED
    assert notes_of(path)["not rated"] == "empty: 3 rows left out"


def test_what_is_empty_is_left_out_beside_numbers_and_the_messages_say_both(write, monkeypatch):
    rows = [(*pair, rating) for rating, n in ((0, 300), ("", 20)) for pair in PAIRS[:n]]
    path = write("user,item,rating", [*TRIPLES, *rows])
    monkeypatch.setenv("MOVIELENS_NOT_RATED", "empty")
    assert (
        "set MOVIELENS_NOT_RATED=empty,0 to leave these rows out; if it is a rating, set MOVIELENS_NOT_RATED=empty,none"
        in (refused(path))
    )
    monkeypatch.setenv("MOVIELENS_NOT_RATED", "0")
    assert "(MOVIELENS_NOT_RATED=0,empty leaves such rows out)" in refused(path)
    monkeypatch.setenv("MOVIELENS_NOT_RATED", "empty,0")
    assert triples_of(path) == EXPECTED
    assert notes_of(path)["not rated"] == "empty: 20 rows left out, 0: 300 rows left out"


def test_filmtrusts_columns_are_taken_by_their_places_whatever_the_first_line_has(write, monkeypatch):
    path = write("", [(3, 1, 2), *TRIPLES], separator=" ")
    monkeypatch.setenv("MOVIELENS_COLUMNS", "user=1,item=2,rating=3")
    assert set(triples_of(path)) == {(3, 1, 2.0), *EXPECTED} - ({(3, 1, 2.0)} if (3, 1) in PAIRS else set())


@pytest.mark.parametrize("separator", ["\t", ","])
def test_quotes_in_reviews_that_do_not_match_are_parts_of_them(write, monkeypatch, separator):
    monkeypatch.setattr(tables, "BLOCK_BYTES", 500)
    rows = [(*row, ['5" wide', '"so', '"so" so', "so", '"so"'][n % 5]) for n, row in enumerate(TRIPLES)]
    path = write("user,item,rating,review", rows, separator=separator)
    assert triples_of(path) == EXPECTED
    rows[400] = (3, 4, "five", 'so"')
    assert refused(write("user,item,rating,review", rows, separator=separator)).startswith(
        "my.csv, line 402: rating is 'five'"
    )


def test_ratings_that_are_true_or_false_are_one_or_zero(write):
    path = write("user,item,rating", [(user, item, str(stars > 3)) for user, item, stars in TRIPLES])
    assert triples_of(path) == [(user, item, float(stars > 3)) for user, item, stars in EXPECTED]


def test_amazons_ids_are_text_and_get_numbers_in_their_order(write, monkeypatch):
    rows = [(f"B{item:06}", f"A{99 - user}", float(stars), 1_300_000_000 + user) for user, item, stars in TRIPLES]
    path = write("", rows)
    assert "MOVIELENS_COLUMNS=user=1,item=2,rating=3,time=4 with the numbers that are right here" in refused(path)
    monkeypatch.setenv("MOVIELENS_COLUMNS", "user=2,item=1,rating=3,time=4")
    assert triples_of(path) == sorted((61 - user, item, stars) for user, item, stars in EXPECTED)
    assert load_ratings(path).row(0)[3] == 1_300_000_060
    assert settings(path).release.has == {"timestamps"}


@pytest.mark.parametrize("header", ["Const,Your Rating,Date Rated,Title", "Date,Name,Year,Letterboxd URI,Rating"])
def test_an_export_of_ones_own_is_refused_with_what_can_be_done(write, header):
    message = refused(write(header, [["1"] * header.count(",") + ["2"]] * 30))
    assert message.startswith("my.csv: no column says who rated")
    assert message.endswith(ONE_USER)
    assert refused(write("user,item,rating", [(7, item, 1 + item % 5) for item in range(600)], "one.csv")).endswith(
        ONE_USER
    )


@pytest.mark.parametrize("separator", ["\t", "::"])
def test_lines_as_movielens_has_them_need_no_header_and_are_told(write, separator):
    path = write("", [(*row, 880_000_000) for row in TRIPLES], "u.data", separator)
    assert triples_of(path) == EXPECTED
    assert notes_of(path)["columns"].startswith("no header: user, item, rating, time in this order")


# However it was saved


@pytest.mark.parametrize(
    ("options", "opened"),
    [
        pytest.param({"encoding": "utf-8-sig"}, None, id="a byte order mark"),
        pytest.param({"encoding": "utf-16"}, None, id="UTF-16, as Excel's Unicode text"),
        pytest.param({"separator": "|", "quote": '"'}, None, id="quotes"),
        pytest.param({"end": "\r\n", "separator": ";"}, None, id="lines as in Windows"),
        pytest.param({"end": "\r"}, None, id="lines as on old Macs"),
        pytest.param({"end": ",\n"}, None, id="a separator at the end of each line"),
        pytest.param({"separator": "\t", "quote": '"'}, None, id="quotes between tabs"),
        pytest.param({"separator": "\t\t"}, None, id="two tabs"),
        pytest.param({"separator": "   ", "end": " \n"}, None, id="blanks"),
        pytest.param({"separator": ", ", "quote": '"'}, None, id="blanks before quotes"),
        pytest.param({"separator": ";"}, lambda text: b"sep=;\n" + text, id="Excel's line about the separator"),
        pytest.param({}, lambda text: b"# from somewhere\n% as it was\n" + text, id="comments above"),
        pytest.param({}, gzip.compress, id="gzipped"),
        pytest.param({}, lambda text: text + b"\n\n", id="empty lines at the end"),
        pytest.param({}, lambda text: re.sub(rb"(?m)^(\d+),(\d+)", rb"\1.0, \2.0", text), id="as pandas writes gaps"),
        pytest.param(
            {},
            lambda text: re.sub(rb"(?m)(?<=\w)$", b',"so ""so"",\n\nno"', text).replace(
                b'"so ""so"",\n\nno"', b"note", 1
            ),
            id="lines inside quotes",
        ),
    ],
)
@pytest.mark.parametrize("block", [tables.BLOCK_BYTES, 500])
def test_ratings_are_the_same_however_they_were_saved(write, folder, monkeypatch, options, opened, block):
    monkeypatch.setattr(tables, "BLOCK_BYTES", block)
    path = write("user,item,rating", TRIPLES, **options)
    if opened:
        (folder / "my.csv").write_bytes(opened((folder / "my.csv").read_bytes()))
    assert triples_of(path) == EXPECTED


@pytest.mark.parametrize("rows_at_once", [2**22, 100, 1])
def test_ranges_of_users_of_any_size_and_any_order_of_rows_give_the_same_table(write, monkeypatch, rows_at_once):
    monkeypatch.setattr(own, "ROWS_AT_ONCE", rows_at_once)
    monkeypatch.setattr(tables, "BLOCK_BYTES", 1000)
    rows = [(f"u{user}", item, stars, 10**9 + item % 7) for user, item, stars in TRIPLES]
    names = {name: number for number, name in enumerate(sorted({row[0] for row in rows}), 1)}
    expected = sorted((names[u], t, i, float(r)) for u, i, r, t in rows)
    path = write("user,item,rating,time", RANDOM.sample(rows, len(rows)))
    assert load_ratings(path).select("userId", "timestamp", "movieId", "rating").rows() == expected


def test_ids_that_turn_out_to_be_text_in_a_later_block_are_text_from_the_start(write, monkeypatch):
    monkeypatch.setattr(tables, "BLOCK_BYTES", 500)
    path = write("user,item,rating", [*TRIPLES, (1, "007", 3), (1, "7b", 2)])
    numbers = {text: number for number, text in enumerate(sorted([*map(str, range(1, 41)), "007", "7b"]), 1)}
    texts = [(user, str(item), stars) for user, item, stars in EXPECTED] + [(1, "007", 3.0), (1, "7b", 2.0)]
    assert triples_of(path) == sorted((user, numbers[text], stars) for user, text, stars in texts)


def test_parquet_and_a_folder_of_it_are_taken_with_their_types(folder):
    df = pl.DataFrame(TRIPLES, schema=["user_id", "item_id", "rating"], orient="row")
    df = df.with_columns(
        pl.format("u{}", pl.col("user_id").cast(pl.String).str.zfill(3)).alias("user_id"),
        created_at=pl.datetime(2020, 1, 2),
        rating=pl.col("rating").cast(pl.Float32),
    )
    df.write_parquet(folder / "all.parquet")
    (folder / "parts").mkdir()
    df[:300].write_parquet(folder / "parts" / "b.parquet")
    df[300:].write_parquet(folder / "parts" / "a.parquet")
    for name in ("all.parquet", "parts"):
        assert triples_of(str(folder / name)) == EXPECTED
        assert load_ratings(str(folder / name))["timestamp"].unique().to_list() == [1_577_923_200]


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("881250949", 881250949),
        ("881250949.0", 881250949),
        ("1260759144123", 1260759144),
        ("2005-09-06", 1125964800),
        ("2005-09-06 01:00:00", 1125968400),
        ("2005-09-06T01:00:00.250Z", 1125968400),
        ("2005-09-06T01:00:00+01:00", 1125964800),
        ("2005/09/06", 1125964800),
        ("31.12.2019", 1577750400),
        ("12/31/2019", 1577750400),
        ("31/12/2019 00:00", 1577750400),
        ("Sep 6, 2005", 1125964800),
        ("20050906", 1125964800),
        ("9/26/05 00:00", 1127692800),
        ("9/26/2005 01:00:00 PM", 1127739600),
        ("26-Sep-2005", 1127692800),
        ("Tue Sep 06 01:00:00 +0100 2005", 1125964800),
        (" 881250949", 881250949),
    ],
)
def test_times_are_unix_seconds_whatever_they_were(write, time, seconds):
    path = write("user,item,rating,date", [(*row, time) for row in TRIPLES], separator=";")
    assert load_ratings(path)["timestamp"].unique().to_list() == [seconds]
    assert needs("timestamps", path)


@pytest.mark.parametrize("time", ["2005", "0", "86400"])
def test_numbers_too_small_for_seconds_are_refused_and_not_taken_for_1970(write, time):
    path = write("user,item,rating,date", [(*row, time) for row in TRIPLES])
    assert f"{time!r} in column 'date' is too small for a time: " in refused(path)


def test_dates_that_may_have_the_month_first_are_refused_until_they_are_left_out(write, monkeypatch):
    path = write("user,item,rating,date", [(*row, "03/04/2019") for row in TRIPLES])
    assert "'03/04/2019' in column 'date' may have the day or the month first; write dates as 2005" in refused(path)
    monkeypatch.setenv("MOVIELENS_COLUMNS", "time=none")
    assert not needs("timestamps", path)


def test_parquet_with_bytes_lists_and_structs_is_read_by_its_columns_names(folder):
    df = pl.DataFrame(TRIPLES, schema=["user", "item", "stars"], orient="row")
    lists = pl.lit(pl.Series([[1, 2]])).first()
    df.select(
        images=lists, item=pl.col("item").cast(pl.String).cast(pl.Binary), user="user", review=pl.struct("stars")
    ).write_parquet(folder / "my.parquet")
    assert triples_of(str(folder / "my.parquet"))[0][0] == 1
    assert notes_of(str(folder / "my.parquet"))["columns"] == "user = user, item = item, rating = review.stars, no time"
    assert triples_of(str(folder / "my.parquet")) == EXPECTED


def test_parquet_with_hashes_for_ids_and_nan_for_no_rating_is_read(folder, monkeypatch):
    df = pl.DataFrame(TRIPLES, schema=["user", "item", "rating"], orient="row")
    df = df.with_columns(pl.col("user").cast(pl.UInt64) + 2**63 + 100, pl.col("rating").cast(pl.Float64))
    nan_df = df.head(3).with_columns(rating=pl.lit(float("nan")))
    pl.concat([df, nan_df]).write_parquet(folder / "my.parquet")
    assert f"row {df.height + 1}: there is no rating" in refused(str(folder / "my.parquet"))
    monkeypatch.setenv("MOVIELENS_NOT_RATED", "empty")
    assert triples_of(str(folder / "my.parquet")) == EXPECTED


# What is told of it


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, None),
        ({"encoding": "utf-8-sig"}, None),
        ({"separator": ";"}, "values parted by ';'"),
        ({"separator": "\t"}, "values parted by tabs"),
        ({"separator": "  "}, "values parted by blanks"),
        ({"encoding": "utf-16"}, "UTF-16"),
        ({"encoding": "cp1252"}, f"lines that are not UTF-8 taken for Windows-1252: {len(TRIPLES) - 100}"),
    ],
)
@pytest.mark.parametrize("block", [tables.BLOCK_BYTES, 500])
def test_how_a_text_was_read_is_told_where_that_is_not_plain(write, monkeypatch, options, told, block):
    monkeypatch.setattr(tables, "BLOCK_BYTES", block)
    rows = [*TRIPLES[:100], *((user, f"é{item}", stars) for user, item, stars in TRIPLES[100:])]
    path = write("user,item,rating", rows, **options)
    assert notes_of(path).get("text") == told


def test_decimal_commas_and_bytes_that_windows_does_not_know_are_told(write, folder):
    rows = [(f"é\x81{user}" if n == 3 else user, item, f"{stars},5") for n, (user, item, stars) in enumerate(TRIPLES)]
    path = write("user,item,rating", rows, separator=";", encoding="latin-1")
    assert notes_of(path)["text"] == (
        "values parted by ';', decimal commas, lines that are not UTF-8 taken for Latin-1: 1"
    )
    pl.DataFrame(TRIPLES, schema=["user", "item", "rating"], orient="row").write_parquet(folder / "my.parquet")
    assert "text" not in notes_of(str(folder / "my.parquet"))


def test_columns_that_are_not_used_are_told_so_that_a_time_of_an_unknown_name_is_seen(write, monkeypatch):
    path = write("Datum,user,item,rating,Filiale", [("2005-09-06", *row, "Ost") for row in TRIPLES], end=",\n")
    told = "Datum, Filiale; if one has the times, name it: time=… in MOVIELENS_COLUMNS"
    assert list(notes_of(path).items())[:2] == [
        ("columns", "user = user, item = item, rating = rating, no time"),
        ("unused", told),
    ]
    assert f"unused    {told}" in describe(path).splitlines()
    monkeypatch.setenv("MOVIELENS_COLUMNS", "time=none")
    assert notes_of(path)["unused"] == "Datum, Filiale"
    monkeypatch.setenv("MOVIELENS_COLUMNS", "time=Datum")
    assert notes_of(path)["unused"] == "Filiale"


def test_no_unused_columns_are_told_where_there_are_none_and_some_of_very_many(write):
    assert "unused" not in notes_of(write("user,item,rating", TRIPLES))
    many = [f"column{n:02}" for n in range(60)]  # ten to each with the comma and the blank
    path = write(",".join(["user,item,rating,time", *many]), [(*row, 881250949, *many) for row in TRIPLES], "b.csv")
    assert notes_of(path)["unused"] == f"{', '.join(many[:20])} and 40 more"


def test_columns_that_give_the_titles_are_used(write, monkeypatch):
    path = write("user,item,rating,item_name,shop,year", [(*row, f"Film {row[1]}", "Ost", 1999) for row in TRIPLES])
    monkeypatch.setenv("MOVIELENS_TITLES", path)
    assert notes_of(path)["unused"].startswith("shop; if one")


# What is refused


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("3,4,,1", "there is no rating (MOVIELENS_NOT_RATED=empty leaves such rows out)"),
        ("3,4", "there is no rating (MOVIELENS_NOT_RATED=empty leaves such rows out)"),
        ('3,"",2,1', "there is no item (MOVIELENS_NOT_RATED=empty leaves such rows out)"),
        (",4,2,1", "there is no user (MOVIELENS_NOT_RATED=empty leaves such rows out)"),
        ("3,4,2,", "there is no time (time=none in MOVIELENS_COLUMNS leaves times out)"),
        ("3,4,NaN,1", "there is no rating (MOVIELENS_NOT_RATED=empty leaves such rows out)"),
        ("3,4,good,1", "rating is 'good', not a number"),
        ("3,4,inf,1", "rating is 'inf', not a number"),
        ("3,4,2,1,2", "'2' is one too many"),
        (
            "3,4,2,yesterday",
            "time is 'yesterday', not one like the first (time=none in MOVIELENS_COLUMNS leaves times out)",
        ),
        ("3,4,2,-5", "time is '-5', not one like the first (time=none in MOVIELENS_COLUMNS leaves times out)"),
        ('3,4,2,"1', "quotes do not match"),
        ('"3,4,2,1', "quotes do not match"),
    ],
)
@pytest.mark.parametrize("block", [tables.BLOCK_BYTES, 300])
def test_a_value_that_cannot_be_read_is_named_with_its_line(write, monkeypatch, line, what, block):
    monkeypatch.setattr(tables, "BLOCK_BYTES", block)
    rows = [(*row, 881250949) for row in TRIPLES]
    path = write("user,item,rating,time", [*rows[:400], ["\n" + line], *rows[400:]])
    assert refused(path) == f"my.csv, line 403: {what}; correct it or get the file again"


def test_lines_are_counted_inside_quotes(write):
    rows = [(*row, '"so,\n\nso"') for row in TRIPLES]
    path = write("user,item,rating,review", [*rows[:10], ("3,4,five,so",), *rows[10:]])
    assert refused(path) == "my.csv, line 32: rating is 'five', not a number; correct it or get the file again"


def test_a_row_of_parquet_is_named_by_its_number(folder):
    df = pl.DataFrame(TRIPLES, schema=["user", "item", "rating"], orient="row").with_row_index("n")
    df.with_columns(rating=pl.when(pl.col("n") != 76).then("rating")).write_parquet(folder / "my.parquet")
    assert refused(str(folder / "my.parquet")) == (
        "my.parquet, row 77: there is no rating (MOVIELENS_NOT_RATED=empty leaves such rows out); correct it or drop the row"
    )


def test_a_rating_outside_the_scale_that_is_set_is_named_with_its_line(write, monkeypatch):
    monkeypatch.setenv("MOVIELENS_SCALE", "1:4")
    line = 2 + STARS.index(5)
    assert refused(write("user,item,rating", TRIPLES)).startswith(
        f"my.csv, line {line}: rating is '5', outside 1 to 4 (MOVIELENS_SCALE; if it means that there is no rating"
    )


def test_too_few_ratings_users_or_items_are_refused_with_how_many_are_needed(write):
    needed = "at least 500 ratings, 20 users, 20 items are needed"
    assert needed in refused(write("user,item,rating", TRIPLES[:200], "a.csv"))
    assert needed in refused(
        write("user,item,rating", [(u, i, 1 + (u + i) % 5) for u in range(19) for i in range(30)], "b.csv")
    )
    assert needed in refused(
        write("user,item,rating", [(u, i, 1 + (u + i) % 5) for u in range(30) for i in range(19)], "c.csv")
    )
    assert refused(write("user,item,rating", [], "d.csv")) == "d.csv: no ratings in it"
    assert refused(write("", [], "e.csv")) == "e.csv: no ratings in it"


def objects(write):
    """Give the ratings as objects, one a line, as a program would write them."""
    return "".join(write({"user": user, "item": item, "rating": stars}) + "\n" for user, item, stars in TRIPLES)


def wide():
    stars_of = {(user, item): stars for user, item, stars in TRIPLES}
    rows = ([user, *(stars_of.get((user, item), "") for item in range(1, 41))] for user in range(1, 61))
    return "\n".join(",".join(map(str, row)) for row in [["user", *range(1, 41)], *rows])


def netflix():
    by_item = sorted(TRIPLES, key=lambda row: row[1])
    lines = (
        ("" if n and by_item[n - 1][1] == item else f"{item}:\n") + f"{user},{stars},2005-09-06\n"
        for n, (user, item, stars) in enumerate(by_item)
    )
    return "".join(lines)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("r.json", objects(json.dumps).encode(), "JSON"),
        ("r.json.gz", gzip.compress(objects(json.dumps).encode()), "JSON"),
        ("all.json", b"[" + b",".join(objects(json.dumps).encode().splitlines()) + b"]", "JSON"),
        ("py.json", objects(str).encode(), "a dictionary of Python in each line"),
        ("py.json.gz", gzip.compress(objects(str).encode()), "a dictionary of Python in each line"),
        ("combined.txt", netflix().encode(), "a line with a movie's number above its ratings"),
        (
            "beer.txt",
            "".join(
                f"beer/beerId: {i}\nreview/overall: {r}\nreview/profileName: {u}\n\n" for u, i, r in TRIPLES
            ).encode(),
            "a line for each value",
        ),
        (
            "r.mtx",
            b"%%MatrixMarket matrix coordinate\n60 40 99\n"
            + "".join("{} {} {}\n".format(*row) for row in TRIPLES).encode(),
            "a sparse matrix",
        ),
        ("wide.csv", wide().encode(), "a matrix with a column for each item"),
    ],
)
def test_what_is_no_table_is_refused_with_a_line_of_polars_that_makes_it_one(folder, monkeypatch, name, content, what):
    (folder / name).write_bytes(content)
    message = refused(str(folder / name))
    assert what in message
    monkeypatch.chdir(folder)
    line = re.search(r'pl\.(read_|DataFrame\().*\.write_parquet\("ratings.parquet"\)', message).group()
    exec(line.replace("…", name), {"pl": pl, "ast": ast, "gzip": gzip})
    assert triples_of(str(folder / "ratings.parquet")) == EXPECTED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04", "is a zip archive or a workbook: unpack it, or save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "is no text: if it is an archive, unpack it"),
        (b"BZh91AY&SY\x0c\x00\x01", "is no text: "),
        (b"<!DOCTYPE html>", "is HTML or XML, as a browser saves a page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "only says where Git LFS keeps the file"),
        (gzip.compress(b"user,item,rating\n" + b"1,2,3\n" * 99)[:-9], "is broken off or damaged: "),
        (b"PAR1 and then something else", "cannot read it or convert it in "),
    ],
)
def test_another_kind_of_file_is_refused_with_what_to_do(folder, content, message):
    (folder / "my.csv").write_bytes(content)
    assert message in refused(str(folder / "my.csv"))


def test_a_column_that_numbers_the_rows_is_not_taken_for_items(write, monkeypatch):
    path = write("ID,Movie_Name,Username,Star", [(n, f"m{i:02}", u, s) for n, (u, i, s) in enumerate(TRIPLES)])
    assert re.search(
        r"has another item, .*item = ID.* the columns are ID, Movie_Name, .*item=… in MOVIELENS_COLUMNS", refused(path)
    )
    monkeypatch.setenv("MOVIELENS_COLUMNS", "item=Movie_Name")
    assert triples_of(path) == EXPECTED


def test_ratings_that_are_mostly_no_numbers_are_refused_by_their_column(write):
    path = write("user,item,rating", [(user, item, f"{stars}/5") for user, item, stars in TRIPLES])
    assert (
        f"'{STARS[0]}/5' in column 'rating' is no number, as most there; if another column has the ratings"
        in refused(path)
    )


@pytest.mark.parametrize("header", ["PK,user,item,rating", "[pk],[user],[item],[rating]", "#pk,user,item,rating"])
def test_a_header_that_begins_as_other_files_do_is_a_header(write, header):
    assert triples_of(write(header, [(n, *row) for n, row in enumerate(TRIPLES)])) == EXPECTED


def test_a_path_where_nothing_is_and_an_empty_folder_are_refused(folder):
    assert "and the path of a file of ratings" in refused(str(folder / "none.csv"))
    assert refused(str(folder)) == "files is a folder without parquet files; name a file in it"


def test_of_ratings_of_one_item_by_one_user_the_latest_is_kept_without_times_the_last(write):
    user, item, stars = TRIPLES[5]
    again = 1 + stars % 5
    path = write("user,item,rating", [*TRIPLES, (user, item, again)], "a.csv")
    assert triples_of(path) == [(u, i, float(again) if (u, i) == (user, item) else r) for u, i, r in EXPECTED]
    assert notes_of(path)["duplicates"] == "1 left out: rated again further down"
    assert settings(path).release.notes["ratings"] == f"{len(TRIPLES):,} by 60 users of 40 items"
    rows = [(*row, 10**9) for row in TRIPLES]
    path = write("user,item,rating,time", [*rows, (user, item, again, 10**8)], "b.csv")
    assert triples_of(path) == EXPECTED
    assert notes_of(path)["duplicates"] == "1 left out: rated again later"


def test_few_ratings_make_small_batches(write):
    assert settings(write("user,item,rating", TRIPLES)).batch_size == 16
    assert [own._batch_size(n) for n in (500, 3_000, 41_000, 4_000_000)] == [16, 64, 1024, 1024]


def test_five_million_ratings_make_large_defaults_that_the_loaders_take_too(write, monkeypatch):
    path = write("user,item,rating", TRIPLES)
    assert (own.LARGE_FROM, settings(path).top_movies, settings(path).batch_size) == (5_000_000, 500, 16)
    monkeypatch.setattr(own, "LARGE_FROM", len(TRIPLES))
    assert (settings(path).top_movies, settings(path).batch_size) == (50, 4096)
    assert get_data_loaders(load_torch_data(path)[0]).train.batch_sampler.batch_size == 4096


# Titles


def test_titles_years_and_genres_come_from_a_second_file(write, monkeypatch):
    path = write("user_id,book_id,rating", TRIPLES)
    titles = write(
        "id,book_id,original_publication_year,title,genres",
        [(900 + n, n, f"{1990 + n}.0", f'"Book {n}, a ""novel"""', "\"['War', 'Love story']\"") for n in range(2, 50)],
        "books.csv",
    )
    monkeypatch.setenv("MOVIELENS_TITLES", titles)
    assert load_movies(path).head(2).rows() == [
        (1, "1", None, []),
        (2, 'Book 2, a "novel"', 1992, ["War", "Love story"]),
    ]
    assert settings(path).release.has == {"titles", "genres"}
    assert notes_of(path)["titles"] == "39 of 40 items, by column book_id of books.csv"
    write("id,title", [("x", "X")], "books.csv")
    assert "books.csv: none of its 1 ids, as 'x', was rated in my.csv, where ids are as " in refused(path)
    monkeypatch.setenv("MOVIELENS_TITLES", titles + "x")
    assert "MOVIELENS_TITLES: there is no file" in refused(path)
    monkeypatch.delenv("MOVIELENS_TITLES")
    monkeypatch.setenv("MOVIELENS_COLUMNS", "title=name")
    assert "MOVIELENS_COLUMNS: title=name is of a table of titles; set MOVIELENS_TITLES" in refused(path)


def test_ids_are_looked_for_in_the_column_that_has_them(write, monkeypatch):
    path = write("user_id,book_id,rating", TRIPLES)
    other = [(n, 37 * n % 1000 + 100, f"Book {n}") for n in range(1, 41)]  # as goodbooks-10k had them at first
    monkeypatch.setenv("MOVIELENS_TITLES", write("id,book_id,title", other, "books.csv"))
    assert load_movies(path)["title"].to_list() == [f"Book {n}" for n in range(1, 41)]
    assert notes_of(path)["titles"] == "40 of 40 items, by column id of books.csv"
    known = [(n, n if n <= 30 else n + 500, f"Book {n}") for n in range(1, 41)]
    monkeypatch.setenv("MOVIELENS_TITLES", write("id,book_id,title", known, "books.csv"))
    assert notes_of(path)["titles"] == "30 of 40 items, by column book_id of books.csv"


@pytest.mark.parametrize(
    ("genres", "expected"),
    [
        ("Children's|Film-Noir", ["Children's", "Film-Noir"]),
        ("War; Love story", ["War", "Love story"]),
        ('["War", "Love story"]', ["War", "Love story"]),
        ("""[{'id': 1, 'name': 'War'}, {'id': 2, 'name': "Children's"}]""", ["War", "Children's"]),
        ("[]", []),
    ],
)
def test_genres_are_parted_however_they_are_written(write, monkeypatch, genres, expected):
    path = write("user_id,movieId,rating", TRIPLES)
    titles = write("id,title,genres", [(n, f"Film {n} (1999)", genres) for n in range(1, 41)], "movies.tsv", "\t")
    monkeypatch.setenv("MOVIELENS_TITLES", titles)
    assert load_movies(path).row(0) == (1, "Film 1", 1999, expected)


def test_years_in_brackets_are_taken_off_titles_and_text_ids_find_theirs(write, monkeypatch):
    path = write("user,asin,rating", [(user, f"B{item:03}", stars) for user, item, stars in TRIPLES])
    rows = [(f"B{n:03}", f"Film {n} (19{50 + n})") for n in range(1, 41)]
    monkeypatch.setenv("MOVIELENS_TITLES", write("asin,name", rows, "titles.csv", ";"))
    assert load_movies(path).row(6) == (7, "Film 7", 1957, [])
    assert settings(path).release.has == {"titles"}


# Where it goes, and what is told


def test_a_file_is_converted_once_and_again_when_it_or_a_setting_changes(write, monkeypatch):
    path = write("user,item,rating,score", [(*row, 3 + row[2] % 2) for row in TRIPLES])
    load_ratings(path)
    converted = own_file(Path(path), "ratings")
    before = converted.stat().st_mtime_ns
    load_ratings(path)
    assert converted.stat().st_mtime_ns == before
    monkeypatch.setenv("MOVIELENS_COLUMNS", "rating=score")
    assert set(load_ratings(path)["rating"]) == {3, 4}
    monkeypatch.delenv("MOVIELENS_COLUMNS")
    write("user,item,rating", [(user, item, 6 - stars) for user, item, stars in TRIPLES])
    assert triples_of(path) == [(user, item, 6 - stars) for user, item, stars in EXPECTED]
    write("user,item,rating", TRIPLES)  # as many bytes
    assert triples_of(path) == EXPECTED
    own_file(Path(path), "ratings").unlink()
    assert triples_of(path) == EXPECTED


def test_nothing_half_written_is_left_by_a_file_that_is_refused(write, tmp_path):
    refused(write("user,item,rating", [*TRIPLES, (1, 2, "x")]))
    assert [path for path in (tmp_path / "data").iterdir() if path.suffix != ".lock"] == []


def test_two_processes_that_want_the_same_file_get_it(write, environment, tmp_path):
    path = write("user,item,rating", TRIPLES * 200)
    script = f"from utilities import load_ratings; print(load_ratings({path!r}).height)"
    command, environment = [sys.executable, "-c", script], environment | {"MOVIELENS_DATA_DIR": str(tmp_path / "data")}
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in running] == [f"{len(TRIPLES)}\n"] * 2


def test_the_settings_say_what_was_found_and_not_where_on_this_machine(write, monkeypatch, tmp_path):
    path = write("user,item,stars", TRIPLES)
    monkeypatch.setenv("MOVIELENS_DATASET", path)
    assert str(settings()).splitlines()[:4] == [
        "dataset     my.csv",
        "columns     user = user, item = item, rating = stars, no time",
        "scale       1 to 5, in steps of 1 (found: the ratings go from 1 to 5; MOVIELENS_SCALE sets another)",
        f"ratings     {len(TRIPLES):,} by 60 users of 40 items",
    ]
    monkeypatch.setenv("MOVIELENS_DATASET", os.path.relpath(path, ROOT))
    assert settings().dataset == path
    record = describe_rows(load_torch_data()[0])
    assert (record["dataset"], record["top_movies"], record["n_ratings"]) == ("my.csv", 500, len(TRIPLES))
    assert str(tmp_path) not in json.dumps(record) + json.dumps(notes_of(path))


def test_what_a_file_lacks_is_skipped_with_a_line_that_says_so(write, capsys):
    path = write("user,item,rating", TRIPLES)
    assert not any([needs("timestamps", path), needs("genres", path), needs("user descriptions", path)])
    assert capsys.readouterr().out == (
        "skipped: my.csv has no timestamps (every release of MovieLens has)\n"
        "skipped: my.csv has no genres (MOVIELENS_TITLES can name a file that has)\n"
        "skipped: my.csv has no user descriptions (ml-100k, ml-1m have)\n"
    )


def test_inspecting_says_what_a_person_wants_to_know_before(write, monkeypatch):
    path = write("user,item,rating,date", [(*row, "2005-09-06") for row in [*TRIPLES, TRIPLES[0]]])
    monkeypatch.setenv("MOVIELENS_TOP_MOVIES", "10")
    said = describe(path)
    per_user = pl.Series([user for user, _ in PAIRS]).value_counts()["count"]
    for line in (
        f"ratings     {len(TRIPLES):,} by 60 users of 40 items",
        "duplicates  1 left out: rated again later",
        f"density     {len(TRIPLES) / 2400:.2%} of all pairs of user and item",
        f"per user    {per_user.min()} at the fewest, {per_user.median():.0f} in the middle, {per_user.max()} at the most",
        "times       2005-09-06 to 2005-09-06",
        f"Next: MOVIELENS_DATASET={path} MOVIELENS_TOP_MOVIES=10 make run",
    ):
        assert line in said.splitlines()
    assert re.search(r"(?m)^kept        \d+ ratings of the 10 most-rated items", said)
    assert re.search(r"(?m)^estimate    some 7 minutes .* and 2\.0 GB of memory, ", said)
    assert "No titles: skipped, in whole or in part: " in said
    assert "No timestamps: " not in said
    assert "quicker " not in said
    monkeypatch.setattr(inspect, "LONG", 0)  # as of millions of ratings
    assert "quicker     MOVIELENS_SAMPLE=1000000 keeps so many ratings" in describe(path)


def test_inspecting_where_no_notebooks_are_names_no_sections(write, tmp_path):
    config = settings(write("user,item,rating", TRIPLES))
    assert any(line.startswith("No timestamps: skipped, in whole or in part: ") for line in _skipped(config))
    config = dataclasses.replace(config, root=tmp_path)
    (line,) = [*_skipped(config), *_claims(config)]
    assert line.startswith("The ids stand for titles")


def test_inspecting_counts_the_claims_that_are_of_the_sample_whatever_the_data(write, tmp_path):
    def cell(kind, source, *printed):
        outputs = {} if kind == "markdown" else {"outputs": [{"name": "stdout", "text": [text]} for text in printed]}
        return {"cell_type": kind, "source": [source], **outputs}

    cells = [
        cell("markdown", "`of_sample=True` says so."),
        cell("code", 'claim("a", a, of_sample=True)\nclaim("b", b)', "✓ a\n✓ b\n", "not a claim\n"),
        cell("code", 'claim("c", c,\n      of_sample=True)', "✓ c\n"),
        cell("code", 'for x in "de": claim(x, x > "c")', "✓ d\n✓ e\n"),
    ]
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_some.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    config = dataclasses.replace(settings(write("user,item,rating", TRIPLES)), root=tmp_path)
    (line,) = _claims(config)
    assert line.startswith("2 of the 5 claims rest on experiments with the built-in sample: ")
    assert list(_claims(dataclasses.replace(settings("built-in"), root=tmp_path))) == []


def test_the_course_has_claims_of_the_sample_that_inspecting_counts(write):
    said = re.search(r"(?m)^(\d+) of the (\d+) claims rest on ", describe(write("user,item,rating", TRIPLES)))
    n_of_sample, n = map(int, said.groups())
    assert 0 < n_of_sample < n
    assert f"\n{n} claims, all of which hold" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_inspecting_from_the_command_line_ends_with_one_sentence_if_the_file_is_refused(write, environment):
    path = write("user,item,rating", [*TRIPLES, (1, 2, "x")])
    command = [sys.executable, "-m", "utilities.inspect", path]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"my.csv, line {len(TRIPLES) + 2}: rating is 'x', not a number; correct it or get the file again\n"
    )
