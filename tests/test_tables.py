"""Tables as a download has them, and as they come back from Excel, a database or a zip tool."""

import io
import re

import polars as pl
import pytest

from utilities import tables
from utilities.releases import CSV, DAT, DAT_LATIN_1, TAB
from utilities.tables import read_movies, read_ratings

RATINGS = [(1, 7, 3.0, 900), (1, 31, 4.5, 850), (2, 7, 1.0, 700)]
RATINGS_CSV = "userId,movieId,rating,timestamp\n1,7,3.0,900\n1,31,4.5,850\n2,7,1.0,700\n"
MOVIES = [(7, "Misérables, Les", 1995, "Drama|Musical"), (31, 'Say "Yes"', None, "Comedy")]
MOVIES_CSV = 'movieId,title,genres\n7,"Misérables, Les (1995)",Drama|Musical\n31,"Say ""Yes""",Comedy\n'


def ratings_of(text, layout=CSV):
    text = text if isinstance(text, bytes) else text.encode()
    return pl.concat(read_ratings(io.BytesIO(text), layout, "my file", lambda df, source: df)).rows()


def movies_of(text, layout=CSV):
    text = text if isinstance(text, bytes) else text.encode()
    return read_movies(io.BytesIO(text), layout, "my file").rows()


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        pytest.param("", "", id="as downloaded"),
        pytest.param("\n", "\r\n", id="lines end as in Windows"),
        pytest.param("^", "\ufeff", id="a byte order mark"),
        pytest.param(r"\n\Z", "", id="no end of the last line"),
        pytest.param(r"\Z", "\n\r\n\n", id="empty lines at the end"),
        pytest.param(r"(\n1,31)", r"\n,,,\1", id="an empty row, as Excel leaves it"),
        pytest.param(r"([\w.]+)", r'"\1"', id="every value quoted"),
        pytest.param("userId,movieId", "USERID,MovieID", id="a header in other case"),
        pytest.param("userId,movieId", '"user_id", movie_id ', id="a header as databases write it"),
        pytest.param(r"(.+),(.+),(.+),(.+)\n", r"\4,\2,\1,\3\n", id="columns in another order"),
        pytest.param(r"(.+),(.+)\n", r"\1,note,\2,\n", id="more columns"),
        pytest.param(r"(\d+),(\d+),(.+),(\d+)\n", r"\1.0,\2.0,\3,\4.00\n", id="whole numbers as pandas writes floats"),
        pytest.param(r",(?=\d)", ",  ", id="blanks before numbers"),
        pytest.param(r"\.0,", ",", id="whole stars without a point"),
    ],
)
def test_ratings_are_the_same_however_they_were_saved(pattern, replacement, monkeypatch):
    text = re.sub(pattern, replacement, RATINGS_CSV, count=1 if pattern == "^" else 0)
    assert ratings_of(text) == RATINGS
    monkeypatch.setattr(tables, "BLOCK_BYTES", 1)
    assert ratings_of(text) == RATINGS


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        pytest.param("", "", id="as downloaded"),
        pytest.param("\n", "\r\n", id="lines end as in Windows"),
        pytest.param("^", "\ufeff", id="a byte order mark"),
        pytest.param(r"\Z", "\n,,\n", id="empty rows at the end"),
        pytest.param(r"(\d+),(.+),(.+)\n", r"\2,\1,\3\n", id="columns in another order"),
        pytest.param("movieId,title,genres", "MOVIE_ID,Title,Genres", id="a header in other case"),
        pytest.param(r"\n(\d+),", r"\n\1.0,", id="whole numbers as pandas writes floats"),
        pytest.param(r"\n(\d+),", r'\n"\1",', id="quoted numbers"),
    ],
)
def test_movies_are_the_same_however_they_were_saved(pattern, replacement):
    text = re.sub(pattern, replacement, MOVIES_CSV, count=1 if pattern == "^" else 0)
    if pattern.startswith(r"(\d+),(.+)"):
        text = text.replace("movieId,title", "title,movieId")
    assert movies_of(text) == MOVIES


