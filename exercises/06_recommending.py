# %% [markdown]
# # 06 · Exercises: recommending
#
# They practise what [06 · Recommending](../notebooks/06_recommending.ipynb) teaches: from predictions to lists, rows for the
# new, and verdicts on lists. Each `check` tells whether an answer is right, and knows the mistakes that are made most;
# `hint("06.1")` helps, one hint at a time.

# %% setup
from typing import NamedTuple

import polars as pl
import torch

import utilities
from utilities.models import BiasedInnerProduct

scale = utilities.rating_scale("built-in")
ratings_df, users_df, movies_df = utilities.load_torch_data("built-in", 500)


class Split(NamedTuple):
    """A model that has seen nothing of 120 users, and ten draws of 40 of their ratings, [10, 120, 40] each."""

    base: torch.Tensor  # μ + b_i, [n_movies]
    inputs: torch.Tensor  # x_i = (q_i, 1), [n_movies, d]
    prior_mean: torch.Tensor  # m and S of the known users' rows, [d] and [d, d]
    prior_covariance: torch.Tensor
    noise: float  # σ_e²
    popularity: torch.Tensor  # training ratings of each movie, [n_movies]
    movies: torch.Tensor  # of each user 40 movies; the first 20 are those we may ask about
    stars: torch.Tensor


def hold_out(seed):
    """Hold out 120 users of at least 40 ratings and train without them, as in the notebook (some two seconds)."""
    has_40 = ratings_df.group_by("userIdMapped").len().filter(pl.col("len") >= 40)["userIdMapped"]
    new_users = has_40.sort().sample(120, shuffle=True, seed=seed)
    is_new = pl.col("userIdMapped").is_in(new_users.implode())
    train_df, stop_df, _ = utilities.split_train_test(ratings_df.filter(~is_new))
    mean = train_df["rating"].mean()
    model, _ = utilities.train_model(
        lambda: BiasedInnerProduct(users_df.height, movies_df.height, mean, scale, embedding_size=16),
        train_df,
        split=lambda df: (df, stop_df, stop_df),
        seed=seed,
        enable_progress_bar=False,
    )
    with torch.no_grad():
        base = (model.mean + model.movie_bias.weight.squeeze(1)).double()
        inputs = torch.cat([model.movie_embedding.weight, torch.ones(len(base), 1)], dim=1).double()
        known_users = train_df["userIdMapped"].unique().cast(pl.Int64).to_torch()
        rows = torch.cat([model.user_embedding.weight, model.user_bias.weight], dim=1)[known_users].double()
    noise = ((utilities.predict(model, stop_df) - stop_df["rating"]) ** 2).mean()
    popularity = train_df["movieIdMapped"].cast(pl.Int64).to_torch().bincount(minlength=len(base))
    draws = [ratings_df.filter(is_new).sample(fraction=1, shuffle=True, seed=draw) for draw in range(10)]
    draws = [df.group_by("userIdMapped", maintain_order=True).head(40) for df in draws]
    df = pl.concat([df.sort("userIdMapped", maintain_order=True) for df in draws])
    movies, stars = df["movieIdMapped"].cast(pl.Int64).to_torch(), df["rating"].to_torch().double()
    shape = (10, 120, 40)
    return Split(
        base, inputs, rows.mean(dim=0), torch.cov(rows.T), noise, popularity, movies.view(shape), stars.view(shape)
    )


def error_after(split, asked):
    """MSE on everyone's last 20 movies after they have told the stars of those asked about, positions [10, 120, n]."""
    x = split.inputs[split.movies.gather(2, asked)]
    surprises = split.stars.gather(2, asked) - split.base[split.movies.gather(2, asked)] - x @ split.prior_mean
    precision = x.mT @ x / split.noise + torch.linalg.inv(split.prior_covariance)
    z = split.prior_mean + torch.linalg.solve(precision, x.mT @ surprises[..., None] / split.noise).squeeze(-1)
    last = split.movies[..., 20:]
    predictions = (split.base[last] + (split.inputs[last] @ z[..., None]).squeeze(-1)).clamp(
        scale.lowest, scale.highest
    )
    return float((predictions - split.stars[..., 20:]).square().mean())


# %% checks
import numpy as np
import torch

from utilities.exercises import expect

# %% exercise [markdown]
# ## 06.1 ★ A cautious list
#
# A cautious list ranks a movie by what its rating will hardly fall below. Give that number for each movie: nine of ten
# ratings should lie above it.
#
# `predictions` is a tensor `[n_movies]`; `doubts` holds $x_j^\top A^{-1} x_j$, the variance that comes from not knowing the
# row, `[n_movies]`; `noise` is the number $\sigma_e^2$, the variance of a rating around any row. The two are independent and
# everything is normal; 1.28 belongs to nine of ten. Return a tensor `[n_movies]`.


# %% stub
def lower_ends(predictions, doubts, noise):
    """Give for each movie what nine of ten ratings exceed, [n_movies]."""
    ...


# %% solution
def lower_ends(predictions, doubts, noise):
    """Give for each movie what nine of ten ratings exceed, [n_movies]."""
    return predictions - 1.28 * (doubts + noise).sqrt()


# %% why [markdown]
# Variances of independent parts add up, standard deviations do not; the root comes last. Now look at what that does to a
# list. `noise` is the same for all movies and much the larger part, so nearly the same number is taken from every
# prediction, and the cautious list is nearly the plain one. Without the noise it would be another list, but one that answers
# how well a *mean* is known, not what may happen tonight.

# %% other
import numpy as np


def lower_ends(predictions, doubts, noise):
    stds = np.sqrt(np.asarray(doubts) + noise)
    return [float(mean - 1.28 * std) for mean, std in zip(predictions, stds, strict=True)]


# %% check
def mistake_in(lower_ends):
    generator = torch.Generator().manual_seed(0)
    for n, noise in ((6, 0.7), (1, 0.02), (4, 1.0)):
        predictions = 3 + torch.randn(n, generator=generator, dtype=torch.float64)
        doubts = 0.05 + 0.4 * torch.rand(n, generator=generator, dtype=torch.float64)
        found = expect.array(lower_ends(predictions.clone(), doubts.clone(), noise), "What it gives", (n,))
        mean, var = predictions.numpy(), doubts.numpy()

        def lie(spread, found=found, mean=mean):
            """Say whether they lie 1.28 such spreads below the predictions, or 1.2816."""
            factors = (mean - found) / spread
            return 1.279 < factors.min() <= factors.max() < 1.2825

        if lie(np.sqrt(var + noise)):
            continue
        if lie(var + noise):
            return "a variance for a standard deviation"
        if lie(np.sqrt(var) + np.sqrt(noise)):
            return "standard deviations added up"
        if lie(np.sqrt(var)):
            return "the noise is left out"
        if lie(np.sqrt(noise)):
            return "the doubt is left out"
        if lie(-np.sqrt(var + noise)):
            return "the curious list"
        raise AssertionError(f"With {n} movies and a noise of {noise:g} these are not the lower ends.")


# %% hint [markdown]
# Two independent things move a rating away from its prediction. How do their variances combine?

# %% hint [markdown]
# Add the variances, take `.sqrt()`, and only then multiply by 1.28.

# %% mistake: a variance for a standard deviation [markdown]
# You subtract 1.28 *variances*. Those are in stars squared.


# %% mistake: a variance for a standard deviation
def lower_ends(predictions, doubts, noise):
    return predictions - 1.28 * (doubts + noise)


# %% mistake: standard deviations added up [markdown]
# You add the two standard deviations. Independent errors partly cancel: their sum spreads less than that.


# %% mistake: standard deviations added up
def lower_ends(predictions, doubts, noise):
    return predictions - 1.28 * (doubts.sqrt() + noise**0.5)


# %% mistake: the noise is left out [markdown]
# Nine of ten *means* lie above your numbers, if the row is all that is unknown. A rating also moves around its mean.


# %% mistake: the noise is left out
def lower_ends(predictions, doubts, noise):
    return predictions - 1.28 * doubts.sqrt()


# %% mistake: the doubt is left out [markdown]
# You left out the doubt about the row: you take the same from a movie that we know little about as from one we know well.


