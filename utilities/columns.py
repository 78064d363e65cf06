"""How somebody else's table is written, found from its first lines: what parts the values, and which column is what."""

import csv
import re
from typing import NamedTuple

SEPARATORS = ("::", "\t", ";", "|", ",", " ")
MATRIX_COLUMNS = 12  # a table with more columns, all of numbers, has one for each item
FIRST_TIME, LAST_TIME = 10**8, 4 * 10**9  # Unix seconds, from 1973 to 2096

# Names without blanks and signs, in small letters; of several columns that have one, the first listed here is taken.
# fmt: off
ITEM = (
    "movieid itemid bookid isbn animeid mangaid asin parentasin trackid songid artistid jokeid productid businessid "
    "restaurantid placeid gameid appid recipeid beerid beerbeerid wineid showid seriesid filmid titleid hotelid courseid "
    "articleid const tconst letterboxduri movie item book anime track song artist joke product business restaurant "
    "place game recipe beer wine show film iid id"
)
RATINGS = {
    "user": (
        "userid user uid userhash reviewerid reviewer customerid customer custid memberid accountid steamid raterid "
        "visitorid clientid personid profileid username profilename reviewprofilename reviewusername"
    ),
    "item": ITEM,
    "rating": (
        "rating ratings score stars star bookrating overall overallrating userrating yourrating myrating myscore "
        "userscore starrating reviewrating reviewscore reviewstars reviewoverall movierating ratingvalue grade"
    ),
    "time": (
        "timestamp ts unixreviewtime unixtime time reviewtime datetime date daterated ratedat ratedon ratingdate "
        "reviewdate createdat created dateadded updatedat lastupdated mylastupdated tstamp"
    ),
}
TITLES = {
    "item": ITEM,
    "title": "title booktitle movietitle name primarytitle originaltitle itemtitle itemname moviename gamename",
    "year": "year originalpublicationyear yearofpublication publicationyear releaseyear yearpublished startyear",
    "genres": "genres genre categories category tags",
}
# fmt: on


class Columns(NamedTuple):
    """Where the values of a table are.

    Attributes:
        separator: What stands between two values of a line.
        header: Whether the first line names the columns.
        names: The columns; of a table without a header their numbers, from 1.
        of: The position of each role's column, from 0.
        note: What was taken for what, or why it had to be guessed.
    """

    separator: str
    header: bool
    names: list[str]
    of: dict[str, int]
    note: str


def plain(name: str) -> str:
    """Reduce a column's name to what people agree on: `User-ID`, `user_id` and `userId` are one."""
    return re.sub(r"[\W_]", "", name).lower()


def named_columns(text: str) -> dict[str, str]:
    """Read the setting `MOVIELENS_COLUMNS`, `user=…,item=…,rating=…,time=…`: a column's name or number for some roles.

    Raises:
        ValueError: It has another form.
    """
    parts = [part.partition("=") for part in re.split(r",(?=\s*\w+\s*=)", text) if text]
    named = {role.strip(): name.strip() for role, _, name in parts}
    if unknown := [role for role in named if role not in RATINGS or not named[role]]:
        raise ValueError(
            f"MOVIELENS_COLUMNS: {unknown[0]!r} in {text!r}; write user=…,item=…,rating=…,time=…, each a column's name or "
            "number, or time=none"
        )
    return named


def find_columns(lines: list[str], named: dict[str, str], source: str) -> Columns:
    """Find the columns of a table of ratings.

    Args:
        lines: The first lines.
        named: What `named_columns` read.
        source: What to call the table in messages.

    Returns:
        Where user, item, rating and, if there is one, time are.

    Raises:
        ValueError: They are not to be found; the message says what to do.
    """
    if re.fullmatch(r"\d+:\s*", lines[0]):
        raise ValueError(
            f"{source} has a line {lines[0].strip()!r} above the ratings of each movie, as Netflix's files have: put it "
            'beside each rating first, in polars with pl.col("user").str.extract(r"^(\\d+):").forward_fill(), and drop '
            "these lines"
        )
    separator = _separator(lines, RATINGS, named)
    rows = [split(line, separator) for line in lines]
    of = _match(rows[0], RATINGS, named, source)
    header = "rating" not in of or not is_number(rows[0][of["rating"]])
    if not of and not named and (of := _as_movielens_has_them(rows)):
        note = "no header: user, item, rating, time in this order, as MovieLens has them (else set MOVIELENS_COLUMNS)"
        return Columns(separator, False, [str(i + 1) for i in range(len(rows[0]))], of, note)
    names = [name.strip() for name in rows[0]] if header else [str(i + 1) for i in range(len(rows[0]))]
    missing = [role for role in ("user", "item", "rating") if role not in of]
    if missing:
        raise ValueError(f"{source}: {_missing(missing, names, rows, named)}")
    note = ", ".join(f"{role} = {names[of[role]]}" for role in RATINGS if role in of)
    return Columns(separator, header, names, of, note + ", no time" * ("time" not in of))


