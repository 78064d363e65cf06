"""How somebody else's table is written, found from its first lines: what parts the values, and which column is what."""

import csv
import re
from itertools import pairwise
from typing import NamedTuple

SEPARATORS = (
    "::",
    "\t\t",
    "\t",
    ";",
    "|",
    ",",
    " ",
)  # the first three are in no title; the last is any number of blanks
MATRIX_COLUMNS = 12  # a table with more columns, all of numbers, has one for each item
FIRST_TIME, LAST_TIME = 10**8, 4 * 10**9  # Unix seconds, from 1973 to 2096

# Names without blanks and signs, in small letters; of several columns that have one, the first listed here is taken:
# beside a user's rating, one that is only called so may be the average.
# fmt: off
ITEM = (
    "movieid itemid bookid isbn animeid mangaid asin parentasin trackid songid artistid jokeid productid businessid "
    "restaurantid placeid videoid gameid appid recipeid beerid beerbeerid wineid showid seriesid filmid titleid hotelid "
    "courseid articleid const tconst letterboxduri movie item book anime track song artist joke product business restaurant "
    "place game recipe beer wine show film iid id"
)
RATINGS = {
    "user": (
        "userid user uid userhash reviewerid reviewer customerid customer custid memberid accountid steamid raterid "
        "visitorid clientid personid profileid username profilename reviewprofilename reviewusername"
    ),
    "item": ITEM,
    "rating": (
        "userrating yourrating myrating myscore userscore reviewrating reviewscore reviewstars reviewoverall "
        "bookrating movierating starrating rating ratings ratingval ratingvalue score stars star overall overallrating grade"
    ),
    "time": (
        "timestamp ts ratingtimestamp unixreviewtime unixtime time ratingtime reviewtime datetime date daterated ratedat "
        "ratedon ratingdate reviewdate createdat created dateadded updatedat lastupdated mylastupdated tstamp"
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
    """Reduce a column's name to what people agree on: `User-ID`, `userId` and RecBole's `user_id:token` are one."""
    return re.sub(r":\w+$|[\W_]", "", name).lower()


def names_columns(line: str) -> bool:
    """Say whether a line has the names of at least two roles of a table of ratings."""
    words = {plain(word) for word in re.split(r"[\s,;|]+", line)}
    return sum(not words.isdisjoint(names.split()) for names in RATINGS.values()) > 1


def named_columns(text: str) -> dict[str, str]:
    """Read the setting `MOVIELENS_COLUMNS`, `user=…,item=…,rating=…,time=…`: a column's name or number for some roles.

    `title=…`, `year=…` and `genres=…` are of the table of titles.

    Raises:
        ValueError: It has another form.
    """
    parts = [part.partition("=") for part in re.split(r",(?=\s*\w+\s*=)", text) if text]
    named = {role.strip(): name.strip() for role, _, name in parts}
    if unknown := [role for role in named if role not in {*RATINGS, *TITLES} or not named[role]]:
        raise ValueError(
            f"MOVIELENS_COLUMNS: {unknown[0]!r} in {text!r}; write user=…,item=…,rating=…,time=…, and of the table of "
            "titles title=…,year=…,genres=…, each a column's name or number; time, year and genres can be none"
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
    separator = _separator(lines, RATINGS, named)
    rows = [split(line, separator) for line in lines]
    rows[0] = _with_all_names(rows)
    of = _match(rows[0], RATINGS, {role: name for role, name in named.items() if role in RATINGS}, source)
    header = "rating" not in of or not is_number(rows[0][of["rating"]])
    if not of and not named and (of := _as_movielens_has_them(rows)):
        note = "no header: user, item, rating, time in this order, as MovieLens has them (else set MOVIELENS_COLUMNS)"
        return Columns(separator, False, [str(i + 1) for i in range(len(rows[0]))], of, note)
    names = [name.strip() for name in rows[0]] if header else [str(i + 1) for i in range(len(rows[0]))]
    missing = [role for role in ("user", "item", "rating") if role not in of]
    if missing:
        raise ValueError(f"{source}: {_missing(missing, names, rows, of)}")
    note = ", ".join(f"{role} = {names[of[role]]}" for role in RATINGS if role in of)
    return Columns(separator, header, names, of, note + ", no time" * ("time" not in of))


def find_titles(lines: list[str], named: dict[str, str], item: str, source: str) -> tuple[Columns, list[int]]:
    """Find the columns of a table of titles; `named` is what `named_columns` read, `item` what the ratings call its ids.

    Returns:
        Where titles and, if they are there, years and genres are, and the positions of columns that may have the ids: first
        one of that name. A table without names is taken to have ids first, then titles.

    Raises:
        ValueError: It has no ids or no titles.
    """
    named = {role: name for role, name in named.items() if role not in RATINGS}
    separator = _separator(lines, TITLES, named)
    rows = [split(line, separator) for line in lines]
    names = [name.strip() for name in rows[0]]
    thing = plain(item).removesuffix("id")
    of = _match(names, TITLES | {"title": f"{TITLES['title']} {thing}title {thing}name"}, named, source)
    if not of and len(names) > 1 and (texts := [i for i in range(1, len(names)) if not _are_numbers(rows, i)]):
        genres = {"genres": 2} if len(names) == 3 and texts[0] == 1 else {}  # as MovieLens has them
        return Columns(separator, False, names, {"title": texts[0], **genres}, ""), [0]
    named_item = of.pop("item", None)
    same = [i for i, name in enumerate(names) if plain(name) == plain(item)][:1]
    others = [i for i, name in enumerate(map(plain, names)) if name.endswith("id") or name in ITEM.split()]
    ids = same + sorted({*others} - {*same, of.get("title")}, key=lambda i: i != named_item)
    if "title" not in of or not ids:
        raise ValueError(
            f"{source}: its columns are {', '.join(names)[:300]}; MOVIELENS_TITLES needs ids, under the name {item!r} that "
            "the ratings have, and a column 'title' (and takes years from 'year' and genres from 'genres'); where they have "
            "other names, add title=… (and year=…, genres=…) to MOVIELENS_COLUMNS"
        )
    return Columns(separator, True, names, of, ""), ids


def split(line: str, separator: str) -> list[str]:
    """Part a line into its values."""
    if len(separator) > 1:
        return line.split(separator)
    line = line.replace("\r", " ")
    return next(csv.reader([line.strip(" ")], delimiter=separator, skipinitialspace=True), [])


def is_number(text: str) -> bool:
    """Say whether a value is a number."""
    return re.fullmatch(r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*", text) is not None


def _separator(lines: list[str], known: dict, named: dict[str, str]) -> str:
    """Find what parts the values: what makes the most known names of the header, else the most columns in every line.

    Columns without values do not count, and tabs and `::` before all others.
    """

    def fit(separator: str) -> tuple[int, bool, int]:
        rows = [split(line, separator) for line in lines]
        names = {plain(name) for name in rows[0]}
        asked = {plain(name) for name in named.values() if not name.isdecimal()}
        n_known = sum(not names.isdisjoint(names_of.split()) for names_of in known.values()) + len(asked & names)
        n_columns = sum(map(any, zip(*rows, strict=False))) if len({len(row) for row in rows[1:] or rows}) == 1 else 1
        return n_known, separator in SEPARATORS[:3] and n_columns > 1, n_columns

    return max(SEPARATORS, key=fit)


def _match(names: list[str], known: dict, named: dict[str, str], source: str) -> dict[str, int]:
    """Give each role's position: that of the column named for it, else of the first other one that has a usual name.

    A number is a column's place, even where the first line of a table without names has that number in another.

    Raises:
        ValueError: A column that is named is not there.
    """
    positions = {plain(name): i for i, name in reversed(list(enumerate(names)))}
    of = {}
    for role, name in named.items():
        if name.isdecimal() and 1 <= int(name) <= len(names):
            of[role] = int(name) - 1
        elif name in names or (plain(name) and plain(name) in positions):
            of[role] = names.index(name) if name in names else positions[plain(name)]
        elif role not in ("time", "year", "genres") or plain(name) != "none":
            raise ValueError(
                f"{source}: MOVIELENS_COLUMNS names {name!r} for the {role}; the columns are {', '.join(names)[:300]}"
            )
    for role in [role for role in known if role not in named]:
        found = (positions[name] for name in known[role].split() if name in positions)
        of[role] = next((i for i in found if i not in of.values()), None)
    return {role: of[role] for role in known if of.get(role) is not None}


def _are_numbers(rows: list[list[str]], i: int) -> bool:
    return all(is_number(row[i]) for row in rows if len(row) > i and row[i])


def _with_all_names(rows: list[list[str]]) -> list[str]:
    """Add a name for what R puts before each row, its number, or for what a separator at the end of each row makes."""
    names, others = rows[0], rows[1:]
    if len(others) < 2 or any(len(row) != len(names) + 1 for row in others):
        return names
    if not any(row[-1] for row in others):
        return [*names, ""]
    is_counted = all(row[0].isdecimal() for row in others) and all(int(a[0]) < int(b[0]) for a, b in pairwise(others))
    return ["", *names] if is_counted else names


def _as_movielens_has_them(rows: list[list[str]]) -> dict[str, int]:
    """Take four columns of numbers for user, item, rating and time, if the last can only be the time."""
    if any(len(row) != 4 or not all(map(is_number, row)) for row in rows):
        return {}
    is_time = all(FIRST_TIME < float(row[3].replace(",", ".")) < LAST_TIME for row in rows)
    is_rating = all(abs(float(row[2].replace(",", "."))) <= 100 for row in rows)
    return {"user": 0, "item": 1, "rating": 2, "time": 3} if is_time and is_rating else {}


def _missing(missing: list[str], names: list[str], rows: list[list[str]], of: dict[str, int]) -> str:
    """Say what is missing, and what to do."""
    listed = ", ".join(names)[:300]
    numbers = [sum(not value.strip() or is_number(value) for value in row) for row in rows[1:] or rows]
    if len(names) > MATRIX_COLUMNS and "item" in missing and min(numbers) > 0.8 * len(names):
        user = names[of["user"]] if "user" in of else "" if not rows[0][0] else None
        read = '"…", has_header=False' if all(map(is_number, rows[0])) else '"…"'
        return (
            f"{len(names)} columns of numbers: a matrix with a column for each item. Make it a table with a row for each "
            f"rating, in polars with pl.read_csv({read}, infer_schema_length=None).drop([])"
            + ('.with_row_index("user")' if user is None else "")
            + f'.unpivot(index="{"user" if user is None else user}", variable_name="item", value_name="rating")'
            '.drop_nulls("rating").write_parquet("ratings.parquet"), with columns that are no items in .drop([]), as '
            '"column_0" of Jester, a count; set MOVIELENS_NOT_RATED if a number such as 99 stands for no rating'
        )
    if missing == ["user"]:
        return (
            f"no column says who rated; the columns are {listed}. If one does, set MOVIELENS_COLUMNS=user=…. {ONE_USER}"
        )
    if any(map(is_number, rows[0])):
        filled = [i + 1 for i in range(len(names)) if any(len(row) > i and row[i] for row in rows)]
        form = ",".join(f"{role}={i}" for role, i in zip(RATINGS, filled[: 4 if len(filled) == 4 else 3], strict=False))
        first = f"the first line, {' | '.join(rows[0])[:200]!r}, has no names"
        form += " with the numbers that are right here (time=… only if there is one)"
    else:
        form = ",".join(f"{role}={names[of[role]] if role in of else '…'}" for role in ("user", "item", "rating"))
        first = f"the columns are {listed}"
    return (
        f"no column is known as {' or '.join(missing)}; {first}. Say which column is what by name or number, as in "
        f"MOVIELENS_COLUMNS={form}"
    )


ONE_USER = (
    "The ratings of one person alone, as IMDb and Letterboxd export them, train no model of the course: it learns tastes by "
    "comparing people. Append them, under a user id of your own, to ratings by many of the same items, or type some into "
    "the list of notebook 06, which recommends to a new user"
)