def test_blocks_of_any_size_give_the_same_ratings(monkeypatch):
    """Many blocks, with users across their borders, against one."""
    ratings = [(u, m, 3.5, 1000 - m) for u in range(1, 40) for m in range(1, 3 + u % 7)]
    text = "".join(f"{u}::{m}::{r}::{t}\n" for u, m, r, t in ratings)
    for size in (1, 50, 400, 2**20):
        monkeypatch.setattr(tables, "BLOCK_BYTES", size)
        assert ratings_of(text, DAT) == ratings, size


def test_a_block_that_is_checked_holds_all_ratings_of_its_users(monkeypatch):
    monkeypatch.setattr(tables, "BLOCK_BYTES", 10)
    text, blocks = "".join(f"{u}::{m}::3::1\n" for u in (1, 2, 3) for m in range(9)), []
    assert list(read_ratings(io.BytesIO(text.encode()), DAT, "my file", lambda df, _: blocks.append(df)))
    assert [(df["userId"].unique().to_list(), df.height) for df in blocks] == [([1], 9), ([2], 9), ([3], 9)]


def test_users_in_disorder_across_blocks_are_refused(monkeypatch):
    text = "".join(f"{u}::{m}::3.5::1\n" for u in (1, 2, 3, 2) for m in range(1, 20))
    assert len(ratings_of(text, DAT)) == 76
    monkeypatch.setattr(tables, "BLOCK_BYTES", 100)
    with pytest.raises(ValueError, match="my file: not ordered by user"):
        ratings_of(text, DAT)


