# %% [markdown]
# # 01 · Exercises: data exploration
#
# They practise what [01 · Data exploration](../notebooks/01_data_exploration.ipynb) teaches: whose ratings a mean weighs,
# what a bias of few ratings is worth, and what leaks. Each `check` tells whether an answer is right, and knows the mistakes
# that are made most; `hint("01.1")` helps, one hint at a time.

# %% setup
import numpy as np
import polars as pl

import utilities

scale = utilities.rating_scale("built-in")
ratings_df, users_df, movies_df = utilities.load_torch_data("built-in", 500)
train_df, val_df, test_df = utilities.split_train_test(ratings_df)


def bias_mse(train_df, rows_df, lam_users, lam_movies):
    """Fit μ + b_u + b_i on training rows, a λ for each side, and give the mean squared error on other rows."""
    mu, rating = train_df["rating"].mean(), pl.col("rating")
    b_i = train_df.group_by("movieId").agg(b_i=(rating - mu).sum() / (lam_movies + pl.len()))
    b_u = train_df.join(b_i, on="movieId").group_by("userId")
    b_u = b_u.agg(b_u=(rating - mu - pl.col("b_i")).sum() / (lam_users + pl.len()))
    rows_df = rows_df.join(b_i, on="movieId", how="left").join(b_u, on="userId", how="left")
    predicted = mu + pl.col("b_i").fill_null(0) + pl.col("b_u").fill_null(0)
    return rows_df.select((predicted.clip(scale.lowest, scale.highest) - rating) ** 2).mean().item()


# %% checks
import numpy as np
import polars as pl

import utilities
from utilities.exercises import expect


# %% exercise [markdown]
# ## 01.1 ★ One movie, one vote
#
# In the mean of all ratings a movie counts as often as it was rated. Let each movie count once instead: does the mean rise
# or fall?
#
# Decide first which you expect, and think of the funnel. Then hand over, for the rows of `train_df`, the mean of all ratings
# *less* the mean of the movies' means, as one number in stars, to at least three decimals.

# %% stub
gap = ...

# %% solution
means_df = train_df.group_by("movieId").agg(mean=pl.col("rating").mean())
gap = train_df["rating"].mean() - means_df["mean"].mean()

# %% why [markdown]
# The gap is positive: movies that are rated often are also rated higher, and the mean of all ratings is mostly theirs. A
# mean of means answers another question, how good a movie is that was picked by its number. Neither is wrong, but a
# predictor of ratings starts from the first, since its errors are counted once a rating.

# %% other
n, total = np.zeros(movies_df.height), np.zeros(movies_df.height)
np.add.at(n, train_df["movieIdMapped"].to_numpy(), 1)
np.add.at(total, train_df["movieIdMapped"].to_numpy(), train_df["rating"].to_numpy())
gap = round(total.sum() / n.sum() - (total / n).mean(), 4)


# %% check
def mistake_in(gap):
    gap = expect.number(gap, "`gap`")

    def near(value):
        return abs(gap - value) < 6e-4

    assert not near(3.6451), (
        "That is the mean of the movies' means alone. How far does it lie from the mean of all ratings?"
    )
    assert abs(gap) not in (0.07, 0.08), f"{gap} is too coarse: three decimals at least."
    if near(-0.0750):
        return "the other way round"
    if near(-0.0580) or near(0.0580):
        return "the mean of the users' means"
    if near(0.0733) or near(0.0697) or near(0.0615):
        return "other rows"
    assert abs(gap) > 1e-6, (
        "The two means are equal in your answer. Does each movie have one mean, or one for each of its rows?"
    )
    assert near(0.0750), f"The two means do not differ by {gap:.4f} stars on the training rows."


# %% hint [markdown]
# Two steps: a frame with one row for each movie that holds its mean, then the mean of that column.

# %% hint [markdown]
# `train_df.group_by("movieId").agg(…)` makes one row of all rows of a movie.

# %% mistake: the other way round [markdown]
# The size is right, the sign is not: what is subtracted from what?

# %% mistake: the other way round
means_df = train_df.group_by("movieId").agg(mean=pl.col("rating").mean())
gap = means_df["mean"].mean() - train_df["rating"].mean()

# %% mistake: the mean of the users' means [markdown]
# Here each *user* has one vote. (That mean lies above the mean of all ratings: who rates much is stricter.) And the movies?

# %% mistake: the mean of the users' means
means_df = train_df.group_by("userId").agg(mean=pl.col("rating").mean())
gap = train_df["rating"].mean() - means_df["mean"].mean()

# %% mistake: other rows [markdown]
# That is the gap on other rows than the training rows. Which frame did you group?

# %% mistake: other rows
means_df = ratings_df.group_by("movieId").agg(mean=pl.col("rating").mean())
gap = ratings_df["rating"].mean() - means_df["mean"].mean()

# %% mistake: other rows
means_df = val_df.group_by("movieId").agg(mean=pl.col("rating").mean())
gap = val_df["rating"].mean() - means_df["mean"].mean()

# %% exercise [markdown]
# ## 01.2 ★ The same praise from fewer people
#
# The 12 training ratings of a movie lie 1 star above $\mu$ on average, and its bias is 0.75. Which bias does a movie get
# whose *three* training ratings lie 1 star above $\mu$ on average?
#
# The bias is that of the notebook, with one $\lambda$ for both movies, which you are not told. Guess before you calculate.
# Hand over the second movie's bias, one number in stars.

# %% stub
bias = ...

# %% solution
lam = 12 * 1 / 0.75 - 12
bias = 3 * 1 / (lam + 3)

