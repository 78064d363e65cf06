# %% [markdown]
# # 07 · Exercises: Bayesian factorisation
#
# They practise what [07 · Bayesian factorisation](../notebooks/07_bayesian_factorization.ipynb) teaches: solutions that
# become draws, what may be averaged and what may not, and what a promise of doubt is worth. Each `check` tells whether an
# answer is right, and knows the mistakes that are made most; `hint("07.1")` helps, one hint at a time.

# %% setup
import numpy as np
import polars as pl
import torch

import utilities
from utilities import BayesianFactorization

scale = utilities.rating_scale("built-in")
ratings_df, users_df, movies_df = utilities.load_torch_data("built-in", 500)
train_df, val_df, test_df = utilities.split_train_test(ratings_df)
bias_baseline = utilities.BiasBaseline.fit(train_df, 4, scale)


def fit(size, seed, sweeps=100):
    """Run one chain without any features; the first 20 sweeps are thrown away."""
    ones = torch.ones(users_df.height, 1), torch.ones(movies_df.height, 1)
    return BayesianFactorization.fit(train_df, *ones, scale, size=size, seed=seed, sweeps=sweeps)


def mse(df, predictions):
    """Give the mean squared error of predictions `[n]` in stars, clipped to the scale."""
    predictions = torch.as_tensor(predictions).clamp(scale.lowest, scale.highest)
    return ((predictions - df["rating"].to_torch()) ** 2).mean().item()


def stars_of(chain, users, movies, df):
    """Give what rows `[n_users, size + 1]` and `[n_movies, size + 1]` of a chain say of the ratings in `df`, in stars."""
    users, movies = (
        users[df["userIdMapped"].cast(pl.Int64).to_torch()],
        movies[df["movieIdMapped"].cast(pl.Int64).to_torch()],
    )
    scores = (users[:, :-1] * movies[:, :-1]).sum(dim=1) + users[:, -1] + movies[:, -1]
    return chain.mean + chain.deviation * scores


def r_hat(draws, split=True):
    """Give R̂ of draws `[n_chains, n_draws]`; with `split` each half of a chain counts as a chain of its own."""
    chains = draws.double().unflatten(1, (2, -1)).flatten(0, 1) if split else draws.double()
    n, within, between = chains.shape[1], chains.var(dim=1).mean(), chains.mean(dim=1).var()
    return ((within * (n - 1) / n + between) / within).sqrt().item()


# %% checks
import itertools

import numpy as np
import torch

from utilities.exercises import expect


def log_score(errors, std):
    """Give the mean of minus the logarithm of the density that a promise gave to what then happened."""
    return np.mean(0.5 * (errors / std) ** 2 + np.log(std)) + 0.5 * np.log(2 * np.pi)