# %% mistake: the doubt is left out
def lower_ends(predictions, doubts, noise):
    return predictions - 1.28 * noise**0.5


# %% mistake: the curious list [markdown]
# One of ten ratings lies above your numbers: it is the list of those who like surprises.


# %% mistake: the curious list
def lower_ends(predictions, doubts, noise):
    return predictions + 1.28 * (doubts + noise).sqrt()


# %% exercise [markdown]
# ## 06.2 ★ What a list cannot see
#
# Change a model a little. Does anyone's list of ten change, and does the error of its predictions? Some changes show in one
# of the two only.
#
# The model is $\hat r_{ui} = \mu + b_i + b_u + p_u \cdot q_i$. `"list"` is the ten unrated movies with the highest scores,
# for each user, sorted before anything is clamped; `"error"` is the MSE, and predictions are always clamped before it is
# taken. For each change hand over the set of what it can change: a set with `"list"`, `"error"`, both or none. Nothing is
# trained again. The changes: leave out $b_u$ · leave out $b_i$ · clamp to the scale before sorting · stretch, which makes
# $\hat r$ to $\mu + 2\,(\hat r - \mu)$ · add $\log(1 + n_i)$, with the number of a movie's ratings.

# %% stub
can_change = {
    "leave out b_u": ...,
    "leave out b_i": ...,
    "clamp first": ...,
    "stretch": ...,
    "add log(1 + n_i)": ...,
}

# %% solution
can_change = {
    "leave out b_u": {"error"},
    "leave out b_i": {"list", "error"},
    "clamp first": {"list"},
    "stretch": {"error"},
    "add log(1 + n_i)": {"list", "error"},
}

# %% why [markdown]
# A list sees only the order of one user's scores. Whatever is the same for all movies of a user, like $b_u$, or keeps the
# order, like stretching, is invisible to it; so a model can get much better in stars without any list getting better. What
# differs from movie to movie can change the order, even if it is the same for all users. Clamping changes no error that is
# taken after clamping, and makes ties of all movies above the end of the scale.

# %% other
can_change = {
    "leave out b_u": "error",
    "leave out b_i": ["list", "error"],
    "clamp first": ("list",),
    "stretch": frozenset({"error"}),
    "add log(1 + n_i)": ["error", "list"],
}

# %% check
CHANGES = ("leave out b_u", "leave out b_i", "clamp first", "stretch", "add log(1 + n_i)")


def seen_by(value, change):
    value = [value] if isinstance(value, str) else value
    assert isinstance(value, set | frozenset | list | tuple), (
        f"{change!r}: hand over a set, not `{type(value).__name__}`."
    )
    names = [name for name in value if isinstance(name, str) and name in ("list", "error")]
    assert len(names) == len(value), f"{change!r}: the set may hold 'list' and 'error', nothing else."
    return set(names)


def mistake_in(can_change):
    user, movie, clamp, stretch, popular = (seen_by(can_change[change], change) for change in CHANGES)
    if "list" in user:
        return "b_u moves a list"
    if "list" in stretch:
        return "stretching moves a list"
    if "list" not in movie & popular:
        return "b_i leaves lists alone"
    if "list" not in clamp:
        return "clamping leaves lists alone"
    if "error" not in user & movie & stretch & popular:
        return "the error overlooks a change"
    assert "error" not in clamp, (
        "'clamp first': predictions are clamped before the error is taken. Does clamping twice do anything?"
    )


# %% hint [markdown]
# Think of one user and two movies. Which changes can make the second overtake the first?

# %% hint [markdown]
# Subtract the scores of the two movies from each other. What cancels was never seen by the list.

# %% mistake: b_u moves a list [markdown]
# You expect $b_u$ to change a list. It is added to *every* movie of the user. Which movie overtakes another by that?

# %% mistake: b_u moves a list
can_change = can_change | {"leave out b_u": {"list", "error"}}

# %% mistake: stretching moves a list [markdown]
# You expect stretching to change a list. It doubles every difference between two movies of a user. Does one change its sign?

# %% mistake: stretching moves a list
can_change = can_change | {"stretch": {"list", "error"}}

# %% mistake: b_i leaves lists alone [markdown]
# A number for each movie is the same for all users, but not for two movies on one list: there it can turn the order around.

# %% mistake: b_i leaves lists alone
can_change = can_change | {"leave out b_i": {"error"}, "add log(1 + n_i)": {"error"}}

# %% mistake: clamping leaves lists alone [markdown]
# You expect the list to survive clamping. What does a user get who is generous, with forty movies predicted above five
# stars?

# %% mistake: clamping leaves lists alone
can_change = can_change | {"clamp first": set()}

# %% mistake: the error overlooks a change [markdown]
# One of your changes moves some predictions by whole tenths of a star, and you say the error stays. The MSE compares with
# stars, not with an order.

# %% mistake: the error overlooks a change
can_change = can_change | {"leave out b_u": set(), "add log(1 + n_i)": {"list"}}

# %% exercise [markdown]
# ## 06.3 ★★ One of each series
#
# Who likes one Star Wars gets a list with six of them. Make a list that holds at most one movie of each series, the best
# that the user has not rated.
#
# For one user: `scores`, a float tensor `[n_movies]` without ties; `past`, a Boolean one, true where the user has rated the
# movie; `series`, an integer one, the number of a movie's series, and 0 for a movie that belongs to none. Return the numbers
# of the `k` best movies that the rules allow, the best first, as a tensor or a list; fewer if there are not so many. A
# series whose other movies the user has rated may still be on the list.


# %% stub
def varied_list(scores, past, series, k):
    """Give the k best unrated movies, at most one of each series, best first."""
    ...


# %% solution
def varied_list(scores, past, series, k):
    """Give the k best unrated movies, at most one of each series, best first."""
    chosen, shown = [], set()
    for movie in scores.argsort(descending=True).tolist():
        its_series = int(series[movie])
        if past[movie] or its_series in shown:
            continue
        chosen.append(movie)
        if its_series:
            shown.add(its_series)
    return chosen[:k]


# %% why [markdown]
# Walk down the sorted movies and take what the rules allow; stop at `k`. A rule that depends on what is on the list already
# cannot be put on afterwards: cut to ten first, and what is dropped leaves holes. The rated movies go first of all, else a
# rated episode takes the place of its series. Whether such a list is *better* no held-out rating will tell you: those who
# rate all six episodes make it look worse.

# %% other
import polars as pl


def varied_list(scores, past, series, k):
    df = pl.DataFrame({"score": scores.tolist(), "past": past.tolist(), "series": series.tolist()}).with_row_index(
        "movie"
    )
    df = df.filter(~pl.col("past")).sort("score", descending=True)
    is_first = (pl.col("series") == 0) | (pl.int_range(pl.len()).over("series") == 0)
    return df.filter(is_first)["movie"].head(k).cast(pl.Int64).to_torch()


# %% check
def walk(scores, past, series, k, none=0, rated_take_the_place=False, rated_bar=False):
    chosen, shown = [], set(series[past] if rated_bar else [])
    for movie in np.argsort(-scores):
        if series[movie] != none and series[movie] in shown:
            continue
        if rated_take_the_place or not past[movie]:
            shown.add(series[movie])
        if not past[movie]:
            chosen.append(movie)
    return chosen[:k]


def cut_first(scores, past, series, k):
    best = [movie for movie in np.argsort(-scores) if not past[movie]][:k]
    keep = [i for i, movie in enumerate(best) if series[movie] == 0 or series[movie] not in series[best[:i]]]
    return [best[i] for i in keep]