# %% why [markdown]
# The first movie's deviations sum to 12. Its bias is 0.75, so they were divided by 16: λ is 4 ratings. The second movie's
# sum of 3 is divided by 4 + 3. A quarter of the ratings leaves more than half of the bias: λ counts as so many ratings at
# $\mu$, and these four stand beside 12 real ones there, beside three here.

# %% other
n, mean, lam = 3, 1.0, 4
bias = np.float32(mean * n / (n + lam))


# %% check
def mistake_in(bias):
    bias = expect.number(bias, "`bias`")

    def near(value):
        return abs(bias - value) < 2e-3

    if near(0.75):
        return "shrunk like the first"
    if near(0.1875):
        return "in proportion to the ratings"
    if near(3 / 19):
        return "the sum of λ and n taken for λ"
    if near(4):
        return "λ itself"
    assert not near(0.25), "So much the first movie's bias lies below its mean deviation. It is no bias of the second."
    assert not near(0.375), "A root of the number of ratings does not occur in the formula of the bias. How does it go?"
    assert bias < 1, f"A bias of {bias:.3f} is not pulled towards 0: the mean deviation itself is 1."
    assert near(3 / 7), f"With the λ that gives the first movie 0.75, the second does not get {bias:.3f}."


# %% hint [markdown]
# The first movie tells λ. What is the *sum* of its deviations, and by which number was it divided?

# %% hint [markdown]
# $0.75 = 12 / (\lambda + 12)$. Solve it for λ, and use that for three ratings.

# %% mistake: shrunk like the first [markdown]
# The first movie keeps three quarters of its mean deviation. Would one with fewer ratings keep as much?

# %% mistake: shrunk like the first
bias = 0.75

# %% mistake: in proportion to the ratings [markdown]
# A quarter of the ratings, a quarter of the bias: then a movie with 48 ratings would have a bias of 3, far above its mean
# deviation. In the formula the number of ratings stands twice.

# %% mistake: in proportion to the ratings
bias = 0.75 * 3 / 12

# %% mistake: the sum of λ and n taken for λ [markdown]
# The first movie's sum is divided by 16, and that is λ and its own ratings together. What is λ alone?

# %% mistake: the sum of λ and n taken for λ
bias = 3 / (12 / 0.75 + 3)

# %% mistake: λ itself [markdown]
# That is λ, in ratings, and right. The bias that it gives to the second movie is asked for, in stars.

# %% mistake: λ itself
bias = 12 / 0.75 - 12

# %% exercise [markdown]
# ## 01.3 ★★ New rows, old numbers
#
# A model was trained, and its table has a row for each id of the training rows. Now new rows come in. Find the table row of
# each of their ids.
#
# `train_ids` and `new_ids` are two polars series of raw ids, unsorted, ids repeated. The table is numbered as in the
# notebook: the different ids of `train_ids`, in ascending order, from 0. Give one whole number for each entry of `new_ids`,
# in their order: the number of that id in the table, and -1 for an id that the training rows do not have. A series, a list,
# an array or a tensor will do.


# %% stub
def table_rows(train_ids, new_ids):
    """Give the table row of each new id, -1 where there is none."""
    ...


# %% solution
def table_rows(train_ids, new_ids):
    """Give the table row of each new id, -1 where there is none."""
    row_of = {id_: row for row, id_ in enumerate(train_ids.unique().sort())}
    return [row_of.get(id_, -1) for id_ in new_ids]


# %% why [markdown]
# A number means nothing by itself: it is a place in *one* table, and the training ids decide what stands there. Numbering
# the new rows by themselves also gives whole numbers from 0, so no error is raised; every look-up just finds somebody
# else's row. Of an id that is not in the table nothing is known, and -1 says so.


# %% other
def table_rows(train_ids, new_ids):
    known = np.unique(train_ids.to_numpy())
    new_ids = new_ids.to_numpy()
    rows = np.searchsorted(known, new_ids)
    return np.where(known[rows.clip(max=len(known) - 1)] == new_ids, rows, -1)


# %% check
def mistake_in(table_rows):
    train, new = [50, 7, 50, 900, 7, 20], [900, 8, 7, 50, 1000, 3, 5, 900, 50]
    known = sorted(set(train))
    expected = [known.index(i) if i in known else -1 for i in new]
    found = table_rows(pl.Series(train), pl.Series(new))
    assert not isinstance(found, pl.DataFrame), (
        "It gives a frame. Which column holds the table rows? Give that one alone."
    )
    if isinstance(found, pl.Series | list | tuple):
        assert not any(one is None for one in found), (
            "It gives null for some ids. The table rows of unknown ids should be -1."
        )
    found = expect.array(found, "what it gives for nine new ids")
    assert found.ndim == 1, (
        f"It gives something of the shape {list(found.shape)}. One number for each new id is wanted, in a row."
    )
    found = found.tolist()
    own = sorted(set(new))
    both = sorted({*train, *new})
    seen = list(dict.fromkeys(train))
    assert len(found) == len(new), (
        f"For {len(new)} new ids it gives {len(found)} numbers: one for each row, repeated or not."
    )
    if found == new or found == [i if i in known else -1 for i in new]:
        return "raw ids"
    if found in ([own.index(i) for i in new], [own.index(i) if i in known else -1 for i in new]):
        return "the new ids are numbered by themselves"
    if found in ([both.index(i) for i in new], [both.index(i) if i in known else -1 for i in new]):
        return "numbered together"
    of_known = [f for f, e in zip(found, expected, strict=True) if e >= 0]
    if of_known == [e for e in expected if e >= 0] and found != expected:
        return "an unknown id gets a row"
    if of_known == [e + 1 for e in expected if e >= 0]:
        return "counted from 1"
    assert found != [seen.index(i) if i in seen else -1 for i in new], (
        "The numbers follow the order in which the ids appear."
    )
    assert sorted(found) != sorted(expected) or found == expected, (
        "The numbers are right, but not in the order of the new rows."
    )
    assert found == expected, (
        f"With the training ids {train}, the new ids {new} do not have the rows {[int(f) for f in found]}."
    )
    for train, new, expected in (
        ([3], [3], [0]),
        ([4, 2, 9], [9, 9, 2], [2, 2, 0]),
        ([4, 2], [5], [-1]),
        ([10, 3], [1, 4], [-1, -1]),
    ):
        found = expect.array(table_rows(pl.Series(train), pl.Series(new)), f"what it gives for {new}").tolist()
        assert found == expected, f"With the training ids {train}, the new ids {new} do not have the rows {found}."