def classic_r_hat(chains):
    """R̂ of chains [n_chains, n_draws] as they are."""
    n, within, between = chains.shape[1], chains.var(axis=1, ddof=1).mean(), chains.mean(axis=1).var(ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt((within * (n - 1) / n + between) / within)


def out_of_place(errors, bands):
    """Say what seems to have happened to entries outside their bands: roots, two that have changed places, or nothing."""

    def inside(found, name):
        return bands[name][0] < found.min() <= found.max() < bands[name][1]

    for name, found in errors.items():
        if inside(found**2, name):
            return f"'{name}' looks like roots of the error; stars² are asked for."
    for one, other in itertools.combinations(errors, 2):
        at_home = inside(errors[one], one) and inside(errors[other], other)
        if not at_home and inside(errors[one], other) and inside(errors[other], one):
            return f"'{one}' and '{other}' seem to have changed places."
    return None


def misfit(errors, bands):
    """Say which entry no chain gives, whatever its seed."""
    for name, found in errors.items():
        if not bands[name][0] < found.min() <= found.max() < bands[name][1]:
            return (
                f"'{name}' has {found.min():.4f} to {found.max():.4f}, which chains of this kind do not give, whatever "
                "their seed. Which size, which draws and which rows are in it?"
            )
    return None


# %% exercise [markdown]
# ## 07.1 ★ A third of the spread is doubt
#
# The sampler promises a standard deviation of 0.9 stars for a rating. Its draws of the prediction spread by 0.3 stars, a
# third of that. How much narrower would the interval be if the model knew the rows exactly?
#
# The promised 0.9 contain both the user's noise and the doubt about the rows; the 0.3 are the standard deviation of the
# draws alone, the doubt. Guess first. Then hand over `narrower`: by which share of its width the 90 % interval shrinks
# once the doubt is gone and the noise stays, a number between 0 and 1, right to three digits after the point.

# %% stub
narrower = ...

# %% solution
narrower = 1 - (0.9**2 - 0.3**2) ** 0.5 / 0.9

# %% why [markdown]
# Variances add up, standard deviations do not. The doubt is a third of the standard deviation, a ninth of the variance,
# and the root makes of that about half: $1 - \sqrt{1 - 1/9} \approx 1/18$. So a model can be in real doubt about its rows,
# and all the ratings in the world would take less than 6 % off its intervals. The rest is the user.

# %% other
noise = np.sqrt(np.square(0.9) - np.square(0.3))
width_now, width_then = 2 * 1.645 * 0.9, 2 * 1.645 * noise
narrower = (width_now - width_then) / width_now


# %% check
def mistake_in(narrower):
    narrower = expect.number(narrower, "`narrower`")
    noise = (0.81 - 0.09) ** 0.5
    in_stars = [factor * (0.9 - noise) for factor in (1, 1.645, 2 * 1.645)]

    def near(values, found=narrower):
        return any(abs(found - value) < 1e-3 for value in values)

    if near([1 / 3, 2 / 3]):
        return "standard deviations subtracted"
    if near([1 / 9, 8 / 9]):
        return "the share of the variance"
    if near([noise / 0.9]):
        return "what is left"
    if abs(narrower - (1 - 0.9 / (0.81 + 0.09) ** 0.5)) < 8e-5:
        return "the doubt added once more"
    if near(in_stars):
        return "stars for a share"
    assert 0 < narrower < 1, f"A share lies between 0 and 1, and 5 % are 0.05: {narrower:g} does not."
    assert near([1 - noise / 0.9]), f"It is not {narrower:g}. What is the variance of the noise alone?"


# %% hint [markdown]
# The square of the promise has two parts. Which of the two is known, and what is the other?

# %% hint [markdown]
# An interval is as wide as its standard deviation times a constant, which cancels. So compare the standard deviation of
# the noise alone with 0.9.

# %% mistake: standard deviations subtracted [markdown]
# 0.9 - 0.3 is not the noise: independent parts add up in their *squares*.

# %% mistake: standard deviations subtracted
narrower = 1 - (0.9 - 0.3) / 0.9

# %% mistake: the share of the variance [markdown]
# That is the share of the *variance* that is doubt. The width of an interval is a matter of the standard deviation.

# %% mistake: the share of the variance
narrower = 0.3**2 / 0.9**2

# %% mistake: what is left [markdown]
# So wide is the interval afterwards, as a share of before. By how much has it shrunk?

# %% mistake: what is left
narrower = (0.9**2 - 0.3**2) ** 0.5 / 0.9

# %% mistake: the doubt added once more [markdown]
# You added the doubt to 0.9, but the 0.9 contain it already. What is left when it is taken out?

# %% mistake: the doubt added once more
narrower = 1 - 0.9 / (0.9**2 + 0.3**2) ** 0.5

# %% mistake: stars for a share [markdown]
# That is a difference in stars. The question is for a share of the width that the interval has now.

# %% mistake: stars for a share
narrower = 0.9 - (0.9**2 - 0.3**2) ** 0.5

# %% exercise [markdown]
# ## 07.2 ★ Nine of ten, and worth nothing
#
# A promise covers nine of ten ratings, as it should. Is it a good one? Write one that does, for any errors whatever, and
# says nothing about them.
#
# `promise(n)` gets the number of ratings and nothing else, and returns their standard deviations in stars: `n` positive,
# finite numbers, an array or tensor of shape `[n]`. A rating is covered if its error is below 1.645 of them. For any large
# set of errors between a hundredth of a star and four and a half stars, in any random order, your promise has to cover 88
# to 92 %, and its mean log score has to be worse than that of the best constant by more than 1.


# %% stub
def promise(n):
    """Give n standard deviations in stars that cover nine of ten and are worth nothing, [n]."""
    ...


# %% solution
def promise(n):
    """Give n standard deviations in stars that cover nine of ten and are worth nothing, [n]."""
    return np.where(np.arange(n) % 10 == 0, 1e-3, 1e3)


# %% why [markdown]
# Nine ratings get an interval that nothing can leave, the tenth one that nothing can hit: nine of ten, whatever happens.
# Coverage counts hits and asks neither how wide an interval was nor for whom. The log score charges for both: for the wide
# ones the logarithm of their width, for the narrow ones the square of the error in standard deviations. On average it is
# lowest for a promise that is true.


# %% other
def promise(n):
    useless = torch.full((n,), 500.0)
    useless[torch.randperm(n)[: round(n / 10)]] = 0.002
    return useless


# %% check
def mistake_in(promise):
    rng = np.random.default_rng(5)
    for n, draw in (
        (10_000, lambda n: rng.normal(0, 0.8, n)),
        (7_001, lambda n: rng.laplace(0, 0.1, n)),
        (4_000, lambda n: rng.choice([-1, 1], n) * rng.uniform(3.5, 4.5, n)),
    ):
        errors = np.clip(draw(n), -4.5, 4.5)
        errors = np.where(np.abs(errors) < 0.01, 0.01, errors)
        std = expect.array(promise(n), f"what it gives for {n} ratings", (n,))
        if (std == 0).any():
            return "a width of zero"
        assert (std > 0).all(), "A standard deviation is not negative."
        covered = np.mean(np.abs(errors) < 1.645 * std)
        if np.ptp(std) < 1e-6 * std.max():
            return "a constant"
        if covered < 0.2 and np.mean(std > 3) < 0.2:
            return "the wrong tenth"
        size = np.sqrt(np.mean(errors**2))
        assert 0.88 <= covered <= 0.92, (
            f"Of errors with a root mean square of {size:.1f} stars it covers {100 * covered:.1f} %, not 88 to 92 %."
        )
        worse = log_score(errors, std) - log_score(errors, size)
        assert worse > 1, (
            f"It covers {100 * covered:.1f} %, but its log score is only {worse:.2f} worse than a constant's."
        )


# %% hint [markdown]
# Which width covers a rating for certain? Which misses it for certain? How many do you need of each?

# %% hint [markdown]
# `np.arange(n)` numbers the ratings, `%` gives a remainder, and `np.where` chooses between two values.

# %% mistake: a constant [markdown]
# All have the same width. It covers nine of ten for errors of one size only, and where it does, it is the very rival that
# you are to fall behind.


# %% mistake: a constant
def promise(n):
    return np.full(n, 0.8)


# %% mistake: the wrong tenth [markdown]
# It covers about one of ten: the ratings that are certain to be covered and those that are certain to be missed have
# changed places.


# %% mistake: the wrong tenth
def promise(n):
    return np.where(np.arange(n) % 10 == 0, 1e3, 1e-3)


# %% mistake: a width of zero [markdown]
# A standard deviation of 0 is no density: the log score divides by it. Very small will do.


# %% mistake: a width of zero
def promise(n):
    return np.where(np.arange(n) % 10 == 0, 0.0, 1e3)


# %% exercise [markdown]
# ## 07.3 ★★ One user, pulled towards a prior
#
# Find the row that a user most likely has, given some ratings and given where users of this kind usually are: the ridge
# regression of the notebook, with a noise and a prior that is not 0.
#
# `movies` are the rows $(q_i, b_i)$ of the movies that the user has rated, `[n, k + 1]`, the bias last; `deviations` the
# ratings less $\mu$, `[n]`. The model says: deviation ~ $N(b_u + b_i + p_u \cdot q_i,\ \sigma^2)$, and
# $(p_u, b_u) \sim N(m,\ \operatorname{diag}(1/\kappa))$, with the number `noise` for $\sigma^2$, and `prior_mean` and
# `prior_precision`, `[k + 1]` each, for $m$ and $\kappa$. Return the mean of $(p_u, b_u)$ given all that, `[k + 1]`. A
# user without ratings (`n` = 0) gets one as well. All tensors are f32.


# %% stub
def row_of(movies, deviations, noise, prior_mean, prior_precision):
    """Give the mean of a user's row (p_u, b_u) given the ratings and the prior, [k + 1]."""
    ...


# %% solution
def row_of(movies, deviations, noise, prior_mean, prior_precision):
    """Give the mean of a user's row (p_u, b_u) given the ratings and the prior, [k + 1]."""
    x = torch.cat([movies[:, :-1], torch.ones(len(movies), 1)], dim=1)
    left = deviations - movies[:, -1]
    precision = x.T @ x / noise + prior_precision.diag()
    return torch.linalg.solve(precision, x.T @ left / noise + prior_precision * prior_mean)


# %% why [markdown]
# Ratings and prior are two witnesses, each with a precision. Each rating counts with $1/\sigma^2$, the prior with
# $\kappa$, once, however many ratings there are. So a user with none is where the prior is, and one with many where the
# ratings are. Multiply everything by $\sigma^2$, and the price $\lambda = \sigma^2 \kappa$ of the notebook appears.


# %% other
def row_of(movies, deviations, noise, prior_mean, prior_precision):
    # least squares: a line for each rating, and one for each belief, all in units of their standard deviations
    x = torch.cat([movies[:, :-1], torch.ones(len(movies), 1)], dim=1).double() / noise**0.5
    beliefs = prior_precision.sqrt().double()
    target = torch.cat([(deviations - movies[:, -1]) / noise**0.5, beliefs * prior_mean])
    return torch.linalg.lstsq(torch.cat([x, beliefs.diag()]), target).solution


# %% check
def mistake_in(row_of):
    rng = np.random.default_rng(6)
    for n, k in ((7, 3), (1, 2), (0, 3), (40, 1)):
        movies, left = rng.normal(0, 1, (n, k + 1)), rng.normal(0.5, 1, n)
        noise, mean, precision = 0.4, rng.normal(1, 0.5, k + 1), rng.uniform(1, 4, k + 1)
        given = (torch.tensor(value, dtype=torch.float32) for value in (movies, left, mean, precision))
        tensors = dict(zip(("movies", "left", "mean", "precision"), given, strict=True))
        about = f"For {n} ratings and {k} factors"
        found = expect.array(
            row_of(tensors["movies"], tensors["left"], noise, tensors["mean"], tensors["precision"]),
            f"{about}, the row",
        )
        assert found.shape == (k + 1,), f"{about} it gives the shape {list(found.shape)}, not [{k + 1}]."
        x, d = np.hstack([movies[:, :-1], np.ones((n, 1))]), left - movies[:, -1]

        def row(x=x, d=d, noise=noise, right=None, mean=mean, pull=precision, price=precision):
            right = noise if right is None else right  # the noise on the right-hand side
            return np.linalg.inv(x.T @ x / noise + np.diag(price)) @ (x.T @ d / right + pull * mean)

        if n == 7:
            others = {
                "the prior's mean forgotten": [row(mean=0 * mean)],
                "the prior's mean without its precision": [
                    *(row(pull=weight) for weight in (1.0, noise, 1 / noise)),
                    *(row(pull=weight * precision) for weight in (noise, 1 / noise)),
                ],
                "the noise forgotten": [row(noise=noise**power) for power in (0, 0.5, 2, -1)],
                "the movies' biases left in": [row(d=left)],
                "a price for each rating": [row(pull=n * precision, price=n * precision), row(price=n * precision)],
                "no column of ones": [row(x=movies, d=left), row(x=movies)],
            }
            for name, rows in others.items():
                if any(np.abs(found - wrong).max() < 1e-3 for wrong in rows):
                    return name
            one_sided = (row(right=1.0), row(noise=1.0, right=noise))
            assert not any(np.abs(found - wrong).max() < 1e-3 for wrong in one_sided), (
                "The noise weighs the ratings on one side of the equation only."
            )
            assert np.abs(found - row(pull=1 / precision, price=1 / precision)).max() > 1e-3, (
                "The prior pulls as if `prior_precision` were a variance: one that is sure of itself pulls least."
            )
            assert np.abs(found - (mean + row(mean=0 * mean))).max() > 1e-3, (
                "You add the prior's mean to a row that has explained the whole deviations by itself. Which part of them "
                "does the prior's mean explain already?"
            )
        if n == 0:
            assert np.abs(found - mean).max() < 1e-3, "A user without ratings should get the prior's mean."
        assert np.abs(found - row()).max() < 2e-3, f"{about} it is not the mean of the row."


# %% hint [markdown]
# Begin with the notebook's regression: what are $X$ and $d$ here, and where does the 1 of $(q_i, 1)$ come from? Then: by
# what does each rating count?

# %% hint [markdown]
# The precision is $A = X^\top X / \sigma^2 + \operatorname{diag}(\kappa)$. What does the prior add on the right-hand side,
# so that without ratings the solution is $m$?

# %% hint [markdown]
# `torch.linalg.solve(A, t)`, where the prior adds `prior_precision * prior_mean` to `t`.

# %% mistake: the prior's mean forgotten [markdown]
# Rows are pulled towards 0. A user of whom nothing is known should be where the prior is.


# %% mistake: the prior's mean forgotten
def row_of(movies, deviations, noise, prior_mean, prior_precision):
    x = torch.cat([movies[:, :-1], torch.ones(len(movies), 1)], dim=1)
    left = deviations - movies[:, -1]
    return torch.linalg.solve(x.T @ x / noise + prior_precision.diag(), x.T @ left / noise)


# %% mistake: the prior's mean without its precision [markdown]
# The prior's mean is in, but with another weight than on the left-hand side. Without ratings, your row is not the prior's
# mean: what has to stand before it?


# %% mistake: the prior's mean without its precision
def row_of(movies, deviations, noise, prior_mean, prior_precision):
    x = torch.cat([movies[:, :-1], torch.ones(len(movies), 1)], dim=1)
    left = deviations - movies[:, -1]
    return torch.linalg.solve(x.T @ x / noise + prior_precision.diag(), x.T @ left / noise + prior_mean)


# %% mistake: the noise forgotten [markdown]
# A rating counts as if its noise had another variance than $\sigma^2$. `prior_precision` is a precision, not yet a price:
# with what has it to be compared?


# %% mistake: the noise forgotten
def row_of(movies, deviations, noise, prior_mean, prior_precision):
    x = torch.cat([movies[:, :-1], torch.ones(len(movies), 1)], dim=1)
    left = deviations - movies[:, -1]
    return torch.linalg.solve(x.T @ x + prior_precision.diag(), x.T @ left + prior_precision * prior_mean)


# %% mistake: the movies' biases left in [markdown]
# What is left for the user to explain? The deviations still contain what the movies' biases explain.


# %% mistake: the movies' biases left in
def row_of(movies, deviations, noise, prior_mean, prior_precision):
    x = torch.cat([movies[:, :-1], torch.ones(len(movies), 1)], dim=1)
    precision = x.T @ x / noise + prior_precision.diag()
    return torch.linalg.solve(precision, x.T @ deviations / noise + prior_precision * prior_mean)


# %% mistake: a price for each rating [markdown]
# The prior grows with the number of ratings, so that no number of them can outvote it. It is one witness, and speaks once.


# %% mistake: a price for each rating
def row_of(movies, deviations, noise, prior_mean, prior_precision):
    x = torch.cat([movies[:, :-1], torch.ones(len(movies), 1)], dim=1)
    left, prior_precision = deviations - movies[:, -1], len(movies) * prior_precision
    precision = x.T @ x / noise + prior_precision.diag()
    return torch.linalg.solve(precision, x.T @ left / noise + prior_precision * prior_mean)


# %% mistake: no column of ones [markdown]
# The last column of `movies` is their bias $b_i$, and you multiply it by $b_u$. In the model a user's bias is added:
# multiplied by what?


# %% mistake: no column of ones
def row_of(movies, deviations, noise, prior_mean, prior_precision):
    precision = movies.T @ movies / noise + prior_precision.diag()
    return torch.linalg.solve(precision, movies.T @ deviations / noise + prior_precision * prior_mean)


# %% exercise [markdown]
# ## 07.4 ★★ The one line that makes a draw
#
# A solution becomes a draw by adding noise of the right shape. Write that line: draws from a normal distribution of which
# the mean and the *precision* are known.
#
# `mean` has the shape `[k]` and `precision`, the matrix $A$ of the notebook with the noise in it, the shape `[k, k]`; both
# are f32. Return `n_draws` independent draws from $N(\text{mean}, A^{-1})$, of shape `[n_draws, k]`, made with torch's or
# numpy's random numbers, without a seed of your own. The check looks at the mean, the covariance and the shape of many
# draws.


# %% stub
def draw(mean, precision, n_draws):
    """Draw from N(mean, precision⁻¹), [n_draws, k]."""
    ...


# %% solution
def draw(mean, precision, n_draws):
    """Draw from N(mean, precision⁻¹), [n_draws, k]."""
    factor = torch.linalg.cholesky(precision)  # A = L Lᵀ
    noise = torch.randn(len(mean), n_draws)
    return mean + torch.linalg.solve_triangular(factor.T, noise, upper=True).T


# %% why [markdown]
# If $z$ has the covariance 1, then $M z$ has $M M^\top$. Wanted is $A^{-1} = (L L^\top)^{-1} = L^{-\top} L^{-1}$, so
# $M = L^{-\top}$. $L^{-1}$ would give $L^{-1} L^{-\top}$: the same determinant, another shape. In a sampler nothing would
# crash; it would draw from another model. No inverse is needed, and the factor is the one that the solution needs anyway:
# a draw costs hardly more.


# %% other
def draw(mean, precision, n_draws):
    return torch.distributions.MultivariateNormal(mean, precision_matrix=precision).sample((n_draws,))


# %% check
def mistake_in(draw):
    n_draws = 20_000
    torch.manual_seed(11)
    np.random.seed(11)
    covariance = np.array([[1.0, 0.9, -0.2], [0.9, 1.6, 0.4], [-0.2, 0.4, 0.5]])
    a, mean = np.linalg.inv(covariance), np.array([2.0, -1.0, 0.5])
    factor = np.linalg.cholesky(a)
    tensors = torch.tensor(mean, dtype=torch.float32), torch.tensor(a, dtype=torch.float32)
    found = expect.array(draw(*(tensor.clone() for tensor in tensors), n_draws), "what it gives")
    assert found.shape == (n_draws, 3), (
        f"{n_draws} draws of 3 numbers have the shape [{n_draws}, 3], not {list(found.shape)}."
    )
    if np.ptp(found, axis=0).max() < 1e-4 or np.linalg.matrix_rank(found[:2000] - mean, tol=0.1) == 1:
        return "the same noise"
    shape = np.cov(found.T)

    def is_near(wanted, tolerance=0.06):
        size = np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)))
        return (np.abs(shape - wanted) < tolerance * size).all()

    inverse = np.linalg.inv(factor)
    if is_near(a) or is_near(factor.T @ factor):
        return "precision for covariance"
    root = np.linalg.cholesky(covariance)
    if is_near(root.T @ root):
        return "rows by the untransposed factor"
    if is_near(inverse @ inverse.T):
        return "the factor on the wrong side"
    if is_near(np.diag(np.diag(covariance))) or is_near(np.diag(1 / np.diag(a))):
        return "each number by itself"
    if is_near(covariance @ covariance):
        return "a variance for a standard deviation"
    assert is_near(covariance), "The covariance of many draws is not the inverse of the precision."
    assert np.abs(found.mean(axis=0) - mean).max() < 0.06, "The mean of many draws is not the given mean."
    assert abs(np.corrcoef(found[:-1, 0], found[1:, 0])[0, 1]) < 0.06, "Each draw depends on the one before."
    standard = (found - found.mean(axis=0)) / found.std(axis=0)
    assert np.abs((standard**4).mean(axis=0) - 3).max() < 0.3, (
        "Mean and covariance are right, but the draws are not normal."
    )
    one = expect.array(draw(torch.tensor([1.0]), torch.tensor([[4.0]]), 1), "one draw of one number")
    assert one.shape == (1, 1), f"One draw of one number has the shape [1, 1], not {list(one.shape)}."
    wide = expect.array(draw(torch.tensor([1.0]), torch.tensor([[4.0]]), n_draws), "draws of one number", (n_draws, 1))
    assert abs(wide.std() - 0.5) < 0.03, f"With a precision of 4 draws should spread by 0.5, not by {wide.std():.2f}."