def mistake_in(varied_list):
    random = np.random.default_rng(5)
    cases = []
    for n, k, n_series in ((30, 8, 5), (30, 30, 4), (12, 1, 3), (20, 6, 1)):
        scores, past = random.permutation(np.linspace(2, 6, n)), random.random(n) < 0.3
        series = random.integers(0, n_series + 1, n)
        past[np.argmax(scores)] = False
        cases.append((scores, past, series, k))
    scores, past, series = np.array([5.0, 4.9, 4.8, 4.0, 3.0]), np.array([1, 0, 0, 0, 0]) > 0, np.array([2, 2, 0, 2, 0])
    cases += [(scores, past, series, 2), (scores[::-1].copy(), np.ones(5) > 0, series, 3)]
    for scores, past, series, k in cases:
        result = varied_list(torch.tensor(scores), torch.tensor(past), torch.tensor(series), k)
        assert getattr(result, "dtype", None) != torch.bool and not any(type(movie) is bool for movie in result), (
            "Give the movies' numbers, not a yes or no for each."
        )
        found = expect.numbers(result, "What it gives", 0) if len(result) else np.zeros(0)
        expected = walk(scores, past, series, k)
        if np.array_equal(found, expected):
            continue
        if np.array_equal(found, walk(scores, past & False, series, k)):
            return "rated movies are on the list"
        if np.array_equal(found, cut_first(scores, past, series, k)):
            return "cut first, thinned out after"
        if np.array_equal(found, walk(scores, past, series, k, none=None)):
            return "no series is taken for a series"
        if np.array_equal(found, walk(scores, past, series, k, rated_take_the_place=True)):
            return "a rated movie takes the place of its series"
        if np.array_equal(found, walk(scores, past, series, k, rated_bar=True)):
            return "one rated movie bars its series"
        n_right = len(expected)
        assert not (len(found) > n_right and np.array_equal(found[:n_right], expected)), (
            "Where too few are left, your list fills up with movies that the rules do not allow, such as rated ones."
        )
        assert sorted(found) != sorted(expected), "These are the right movies, in another order: the best first."
        assert len(found) <= k, f"For k = {k} it gives {len(found)} movies."
        raise AssertionError(
            f"Of {len(scores)} movies, {past.sum()} of them rated, these are not the {k} that the rules allow."
        )


# %% hint [markdown]
# Go through the movies from the best to the worst, and keep a set of the series that are on the list already.

# %% hint [markdown]
# Two reasons to pass a movie over: it is in the past, or its series is in the set. What must never get into the set?

# %% mistake: rated movies are on the list [markdown]
# The list holds movies that the user has rated. They know them already.


# %% mistake: rated movies are on the list
def varied_list(scores, past, series, k):
    chosen, shown = [], set()
    for movie in scores.argsort(descending=True).tolist():
        if int(series[movie]) not in shown - {0}:
            chosen.append(movie)
            shown.add(int(series[movie]))
    return chosen[:k]


# %% mistake: cut first, thinned out after [markdown]
# Your list is too short: you take the `k` best and then drop the repetitions. Others should have moved up.


# %% mistake: cut first, thinned out after
def varied_list(scores, past, series, k):
    chosen, shown = [], set()
    for movie in scores.masked_fill(past, -torch.inf).argsort(descending=True)[: min(k, int((~past).sum()))].tolist():
        if int(series[movie]) not in shown - {0}:
            chosen.append(movie)
            shown.add(int(series[movie]))
    return chosen


# %% mistake: no series is taken for a series [markdown]
# Only one movie *without* a series gets onto your list: 0 is not a series.


# %% mistake: no series is taken for a series
def varied_list(scores, past, series, k):
    chosen, shown = [], set()
    for movie in scores.argsort(descending=True).tolist():
        if not past[movie] and int(series[movie]) not in shown:
            chosen.append(movie)
            shown.add(int(series[movie]))
    return chosen[:k]


# %% mistake: a rated movie takes the place of its series [markdown]
# A series is missing because its best movie has been rated. Its best *unrated* movie may be shown.


# %% mistake: a rated movie takes the place of its series
def varied_list(scores, past, series, k):
    chosen, shown = [], set()
    for movie in scores.argsort(descending=True).tolist():
        if int(series[movie]) in shown - {0}:
            continue
        shown.add(int(series[movie]))
        if not past[movie]:
            chosen.append(movie)
    return chosen[:k]


# %% mistake: one rated movie bars its series [markdown]
# A series is missing because the user has rated one of its movies. The others may still be shown.


# %% mistake: one rated movie bars its series
def varied_list(scores, past, series, k):
    chosen, shown = [], set(series[past].tolist())
    for movie in scores.argsort(descending=True).tolist():
        if not past[movie] and int(series[movie]) not in shown - {0}:
            chosen.append(movie)
            shown.add(int(series[movie]))
    return chosen[:k]


# %% exercise [markdown]
# ## 06.4 ★★ NDCG with more than yes and no
#
# A hit on a favourite should count more than a hit on a movie that was merely liked. Give the NDCG at `k` of one user, with
# a gain for each movie in the place of yes and no.
#
# `scores` and `gains` are tensors `[n_movies]` of one user's candidates: the scores without ties, the gains from 0 up, many
# of them 0. The list is the `k` highest scores. It gets the sum over its positions $j = 1, 2, \dots$ of the gain at $j$
# divided by $\log_2(j + 1)$, and that is divided by what the best possible list of `k` of these movies would get. Return a
# number, and `nan` for a user without any gain. There may be fewer than `k` movies.


# %% stub
def graded_ndcg(scores, gains, k):
    """Give the NDCG at k of one user, with gains."""
    ...


# %% solution
def graded_ndcg(scores, gains, k):
    """Give the NDCG at k of one user, with gains."""
    of_list = gains[scores.argsort(descending=True)[:k]]
    of_ideal = gains.sort(descending=True).values[:k]
    discounts = 1 / torch.log2(torch.arange(len(of_list)) + 2.0)
    return (of_list @ discounts.to(gains) / (of_ideal @ discounts.to(gains))).item()


# %% why [markdown]
# The ideal list is made of all of the user's candidates, sorted by gain, and cut to `k` as well: it has as much room as
# ours, and knows everything. Take it from the ten that we show, and a list that misses every favourite gets a 1 for the
# order of the rest. The base of the logarithm cancels in the division, so any will do; the `+ 1` does not. For no gain at
# all there is no best list: 0 / 0 is `nan`, and such users are left out of a mean, not counted as failures.

# %% other
import math


def graded_ndcg(scores, gains, k):
    def dcg(order):
        return sum(float(gains[movie]) / math.log(position) for position, movie in enumerate(order[:k], 2))

    movies = range(len(gains))
    best = dcg(sorted(movies, key=lambda movie: -float(gains[movie])))
    return dcg(sorted(movies, key=lambda movie: -float(scores[movie]))) / best if best else math.nan


# %% check
def judged(scores, gains, k, start=2.0, ideal="all, cut", gain=lambda gains: gains):
    gains = gain(gains)
    order = np.argsort(-scores)
    bests = {"all, cut": np.sort(gains)[::-1][:k], "all": np.sort(gains)[::-1], "list": np.sort(gains[order][:k])[::-1]}

    def dcg(values):
        return (values / np.log2(np.arange(len(values)) + start)).sum()

    with np.errstate(invalid="ignore", divide="ignore"):
        return dcg(gains[order][:k]) / dcg(bests[ideal])


KNOWN_NDCG = {
    "the ideal knows only the list": {"ideal": "list"},
    "the ideal has more room": {"ideal": "all"},
    "positions begin at 2": {"start": 3.0},
    "yes and no again": {"gain": lambda gains: (gains > 0).astype(float)},
    "the gains are raised": {"gain": lambda gains: 2**gains - 1},
}