# %% hint [markdown]
# Which of the two series decides what stands in the table? Number that one first, and keep the pairs of id and number.

# %% hint [markdown]
# `train_ids.unique().sort()` is the table. A dictionary from id to place has `get(id, -1)`; or look at what `how="left"`
# leaves beside a row without a partner.

# %% mistake: raw ids [markdown]
# These are the ids themselves. The table has as many rows as there are *different* training ids: most raw ids lie far
# outside.


# %% mistake: raw ids
def table_rows(train_ids, new_ids):
    return new_ids


# %% mistake: the new ids are numbered by themselves [markdown]
# The new ids are numbered by what occurs among the new rows. The model's table was numbered by the training rows, so these
# numbers find other users' or movies' rows, without an error.


# %% mistake: the new ids are numbered by themselves
def table_rows(train_ids, new_ids):
    return new_ids.rank("dense") - 1


# %% mistake: the new ids are numbered by themselves
def table_rows(train_ids, new_ids):
    known = set(train_ids)
    return [
        rank - 1 if id_ in known else -1 for id_, rank in zip(new_ids, new_ids.rank("dense").cast(int), strict=True)
    ]


# %% mistake: numbered together [markdown]
# Old and new ids are numbered together. Each new id in between moves the numbers of those behind it, but the trained table
# stays as it is.


# %% mistake: numbered together
def table_rows(train_ids, new_ids):
    return (pl.concat([train_ids, new_ids]).rank("dense") - 1).cast(pl.Int64).tail(len(new_ids))


# %% mistake: an unknown id gets a row [markdown]
# Known ids get the right row, and ids that the training rows do not have get one as well: the place where they *would* stand
# is taken by another id.


# %% mistake: an unknown id gets a row
def table_rows(train_ids, new_ids):
    return train_ids.unique().sort().search_sorted(new_ids)


# %% mistake: an unknown id gets a row
def table_rows(train_ids, new_ids):
    row_of = {id_: row for row, id_ in enumerate(train_ids.unique().sort())}
    return [row_of.get(id_, 0) for id_ in new_ids]


# %% mistake: counted from 1 [markdown]
# The rows are counted from 1. The table's first row is 0.


# %% mistake: counted from 1
def table_rows(train_ids, new_ids):
    row_of = {id_: row for row, id_ in enumerate(train_ids.unique().sort(), start=1)}
    return [row_of.get(id_, -1) for id_ in new_ids]


# %% mistake: counted from 1
def table_rows(train_ids, new_ids):
    table_df = pl.DataFrame({"id": train_ids.unique()}).with_columns(row=pl.col("id").rank("dense").cast(pl.Int64))
    rows_df = pl.DataFrame({"id": new_ids}).join(table_df, on="id", how="left", maintain_order="left")
    return rows_df["row"].fill_null(0)


# %% exercise [markdown]
# ## 01.4 ★★ A top list that one fan cannot win
#
# Sorted by their means, the best movies are those that one enthusiast has rated. Give every movie $\lambda$ more ratings,
# all of them at the mean, and sort again.
#
# `df` has the columns `userId`, `movieId` and `rating`; `lam` is any number from 0, not always whole. A movie's shrunken
# mean is the mean of its own ratings and of `lam` imagined ones, each equal to the mean of all ratings in `df`. Give a
# polars frame with the columns `movieId` and `shrunken`, in stars, one row a movie, the highest first; ties in any order.


# %% stub
def top_list(df, lam):
    """Give the movies by their shrunken means, the highest first."""
    ...


# %% solution
def top_list(df, lam):
    """Give the movies by their shrunken means, the highest first."""
    rating = pl.col("rating")
    shrunken = (rating.sum() + lam * df["rating"].mean()) / (pl.len() + lam)
    return df.group_by("movieId").agg(shrunken=shrunken).sort("shrunken", descending=True)


# %% why [markdown]
# λ imagined ratings at the mean add $\lambda\mu$ to the sum and λ to the number. Subtract $\mu$ from the result, and what
# is left is the notebook's $b_i$: to shrink a bias towards 0 *is* to imagine λ average ratings, and this is why λ is
# measured in ratings. To divide by λ + n alone pulls towards 0 stars, and punishes a movie for being little known.


# %% other
def top_list(df, lam):
    mu = df["rating"].mean()
    above = df.group_by("movieId").agg(n=pl.len(), bias=(pl.col("rating") - mu).sum())
    shrunken = mu + above["bias"] / (above["n"] + lam)
    order = np.argsort(-shrunken.to_numpy())
    return pl.DataFrame({"shrunken": shrunken, "movieId": above["movieId"]})[order]