def test_years_are_taken_off_titles():
    titles = {
        "2001: A Space Odyssey (1968)": ("2001: A Space Odyssey", 1968),
        "1984 (Nineteen Eighty-Four) (1984)": ("1984 (Nineteen Eighty-Four)", 1984),
        "Fawlty Towers (1975-1979)": ("Fawlty Towers", 1975),
        "Doctor Who (2006–)": ("Doctor Who", 2006),
        "Blind Side, The  (2009) ": ("Blind Side, The", 2009),
        "Apollo (13)": ("Apollo (13)", None),
        "Cosmos": ("Cosmos", None),
    }
    text = "".join(f"{i}::{title}::Drama\n" for i, title in enumerate(titles))
    assert [(title, year) for _, title, year, _ in movies_of(text, DAT)] == list(titles.values())


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("4,7,3.5", "there is no timestamp"),
        ("4,7,,1", "there is no rating"),
        ("4,7,3.5,1,2", "'2' is one too many"),
        ("4,seven,3.5,1", "movieId is 'seven', not a whole number"),
        (r"4,\N,3.5,1", r"movieId is '\\N', not a whole number"),
        ("4,7.5,3.5,1", "movieId is '7.5', not a whole number"),
        ('4,7,"3,5",1', "rating is '3,5', not a number"),
        ("4,7,03. May,1", "rating is '03. May', not a number"),
        ("4,7,3.5,1.5", "timestamp is '1.5', not a whole number of Unix seconds"),
        ("4,7,3.5,1.26E+09", "timestamp is '1.26E+09', not a whole number of Unix seconds"),
        ("4,7,3.5,2009-12-14 12:52:24", "timestamp is '2009-12-14 12:52:24', not a whole number of Unix seconds"),
        ("4,7,3.5,1 OR 1", "timestamp is '1 OR 1', not a whole number of Unix seconds"),
        ("9" * 20 + ",7,3.5,1", f"userId is '{'9' * 20}', not a whole number"),
        ('4,7,3.5,"1', "quotes do not match"),
        ("::::", "userId is '::::', not a whole number"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_its_line(line, what, monkeypatch):
    lines = ["userId,movieId,rating,timestamp", *(f"{u},7,3.5,1" for u in range(5, 1000))]
    lines.insert(654, line)
    expected = f"^my file, line 655: {re.escape(what)}; correct it or get the file again$"
    for size in (tables.BLOCK_BYTES, 300):
        monkeypatch.setattr(tables, "BLOCK_BYTES", size)
        with pytest.raises(ValueError, match=expected):
            ratings_of("\n".join(lines))


def test_lines_are_counted_across_empty_ones(monkeypatch):
    monkeypatch.setattr(tables, "BLOCK_BYTES", 1)
    with pytest.raises(ValueError, match="line 7: movieId is 'x'"):
        ratings_of(RATINGS_CSV + "\n\n3,x,3.5,1\n")


def test_a_value_is_named_without_a_header_and_between_two_colons(monkeypatch):
    monkeypatch.setattr(tables, "BLOCK_BYTES", 50)
    with pytest.raises(ValueError, match="line 101: rating is 'x'"):
        ratings_of("1::2::3.5::4\n" * 100 + "1::2::x::4\n" + "2::2::3.5::4\n" * 100, DAT)
    with pytest.raises(ValueError, match="line 2: there is no timestamp"):
        ratings_of("1\t2\t3\t4\n1\t2\t3\n", TAB)


@pytest.mark.parametrize(
    "header", ["user,item,stars", "userId,movieId,rating", "userId;movieId;rating;timestamp", "1,31,2.5,1260759144"]
)
def test_a_header_that_lacks_a_column_is_refused(header):
    expected = "does not name each of 'userId,movieId,rating,timestamp' once; correct it"
    with pytest.raises(ValueError, match=f"my file, line 1: {header!r} {expected}"):
        ratings_of(f"{header}\n1,2,3,4\n")


def test_a_header_that_names_a_column_twice_is_refused():
    with pytest.raises(ValueError, match="does not name each of 'movieId,title,genres' once"):
        movies_of("movieId,title,genres,Title\n1,A,B,C\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,A (1990),Drama\n2,B (1991)\n", "line 3: there is no genres"),
        ("1,A (1990),Drama\n2,B, The (1991),Drama\n", "line 3: 'Drama' is one too many"),
        ("1,A (1990),Drama\nii,B,Drama\n", "line 3: movieId is 'ii', not a whole number"),
        ('1,A (1990),Drama\n2,"B,\n of (1991)",Drama\n3,"C (1992),Drama\n4,D,War\n', "line 5: quotes do not match"),
        ('1,A (1990),Drama\n2,"B, The" (1991),Drama\n', "line 3: quotes do not match"),
        ("", "line 2: no movies in it"),
    ],
)
def test_movies_that_cannot_be_read_are_named_with_their_line(text, message):
    with pytest.raises(ValueError, match=f"my file, {message}; correct it or get the file again"):
        movies_of("movieId,title,genres\n" + text)


def test_titles_in_another_encoding_are_refused_by_their_line_and_never_replaced():
    text = MOVIES_CSV.replace("31", "8,Brazil (1985),Drama\n31")
    with pytest.raises(ValueError, match=r"line 2: b'7,\"Mis\\xe9' is not utf-8: save the table as utf-8"):
        movies_of(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"line 1: b'\\xff' is not utf-8: save the table as utf-8"):
        movies_of(text.encode("utf-16"))
    with pytest.raises(ValueError, match=r"line 1: b'\\xff' is not utf-8: save the table as utf-8"):
        ratings_of(RATINGS_CSV.encode("utf-16"))
    with pytest.raises(ValueError, match=r"line 5: b'2,8,3.5\\xa0' is not utf-8"):
        ratings_of(RATINGS_CSV.encode() + b"2,8,3.5\xa0,1\n")


def test_titles_of_the_old_releases_are_latin_1():
    assert movies_of("1::Café (1990)::Drama\n".encode("latin-1"), DAT_LATIN_1) == [(1, "Café", 1990, "Drama")]


def test_a_movie_listed_twice_is_kept_once_with_a_warning():
    with pytest.warns(UserWarning, match="my file: 2 lines of movies listed before, as 31, dropped"):
        assert movies_of(MOVIES_CSV + "31,Other,Comedy\n7,Other (2001),War\n") == MOVIES