def mistake_in(graded_ndcg):
    random = np.random.default_rng(6)
    for n, k in ((12, 4), (9, 1), (6, 10), (15, 3)):
        scores, gains = random.permutation(np.linspace(1, 5, n)), np.zeros(n)
        gains[random.permutation(n)[: n // 2]] = random.choice([0.5, 1.0, 1.5, 3.0], n // 2)
        gains[np.argsort(-scores)[k // 2]] = 0.75
        found = graded_ndcg(torch.tensor(scores), torch.tensor(gains), k)
        if isinstance(found, float | np.floating) or (isinstance(found, torch.Tensor) and found.numel() == 1):
            assert np.isfinite(float(found)), (
                "It is not finite, though there are gains: does your first position divide by log2(1) = 0?"
            )
        found = expect.number(found, f"The NDCG at {k} of {n} movies")
        if expect.close(found, judged(scores, gains, k)):
            continue
        for name, way in KNOWN_NDCG.items():
            if expect.close(found, judged(scores, gains, k, **way)):
                return name
        assert found <= 1 + 1e-6, (
            f"The NDCG at {k} of {n} movies comes out as {found:.3f}: no list is better than the best."
        )
        raise AssertionError(
            f"The NDCG at {k} of {n} movies comes out as {found:.3f}, not {judged(scores, gains, k):.3f}."
        )
    none = graded_ndcg(torch.tensor([3.0, 2.0, 1.0]), torch.zeros(3), 2)
    none = float(none.detach() if hasattr(none, "detach") else none)
    if none == 0:
        return "no gain is a failure"
    assert none != none, "Without any gain there is no best list: return nan."


# %% hint [markdown]
# Write a function for the sum with discounts first, of any row of gains. Which row of gains does our list have, which the
# best?

# %% hint [markdown]
# `gains[scores.argsort(descending=True)[:k]]` is the first. For the second, nothing is hidden: it may choose among all of
# `gains`, and has `k` places too.

# %% mistake: the ideal knows only the list [markdown]
# Your ideal is made of the movies on the list, in better order. Then a list without a single favourite can get a 1. Among
# which movies may the best list choose?


# %% mistake: the ideal knows only the list
def graded_ndcg(scores, gains, k):
    of_list = gains[scores.argsort(descending=True)[:k]]
    discounts = 1 / torch.log2(torch.arange(len(of_list)) + 2.0).to(gains)
    return (of_list @ discounts / (of_list.sort(descending=True).values @ discounts)).item()


# %% mistake: the ideal has more room [markdown]
# Your ideal is not cut to `k`: it shows all movies with a gain. No list of `k` could reach a 1 beside it.


# %% mistake: the ideal has more room
def graded_ndcg(scores, gains, k):
    discounts = 1 / torch.log2(torch.arange(len(gains)) + 2.0).to(gains)
    of_list = gains[scores.argsort(descending=True)][:k] @ discounts[:k]
    return (of_list / (gains.sort(descending=True).values @ discounts)).item()


# %% mistake: positions begin at 2 [markdown]
# The first position is divided by $\log_2 3$: you have added the 1 twice, or count positions from 2. In Python positions
# begin at 0, in the formula at 1.


# %% mistake: positions begin at 2
def graded_ndcg(scores, gains, k):
    of_list = gains[scores.argsort(descending=True)[:k]]
    discounts = 1 / torch.log2(torch.arange(len(of_list)) + 3.0).to(gains)
    return (of_list @ discounts / (gains.sort(descending=True).values[:k] @ discounts)).item()


# %% mistake: yes and no again [markdown]
# A movie with a small gain counts as much as a favourite: that is the NDCG of hits.


# %% mistake: yes and no again
def graded_ndcg(scores, gains, k):
    gains = (gains > 0).double()
    of_list = gains[scores.argsort(descending=True)[:k]]
    discounts = 1 / torch.log2(torch.arange(len(of_list)) + 2.0).double()
    return (of_list @ discounts / (gains.sort(descending=True).values[:k] @ discounts)).item()


# %% mistake: the gains are raised [markdown]
# You take $2^g - 1$ for a gain, as some libraries do. Here the gain counts as it stands.


# %% mistake: the gains are raised
def graded_ndcg(scores, gains, k):
    gains = 2**gains - 1
    of_list = gains[scores.argsort(descending=True)[:k]]
    discounts = 1 / torch.log2(torch.arange(len(of_list)) + 2.0).to(gains)
    return (of_list @ discounts / (gains.sort(descending=True).values[:k] @ discounts)).item()


# %% mistake: no gain is a failure [markdown]
# A user without any gain gets a 0 from you. No list could have done better, so it says nothing about ours, and pulls down
# the mean.


# %% mistake: no gain is a failure
def graded_ndcg(scores, gains, k):
    of_list = gains[scores.argsort(descending=True)[:k]]
    discounts = 1 / torch.log2(torch.arange(len(of_list)) + 2.0).to(gains)
    best = float(gains.sort(descending=True).values[:k] @ discounts)
    return float(of_list @ discounts) / best if best > 0 else 0.0


# %% exercise [markdown]
# ## 06.5 ★★ A new movie
#
# New users were folded in on frozen movies. Now turn it around: a movie comes out, a few known users rate it, and it needs a
# row.
#
# A rating is $\mu + b_u + b_i + p_u \cdot q_i$ plus noise of variance $\sigma_e^2$. Wanted is the most probable
# $(q_i, b_i)$, if the rows of movies vary around a mean row $m$ with covariance $S$. `users` is a float64 tensor `[n, k]`
# with the rows $p_u$ of those who rated it, `user_biases` and `stars` are `[n]`; `mean` is μ; `prior_mean` is $m$,
# `[k + 1]`, `prior_covariance` is $S$, `[k + 1, k + 1]`, both with the bias last; `noise` is the number $\sigma_e^2$. Return
# the row, `[k + 1]`, the bias last; for `n` = 0 too.


# %% stub
def fold_in_movie(users, user_biases, stars, mean, prior_mean, prior_covariance, noise):
    """Give the row of a new movie, [k + 1], its bias last."""
    ...


# %% solution
def fold_in_movie(users, user_biases, stars, mean, prior_mean, prior_covariance, noise):
    """Give the row of a new movie, [k + 1], its bias last."""
    inputs = torch.cat([users, torch.ones_like(users[:, :1])], dim=1)
    surprises = stars - mean - user_biases - inputs @ prior_mean
    penalty = noise * torch.linalg.inv(prior_covariance)
    return prior_mean + torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ surprises)


# %% why [markdown]
# With the users held, a rating is linear in the movie's own $k + 1$ numbers, the inputs are $(p_u, 1)$, and it is ridge
# again. What the users bring along, $\mu + b_u$, is taken off first: a movie rated by generous people is not better for it.
# The penalty is $\sigma_e^2 S^{-1}$ with no $n$ in it, and it pulls towards $m$: a movie that nobody has rated is an average
# movie, and each rating takes it further from there.


# %% other
def fold_in_movie(users, user_biases, stars, mean, prior_mean, prior_covariance, noise):
    row, doubt = prior_mean.clone(), prior_covariance.clone()
    for user, bias, star in zip(users, user_biases, stars, strict=True):  # one rating after the other
        x = torch.cat([user, torch.ones(1).to(user)])
        gain = doubt @ x / (x @ doubt @ x + noise)
        row = row + gain * (star - mean - bias - x @ row)
        doubt = doubt - torch.outer(gain, x @ doubt)
    return row


# %% check
def row_of(users, biases, stars, mean, m, S, noise, **way):  # noqa: N803
    way = {"take_m": 1, "give_m": 1, "times_n": False, "take_off": 1.0, "times": noise, "inverse": True, "mu": 1} | way
    inputs = np.concatenate([users, np.ones((len(users), 1))], axis=1)
    n = max(len(users), 1) if way["times_n"] else 1
    penalty = n * way["times"] * (np.linalg.inv(S) if way["inverse"] else S)
    surprises = stars - way["mu"] * mean - way["take_off"] * biases - way["take_m"] * inputs @ m
    return way["give_m"] * m + np.linalg.inv(inputs.T @ inputs + penalty) @ inputs.T @ surprises


KNOWN_ROWS = {
    "the penalty grows with n": {"times_n": True},
    "generous users make a good movie": {"take_off": 0.0},
    "pulled towards 0": {"take_m": 0, "give_m": 0},
    "half of the mean row": {"take_m": 0},
    "half of the mean row ": {"give_m": 0},
    "the noise is not in the penalty": {"times": 1.0},
    "S is not inverted": {"inverse": False},
}


def mistake_in(fold_in_movie):
    random = np.random.default_rng(7)
    for n, k in ((5, 3), (1, 2), (12, 1), (0, 3)):
        users, biases = random.normal(size=(n, k)), random.normal(0.3, 0.4, size=n)
        stars, m = random.choice([1.0, 2.5, 4.0, 5.0], n), random.normal(0, 0.5, k + 1)
        root = random.normal(size=(k + 1, k + 1))
        S, noise = root @ root.T + 0.1 * np.eye(k + 1), 0.6  # noqa: N806
        given = users, biases, stars, 3.5, m, S, noise
        tensors = [torch.tensor(x) if isinstance(x, np.ndarray) else x for x in given]
        found = expect.array(fold_in_movie(*tensors), f"The row for {n} ratings", (k + 1,))
        if expect.close(found, row_of(*given)):
            continue
        for name, way in KNOWN_ROWS.items():
            if expect.close(found, row_of(*given, **way)):
                return name.strip()
        assert n, "Without a rating the row should be the mean row."
        assert not expect.close(found, row_of(*given, mu=0)), "It is as if μ were still in the stars."
        assert not expect.close(found, row_of(*given, times=noise**2)), (
            "You square the noise: `noise` is a variance already."
        )
        first = np.concatenate([np.ones((n, 1)), users], axis=1)
        left = first.T @ (stars - 3.5 - biases - first @ m)
        bias_first = m + np.linalg.inv(first.T @ first + noise * np.linalg.inv(S)) @ left
        for wrong in (bias_first, np.roll(row_of(*given), 1)):
            assert not expect.close(found, wrong), (
                "You put the bias first. In `prior_mean` and in the row it comes last."
            )
        raise AssertionError(f"With {n} ratings and k = {k} this is not the most probable row.")


# %% hint [markdown]
# Write the rating of user $u$ as what is known plus $(p_u, 1) \cdot (q_i, b_i)$. What is known goes to the left side, to the
# stars.

# %% hint [markdown]
# Compare with `fold_in` of the notebook: the roles of rows and inputs are swapped, and the base has another bias in it.

# %% hint [markdown]
# With the inputs $X$ and what is left of the stars after $\mu$, $b_u$ and $X m$, it is `torch.linalg.solve` of
# $X^\top X + \sigma_e^2 S^{-1}$, and $m$ is added in the end.

# %% mistake: the penalty grows with n [markdown]
# It is right for one rating. With more of them your penalty grows along, so that the first rating is believed as much as a
# hundred: the fault of the notebook's first fold-in.


# %% mistake: the penalty grows with n
def fold_in_movie(users, user_biases, stars, mean, prior_mean, prior_covariance, noise):
    inputs = torch.cat([users, torch.ones_like(users[:, :1])], dim=1)
    surprises = stars - mean - user_biases - inputs @ prior_mean
    penalty = noise * max(len(users), 1) * torch.linalg.inv(prior_covariance)
    return prior_mean + torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ surprises)


# %% mistake: generous users make a good movie [markdown]
# The users' own biases are still in the stars: a movie that generous people happened to see gets a high bias.


# %% mistake: generous users make a good movie
def fold_in_movie(users, user_biases, stars, mean, prior_mean, prior_covariance, noise):
    inputs = torch.cat([users, torch.ones_like(users[:, :1])], dim=1)
    surprises = stars - mean - inputs @ prior_mean
    penalty = noise * torch.linalg.inv(prior_covariance)
    return prior_mean + torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ surprises)


# %% mistake: pulled towards 0 [markdown]
# Your row is pulled towards 0. What is the best guess of a movie that nobody has rated yet?


# %% mistake: pulled towards 0
def fold_in_movie(users, user_biases, stars, mean, prior_mean, prior_covariance, noise):
    inputs = torch.cat([users, torch.ones_like(users[:, :1])], dim=1)
    penalty = noise * torch.linalg.inv(prior_covariance)
    return torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ (stars - mean - user_biases))