# %% check
def mistake_in(top_list):
    ratings = {
        7: [5.0],
        3: [4.5, 4.0, 5.0, 4.5, 4.5, 4.0],
        12: [0.5, 1.0],
        5: [3.0, 4.0, 2.5],
        40: [4.0, 1.5, 2.0, 3.0, 2.0],
    }
    rows = [(user, movie, stars) for movie in ratings for user, stars in enumerate(ratings[movie])]
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    mu = sum(stars for *_, stars in rows) / len(rows)
    mean_of_means = np.mean([np.mean(stars) for stars in ratings.values()])
    wrong = {
        "pulled towards 0 stars": lambda s, lam: sum(s) / (len(s) + lam),
        "the mean is added once": lambda s, lam: (sum(s) + mu) / (len(s) + lam),
        "pulled towards the mean of the means": lambda s, lam: (sum(s) + lam * mean_of_means) / (len(s) + lam),
        "the bias, not the mean": lambda s, lam: sum(x - mu for x in s) / (len(s) + lam),
    }
    for lam in (3, 2.5, 0, 40):
        found = top_list(pl.DataFrame(rows, ["userId", "movieId", "rating"], orient="row"), lam)
        assert not isinstance(found, pl.LazyFrame), "It gives a lazy frame, which holds no rows yet: `.collect()` it."
        assert isinstance(found, pl.DataFrame), f"It should give a polars frame, it gives {expect.kind(found)}."
        assert {*found.columns} >= {"movieId", "shrunken"}, (
            f"The frame should have the columns `movieId` and `shrunken`, it has {', '.join(found.columns) or 'none'}."
        )
        values = expect.array(found["shrunken"].to_numpy(), "the column `shrunken`")
        movies = found["movieId"].to_list()
        assert sorted(movies) == sorted(ratings), "The list should have one row for each movie of `df`, and no more."
        for name, formula in wrong.items():
            if lam and expect.close(values, [formula(ratings[movie], lam) for movie in movies]):
                return name
        expected = [
            sum(ratings[m] + lam * [mu] if lam == 3 else [*ratings[m], lam * mu]) / (len(ratings[m]) + lam)
            for m in movies
        ]
        if lam:
            sums, n = (np.array([of(ratings[m]) for m in movies]) for of in (sum, len))
            imagined = (values * (n + lam) - sums) / lam
            assert np.ptp(imagined) > 1e-3 or abs(imagined.mean() - mu) < 1e-3, (
                "The imagined ratings have the mean of another frame than `df`."
            )
        assert expect.close(values, expected), (
            f"With λ = {lam} the shrunken means are not those of λ imagined ratings at the mean."
        )
        if (np.diff(values) > 1e-9).any() and (np.diff(values) > -1e-9).all():
            return "the lowest first"
        assert (np.diff(values) < 1e-9).all(), "The shrunken means are right, but the list is not sorted by them."


# %% hint [markdown]
# Do it for one movie on paper: five stars from one fan, λ = 3, a mean of 3.5. Which four numbers is its shrunken mean the
# mean of?

# %% hint [markdown]
# The imagined ratings add to the sum of a movie's ratings and to their number. How much to each?

# %% hint [markdown]
# Take the mean of all ratings before grouping. `agg(shrunken=…)` may hold any expression of `pl.col("rating").sum()` and
# `pl.len()`.

# %% mistake: pulled towards 0 stars [markdown]
# The number of ratings grew by λ, the sum did not: as if the imagined ratings had 0 stars, which no scale has. A movie
# sinks just for being little known.


# %% mistake: pulled towards 0 stars
def top_list(df, lam):
    shrunken = pl.col("rating").sum() / (pl.len() + lam)
    return df.group_by("movieId").agg(shrunken=shrunken).sort("shrunken", descending=True)


# %% mistake: the mean is added once [markdown]
# The sum grew by one mean, the number by λ ratings. How much do λ ratings at the mean add up to?


# %% mistake: the mean is added once
def top_list(df, lam):
    shrunken = (pl.col("rating").sum() + df["rating"].mean()) / (pl.len() + lam)
    return df.group_by("movieId").agg(shrunken=shrunken).sort("shrunken", descending=True)


# %% mistake: pulled towards the mean of the means [markdown]
# The imagined ratings have the mean of the movies' means. There a movie with one rating counts as much as one with
# hundreds, which is just what shrinking is to cure.


# %% mistake: pulled towards the mean of the means
def top_list(df, lam):
    means_df = df.group_by("movieId").agg(mean=pl.col("rating").mean())
    shrunken = (pl.col("rating").sum() + lam * means_df["mean"].mean()) / (pl.len() + lam)
    return df.group_by("movieId").agg(shrunken=shrunken).sort("shrunken", descending=True)


# %% mistake: the bias, not the mean [markdown]
# These are biases, how far the shrunken means lie from the mean of all ratings. In which unit and on which scale is a mean
# of ratings?


# %% mistake: the bias, not the mean
def top_list(df, lam):
    shrunken = (pl.col("rating") - df["rating"].mean()).sum() / (pl.len() + lam)
    return df.group_by("movieId").agg(shrunken=shrunken).sort("shrunken", descending=True)


# %% mistake: the lowest first [markdown]
# The numbers are right, and the list begins with the worst movie.


# %% mistake: the lowest first
def top_list(df, lam):
    shrunken = (pl.col("rating").sum() + lam * df["rating"].mean()) / (pl.len() + lam)
    return df.group_by("movieId").agg(shrunken=shrunken).sort("shrunken")


# %% exercise [markdown]
# ## 01.5 ★★ What the others say
#
# A rating helps to make its movie's mean, and so the mean "predicts" it a little too well. Predict each rating by the mean
# of the *other* ratings of its movie.
#
# `df` has the columns `userId`, `movieId` and `rating`, and at least two rows. Give one number for each row, in the order
# of the rows: the mean of the movie's ratings without that of the row. Where a movie has no other rating, take the mean of
# all other rows of `df`, whatever their movie. A series, a list, an array or a tensor will do.