def find_titles(lines: list[str], item: str, source: str) -> Columns:
    """Find the columns of a table of titles; `item` is what the ratings call its ids.

    Raises:
        ValueError: It has no ids or no titles.
    """
    separator = _separator(lines, TITLES, {})
    names = split(lines[0], separator)
    of = _match(names, TITLES, {"item": item} if plain(item) in map(plain, names) else {}, source)
    if not {"item", "title"} <= set(of):
        raise ValueError(
            f"{source}: its columns are {', '.join(names)[:300]}; MOVIELENS_TITLES needs ids, under the name {item!r} that "
            "the ratings have, and a column 'title' (and takes years from 'year' and genres from 'genres')"
        )
    return Columns(separator, True, names, of, "")


def split(line: str, separator: str) -> list[str]:
    """Part a line into its values."""
    if len(separator) > 1:
        return line.split(separator)
    return next(csv.reader([line], delimiter=separator), [])


def is_number(text: str) -> bool:
    """Say whether a value is a number."""
    return re.fullmatch(r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*", text) is not None


def _separator(lines: list[str], known: dict, named: dict[str, str]) -> str:
    """Find what parts the values: what makes the most known names of the header, else the most columns in every line."""

    def fit(separator: str) -> tuple[int, int]:
        rows = [split(line, separator) for line in lines]
        names = {plain(name) for name in rows[0]}
        asked = {plain(name) for name in named.values() if not name.isdecimal()}
        n_known = sum(not names.isdisjoint(names_of.split()) for names_of in known.values()) + len(asked & names)
        return n_known, len(rows[0]) if len({len(row) for row in rows}) == 1 else 1

    return max(SEPARATORS, key=fit)


def _match(names: list[str], known: dict, named: dict[str, str], source: str) -> dict[str, int]:
    """Give each role's position: that of the column named for it, else of the first that has a usual name.

    A number is a column's place, even where the first line of a table without names has that number in another.

    Raises:
        ValueError: A column that is named is not there.
    """
    positions = {plain(name): i for i, name in reversed(list(enumerate(names)))}
    of = {}
    for role, usual in known.items():
        name = named.get(role)
        if name is None:
            found = next((positions[name] for name in usual.split() if name in positions), None)
        elif role == "time" and plain(name) == "none":
            found = None
        elif name.isdecimal() and 1 <= int(name) <= len(names):
            found = int(name) - 1
        elif plain(name) in positions:
            found = positions[plain(name)]
        else:
            raise ValueError(
                f"{source}: MOVIELENS_COLUMNS names {name!r} for the {role}; the columns are {', '.join(names)[:300]}"
            )
        if found is not None:
            of[role] = found
    return of


def _as_movielens_has_them(rows: list[list[str]]) -> dict[str, int]:
    """Take four columns of numbers for user, item, rating and time, if the last can only be the time."""
    if any(len(row) != 4 or not all(map(is_number, row)) for row in rows):
        return {}
    is_time = all(FIRST_TIME < float(row[3].replace(",", ".")) < LAST_TIME for row in rows)
    is_rating = all(abs(float(row[2].replace(",", "."))) <= 100 for row in rows)
    return {"user": 0, "item": 1, "rating": 2, "time": 3} if is_time and is_rating else {}


def _missing(missing: list[str], names: list[str], rows: list[list[str]], named: dict[str, str]) -> str:
    """Say what is missing, and what to do."""
    listed = ", ".join(names)[:300]
    numbers = [sum(map(is_number, row)) for row in rows[1:] or rows]
    if len(names) > MATRIX_COLUMNS and "item" in missing and min(numbers) > 0.8 * len(names):
        return (
            f"{len(names)} columns of numbers: a matrix with a column for each item. Make it a table with a row for each "
            'rating, in polars with df.with_row_index("user").unpivot(index="user", variable_name="item", '
            'value_name="rating").drop_nulls().write_parquet("ratings.parquet") after dropping columns that are no items; '
            "set MOVIELENS_NOT_RATED if a number such as 99 stands for no rating"
        )
    if missing == ["user"]:
        return (
            f"no column says who rated; the columns are {listed}. If one does, set MOVIELENS_COLUMNS=user=…. {ONE_USER}"
        )
    form, first = "user=…,item=…,rating=…", f"the columns are {listed}"
    if any(map(is_number, rows[0])):
        form = "user=1,item=2,rating=3" + ",time=4" * (len(names) == 4)
        first = f"the first line, {' | '.join(rows[0])[:200]!r}, has no names"
    return (
        f"no column is known as {' or '.join(missing)}; {first}. Say which column is what by name or number, as in "
        f"MOVIELENS_COLUMNS={form} with the numbers that are right here (time=… only if there is one)"
    )


ONE_USER = (
    "The ratings of one person alone, as IMDb and Letterboxd export them, train no model of the course: it learns tastes by "
    "comparing people. Append them, under a user id of your own, to ratings by many of the same items, or type some into "
    "the list of notebook 06, which recommends to a new user"
)
