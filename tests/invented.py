"""Files of ratings as large as a small site's, invented: tastes, generosity, fame and noise are drawn."""

from pathlib import Path

import numpy as np
import polars as pl

GENRES = ["Action", "Comedy", "Drama", "Fantasy", "Music", "Mystery", "Sports"]


def draw(n_users: int, n_items: int, rated_per_user: float, spread: float, seed: int = 0) -> pl.DataFrame:
    """Draw who rates what and how: `user` and `item` from 0, `rating` in standard units, rows in any order.

    A user likes what lies near their taste and chooses much of it; a few items are rated by most, many by few. Users
    differ in how generous and how noisy they are. `spread` is of the number of ratings a user has, as a lognormal's.
    """
    rng = np.random.default_rng(seed)
    tastes, kinds = rng.normal(size=(n_users, 3)) / 3**0.25, rng.normal(size=(n_items, 3)) / 3**0.25
    liking, quality = tastes @ kinds.T, rng.normal(size=n_items)
    fame = 1.2 * rng.gumbel(size=n_items) + 0.6 * quality
    rows = []
    for user in range(n_users):
        n_rated = int(np.clip(rng.lognormal(np.log(rated_per_user), spread), 3, n_items * 0.8))
        chosen = np.argsort(-(fame + 0.7 * liking[user] + rng.gumbel(size=n_items)))[:n_rated]
        noise = rng.normal(size=n_rated) * rng.uniform(0.5, 1.1)
        rating = 0.5 * quality[chosen] + 0.5 * rng.normal() + 0.5 * liking[user, chosen] + noise
        rows.append(pl.DataFrame({"user": user, "item": chosen, "rating": rating}))
    return pl.concat(rows).sample(fraction=1, shuffle=True, seed=seed)


def anime_list(folder: Path) -> dict[str, str]:
    """Write a list of anime: 1 to 10 points, -1 for "watched", no time; titles and genres in a file of their own.

    Returns:
        The variables that a run on it sets.
    """
    ratings_df = draw(n_users=900, n_items=500, rated_per_user=40, spread=0.9)
    points = (7.5 + 1.5 * pl.col("rating")).round().clip(1, 10).cast(int)
    watched = pl.int_range(pl.len()) % 9 == 0
    ratings_df.select(
        user_id=pl.col("user") + 1, anime_id=7 * pl.col("item") + 5, rating=pl.when(watched).then(-1).otherwise(points)
    ).write_csv(folder / "anime_ratings.csv")
    rng = np.random.default_rng(1)
    items = range(ratings_df["item"].max() + 1)
    genres = [", ".join(rng.choice(GENRES, rng.integers(1, 4), replace=False)) for _ in items]
    columns = {"anime_id": [7 * i + 5 for i in items], "name": [f"The {i}th Tale" for i in items], "genre": genres}
    pl.DataFrame(columns).write_csv(folder / "anime.csv")
    return {
        "MOVIELENS_DATASET": str(folder / "anime_ratings.csv"),
        "MOVIELENS_TITLES": str(folder / "anime.csv"),
        "MOVIELENS_NOT_RATED": "-1",
    }


def joke_scores(folder: Path) -> dict[str, str]:
    """Write scores of jokes, any number from -10 to 10, by text ids, with the day; few jokes, which many have scored."""
    ratings_df = draw(n_users=400, n_items=100, rated_per_user=35, spread=0.5, seed=2)
    day = pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 1, 1) + pl.duration(days=ratings_df["user"].max()))
    days_df = ratings_df.select(pl.col("user").unique().sort()).with_columns(date=day)
    ratings_df.join(days_df, on="user", maintain_order="left").select(
        user=pl.format("u{}", pl.col("user").cast(str).str.zfill(4)),
        joke=pl.format("joke {}", "item"),
        score=(2 + 4 * pl.col("rating")).clip(-10, 10).round(2),
        date="date",
    ).write_csv(folder / "jokes.tsv", separator="\t")
    return {"MOVIELENS_DATASET": str(folder / "jokes.tsv")}