# %% stub
def mean_of_others(df):
    """Give for each row the mean of the other ratings of its movie."""
    ...


# %% solution
def mean_of_others(df):
    """Give for each row the mean of the other ratings of its movie."""
    rating = pl.col("rating")
    total, n = rating.sum().over("movieId"), pl.len().over("movieId")
    alone = (rating.sum() - rating) / (pl.len() - 1)
    return df.select(pl.when(n > 1).then((total - rating) / (n - 1)).otherwise(alone)).to_series()


# %% why [markdown]
# To leave a row out, nothing has to be fitted again: take it off the sum and off the number. With its own rating in, a
# movie that was rated once would be predicted without any error. Such a column looks wonderful on the rows that made it and
# fails on new ones; it is the leak that a split is meant to prevent, inside the training rows.


# %% other
def mean_of_others(df):
    movies, stars = df["movieId"].to_numpy(), df["rating"].to_numpy()
    same = movies[:, None] == movies
    np.fill_diagonal(same, False)
    same[~same.any(axis=1)] = True
    np.fill_diagonal(same, False)
    return (same @ stars) / same.sum(axis=1)


# %% check
def mistake_in(mean_of_others):
    rng = np.random.default_rng(1)
    for movies in ([4, 9, 4, 4, 7, 9, 2], [*rng.integers(6, size=30).tolist(), 77], [1, 1], [1, 2], [3, 3, 3]):
        stars = (rng.integers(1, 11, size=len(movies)) / 2).tolist()
        stars[0] += 0.5 * (stars[0] == stars[1])
        rows = range(len(movies))

        def others_of(i, movies=movies, stars=stars, rows=rows):
            return [stars[j] for j in rows if j != i and movies[j] == movies[i]]

        expected = [np.mean(others_of(i) or [stars[j] for j in rows if j != i]) for i in rows]
        df = pl.DataFrame({"userId": list(rows), "movieId": movies, "rating": stars})
        found = mean_of_others(df)
        found = found.to_series() if isinstance(found, pl.DataFrame) and found.width == 1 else found
        shape = np.shape(found)
        assert shape == (len(movies),), (
            f"For {len(movies)} rows it gives the shape {list(shape)}, not one number a row."
        )
        with_others = np.array([bool(others_of(i)) for i in rows])
        found = np.array([np.nan if value is None else float(value) for value in found])
        if with_others.any() and not np.isfinite(found[~with_others]).all() and np.isfinite(found[with_others]).all():
            return "a movie with one rating"
        found = expect.array(found, f"what it gives for the movies {movies}")
        sums = [sum(others_of(i)) / (len(others_of(i)) + 1) for i in rows]
        own = [np.mean([*others_of(i), stars[i]]) for i in rows]
        if with_others.any() and expect.close(found[with_others], np.array(own)[with_others]):
            return "the rating is in its own mean"
        if with_others.any() and expect.close(found[with_others], np.array(sums)[with_others]):
            return "divided by all"
        alone_is_leaky = expect.close(found[~with_others], np.full((~with_others).sum(), np.mean(stars)))
        if (
            (~with_others).any()
            and alone_is_leaky
            and expect.close(found[with_others], np.array(expected)[with_others])
        ):
            return "the rating is in the mean of all"
        in_order = expect.close(found, expected)
        assert in_order or not expect.close(np.sort(found), np.sort(expected)), (
            "The numbers are right, but not in the order of the rows."
        )
        assert in_order, (
            f"For the movies {movies[:7]} and the ratings {stars[:7]} it gives {found[:7].round(3).tolist()}."
        )


# %% hint [markdown]
# Take a movie with the ratings 5, 3 and 1. What does the first row get, what the second? How do both come from the sum and
# the number?

# %% hint [markdown]
# `.over("movieId")` writes a group's sum beside each of its rows, and keeps the rows in their order. What has to be taken
# off the sum, and what off the number?

# %% hint [markdown]
# A movie with one rating divides 0 by 0. `pl.when(…).then(…).otherwise(…)` chooses between two expressions row by row.

# %% mistake: the rating is in its own mean [markdown]
# Each mean still holds the rating that it is to predict. Look at a movie with two ratings, 5 and 1: what do the *others*
# say of each?


# %% mistake: the rating is in its own mean
def mean_of_others(df):
    return df.select(pl.col("rating").mean().over("movieId")).to_series()


# %% mistake: divided by all [markdown]
# The rating is taken off the sum, and still counted in the number by which the sum is divided.


# %% mistake: divided by all
def mean_of_others(df):
    rating = pl.col("rating")
    return df.select((rating.sum().over("movieId") - rating) / pl.len().over("movieId")).to_series()


# %% mistake: a movie with one rating [markdown]
# Right wherever there are others. A movie with a single rating has none: 0 divided by 0 is no prediction.


# %% mistake: a movie with one rating
def mean_of_others(df):
    rating = pl.col("rating")
    return df.select((rating.sum().over("movieId") - rating) / (pl.len().over("movieId") - 1)).to_series()


# %% mistake: the rating is in the mean of all [markdown]
# Where a movie has one rating, the mean of all rows steps in, and that mean holds the rating to be predicted. The leak is
# small, and it is one.


# %% mistake: the rating is in the mean of all
def mean_of_others(df):
    rating, n = pl.col("rating"), pl.len().over("movieId")
    others = (rating.sum().over("movieId") - rating) / (n - 1)
    return df.select(pl.when(n > 1).then(others).otherwise(rating.mean())).to_series()


# %% exercise [markdown]
# ## 01.6 ★★ The latest ratings of each user
#
# Set the latest 30 % of each user's ratings aside. Many ratings share user and second, and which of them came first is
# unknown: they have to stay together.
#
# `df` has the columns `userId`, `movieId`, `rating` and `timestamp`, in any order of rows. A rating is *late* if, of all
# ratings of its user, those with its timestamp or a later one are at most 30 %. Give two frames, `(early_df, late_df)`,
# with the columns of `df`; the order of their rows does not matter.