# %% mistake: half of the mean row [markdown]
# The mean row $m$ is needed twice: subtract $Xm$ from what the stars leave before you solve, and add $m$ afterwards. One of
# the two is missing.


# %% mistake: half of the mean row
def fold_in_movie(users, user_biases, stars, mean, prior_mean, prior_covariance, noise):
    inputs = torch.cat([users, torch.ones_like(users[:, :1])], dim=1)
    penalty = noise * torch.linalg.inv(prior_covariance)
    surprises = stars - mean - user_biases
    return prior_mean + torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ surprises)


# %% mistake: half of the mean row
def fold_in_movie(users, user_biases, stars, mean, prior_mean, prior_covariance, noise):
    inputs = torch.cat([users, torch.ones_like(users[:, :1])], dim=1)
    surprises = stars - mean - user_biases - inputs @ prior_mean
    penalty = noise * torch.linalg.inv(prior_covariance)
    return torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ surprises)


# %% mistake: the noise is not in the penalty [markdown]
# Your penalty is $S^{-1}$ beside $X^\top X$, as if the noise had the variance 1. Multiply the whole of what is minimised by
# $\sigma_e^2$, or divide $X^\top X$ by it, and everything else that belongs to the ratings.


# %% mistake: the noise is not in the penalty
def fold_in_movie(users, user_biases, stars, mean, prior_mean, prior_covariance, noise):
    inputs = torch.cat([users, torch.ones_like(users[:, :1])], dim=1)
    surprises = stars - mean - user_biases - inputs @ prior_mean
    penalty = torch.linalg.inv(prior_covariance)
    return prior_mean + torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ surprises)


# %% mistake: S is not inverted [markdown]
# You multiply the noise by $S$. Then a number that varies much among movies is held back most. It should be the freest.


# %% mistake: S is not inverted
def fold_in_movie(users, user_biases, stars, mean, prior_mean, prior_covariance, noise):
    inputs = torch.cat([users, torch.ones_like(users[:, :1])], dim=1)
    surprises = stars - mean - user_biases - inputs @ prior_mean
    return prior_mean + torch.linalg.solve(inputs.T @ inputs + noise * prior_covariance, inputs.T @ surprises)


# %% exercise [markdown]
# ## 06.6 ★★ A product as a distance
#
# Libraries for nearest neighbours look for the smallest distance, a list needs the largest product. Add one number to each
# row, so that the nearest movie is the one with the largest product.
#
# `users` is a float64 tensor `[n_users, d]`, `movies` one of `[n_movies, d]`; they hold everything, biases too. Return new
# `users, movies` with `d + 1` columns, so that for every user the movies in the order of `torch.cdist(users, movies)`,
# smallest first, are the movies in the order of `users @ movies.T`, largest first. The movies' table must serve all users:
# it is indexed once.


# %% stub
def as_distances(users, movies):
    """Give rows with one more number, whose distances order movies as the products did."""
    ...


# %% solution
def as_distances(users, movies):
    """Give rows with one more number, whose distances order movies as the products did."""
    squares = movies.square().sum(dim=1, keepdim=True)
    added = (squares.max() - squares).sqrt()
    return torch.cat([users, torch.zeros_like(users[:, :1])], dim=1), torch.cat([movies, added], dim=1)


# %% why [markdown]
# $\lVert z - y\rVert^2 = \lVert z\rVert^2 + \lVert y\rVert^2 - 2\, z \cdot y$. The first term is the same for all movies of
# a user; only the second spoils the order. The number added makes all movies equally long, and as the user has a 0 there, it
# leaves the products alone. Dividing rows by their lengths makes them equally long as well, but then it is cosine: another
# order (Bachrach and others, 2014).


# %% other
def as_distances(users, movies):
    longest = 1.5 * movies.norm(dim=1).max()  # any length from the largest up will do
    added = torch.sqrt(longest**2 - movies.norm(dim=1) ** 2)
    return torch.nn.functional.pad(3 * users, (0, 1)), torch.column_stack([movies, added])