# %% hint [markdown]
# If $z$ are independent normal numbers of variance 1, what is the covariance of $M z$? For which $M$ is it $A^{-1}$?

# %% hint [markdown]
# `torch.linalg.cholesky` gives $L$ with $A = L L^\top$. Then $A^{-1} = L^{-\top} L^{-1}$. Which of the two factors is $M$,
# and which is $M^\top$?

# %% hint [markdown]
# `torch.linalg.solve_triangular(L.T, z, upper=True)` is $L^{-\top} z$ for `z` of shape `[k, n_draws]`.

# %% mistake: precision for covariance [markdown]
# Draws spread most where the ratings say most: $L z$ has the covariance $A$. A precision is one over a variance.


# %% mistake: precision for covariance
def draw(mean, precision, n_draws):
    return mean + torch.randn(n_draws, len(mean)) @ torch.linalg.cholesky(precision).T


# %% mistake: the factor on the wrong side [markdown]
# Nearly: $L^{-1} z$ has the covariance $L^{-1} L^{-\top}$, and that is not $(L L^\top)^{-1}$. Inverting a product turns
# the order round.


# %% mistake: the factor on the wrong side
def draw(mean, precision, n_draws):
    factor = torch.linalg.cholesky(precision)
    return mean + torch.linalg.solve_triangular(factor, torch.randn(len(mean), n_draws), upper=False).T