# %% stub
def split_latest(df):
    """Split into early rows and each user's latest."""
    ...


# %% solution
def split_latest(df):
    """Split into early rows and each user's latest."""
    as_late = pl.col("timestamp").rank("max", descending=True).over("userId")
    is_late = as_late <= 0.3 * pl.len().over("userId")
    return df.filter(~is_late), df.filter(is_late)


# %% why [markdown]
# Counted from the end, the *largest* rank of a second is the number of ratings that are as late or later, and equal seconds
# share it: they fall on one side by construction. To number the rows one by one breaks ties by the order of the rows, which
# is an order that the file made, not the user. Users who gave everything in one second have no late ratings at all: of
# their order nothing is known.


# %% other
def split_latest(df):
    counts_df = df.group_by("userId", "timestamp").agg(n=pl.len()).sort("timestamp", descending=True)
    counts_df = counts_df.with_columns(
        as_late=pl.col("n").cum_sum().over("userId"), all=pl.col("n").sum().over("userId")
    )
    late_df = counts_df.filter(10 * pl.col("as_late") <= 3 * pl.col("all"))
    key = ["userId", "timestamp"]
    return df.join(late_df, on=key, how="anti"), df.join(late_df, on=key, how="semi")


# %% check
def mistake_in(split_latest):
    times = {
        11: [*range(100, 110)],
        4: [7] * 10,
        5: [*range(9000, 9006), 9500, 9500, 9500, 9500],
        8: [*range(20, 26), 30, 30, 40, 40],
        2: [5000],
        9: [1, 1, 1, 2, 3, 4, 5],
        6: [800, 801, 802, 803],
        1: [60, 61, 62],
        14: [*range(300, 313)],
    }
    rows = [(user, 10 * i + 1, 3.0 + i % 3, time) for user in times for i, time in enumerate(times[user])]
    late = {
        user: {t for t in times[user] if 10 * sum(x >= t for x in times[user]) <= 3 * len(times[user])}
        for user in times
    }
    for seed in (0, 1):
        shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
        frames = split_latest(pl.DataFrame(shuffled, ["userId", "movieId", "rating", "timestamp"], orient="row"))
        assert isinstance(frames, tuple | list), f"It gives {expect.kind(frames)}, not a pair of frames."
        assert len(frames) == 2, f"It should give two frames, it gives {len(frames)}."
        for frame in frames:
            assert isinstance(frame, pl.DataFrame), f"Both should be polars frames, one is {expect.kind(frame)}."
            missing = {"userId", "movieId", "rating", "timestamp"} - {*frame.columns}
            assert not missing, f"A frame has lost the columns {', '.join(sorted(missing))}."
        early, found = (
            sorted(zip(*(f[c].to_list() for c in ("userId", "movieId", "timestamp")), strict=True)) for f in frames
        )
        everything = sorted((user, movie, time) for user, movie, _, time in rows)
        assert not set(early) & set(found), "Some rows are in both frames."
        assert sorted(early + found) == everything, "Together the two frames should hold every row of `df` once."
        is_late = {(u, t) for u, _, t in found}
        expected = {(u, t) for u in times for t in late[u]}
        if is_late & {(u, t) for u, _, t in early}:
            return "a second on both sides"
        assert is_late, "No rating is late."
        if (11, 100) in is_late and (11, 109) not in is_late:
            return "the earliest"
        if (11, 109) not in is_late and all((5, time) in is_late for time in times[5]):
            return "one date for all users"
        if any(10 * sum(u == user for u, *_ in found) > 3 * len(times[user]) for user in times):
            return "more than 30 %"
        exactly = {(u, t) for u, t in expected if 10 * sum(x >= t for x in times[u]) == 3 * len(times[u])}
        assert not (is_late < expected and expected - is_late <= exactly), (
            "Exactly 30 % is *at most* 30 %: of ten ratings the latest three are late. "
            "(On a computer `1 - 0.7` is above 0.3; compare counts instead.)"
        )
        wrong = sorted({u for u, _ in is_late ^ expected})
        assert not wrong, (
            f"A user with the timestamps {next(times[user] for user in wrong)} gets the wrong late ratings."
        )


# %% hint [markdown]
# For one rating, count the ratings of its user that have its timestamp or a later one. Two ratings of one second get the
# same count.

# %% hint [markdown]
# `rank` numbers within a user with `.over("userId")`. It has several methods: which of them gives equal timestamps the same
# number, and which end of theirs?

# %% hint [markdown]
# `pl.col("timestamp").rank(method, descending=True)`: with `"ordinal"` ties are torn, with `"min"` the first of a second
# decides, with `"max"` the last.

# %% mistake: a second on both sides [markdown]
# Some ratings of one user and one second are early, others late. Nothing says which of them came first; the order of the
# rows does not.


# %% mistake: a second on both sides
def split_latest(df):
    place = pl.col("timestamp").rank("ordinal", descending=True).over("userId")
    is_late = place <= 0.3 * pl.len().over("userId")
    return df.filter(~is_late), df.filter(is_late)


# %% mistake: one date for all users [markdown]
# One date splits all users, so some have only early ratings and others only late ones. Each user's own last ratings are
# wanted.


# %% mistake: one date for all users
def split_latest(df):
    is_late = pl.col("timestamp") > pl.col("timestamp").quantile(0.7)
    return df.filter(~is_late), df.filter(is_late)


# %% mistake: the earliest [markdown]
# These are the first ratings of each user. From which end do you count?