# %% check
def mistake_in(as_distances):
    random = np.random.default_rng(8)
    for n_users, n_movies, d in ((5, 12, 3), (1, 30, 1), (20, 8, 6)):
        users = random.normal(size=(n_users, d))
        movies = random.normal(size=(n_movies, d)) * random.uniform(0.2, 3, size=(n_movies, 1))
        result = as_distances(torch.tensor(users), torch.tensor(movies))
        assert isinstance(result, tuple | list) and len(result) == 2, "Return two tables: users and movies."
        assert not (hasattr(result[1], "isnan") and bool(result[1].isnan().any())), (
            "The table of movies holds nan, from a number below 0 under a root: as long as which movie must all become?"
        )
        new_users, new_movies = (
            expect.array(x, f"The table of {of}") for x, of in zip(result, ("users", "movies"), strict=True)
        )
        lengths = np.linalg.norm(movies, axis=1)
        directions = movies / lengths[:, None]
        if new_movies.ndim == 2 and new_movies.shape[1] >= d and expect.close(new_movies[:, :d], directions):
            return "cosine, another order"
        for found, rows, of in ((new_users, users, "users"), (new_movies, movies, "movies")):
            assert found.shape == (len(rows), d + 1), (
                f"The table of {of} has the shape {list(found.shape)}, not {[len(rows), d + 1]}."
            )
        distances = ((new_users[:, None] - new_movies) ** 2).sum(axis=2)
        if np.array_equal(distances.argsort(axis=1), (-users @ movies.T).argsort(axis=1)):
            continue
        if expect.close(new_movies[:, :d], movies):
            squares = lengths**2
            if expect.close(new_movies[:, d], squares.max() - squares):
                return "the root is missing"
            if expect.close(new_movies[:, d], lengths.max() - lengths):
                return "lengths subtracted, not squares"
            if (
                expect.close(new_movies[:, d], np.sqrt(squares.max() - squares))
                and np.abs(new_users[:, d]).max() > 1e-6
            ):
                return "the user's number is not 0"
            if np.ptp(np.linalg.norm(new_movies, axis=1)) > 1e-6:
                return "the movies are not equally long"
        raise AssertionError(
            f"With {n_users} users, {n_movies} movies and d = {d}, distances give another order than products."
        )


# %% hint [markdown]
# Write out $\lVert z - y \rVert^2$ in three terms. Which one should not be there, and what could make it the same for all
# movies?

# %% hint [markdown]
# By Pythagoras a row of length $\lVert y \rVert$ with one more number $a$ has the length $\sqrt{\lVert y\rVert^2 + a^2}$.
# Choose $a$ for each movie so that all come out as long as the longest; then see what the user may have in the same place.

# %% mistake: cosine, another order [markdown]
# You divide the movies by their lengths. Then the nearest is the one with the largest *cosine*: a long row, a movie that
# much is predicted of, has lost its lead.


# %% mistake: cosine, another order
def as_distances(users, movies):
    movies = torch.nn.functional.normalize(movies, dim=1)
    return torch.nn.functional.pad(users, (0, 1)), torch.nn.functional.pad(movies, (0, 1))


# %% mistake: the root is missing [markdown]
# You add $M^2 - \lVert y\rVert^2$ itself. In a length it is squared once more.


# %% mistake: the root is missing
def as_distances(users, movies):
    squares = movies.square().sum(dim=1, keepdim=True)
    return torch.nn.functional.pad(users, (0, 1)), torch.cat([movies, squares.max() - squares], dim=1)


# %% mistake: lengths subtracted, not squares [markdown]
# You add $M - \lVert y\rVert$. At right angles lengths do not add up, their squares do.


# %% mistake: lengths subtracted, not squares
def as_distances(users, movies):
    lengths = movies.norm(dim=1, keepdim=True)
    return torch.nn.functional.pad(users, (0, 1)), torch.cat([movies, lengths.max() - lengths], dim=1)


# %% mistake: the movies are not equally long [markdown]
# Your new number leaves some movies longer than others, and distances punish the long ones. It must make all movies
# *equally long*.


# %% mistake: the movies are not equally long
def as_distances(users, movies):
    return torch.nn.functional.pad(users, (0, 1)), torch.nn.functional.pad(movies, (0, 1))


# %% mistake: the movies are not equally long
def as_distances(users, movies):
    longer = torch.cat([movies, movies.norm(dim=1, keepdim=True)], dim=1)
    return torch.nn.functional.pad(users, (0, 1)), longer


# %% mistake: the user's number is not 0 [markdown]
# The movies are right. But the users' new number meets the movies' in the product, and the product is another one then.


# %% mistake: the user's number is not 0
def as_distances(users, movies):
    def longer(rows):
        squares = rows.square().sum(dim=1, keepdim=True)
        return torch.cat([rows, (squares.max() - squares).sqrt()], dim=1)

    return longer(users), longer(movies)


# %% mistake: the user's number is not 0
def as_distances(users, movies):
    squares = movies.square().sum(dim=1, keepdim=True)
    movies = torch.cat([movies, (squares.max() - squares).sqrt()], dim=1)
    return torch.cat([users, torch.ones_like(users[:, :1])], dim=1), movies


# %% exercise [markdown]
# ## 06.7 ★★★ Which movie should a new user be asked about?
#
# A new user will tell us five ratings, and we choose the movies. Is it worth computing which ratings would teach us most,
# when we could ask about five at random, or the five most popular?
#
# In the setup, `hold_out(seed)` trains a model without 120 users, who are new to it, and draws 40 ratings of each, ten
# times. Ask about five of each user's *first twenty* movies; `error_after` folds the five answers in, in the way of the
# notebook, and gives the MSE on the last twenty, which nobody may look at. Choose the five in three ways. `"random"`: the
# order of the twenty is random, so take positions 0–4, 5–9, 10–14 and 15–19, and the mean of the four errors. `"popular"`:
# the five with the most training ratings. `"computed"`: one after the other, each time the movie that lowers
# $\sum_j x_j^\top A^{-1} x_j$ most, the summed doubt about all movies. No stars are needed for that: with the covariance $C$
# of a user's row, which is $S$ before the first question, a rating of movie $i$ makes it
# $C - C x_i x_i^\top C\,/\,(\sigma_e^2 + x_i^\top C x_i)$, and $C$ is the $A^{-1}$ of the sum.
#
# Take the seeds 0 to 4 of `hold_out`, or five others. Hand over:
#
# - for each way, and for the trivial rival `"nothing"` that asks nobody anything (positions of shape `[10, 120, 0]`), the
#   errors of the splits, unrounded and in the same order;
# - `"choose"`, the function `computed` itself: the check calls it with a small split of its own, 2 draws of 3 users;
# - `"extra"`: what the computed questions take off the error of random ones, as a share of what random ones take off that
#   of nothing, from the means over the splits;
# - `"conclusion"`, one of `"beats both"`, `"beats random only"`, `"beats popular only"` and `"beats neither"`. The computed
#   questions *beat* another way if that has the higher error by more than two standard errors, in pairs: take the
#   differences within each split; their mean has to be more than $2 s / \sqrt n$, with their standard deviation $s$ (over
#   $n - 1$).
#
# The 120 users are drawn anew from the same few hundred, so the splits share users and are not independent; take that
# standard error for a rough one. Write down what you expect first.


# %% stub
def computed(split, n=5):
    """Choose n of the first twenty movies of each user, one after the other: positions, i64 [draws, users, n]."""
    ...


def popular(split, n=5):
    """Choose the n most popular of the first twenty movies of each user: positions, i64 [draws, users, n]."""
    ...


answer = {
    "nothing": ...,
    "random": ...,
    "popular": ...,
    "computed": ...,
    "choose": computed,
    "extra": ...,
    "conclusion": ...,
}


# %% solution
def computed(split, n=5):
    """Choose n of the first twenty movies of each user, one after the other: positions, i64 [draws, users, n]."""
    x = split.inputs[split.movies[..., :20]]
    everything = split.inputs.T @ split.inputs  # Σ x_jᵀ C x_j is the trace of C times this
    covariance, chosen = split.prior_covariance, torch.zeros(*x.shape[:2], 0, dtype=torch.int64)
    for _ in range(n):
        cx = x @ covariance
        lowered = ((cx @ everything) * cx).sum(dim=-1) / (split.noise + (cx * x).sum(dim=-1))
        best = lowered.scatter(2, chosen, -1.0).argmax(dim=-1, keepdim=True)
        chosen = torch.cat([chosen, best], dim=-1)
        best_x = x.gather(2, best[..., None].expand(-1, -1, -1, x.shape[-1]))
        best_cx = best_x @ covariance
        covariance = covariance - best_cx.mT @ best_cx / (split.noise + (best_cx * best_x).sum(dim=-1, keepdim=True))
    return chosen


def popular(split, n=5):
    """Choose the n most popular of the first twenty movies of each user: positions, i64 [draws, users, n]."""
    return split.popularity[split.movies[..., :20]].topk(n, dim=-1).indices