# %% mistake: rows by the untransposed factor [markdown]
# Your covariance is $M^\top M$, wanted is $M M^\top$: for draws that are rows, multiply by the transposed factor.


# %% mistake: rows by the untransposed factor
def draw(mean, precision, n_draws):
    return mean + torch.randn(n_draws, len(mean)) @ torch.linalg.cholesky(torch.linalg.inv(precision))


# %% mistake: each number by itself [markdown]
# Each number has a spread of its own, and no draw knows that they hang together: what the ratings say about one factor
# depends on the others.


# %% mistake: each number by itself
def draw(mean, precision, n_draws):
    return mean + torch.linalg.inv(precision).diag().sqrt() * torch.randn(n_draws, len(mean))


# %% mistake: the same noise [markdown]
# All draws come from the same random number: each needs `k` of its own. Look at the shape of what you draw.


# %% mistake: the same noise
def draw(mean, precision, n_draws):
    noise = torch.randn(len(mean))
    one = mean + torch.linalg.solve_triangular(torch.linalg.cholesky(precision).T, noise[:, None], upper=True)[:, 0]
    return one.expand(n_draws, -1)


# %% mistake: the same noise
def draw(mean, precision, n_draws):
    noise = torch.randn(n_draws).expand(len(mean), -1)
    return mean + torch.linalg.solve_triangular(torch.linalg.cholesky(precision).T, noise, upper=True).T