# %% mistake: the earliest
def split_latest(df):
    place = pl.col("timestamp").rank("max").over("userId")
    is_late = place <= 0.3 * pl.len().over("userId")
    return df.filter(~is_late), df.filter(is_late)


# %% mistake: more than 30 % [markdown]
# Seconds stay together, but some users have more than 30 % late. What crosses the border is early: a second as a whole, and
# a rating with which the share would be above 30 %.


# %% mistake: more than 30 %
def split_latest(df):
    place = pl.col("timestamp").rank("min", descending=True).over("userId")
    is_late = place <= 0.3 * pl.len().over("userId")
    return df.filter(~is_late), df.filter(is_late)


# %% exercise [markdown]
# ## 01.7 ★★★ A λ for users, a λ for movies
#
# Users and movies share one $\lambda$, though a user's few ratings need not be as chancy as a movie's. Does a $\lambda$ for
# each side predict new ratings better, over several splits?
#
# Take at least five different `seed`s of `utilities.split_train_test(ratings_df, seed=seed)`. On each split fit on its
# training rows with `bias_mse` of the set-up, choose by the *validation* error, and report the *test* error, unrounded:
#
# - `"no shrinking"`: both λ are 0, the trivial rival;
# - `"one λ"`: the best of 0, 2, 4, 8 and 16, the same for both sides;
# - `"a λ each"`: the best of all 25 pairs of these values.
#
# Hand over your `"seeds"` and these three lists in the order of the seeds. Then read them:
#
# - `"shrinking helps"`: `True` if one λ has a lower test error than no shrinking on *every* split, else `False`;
# - `"same choice"`: on how many of your splits the 25 pairs choose what the five choose, so that the errors are equal;
# - `"conclusion"`: `"a λ each"` if it has a lower test error than one λ on *every* split, `"one λ"` if it has a higher on
#   every split, else `"no difference seen"`.
#
# What do you expect?


# %% stub
def chosen(parts, pairs):
    """Of some pairs (λ of users, λ of movies), give the one with the lowest validation error, and its test error."""
    ...


answer = {
    "seeds": ...,
    "no shrinking": ...,
    "one λ": ...,
    "a λ each": ...,
    "shrinking helps": ...,
    "same choice": ...,
    "conclusion": ...,
}

# %% solution
grid = (0, 2, 4, 8, 16)
choices = {
    "no shrinking": [(0, 0)],
    "one λ": [(lam, lam) for lam in grid],
    "a λ each": [(lam_users, lam_movies) for lam_users in grid for lam_movies in grid],
}


def chosen(parts, pairs):
    """Of some pairs (λ of users, λ of movies), give the one with the lowest validation error, and its test error."""
    train_df, val_df, test_df = parts
    best = min(pairs, key=lambda pair: bias_mse(train_df, val_df, *pair))
    return best, bias_mse(train_df, test_df, *best)


answer = {"seeds": [0, 1, 2, 3, 4]}
splits = [utilities.split_train_test(ratings_df, seed=seed) for seed in answer["seeds"]]
found = {name: [chosen(parts, pairs) for parts in splits] for name, pairs in choices.items()}
answer |= {name: [error for _, error in found[name]] for name in choices}
answer["shrinking helps"] = all(one < none for none, one in zip(answer["no shrinking"], answer["one λ"], strict=True))
answer["same choice"] = sum(one == each for (one, _), (each, _) in zip(found["one λ"], found["a λ each"], strict=True))
answer["conclusion"] = "no difference seen"

# %% why [markdown]
# On the *validation* rows the 25 pairs can never be behind: the five equal pairs are among them, and the best of more is at
# least as good on the rows that choose. So a gain there proves nothing. On the test rows the difference changes its sign
# from split to split, and on about half of the splits it is 0, because the same pair won. One λ against none is ahead on
# nearly every split (on 38 of 40; with other seeds than these `"shrinking helps"` may be `False`). A second knob is not
# wrong; these rows just cannot tell that it helps.

# %% other
answer = {  # the seeds 5 to 10
    "seeds": np.arange(5, 11),
    "no shrinking": [0.7414348, 0.7228835, 0.7587906, 0.7419843, 0.7676631, 0.7384372],
    "one λ": [0.7356999, 0.7240561, 0.7544922, 0.7415658, 0.7660578, 0.7328768],
    "a λ each": [0.7356999, 0.7230475, 0.7543705, 0.7415658, 0.7660578, 0.7330792],
    "shrinking helps": False,
    "same choice": 3,
    "conclusion": "no difference seen",
}