splits = [hold_out(seed) for seed in range(5)]
fives = torch.arange(20).expand(10, 120, 20).split(5, dim=-1)
errors = {
    "nothing": [error_after(split, fives[0][..., :0]) for split in splits],
    "random": [sum(error_after(split, five) for five in fives) / 4 for split in splits],
    "popular": [error_after(split, popular(split)) for split in splits],
    "computed": [error_after(split, computed(split)) for split in splits],
}
nothing, random, most_popular, own = map(torch.tensor, errors.values())


def beats(rival):
    differences = rival - own
    return bool(differences.mean() > 2 * differences.std() / len(differences) ** 0.5)


verdicts = {
    (True, True): "beats both",
    (True, False): "beats random only",
    (False, True): "beats popular only",
    (False, False): "beats neither",
}
answer = errors | {
    "choose": computed,
    "extra": (random.mean() - own.mean()) / (nothing.mean() - random.mean()),
    "conclusion": verdicts[beats(random), beats(most_popular)],
}

# %% why [markdown]
# Five answers, whichever, take about 0.08 off the error. Computing the questions takes off about another tenth of that: the
# computation does what it promises, and the stakes are small. Without the rival that asks nothing, 0.007 of an MSE would
# say little. Beside the most popular five, which need no covariance, the lead is smaller and less sure: of all fives of the
# seeds 0 to 11, 670 give "beats both" and 122 "beats random only". Errors of two splits differ by far more than that,
# because they have other users; only in pairs, within a split, is there anything to be seen. A rule like "lower in every
# split" would get harder with each split that you add; a mean beside its standard error gets surer. And all this is about
# movies that the user has rated. Asked about any movie, most people have not seen the obscure ones.

# %% other
import numpy as np


def one_by_one(split, n=5):
    inputs, noise = split.inputs.numpy(), float(split.noise)
    everything = inputs.T @ inputs
    positions = np.zeros((*split.movies.shape[:2], n), dtype=np.int64)
    for draw, user in np.ndindex(*positions.shape[:2]):
        x = inputs[split.movies[draw, user, :20].numpy()]
        precision, left = np.linalg.inv(split.prior_covariance.numpy()), list(range(20))
        for i in range(n):
            doubts = [np.trace(np.linalg.inv(precision + np.outer(x[j], x[j]) / noise) @ everything) for j in left]
            best = left.pop(int(np.argmin(doubts)))
            positions[draw, user, i] = best
            precision = precision + np.outer(x[best], x[best]) / noise
    return positions


answer = {  # seeds 5 to 11
    "nothing": torch.tensor([0.9054, 0.8602, 0.8738, 0.8528, 0.856, 0.8701, 0.8893]),
    "random": (0.8269, 0.7914, 0.788, 0.7778, 0.7922, 0.8007, 0.8177),
    "popular": [0.8299, 0.7894, 0.7893, 0.7751, 0.7867, 0.7974, 0.8126],
    "computed": [0.8171, 0.783, 0.7875, 0.767, 0.7871, 0.7898, 0.8106],
    "choose": one_by_one,
    "extra": 0.1013,
    "conclusion": "beats both",
}

# %% check
from collections import namedtuple

WAYS = ("nothing", "random", "popular", "computed")
Split = namedtuple("Split", "base inputs prior_mean prior_covariance noise popularity movies stars")


def small_split():
    """A split of 2 draws and 3 users, with fifty movies of which some are much alike."""
    generator = torch.Generator().manual_seed(9)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inputs = torch.cat([normal(50, 4) * torch.tensor([1.5, 1.0, 0.6, 0.3]), torch.ones(50, 1)], dim=1)
    root = normal(5, 5)
    orders = [torch.randperm(50, generator=generator)[:40] for _ in range(6)]
    return Split(
        base=3.5 + 0.3 * normal(50),
        inputs=inputs,
        prior_mean=0.2 * normal(5),
        prior_covariance=root @ root.T / 5 + 0.05 * torch.eye(5),
        noise=0.7,
        popularity=torch.randperm(50, generator=generator),
        movies=torch.stack(orders).view(2, 3, 40),
        stars=torch.randint(1, 11, (2, 3, 40), generator=generator).double() / 2,
    )


def greedy(split, worth, learns=True):
    """Choose five of each user's twenty, one after the other, by what each is worth: sets of positions."""
    inputs = split.inputs.numpy()
    everything, chosen = inputs.T @ inputs, []
    for movies in split.movies[..., :20].reshape(-1, 20).numpy():
        x, C, own = inputs[movies], split.prior_covariance.numpy(), []  # noqa: N806
        for _ in range(5):
            worths = [-np.inf if i in own else worth(C, x[i], everything, split.noise) for i in range(20)]
            own.append(int(np.argmax(worths)))
            if learns:
                C = after(C, x[own[-1]], split.noise)  # noqa: N806
        chosen.append(set(own))
    return chosen


def after(C, x, noise):  # noqa: N803
    return np.linalg.inv(np.linalg.inv(C) + np.outer(x, x) / noise)


def of_all(C, x, everything, noise):  # noqa: N803
    return -np.trace(after(C, x, noise) @ everything)


def of_its_own(C, x, everything, noise):  # noqa: N803
    return x @ C @ x


def of_the_row(C, x, everything, noise):  # noqa: N803
    return -np.trace(after(C, x, noise))


def without_noise(C, x, everything, noise):  # noqa: N803
    return x @ C @ everything @ C @ x


def wrong_choice(choose):
    """Say by the name of a known mistake what a function chooses by, None if by the summed doubt."""
    assert callable(choose), "'choose' should be the function `computed` itself, without brackets."
    try:
        result = choose(small_split())
    except Exception as error:
        raise AssertionError(f"'choose', called with a split of 2 draws and 3 users, stops: {error!r:.200}") from None
    assert result is not None, "'choose' gives nothing: does it end with `return`?"
    found = expect.array(result, "What 'choose' gives for 2 draws of 3 users", (2, 3, 5)).reshape(6, 5)
    found = [set(positions.tolist()) for positions in found]
    assert all(len(positions) == 5 for positions in found), "'choose' asks somebody about one movie twice."
    assert all(positions <= set(range(20)) for positions in found), (
        "'choose' should give positions among the first twenty, 0 to 19."
    )
    split = small_split()
    if found == greedy(split, of_all):
        return None
    if found == greedy(split, of_its_own):
        return "the movie of the largest doubt"
    assert found != greedy(split, of_all, learns=False), (
        "'choose' takes the five that teach most each by itself: after the first, the doubt is another one."
    )
    assert found != greedy(split, of_the_row), (
        "'choose' lowers the trace of C: the doubt about the row, not about movies."
    )
    assert found != greedy(split, without_noise), "'choose' forgets what the reduction is divided by."
    raise AssertionError("On a small split 'choose' takes other movies than those that lower the summed doubt most.")


def mistake_in(answer):
    errors = [expect.runs(answer[way], repr(way), 1) for way in WAYS]
    extra = expect.number(answer["extra"], "'extra'")
    if min(map(len, errors)) < 5:
        return "too few splits"
    assert len(set(map(len, errors))) == 1, "The four lists should hold one error for each split, in the same order."
    for way, found in zip(WAYS, errors, strict=True):
        assert np.abs(found - found.round(2)).max() > 1e-5, f"{way!r} is rounded, and the differences are small."
        for other, others in zip(WAYS, errors, strict=True):
            assert way == other or np.abs(found - others).max() > 1e-5, f"{way!r} and {other!r} hold the same numbers."
    nothing, random, popular, computed = errors
    assert not ((nothing - random).mean() < 0.055 < (nothing**2 - random**2).mean() < 0.1), (
        "These look like roots of squared errors: hand over the MSE."
    )
    assert nothing.max() < 1.02 and 0.8 < nothing.mean() < 0.96, (
        "'nothing' does not look like `error_after` with no positions, for these users and models."
    )
    gains = [nothing - found for found in errors[1:]]
    if max(gain.mean() for gain in gains) > 0.105:
        return "more was told than five of the first twenty"
    if computed.mean() > random.mean() + 0.002:
        return "asks what it knows already"
    if popular.mean() < computed.mean() - 0.005:
        return "more was told than five of the first twenty"
    assert popular.mean() < random.mean() + 0.0042, (
        "'popular' does clearly worse than random, as the *least* popular would: in which order does your sort go?"
    )
    for way, gain in zip(WAYS[1:], gains, strict=True):
        assert gain.min() > 0.045, (
            f"In one of the splits five answers help little or nothing under {way!r}: that is not so here."
        )
    assert np.abs(popular - random).max() < 0.02, (
        "Between random and popular questions there is no such difference here."
    )
    assert (random - computed).max() < 0.025, "Computed questions are not so much better than random ones here."
    if name := wrong_choice(answer["choose"]):
        return name
    more = random.mean() - computed.mean()
    if min(abs(extra - more), *(abs(extra - more / found.mean()) for found in errors)) < 0.003:
        return "a share of the error"
    assert abs(extra - more / gains[0].mean()) < 0.005, (
        "'extra' does not fit your errors: what do random questions gain over none, and how much more do computed ones?"
    )

    def ahead(rival, times):
        differences = rival - computed
        return bool(differences.mean() > times * differences.std(ddof=1) / len(differences) ** 0.5)

    said = {(1, 1): "beats both", (1, 0): "beats random only", (0, 1): "beats popular only", (0, 0): "beats neither"}
    concluded = expect.one_of(answer["conclusion"], said.values(), "'conclusion'")
    if concluded not in [said[ahead(random, t), ahead(popular, t)] for t in (1.97, 2.03)]:
        return "a conclusion that the numbers do not carry"