# %% mistake: a variance for a standard deviation [markdown]
# $A^{-1} z$ has the covariance $A^{-1} A^{-1}$. As a number is multiplied by its standard deviation, not by its variance,
# so a vector is multiplied by a *factor* of the covariance.


# %% mistake: a variance for a standard deviation
def draw(mean, precision, n_draws):
    return mean + torch.randn(n_draws, len(mean)) @ torch.linalg.inv(precision)


# %% exercise [markdown]
# ## 07.5 ★★ Chains that agree and are nowhere
#
# $\hat R$ asks whether chains agree. Make chains that agree perfectly and have not found their way, and see why each is
# cut into halves.
#
# `drifting(n_chains, n_draws)` returns draws of one number, a tensor or array of shape `[n_chains, n_draws]`; there are at
# least two chains, and an even number of draws, at least 40. `r_hat(draws, split=False)` of the first cell has to be below
# 1.05, and `r_hat(draws)`, which cuts, above 1.5.


# %% stub
def drifting(n_chains, n_draws):
    """Give draws [n_chains, n_draws] that fool R̂ without the cut."""
    ...


# %% solution
def drifting(n_chains, n_draws):
    """Give draws [n_chains, n_draws] that fool R̂ without the cut."""
    return torch.linspace(0, 1, n_draws) + 0.01 * torch.randn(n_chains, n_draws)


# %% why [markdown]
# All chains walk the same road. Each has the same mean as the others, so between chains there is no spread, and $\hat R$
# is satisfied. But none is where it began, nor will it stay: the first half of a chain does not look like the second. Cut,
# each chain is asked whether it agrees with *itself*. A drift that all share is what a burn-in that is too short looks
# like.


