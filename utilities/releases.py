"""The releases of MovieLens that the series knows, and what differs between them and files of one's own."""

from dataclasses import dataclass, field
from typing import NamedTuple

N_BINS = 20


class Scale(NamedTuple):
    """The ratings that can be given.

    A tuple, so that a checkpoint can hold it among a model's hyper-parameters.

    Attributes:
        lowest: The lowest.
        highest: The highest.
        step: Between one rating and the next; None where any value between can be given.
    """

    lowest: float
    highest: float
    step: float | None

    @property
    def unit(self) -> str:
        """What a rating is counted in: stars where the most is five of them, else points."""
        return "stars" if self.highest == 5 and self.lowest in (0, 0.5, 1) else "points"

    @property
    def star(self) -> float:
        """How many of its ratings' units are one star: 1 on scales of stars, 2 from 1 to 10.

        The models count in stars, so that the same ratings give the same model in any unit. Ratings that use little of their
        scale get stars that are too large, and so prices that are too high.
        """
        return 1.0 if self.unit == "stars" else (self.highest - self.lowest) / (HALF_STARS.highest - HALF_STARS.lowest)

    @property
    def bins(self) -> list[float]:
        """The edges of a histogram's bins: one bin a step, around it; 20 equal ones where there are no steps."""
        width, margin = (self.step, self.step / 2) if self.step else ((self.highest - self.lowest) / N_BINS, 0)
        n_bins = round((self.highest - self.lowest + 2 * margin) / width)
        return [self.lowest - margin + i * width for i in range(n_bins + 1)]


HALF_STARS = Scale(lowest=0.5, highest=5.0, step=0.5)
WHOLE_STARS = Scale(lowest=1.0, highest=5.0, step=1.0)


@dataclass(frozen=True)
class Layout:
    """How the tables lie in an archive.

    Attributes:
        ratings: Name of the file of ratings: user, movie, rating, timestamp.
        movies: Name of the file of movies; `u.item` has a flag per genre, the others a column of genres.
        separator: What stands between two values of a line; in `u.item` and `u.user` it is `|`.
        header: Whether the first line names the columns.
        encoding: Of the titles.
        users: Name of the file of users, None if there is none; `u.user` has its values in another order.
    """

    ratings: str
    movies: str
    separator: str
    header: bool
    encoding: str
    users: str | None = None

    @property
    def files(self) -> dict[str, str]:
        """The name of each table's file."""
        names = {"movies": self.movies, "ratings": self.ratings, "users": self.users}
        return {table: name for table, name in names.items() if name}


CSV = Layout("ratings.csv", "movies.csv", ",", header=True, encoding="utf-8")
DAT = Layout("ratings.dat", "movies.dat", "::", header=False, encoding="utf-8")
DAT_LATIN_1 = Layout("ratings.dat", "movies.dat", "::", header=False, encoding="latin-1", users="users.dat")
TAB = Layout("u.data", "u.item", "\t", header=False, encoding="latin-1", users="u.user")

BASICS = frozenset({"timestamps", "titles", "genres"})
USERS = BASICS | {"user descriptions"}
FOLDS = USERS | {"published folds"}


@dataclass(frozen=True)
class Release:
    """One release of MovieLens, or a file of one's own.

    Attributes:
        top_movies: How many of the most-rated movies the notebooks keep unless told otherwise.
        batch_size: Ratings per training step unless told otherwise: small data needs small batches, or an epoch has
            too few steps to learn in.
        layout: How the tables lie in the archive; None for the sample that comes with the package and for own files.
        checksum: Algorithm and hexadecimal digest of the archive, `sha256:…`; None where it changes with time.
        scale: The ratings that can be given.
        has: What sections of the notebooks can need and not every release has.
        notes: What was found in an own file, as the settings print it: by a word, a line.
    """

    top_movies: int
    batch_size: int
    layout: Layout | None = None
    checksum: str | None = None
    scale: Scale = HALF_STARS
    has: frozenset[str] = BASICS
    notes: dict[str, str] = field(default_factory=dict)


SMALL = {"top_movies": 500, "batch_size": 1024}
LARGE = {"top_movies": 50, "batch_size": 4096}

RELEASES = {
    "built-in": Release(**SMALL),
    "ml-latest-small": Release(**SMALL, layout=CSV),
    "ml-latest": Release(**LARGE, layout=CSV),
    "ml-100k": Release(
        **SMALL,
        layout=TAB,
        checksum="sha256:50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        scale=WHOLE_STARS,
        has=FOLDS,
    ),
    "ml-1m": Release(
        **SMALL,
        layout=DAT_LATIN_1,
        checksum="sha256:a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        scale=WHOLE_STARS,
        has=USERS,
    ),
    "ml-10m": Release(**LARGE, layout=DAT, checksum="md5:ce571fd55effeba0271552578f2648bd"),
    "ml-20m": Release(
        **LARGE,
        layout=CSV,
        checksum="sha256:96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3",
    ),
    "ml-25m": Release(
        **LARGE,
        layout=CSV,
        checksum="sha256:8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa",
    ),
    "ml-32m": Release(**LARGE, layout=CSV, checksum="md5:d472be332d4daa821edc399621853b57"),
}


OWN: dict[str, Release] = {}  # the files of one's own that this process has opened, by their names without the folder


def lacks(name: str, release: Release, what: str) -> str | None:
    """Say that a dataset lacks what a section of a notebook needs, and which have it; None if it has it."""
    holders = [holder for holder, known in RELEASES.items() if what in known.has]
    if not holders:
        known = sorted(set().union(*(release.has for release in RELEASES.values())))
        raise ValueError(f"nothing has {what!r}; known: {', '.join(known)}")
    if what in release.has:
        return None
    if len(holders) == len(RELEASES):
        remedy = {"timestamps": "every release of MovieLens has"}.get(what, "MOVIELENS_TITLES can name a file that has")
        return f"{name} has no {what} ({remedy})"
    have = "has" if len(holders) == 1 else "have"
    return f"{name} has no {what} ({', '.join(holders)} {have})"