# %% hint [markdown]
# Begin with `"nothing"` and `"random"`: positions `torch.arange(5).expand(10, 120, 5)`, and the first 0 of them. Five
# answers should take some hundredths off.

# %% hint [markdown]
# A rating of movie $i$ lowers $\sum_j x_j^\top C x_j$ by $\sum_j (x_j^\top C x_i)^2 / (\sigma_e^2 + x_i^\top C x_i)$. The
# sum over $j$ is a product with `inputs.T @ inputs`, which is made once. Write it for one user first.

# %% hint [markdown]
# After each choice two things change: the covariance of that user, and the chosen movie is not to be chosen again.

# %% mistake: too few splits [markdown]
# So few splits cannot tell a way of asking from the luck of which users were held out: take five seeds or more.

# %% mistake: too few splits
answer = answer | {"nothing": [0.887], "random": [0.8078], "popular": [0.8093], "computed": [0.8005]}

# %% mistake: more was told than five of the first twenty [markdown]
# So much is not to be had from five answers about the first twenty movies. Were all twenty folded in, or did you ask about
# some of the last twenty, whose stars are to be predicted?

# %% mistake: more was told than five of the first twenty
answer = answer | {
    "nothing": [0.887, 0.9438, 0.9484, 0.8188, 0.8747],
    "random": [0.8078, 0.8604, 0.8783, 0.7505, 0.791],
    "popular": [0.8093, 0.8542, 0.8755, 0.7492, 0.7903],
    "computed": [0.7432, 0.795, 0.8183, 0.6922, 0.7218],
}

# %% mistake: more was told than five of the first twenty
answer = answer | {
    "nothing": [0.887, 0.9438, 0.9484, 0.8188, 0.8747],
    "random": [0.8078, 0.8604, 0.8783, 0.7505, 0.791],
    "popular": [0.7886, 0.846, 0.8528, 0.7312, 0.7722],
    "computed": [0.8005, 0.8541, 0.8741, 0.7405, 0.7813],
}

# %% mistake: asks what it knows already [markdown]
# Your computed questions do worse than random ones. Do you take the movie that leaves the *most* doubt, or one whose rating
# is known best beforehand?

# %% mistake: asks what it knows already
answer = answer | {
    "nothing": [0.887, 0.9438, 0.9484, 0.8188, 0.8747],
    "random": [0.8078, 0.8604, 0.8783, 0.7505, 0.791],
    "popular": [0.8093, 0.8542, 0.8755, 0.7492, 0.7903],
    "computed": [0.8225, 0.8714, 0.8895, 0.7662, 0.8041],
}

# %% mistake: the movie of the largest doubt [markdown]
# Your `"choose"` asks about the movie whose own rating is least known. That one may tell about no other: the doubt to be
# lowered is summed over all movies.


# %% mistake: the movie of the largest doubt
def largest_doubt(split, n=5):
    x, chosen = split.inputs[split.movies[..., :20]], torch.zeros(*split.movies.shape[:2], 0, dtype=torch.int64)
    covariance = split.prior_covariance
    for _ in range(n):
        cx = x @ covariance
        best = (cx * x).sum(dim=-1).scatter(2, chosen, -1.0).argmax(dim=-1, keepdim=True)
        chosen = torch.cat([chosen, best], dim=-1)
        best_x = x.gather(2, best[..., None].expand(-1, -1, -1, x.shape[-1]))
        best_cx = best_x @ covariance
        covariance = covariance - best_cx.mT @ best_cx / (split.noise + (best_cx * best_x).sum(dim=-1, keepdim=True))
    return chosen


answer = {
    "nothing": [0.887, 0.9438, 0.9484, 0.8188, 0.8747],
    "random": [0.8078, 0.8604, 0.8783, 0.7505, 0.791],
    "popular": [0.8093, 0.8542, 0.8755, 0.7492, 0.7903],
    "computed": [0.8005, 0.8541, 0.8741, 0.7405, 0.7813],
    "choose": largest_doubt,
    "extra": 0.097,
    "conclusion": "beats both",
}

# %% mistake: a share of the error [markdown]
# `"extra"` is a difference, or it is divided by an error. Divide by what random questions *gain*: that counts from the error
# of asking nothing.


# %% mistake: a share of the error
def one_by_one(split, n=5):
    everything, chosen = split.inputs.T @ split.inputs, []
    for movies in split.movies[..., :20].reshape(-1, 20):
        x, covariance, own = split.inputs[movies], split.prior_covariance, []
        for _ in range(n):
            cx = x @ covariance
            lowered = ((cx @ everything) * cx).sum(dim=-1) / (split.noise + (cx * x).sum(dim=-1))
            lowered[own] = -1.0
            own.append(int(lowered.argmax()))
            best = cx[own[-1]]
            covariance = covariance - torch.outer(best, best) / (split.noise + x[own[-1]] @ best)
        chosen.append(own)
    return torch.tensor(chosen).view(*split.movies.shape[:2], n)


answer = {
    "nothing": [0.887, 0.9438, 0.9484, 0.8188, 0.8747],
    "random": [0.8078, 0.8604, 0.8783, 0.7505, 0.791],
    "popular": [0.8093, 0.8542, 0.8755, 0.7492, 0.7903],
    "computed": [0.8005, 0.8541, 0.8741, 0.7405, 0.7813],
    "choose": one_by_one,
    "extra": 0.009,
    "conclusion": "beats both",
}

# %% mistake: a conclusion that the numbers do not carry [markdown]
# Your numbers say otherwise than your conclusion. Subtract split by split, and compare the mean of the differences with
# twice its standard error.


# %% mistake: a conclusion that the numbers do not carry
def one_by_one(split, n=5):
    everything, chosen = split.inputs.T @ split.inputs, []
    for movies in split.movies[..., :20].reshape(-1, 20):
        x, covariance, own = split.inputs[movies], split.prior_covariance, []
        for _ in range(n):
            cx = x @ covariance
            lowered = ((cx @ everything) * cx).sum(dim=-1) / (split.noise + (cx * x).sum(dim=-1))
            lowered[own] = -1.0
            own.append(int(lowered.argmax()))
            best = cx[own[-1]]
            covariance = covariance - torch.outer(best, best) / (split.noise + x[own[-1]] @ best)
        chosen.append(own)
    return torch.tensor(chosen).view(*split.movies.shape[:2], n)


answer = {
    "nothing": [0.887, 0.9438, 0.9484, 0.8188, 0.8747],
    "random": [0.8078, 0.8604, 0.8783, 0.7505, 0.791],
    "popular": [0.8093, 0.8542, 0.8755, 0.7492, 0.7903],
    "computed": [0.8005, 0.8541, 0.8741, 0.7405, 0.7813],
    "choose": one_by_one,
    "extra": 0.097,
    "conclusion": "beats neither",
}