# %% other
def drifting(n_chains, n_draws):
    jump = np.repeat([-1.0, 1.0], n_draws // 2)  # all at once, and in whichever direction
    return np.where(np.arange(n_chains)[:, None] % 2 == 0, jump, -jump)


# %% check
def mistake_in(drifting):
    for n_chains, n_draws in ((4, 100), (2, 40), (3, 200)):
        about = f"For {n_chains} chains and {n_draws} draws"
        draws = expect.array(drifting(n_chains, n_draws), f"{about}, what it gives")
        if draws.shape == (n_draws, n_chains):
            return "chains and draws swapped"
        assert draws.shape == (n_chains, n_draws), f"{about} it gives the shape {list(draws.shape)}."
        assert draws.var(axis=1).mean() > 1e-12, "Within a chain nothing moves, and R̂ divides by the spread within."
        uncut, cut = classic_r_hat(draws), classic_r_hat(draws.reshape(2 * n_chains, -1))
        if uncut > 1.05:
            return "chains that disagree"
        if cut < 1.1:
            return "chains at rest"
        assert cut > 1.5, (
            f"{about} it gives R̂ of {uncut:.2f} without and {cut:.2f} with the cut: more drift, less noise."
        )


# %% hint [markdown]
# Without the cut, $\hat R$ compares the means of whole chains. What may a chain do that leaves its mean where the others'
# is?

# %% hint [markdown]
# Let all chains make the same journey, one from which they do not come back. A little noise may go with it.

# %% mistake: chains that disagree [markdown]
# These chains have different means, and $\hat R$ notices without any cut. Have all of them go the same way.


# %% mistake: chains that disagree
def drifting(n_chains, n_draws):
    return torch.arange(n_chains)[:, None] + torch.randn(n_chains, n_draws)


# %% mistake: chains that disagree
def drifting(n_chains, n_draws):
    return torch.randn(n_chains, n_draws).cumsum(dim=1)


# %% mistake: chains at rest [markdown]
# Cut or not, $\hat R$ finds nothing: the halves of each chain have the same mean, whether it rests or goes and comes back.
# Go one way only.


# %% mistake: chains at rest
def drifting(n_chains, n_draws):
    return torch.randn(n_chains, n_draws)


# %% mistake: chains at rest
def drifting(n_chains, n_draws):
    return torch.sin(torch.linspace(0, 40 * torch.pi, n_draws + 1)[:-1] + 0.5).expand(n_chains, -1)


# %% mistake: chains at rest
def drifting(n_chains, n_draws):
    return torch.sin(torch.linspace(0, torch.pi, n_draws)).expand(n_chains, -1)


# %% mistake: chains and draws swapped [markdown]
# The shape is `[n_draws, n_chains]`: a chain is a row.


# %% mistake: chains and draws swapped
def drifting(n_chains, n_draws):
    return torch.linspace(0, 1, n_draws)[:, None] + 0.01 * torch.randn(n_draws, n_chains)


# %% exercise [markdown]
# ## 07.6 ★★★ Eight factors or two?
#
# Without a penalty, the inner product of notebook 02 was better with two factors than with sixteen. Does a sampler mind
# more factors? Ask one draw, and ask the average of all.
#
# `fit(size, seed)` of the first cell runs one chain (about half a second) and keeps 80 draws; its `predict_draws(val_df)`
# gives what each predicts, `[80, n]`. For size 2 and size 8, at least three seeds each, give the validation MSE
# (`mse(val_df, predictions)`, unrounded) of the *last draw* alone, which nobody has chosen by its error, and that of the
# *average* of the 80 predictions. Under `"biases"` give that of `bias_baseline`, and under `"below the biases"` a list of
# those of the four lines of which every seed is below it. With more factors something is better if its worst seed at size
# 8 is below its best seed at size 2, worse if it is the other way round; in between no difference is seen. As conclusion
# hand over one of `"both worse"`, `"both better"`, `"one draw worse, the average better"`,
# `"one draw better, the average worse"` and `"no difference seen"`, the last if that holds for either of the two.

# %% stub
answer = {
    "one draw, size 2": ...,
    "one draw, size 8": ...,
    "average, size 2": ...,
    "average, size 8": ...,
    "biases": ...,
    "below the biases": ...,
    "conclusion": ...,
}

# %% solution
draws = {size: [fit(size, seed).predict_draws(val_df) for seed in range(3)] for size in (2, 8)}
errors = {
    "one draw, size 2": [mse(val_df, of_chain[-1]) for of_chain in draws[2]],
    "one draw, size 8": [mse(val_df, of_chain[-1]) for of_chain in draws[8]],
    "average, size 2": [mse(val_df, of_chain.mean(0)) for of_chain in draws[2]],
    "average, size 8": [mse(val_df, of_chain.mean(0)) for of_chain in draws[8]],
}
biases = mse(val_df, bias_baseline.predict(val_df).to_torch())
answer = errors | {
    "biases": biases,
    "below the biases": [name for name, found in errors.items() if max(found) < biases],
    "conclusion": "one draw worse, the average better",
}

# %% why [markdown]
# One draw has eight noisy factors instead of two, and every seed pays for it; at either size one draw is no safe bet
# against the biases alone. The average of the very same draws is far below them, and better with eight. Averaging is all
# that differs between the two lines of a size, so it is what turns the order round: it takes away what draws disagree
# about, and what they agree on gains from more room. It does not follow that size costs nothing: time grows with it.

# %% other
answer = {  # seeds 3 to 8
    "one draw, size 2": torch.tensor([0.7365, 0.7454, 0.7540, 0.7331, 0.7408, 0.7367]),
    "one draw, size 8": (0.7798, 0.8024, 0.7897, 0.7772),
    "average, size 2": np.array([0.6885, 0.6883, 0.6891, 0.6877, 0.6865, 0.6870]),
    "average, size 8": pl.Series([0.6710, 0.6728, 0.6715, 0.6733]),
    "biases": utilities.rating_metrics(val_df["rating"], bias_baseline.predict(val_df))["mse"],
    "below the biases": ("average, size 8", "average, size 2"),
    "conclusion": "one draw worse, the average better",
}


# %% check
def mistake_in(answer):
    names = "one draw, size 2", "one draw, size 8", "average, size 2", "average, size 8"
    errors = {name: expect.runs(answer[name], f"'{name}'", 1) for name in names}
    if min(map(len, errors.values())) < 3:
        return "too few seeds"
    draw_2, draw_8, average_2, average_8 = errors.values()
    biases = expect.number(answer["biases"], "'biases'")
    bands = dict(zip(names, ((0.71, 0.77), (0.755, 0.83), (0.682, 0.6935), (0.664, 0.678)), strict=True))
    reason = out_of_place(errors, bands)
    assert reason is None, reason
    assert not expect.close(biases, 0.72772**0.5, 5e-4), (
        "'biases' looks like a root of the error; stars² are asked for."
    )
    if 0.55 < average_2.min() < 0.63 or 0.42 < average_8.min() < 0.50:
        return "errors on the training rows"
    if 0.725 < np.median(average_2) < 0.76 and 0.775 < np.median(average_8) < 0.81:
        return "errors averaged, not predictions"
    if 0.6938 < np.median(average_2) < 0.71 and np.median(average_8) > 0.6755:
        return "errors on the test rows"
    if expect.close(biases, 0.68800, 5e-4) or expect.close(biases, 0.75001, 5e-4):
        return "the biases judged on other rows"
    assert expect.close(biases, 0.72772, 5e-4), f"`bias_baseline` does not have the validation error {biases:.4f}."
    reason = misfit(errors, bands)
    assert reason is None, reason
    assert draw_2.max() > 0.7315 or draw_8.max() > 0.7775, (
        "Your single draws look like the best of their chains, chosen by the very errors that you report. Take the last."
    )
    word = [_said(draw_2, draw_8), _said(average_2, average_8)]
    said = {
        ("worse", "worse"): "both worse",
        ("better", "better"): "both better",
        ("worse", "better"): "one draw worse, the average better",
        ("better", "worse"): "one draw better, the average worse",
    }
    concluded = expect.one_of(answer["conclusion"], [*said.values(), "no difference seen"], "'conclusion'")
    if concluded != said.get(tuple(word), "no difference seen"):
        return "a conclusion that the numbers do not carry"
    below = answer["below the biases"]
    assert isinstance(below, list | tuple | set | frozenset), "'below the biases' should be a list of names."
    strangers = ", ".join(repr(name) for name in below if name not in names)
    assert not strangers, f"'below the biases' should hold names of the four lines, and has {strangers}."
    right = {name for name, found in errors.items() if found.max() < biases}
    assert set(below) == right, (
        "'below the biases' does not say what your numbers say: compare each seed with 'biases'."
    )


def _said(few, many):
    return "better" if many.max() < few.min() else "worse" if many.min() > few.max() else "alike"


# %% hint [markdown]
# Run one chain of size 2 and look at `fit(2, 0).predict_draws(val_df).shape`. Which axis are the draws?

# %% hint [markdown]
# The last draw is row -1, the average is the mean over axis 0. The average comes first, the error after it.

# %% mistake: too few seeds [markdown]
# One or two chains of each size cannot tell the size from the luck of the draws: take three seeds or more.

# %% mistake: too few seeds
answer = answer | {
    "one draw, size 2": [0.7376],
    "one draw, size 8": [0.7989],
    "average, size 2": [0.6888],
    "average, size 8": [0.6735],
}

# %% mistake: errors on the training rows [markdown]
# So low are only the errors on the rows that the chains were given. What do they say of other ratings?

# %% mistake: errors on the training rows
answer = answer | {"average, size 2": [0.5916, 0.58987, 0.58993], "average, size 8": [0.4461, 0.4450, 0.4496]}

# %% mistake: errors on the test rows [markdown]
# These are errors on the test rows. Settings are compared on validation; the test set is not for choosing.

# %% mistake: errors on the test rows
answer = answer | {"average, size 2": [0.7003, 0.7000, 0.6991], "average, size 8": [0.6812, 0.6772, 0.6775]}

# %% mistake: errors averaged, not predictions [markdown]
# That is the mean of the errors of single draws. The question is for the error of the mean: first average the 80
# predictions of each rating, then compare with the ratings, once.

# %% mistake: errors averaged, not predictions
answer = answer | {"average, size 2": [0.73983, 0.73977, 0.74008], "average, size 8": [0.7923, 0.7895, 0.7882]}

# %% mistake: the biases judged on other rows [markdown]
# The chains are judged on the validation rows, the biases on others. A rival is judged on the same rows.

# %% mistake: the biases judged on other rows
answer = answer | {"biases": mse(test_df, bias_baseline.predict(test_df).to_torch())}

# %% mistake: a conclusion that the numbers do not carry [markdown]
# Your numbers say otherwise than your conclusion. Compare the ranges twice: of single draws at both sizes, and of averages
# at both.

# %% mistake: a conclusion that the numbers do not carry
answer = answer | {"conclusion": "both worse"}

# %% exercise [markdown]
# ## 07.7 ★★★ Average the rows, and keep one table?
#
# Eighty draws of every row are much to store. Why not average the rows over the draws, keep one table a side, and predict
# with that? Try it with one chain, and with two chains put together.
#
# `fit(8, seed, sweeps=60)` runs one chain and keeps 40 draws of the rows: `chain.users` `[40, n_users, 9]`, `chain.movies`
# `[40, n_movies, 9]`. *Averaged rows*: the means of both over the draws, then `stars_of(chain, users, movies, val_df)`.
# *Averaged predictions*: the mean of `chain.predict_draws(val_df)` over the draws. Do both for the 40 draws of one chain
# and for the 80 draws of two chains with different seeds. Take at least three first chains, and for each another second
# one. Hand over the validation MSEs (`mse(val_df, …)`, unrounded), a list for each of the four, all in the order of the
# first chains, and under `"biases"` that of `bias_baseline`. Averaged predictions gain something over the biases. Averaged
# rows are worse if in each case they give more than a tenth of that gain away. As conclusion, one of
# `"rows are worse with one chain and with two"`, `"rows are worse with two chains only"`,
# `"rows are worse with one chain only"` and `"no difference seen"`.

# %% stub
answer = {
    "one chain, rows": ...,
    "one chain, predictions": ...,
    "two chains, rows": ...,
    "two chains, predictions": ...,
    "biases": ...,
    "conclusion": ...,
}


# %% solution
def both_errors(chains):
    users, movies = (torch.cat(rows).mean(0) for rows in zip(*((c.users, c.movies) for c in chains), strict=True))
    predictions = torch.cat([chain.predict_draws(val_df) for chain in chains]).mean(0)
    return mse(val_df, stars_of(chains[0], users, movies, val_df)), mse(val_df, predictions)


pairs = [[fit(8, seed, sweeps=60) for seed in (first, first + 1)] for first in (0, 2, 4)]
of_one, of_two = [both_errors(pair[:1]) for pair in pairs], [both_errors(pair) for pair in pairs]
answer = {
    "one chain, rows": [rows for rows, _ in of_one],
    "one chain, predictions": [predictions for _, predictions in of_one],
    "two chains, rows": [rows for rows, _ in of_two],
    "two chains, predictions": [predictions for _, predictions in of_two],
    "biases": mse(val_df, bias_baseline.predict(val_df).to_torch()),
    "conclusion": "rows are worse with two chains only",
}

# %% why [markdown]
# With one chain of 40 draws the shortcut passes, and with two it loses much of what the sampler had gained over the biases, with
# some pairs all of it, while predictions gain from the second chain. Rows are fixed only up to an invertible map, and
# another chain has found other factors: factor by factor, the mean of the two is a mean of different things. Is that the
# reason? Turn the second chain's factors, all columns but the bias, by the *rotation* that takes its movies nearest to the
# first's (`U, _, V = torch.linalg.svd(second.T @ first)`, then `U @ V` for users and movies): their mean with the first is as
# good as one chain's again. (The nearest *invertible* map, by `lstsq`, can be nearly singular, and its inverse then ruins the
# users' rows.) So the test that one would make first, with one short chain, does not see what is wrong. A long one drifts: with
# 800 draws its averaged rows lose a tenth to a fifth of the gain, too. Average what does not depend on the map.

# %% other
answer = {  # chains 6 to 11
    "one chain, rows": torch.tensor([0.6770, 0.6756, 0.6778]),
    "one chain, predictions": np.array([0.6760, 0.6762, 0.6765]),
    "two chains, rows": (0.7004, 0.7204, 0.6967),
    "two chains, predictions": pl.Series([0.6695, 0.6703, 0.6730]),
    "biases": utilities.rating_metrics(val_df["rating"], bias_baseline.predict(val_df))["mse"],
    "conclusion": "rows are worse with two chains only",
}


# %% check
def mistake_in(answer):
    names = "one chain, rows", "one chain, predictions", "two chains, rows", "two chains, predictions"
    errors = {name: expect.runs(answer[name], f"'{name}'", 1) for name in names}
    if min(map(len, errors.values())) < 3:
        return "too few chains"
    assert len(set(map(len, errors.values()))) == 1, "The four lists belong together, first chain by first chain."
    one_rows, one_predictions, two_rows, two_predictions = errors.values()
    biases = expect.number(answer["biases"], "'biases'")
    bands = dict(zip(names, ((0.666, 0.684), (0.666, 0.682), (0.678, 0.83), (0.662, 0.6765)), strict=True))
    reason = out_of_place(errors, bands)
    assert reason is None, reason
    assert not expect.close(biases, 0.72772**0.5, 5e-4), (
        "'biases' looks like a root of the error; stars² are asked for."
    )
    if 0.40 < one_predictions.min() < 0.50:
        return "errors on the training rows"
    if 0.775 < np.median(one_predictions) < 0.81:
        return "errors averaged, not predictions"
    if 0.6778 < np.median(one_predictions) < 0.70 and 0.6745 < np.median(two_predictions) < 0.70:
        return "errors on the test rows"
    if 0.66 < two_rows.min() <= two_rows.max() < 0.682:
        return "twice the same chain"
    if expect.close(biases, 0.68800, 5e-4) or expect.close(biases, 0.75001, 5e-4):
        return "the biases judged on other rows"
    assert expect.close(biases, 0.72772, 5e-4), f"`bias_baseline` does not have the validation error {biases:.4f}."
    copied = expect.close(two_predictions, one_predictions, 1e-6)
    assert not copied, "'two chains, predictions' has the very numbers of one chain."
    reason = misfit(errors, bands)
    assert reason is None, reason
    assert two_predictions.mean() < one_predictions.mean(), (
        "Averaged over two chains, predictions are no better than over one: have entries changed places, or is the average "
        "taken over one of the chains?"
    )
    pairs = (one_rows, one_predictions), (two_rows, two_predictions)
    worse = tuple(bool((rows - told > (biases - told) / 10).all()) for rows, told in pairs)
    said = {
        (True, True): "rows are worse with one chain and with two",
        (False, True): "rows are worse with two chains only",
        (True, False): "rows are worse with one chain only",
        (False, False): "no difference seen",
    }
    if expect.one_of(answer["conclusion"], said.values(), "'conclusion'") != said[worse]:
        return "a conclusion that the numbers do not carry"


# %% hint [markdown]
# Write one function that takes a list of chains, one or two, and gives both errors. `torch.cat` puts the draws of chains
# together.

# %% hint [markdown]
# The draws are axis 0 of `chain.users`, of `chain.movies` and of `chain.predict_draws(val_df)`: that is the axis to
# average over.

# %% hint [markdown]
# `zip` over pairs of seeds: (0, 1), (2, 3), (4, 5). The first of each pair is the one chain, both are the two.

# %% mistake: too few chains [markdown]
# One or two cases cannot tell a rule from luck: take three first chains or more, each with a second chain of its own.

# %% mistake: too few chains
answer = answer | {
    "one chain, rows": [0.6755],
    "one chain, predictions": [0.6758],
    "two chains, rows": [0.7042],
    "two chains, predictions": [0.6701],
}

# %% mistake: errors on the training rows [markdown]
# So low are only the errors on the rows that the chains were given. What do they say of other ratings?

# %% mistake: errors on the training rows
answer = answer | {"one chain, predictions": [0.4523, 0.4541, 0.4538]}

# %% mistake: errors on the test rows [markdown]
# These are errors on the test rows. What you want to decide is decided on validation; the test set is not for choosing.

# %% mistake: errors on the test rows
answer = answer | {
    "one chain, predictions": [0.6869, 0.6785, 0.6871],
    "two chains, predictions": [0.6794, 0.6766, 0.6828],
}

# %% mistake: errors averaged, not predictions [markdown]
# Under predictions stands the mean of the errors of single draws. First average what the draws predict for each rating,
# then compare with the ratings, once.

# %% mistake: errors averaged, not predictions
answer = answer | {"one chain, predictions": [0.7923, 0.7895, 0.7882]}

# %% mistake: twice the same chain [markdown]
# Averaged over your two chains the rows are as good as over one. Do the two have different seeds, and are the rows of both
# in the mean?

# %% mistake: twice the same chain
answer = answer | {"two chains, rows": [0.6755, 0.6749, 0.6762]}

# %% mistake: the biases judged on other rows [markdown]
# The chains are judged on the validation rows, the biases on others. A rival is judged on the same rows.

# %% mistake: the biases judged on other rows
answer = answer | {"biases": mse(train_df, bias_baseline.predict(train_df).to_torch())}

# %% mistake: a conclusion that the numbers do not carry [markdown]
# Your numbers say otherwise than your conclusion. With one chain, and with two, case by case: how much is the gain of
# averaged predictions over the biases, and how much of it is lost with averaged rows?

# %% mistake: a conclusion that the numbers do not carry
answer = answer | {"conclusion": "rows are worse with one chain and with two"}