# %% check
def mistake_in(answer):
    names = ("no shrinking", "one λ", "a λ each")
    seeds = expect.runs(answer["seeds"], "'seeds'", at_least=1)
    given = [expect.runs(answer[name], f"'{name}'", at_least=1) for name in names]
    assert (seeds == seeds.round()).all() and seeds.min() >= 0, "'seeds' should hold whole numbers from 0."
    if len(seeds) < 5:
        return "too few splits"
    for name, errors in zip(names, given, strict=True):
        assert len(errors) == len(seeds), f"'{name}' holds {len(errors)} errors for {len(seeds)} seeds."
    ratings_df, _, _ = utilities.load_torch_data("built-in", 500)
    grid = (0, 2, 4, 8, 16)
    choices = [[(0, 0)], [(lam, lam) for lam in grid], [(a, b) for a in grid for b in grid]]
    ways = {"right": [], "validation": [], "chosen on test": []}
    for seed in seeds[:6]:
        val, test = errors_of_pairs(utilities.split_train_test(ratings_df, seed=int(seed)), grid)
        best = [min(pairs, key=val.get) for pairs in choices]
        ways["right"].append([test[pair] for pair in best])
        ways["validation"].append([val[pair] for pair in best])
        ways["chosen on test"].append([min(test[pair] for pair in pairs) for pairs in choices])
    found = np.stack(given, axis=1)[:6]
    if expect.close(found[:, 1:], np.array(ways["validation"])[:, 1:], 1e-5):
        return "errors on the validation rows"
    if expect.close(found[:, 1:], np.array(ways["chosen on test"])[:, 1:], 1e-5):
        return "chosen on the test rows"
    for name, errors, expected in zip(names, found.T, np.array(ways["right"]).T, strict=True):
        off = ~np.isclose(errors, expected, rtol=1e-5)
        of_what = (
            "with both λ 0 the test error" if name == names[0] else "the test error of the pair that validation chooses"
        )
        rest = "Is it unrounded?" if name == names[0] else "Is it unrounded, and chosen from the right pairs?"
        assert not off.any(), (
            f"'{name}': on the split with seed {int(seeds[:6][off][0])} {of_what} is not {errors[off][0]:.5f}. {rest}"
        )
    none, one, each = given
    same = expect.number(answer["same choice"], "'same choice'")
    assert same == (abs(one - each) < 1e-7).sum(), (
        f"'same choice' is not {same:g} in your lists. On how many splits are the errors with one λ and a λ each equal?"
    )
    conclusion = expect.one_of(answer["conclusion"], ("a λ each", "one λ", "no difference seen"), "'conclusion'")
    helps = expect.one_of(answer["shrinking helps"], (True, False), "'shrinking helps'")
    gains = one - each
    said = "a λ each" if gains.min() > 1e-7 else "one λ" if gains.max() < -1e-7 else "no difference seen"
    if conclusion != said or helps is not bool((none - one).min() > 1e-7):
        return "a conclusion that the numbers do not carry"


def errors_of_pairs(parts, grid):
    """Validation and test error of every pair (λ of users, λ of movies), with sums by numpy."""
    parts = [[part[c].to_numpy() for c in ("userIdMapped", "movieIdMapped", "rating")] for part in parts]
    (users, movies, stars), *others = parts
    n_users, n_movies = (max(int(part[side].max()) for part in parts) + 1 for side in (0, 1))
    n_of_user, n_of_movie = np.bincount(users, minlength=n_users), np.bincount(movies, minlength=n_movies)
    above = stars - stars.mean()
    found = {}, {}
    for lam_movies in grid:
        b_i = np.bincount(movies, above, n_movies) / np.maximum(n_of_movie + lam_movies, 1)
        total = np.bincount(users, above - b_i[movies], n_users)
        for lam_users in grid:
            b_u = total / np.maximum(n_of_user + lam_users, 1)
            for errors, (u, i, r) in zip(found, others, strict=True):
                predicted = (stars.mean() + b_u[u] + b_i[i]).clip(0.5, 5)
                errors[lam_users, lam_movies] = ((predicted - r) ** 2).mean()
    return found


# %% hint [markdown]
# Write `chosen` for one split first. `parts` are the three frames that `split_train_test` gives. Which of them
# chooses, and which reports?

# %% hint [markdown]
# `min(pairs, key=…)` gives the pair for which a function is lowest. The three lists differ in nothing but the pairs to
# choose from.

# %% hint [markdown]
# For the conclusion look at the differences split by split: in how many is a λ each ahead, in how many behind, in how many
# the same?

# %% mistake: too few splits [markdown]
# Fewer than five different splits: a split that happens to suit one of the two then decides. Take five seeds or more, all
# different.

# %% mistake: too few splits
answer = answer | {"seeds": [42]}

# %% mistake: errors on the validation rows [markdown]
# These are errors on the validation rows, which have chosen the λ. There 25 pairs cannot lose against five that are among
# them. What do rows say that had no part in the choice?

# %% mistake: errors on the validation rows
grid, seeds = (0, 2, 4, 8, 16), range(5)
splits = [utilities.split_train_test(ratings_df, seed=seed) for seed in seeds]
errors = [{(a, b): bias_mse(train, val, a, b) for a in grid for b in grid} for train, val, _ in splits]
answer = {
    "seeds": list(seeds),
    "no shrinking": [of_split[0, 0] for of_split in errors],
    "one λ": [min(of_split[lam, lam] for lam in grid) for of_split in errors],
    "a λ each": [min(of_split.values()) for of_split in errors],
    "shrinking helps": True,
    "same choice": 0,
    "conclusion": "no difference seen",
}

# %% mistake: chosen on the test rows [markdown]
# The λ with the lowest *test* error was taken. Then the test rows have chosen and cannot judge any more.

# %% mistake: chosen on the test rows
grid, seeds = (0, 2, 4, 8, 16), range(5)
splits = [utilities.split_train_test(ratings_df, seed=seed) for seed in seeds]
errors = [{(a, b): bias_mse(train, test, a, b) for a in grid for b in grid} for train, _, test in splits]
answer = {
    "seeds": list(seeds),
    "no shrinking": [of_split[0, 0] for of_split in errors],
    "one λ": [min(of_split[lam, lam] for lam in grid) for of_split in errors],
    "a λ each": [min(of_split.values()) for of_split in errors],
    "shrinking helps": True,
    "same choice": 0,
    "conclusion": "a λ each",
}

# %% mistake: a conclusion that the numbers do not carry [markdown]
# Your numbers are right, and say otherwise than `"conclusion"` or `"shrinking helps"`. Look at both differences split by
# split: is each above 0 on *every* one?

# %% mistake: a conclusion that the numbers do not carry
answer = answer | {"conclusion": "a λ each"}

# %% mistake: a conclusion that the numbers do not carry
answer = answer | {"shrinking helps": True}
