"""The releases of MovieLens that the series knows, and what differs between them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """One release of MovieLens.

    Attributes:
        top_movies: How many of the most-rated movies the notebooks keep unless told otherwise.
        batch_size: Ratings per training step unless told otherwise: small data needs small batches, or an epoch has
            too few steps to learn in.
    """

    top_movies: int
    batch_size: int


RELEASES = {
    "built-in": Release(top_movies=500, batch_size=1024),
}
