# %% [markdown]
# # 02 · Exercises: the inner product
#
# They practise what [02 · The inner product](../notebooks/02_inner_product.ipynb) teaches. Each `check` tells whether an
# answer is right, and knows the mistakes that are made most; `hint("02.1")` helps, one hint at a time.

# %% setup
import torch

import utilities
from utilities.models import InnerProduct

scale = utilities.rating_scale("built-in")
ratings_df, users_df, movies_df = utilities.load_torch_data("built-in", 500)
train_df, val_df, test_df = utilities.split_train_test(ratings_df)
mean_rating = train_df["rating"].mean()

# %% checks
import numpy as np
import torch

from utilities.exercises import expect

# %% exercise [markdown]
# ## 02.1 ★ One dot product for each row
#
# Two tensors hold the rows of the users and of the movies of a batch. Give the dot product of each user's row with its
# movie's.
#
# `user_rows` and `movie_rows` have the shape `[B, k]`, your result the shape `[B]`, for every `B`, 1 included.


# %% stub
def dot_products(user_rows, movie_rows):
    """Give the dot products of rows, [B, k] and [B, k] → [B]."""
    ...


# %% solution
def dot_products(user_rows, movie_rows):
    """Give the dot products of rows, [B, k] and [B, k] → [B]."""
    return (user_rows * movie_rows).sum(dim=1)


# %% why [markdown]
# The product of two tensors of one shape is taken number by number; a dot product is its sum over the axis of the factors,
# which is the second. Naming the axis is what keeps the batch apart.


# %% other
def dot_products(user_rows, movie_rows):
    return torch.einsum("bk,bk->b", user_rows, movie_rows)


# %% check
def mistake_in(dot_products):
    generator = torch.Generator().manual_seed(0)
    users, movies = torch.randn(2, 4, 3, generator=generator)
    expected = [
        sum(u * m for u, m in zip(*rows, strict=True)) for rows in zip(users.tolist(), movies.tolist(), strict=True)
    ]
    found = expect.array(dot_products(users.clone(), movies.clone()), "what it gives for [4, 3] and [4, 3]")
    if found.shape == ():
        return "everything is summed"
    if found.shape == (4, 4):
        return "every user with every movie"
    if found.shape == (4, 1):
        return "an axis of length 1 is left"
    assert found.shape != (3,), "You added over the batch: which axis holds the factors?"
    assert found.shape != (4, 3), "These are the products, not yet added up."
    assert found.shape == (4,), f"For [4, 3] and [4, 3] it gives the shape {list(found.shape)}, not [4]."
    assert expect.close(found, expected), "The shape is right, the numbers are not: multiply first, then sum."
    one = expect.array(dot_products(users[:1].clone(), movies[:1].clone()), "what it gives for [1, 3] and [1, 3]")
    if one.shape == ():
        return "a batch of one loses its axis"
    assert expect.close(one, expected[:1]), "It is right for four rows and not for one."


# %% hint [markdown]
# Write it for one pair first: three products, and their sum. Which axis of `[B, k]` do the products of one pair lie on?

# %% hint [markdown]
# `tensor.sum()` takes the axis to sum over as `dim=`.

# %% mistake: everything is summed [markdown]
# It gives one number for the whole batch: `sum()` without an axis adds up all rows. Which axis holds the factors?


# %% mistake: everything is summed
def dot_products(user_rows, movie_rows):
    return (user_rows * movie_rows).sum()


# %% mistake: every user with every movie [markdown]
# It gives `[B, B]`: a matrix product takes each user with *each* movie, and only those on the diagonal belong together.


# %% mistake: every user with every movie
def dot_products(user_rows, movie_rows):
    return user_rows @ movie_rows.T


# %% mistake: an axis of length 1 is left [markdown]
# It gives `[B, 1]`. Beside ratings of shape `[B]` that broadcasts to `[B, B]`, without an error.


# %% mistake: an axis of length 1 is left
def dot_products(user_rows, movie_rows):
    return (user_rows * movie_rows).sum(dim=1, keepdim=True)


# %% mistake: a batch of one loses its axis [markdown]
# It is right for many rows. For a single row, `squeeze()` without an axis drops the batch as well: name the axis you drop.


# %% mistake: a batch of one loses its axis
def dot_products(user_rows, movie_rows):
    return (user_rows * movie_rows).sum(dim=1, keepdim=True).squeeze()


# %% exercise [markdown]
# ## 02.2 ★ What can start from nothing?
#
# Quiet first rows were a good start. So why not start at 0? Name what a few steps change in `InnerProduct` if both tables,
# or only the users', hold nothing but zeros.
#
# The model has four parts: `"user rows"`, `"movie rows"`, `"w"` and `"c"`. It begins with `w = 1` and `c` at the logit of
# the mean of all training ratings, which is not the batch's; a table that is not at 0 is drawn at random. Every step is one
# of SGD or Adam on the same batch, with no penalty. For each of the four cases hand over the set of the parts that hold
# other numbers than at the start, in whatever row. Decide before you run anything.

# %% stub
moved = {
    "both at 0, one step": ...,
    "both at 0, a hundred steps": ...,
    "users at 0, one step": ...,
    "users at 0, two steps": ...,
}

# %% solution
moved = {
    "both at 0, one step": {"c"},
    "both at 0, a hundred steps": {"c"},
    "users at 0, one step": {"user rows", "c"},
    "users at 0, two steps": {"user rows", "movie rows", "w", "c"},
}

# %% why [markdown]
# The slope of a user's row is made of movies' rows, the slope of a movie's row of users' rows, and the slope of `w` of their
# dot products. With both tables at 0 all of these are 0, after any number of steps: the model stays a constant, `c`. One
# table at random is enough. In the first step only the zero table moves (and `c`), in the second the other one has something
# to go by, and so has `w`. First weights are random not to be far from 0, but to give the slopes something to be made of.


# %% other
def moved_after(user_std, movie_std, n_steps):
    torch.manual_seed(0)
    model = InnerProduct(users_df.height, movies_df.height, mean_rating, scale)
    with torch.no_grad():
        model.user_embedding.weight.mul_(user_std)
        model.movie_embedding.weight.mul_(movie_std)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    user_ids, movie_ids = (train_df[name][:500].to_torch().long() for name in ("userIdMapped", "movieIdMapped"))
    ratings = train_df["rating"][:500].to_torch().float()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(n_steps):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(user_ids, movie_ids), ratings).backward()
        optimizer.step()
    names = dict(zip(before, ("user rows", "movie rows", "w", "c"), strict=True))
    return [names[name] for name, value in model.state_dict().items() if not torch.equal(value, before[name])]


moved = {
    "both at 0, one step": moved_after(0, 0, 1),
    "both at 0, a hundred steps": moved_after(0, 0, 100),
    "users at 0, one step": moved_after(0, 0.1, 1),
    "users at 0, two steps": moved_after(0, 0.1, 2),
}

# %% check
PARTS = {"user rows", "movie rows", "w", "c"}
CASES = ("both at 0, one step", "both at 0, a hundred steps", "users at 0, one step", "users at 0, two steps")


def parts(value, case):
    value = [value] if isinstance(value, str) else value
    assert isinstance(value, set | frozenset | list | tuple), (
        f"{case!r}: hand over a set of names, not `{type(value).__name__}`."
    )
    assert all(isinstance(name, str) and name in PARTS for name in value), f"{case!r}: the names are {sorted(PARTS)}."
    return set(value)


def mistake_in(moved):
    once, long, first, second = (parts(moved[case], case) for case in CASES)
    if (once | long) & {"user rows", "movie rows"}:
        return "looked up, so moved"
    if "w" in once | long | first:
        return "w moves without dot products"
    if "movie rows" in first:
        return "the wrong table moves first"
    if "c" not in once & long & first & second:
        return "the constant is forgotten"
    assert "user rows" in first, "With only the users at 0: what is the slope of a user's row made of? Is that 0?"
    assert second == PARTS, (
        "'users at 0, two steps': the users' rows have moved in the first step. Who notices in the second?"
    )


# %% hint [markdown]
# Write down the four slopes for one rating. For `w` and `c` use the chain rule: both stand inside the sigmoid, one of them
# with a factor beside it.

# %% hint [markdown]
# $\partial L / \partial p_u$ is a number times $w\,q_i$. What is in its place for $q_i$, for $w$, for $c$? Put in the zeros.

# %% mistake: looked up, so moved [markdown]
# You let rows move from a start where both tables are 0. A row that is looked up gets a slope, but what is that slope a
# multiple of?

# %% mistake: looked up, so moved
moved = moved | {
    "both at 0, one step": {"user rows", "movie rows", "c"},
    "both at 0, a hundred steps": {"user rows", "movie rows", "w", "c"},
}

# %% mistake: looked up, so moved
moved = moved | {"both at 0, a hundred steps": {"user rows", "movie rows", "w", "c"}}

# %% mistake: w moves without dot products [markdown]
# You let `w` move in a step whose dot products are all 0. How much does the prediction change if `w` does, there?

# %% mistake: w moves without dot products
moved = moved | {
    "both at 0, one step": {"w", "c"},
    "both at 0, a hundred steps": {"w", "c"},
    "users at 0, one step": {"user rows", "w", "c"},
}

# %% mistake: the wrong table moves first [markdown]
# With only the users at 0, you let the movies' rows move in the first step. Whose numbers stand in the slope of a movie's
# row?

# %% mistake: the wrong table moves first
moved = moved | {"users at 0, one step": {"movie rows", "c"}}

# %% mistake: the constant is forgotten [markdown]
# A case of yours leaves `c` where it was. It starts at the logit of the mean of all training ratings. Is that the best for
# every batch, and does its slope need any rows?

# %% mistake: the constant is forgotten
moved = moved | {
    "both at 0, one step": set(),
    "both at 0, a hundred steps": set(),
    "users at 0, one step": {"user rows"},
    "users at 0, two steps": {"user rows", "movie rows", "w"},
}

# %% exercise [markdown]
# ## 02.3 ★★ A step with biases and a price
#
# One rating, one step of gradient descent, by hand: now for $\hat r = \mu + b_u + b_i + p \cdot q$
# with a price on everything that was looked up.
#
# The loss is $(r - \hat r)^2 + \lambda\,(\lVert p\rVert^2 + \lVert q\rVert^2 + b_u^2 + b_i^2)$. You get `p` and `q` as
# tensors of shape `[k]`; `user_bias`, `movie_bias`, `rating`, `mean`, the learning rate `eta` and `l2`, that is λ, as
# numbers. Return the four after the step, in the order `p, q, user_bias, movie_bias`. The mean is not trained.


# %% stub
def step(p, q, user_bias, movie_bias, rating, mean, eta, l2):
    """Take one step on one rating; give the new p [k], q [k], user_bias and movie_bias."""
    ...


# %% solution
def step(p, q, user_bias, movie_bias, rating, mean, eta, l2):
    """Take one step on one rating; give the new p [k], q [k], user_bias and movie_bias."""
    error = rating - (mean + user_bias + movie_bias + p @ q)
    return (
        p + 2 * eta * (error * q - l2 * p),
        q + 2 * eta * (error * p - l2 * q),
        user_bias + 2 * eta * (error - l2 * user_bias),
        movie_bias + 2 * eta * (error - l2 * movie_bias),
    )


# %% why [markdown]
# Each slope is $-2e$ times what stands beside the number in $\hat r$, plus $2\lambda$ times the number itself. Beside a bias
# stands 1. All four slopes belong to the same point, so `p`, `q` and the error are those from before the step: whoever
# writes `p` first and then uses it for `q` takes a step that belongs to no loss. The price alone takes away the same share
# of a row at each look-up, $2\eta\lambda$; that is why it is called weight decay.


# %% other
def step(p, q, user_bias, movie_bias, rating, mean, eta, l2):
    row = torch.cat([p, torch.tensor([user_bias, 1.0]).to(p)])
    other = torch.cat([q, torch.tensor([1.0, movie_bias]).to(p)])
    rest = rating - mean - float(row @ other)
    moved_row, moved_other = (
        row - eta * (2 * l2 * row - 2 * rest * other),
        other - eta * (2 * l2 * other - 2 * rest * row),
    )
    return moved_row[:-2], moved_other[:-2], moved_row[-2].item(), moved_other[-1].item()


# %% check
def stepped(
    p, q, user_bias, movie_bias, rating, mean, eta, l2, error_slope=2, price_slope=2, sign=1, biases_pay=1, late=False
):
    p, q = p.numpy(), q.numpy()
    error = rating - mean - user_bias - movie_bias - (p * q).sum()

    def moved(own, beside, price=1):
        return own + sign * eta * (error_slope * error * beside - price * price_slope * l2 * own)

    new_p = moved(p, q)
    new_q = moved(q, new_p if late else p)
    return new_p, new_q, moved(user_bias, 1, biases_pay), moved(movie_bias, 1, biases_pay)


KNOWN = {
    "the movie sees the moved user": [{"late": True}],
    "a factor 2 is lost": [{"error_slope": 1, "price_slope": 1}],
    "only one square has its 2": [{"error_slope": 1}, {"price_slope": 1}],
    "uphill": [{"sign": -1}],
    "the biases pay nothing": [{"biases_pay": 0}],
}


def mistake_in(step):
    generator = torch.Generator().manual_seed(1)
    for k, l2 in ((3, 0.2), (1, 0.05), (5, 0.0)):
        p, q = torch.randn(2, k, generator=generator, dtype=torch.float64)
        rest = (0.4, -0.3, 4.5, 3.4, 0.1, l2)
        result = step(p.clone(), q.clone(), *rest)
        assert isinstance(result, tuple | list) and len(result) == 4, (
            "Return four things: p, q, user_bias and movie_bias."
        )
        shapes = [(k,), (k,), (), ()]
        found = [expect.array(x, f"Part {i + 1} of what it returns") for i, x in enumerate(result)]
        found = [x.reshape(()) if x.shape == (1,) and not shape else x for x, shape in zip(found, shapes, strict=True)]
        for i, (x, shape) in enumerate(zip(found, shapes, strict=True)):
            assert x.shape == shape, f"For k = {k}, part {i + 1} has the shape {list(x.shape)}, not {list(shape)}."

        def same(as_known, found=found, p=p, q=q, rest=rest):
            expected = stepped(p, q, *rest, **as_known)
            return all(expect.close(x, y) for x, y in zip(found, expected, strict=True))

        if same({}):
            continue
        for name, ways in KNOWN.items():
            if any(same(way) for way in ways):
                return name
        wrong = [name for name, x, y in zip(["p", "q", "user_bias", "movie_bias"], found, stepped(p, q, *rest), strict=True)
                 if not expect.close(x, y)]  # fmt: skip
        free = step(p.clone(), q.clone(), *rest[:-1], 0.0)  # the same without a price
        free_is_right = all(
            expect.close(expect.array(x).reshape(np.shape(y)), y)
            for x, y in zip(free, stepped(p, q, *rest[:-1], 0.0), strict=True)
        )
        advice = (
            "Without a price it is right: the price pulls each number *towards* 0."
            if free_is_right
            else "And not because of the price: is μ in r̂, and does the step go *against* the slope?"
        )
        raise AssertionError(f"For k = {k} and λ = {l2:g} this is wrong: {', '.join(wrong)}. {advice}")


# %% hint [markdown]
# Compute the error $e = r - \hat r$ first, from the numbers before the step. The slope of $(r - \hat r)^2$ in any number is
# $-2e$ times the slope of $\hat r$ in it.

# %% hint [markdown]
# The slope of $\lambda b^2$ is $2 \lambda b$, and gradient descent moves against the sum of both slopes. The slope of
# $\hat r$ in a bias is 1.

# %% mistake: the movie sees the moved user [markdown]
# `q` is moved by a `p` that has moved already. Which `p` does the slope of the loss at the old point contain?


# %% mistake: the movie sees the moved user
def step(p, q, user_bias, movie_bias, rating, mean, eta, l2):
    error = rating - (mean + user_bias + movie_bias + p @ q)
    p = p + 2 * eta * (error * q - l2 * p)
    q = q + 2 * eta * (error * p - l2 * q)
    return p, q, user_bias + 2 * eta * (error - l2 * user_bias), movie_bias + 2 * eta * (error - l2 * movie_bias)


# %% mistake: the movie sees the moved user
def step(p, q, user_bias, movie_bias, rating, mean, eta, l2):
    error = rating - (mean + user_bias + movie_bias + p @ q)
    p += 2 * eta * (error * q - l2 * p)
    q += 2 * eta * (error * p - l2 * q)
    return p, q, user_bias + 2 * eta * (error - l2 * user_bias), movie_bias + 2 * eta * (error - l2 * movie_bias)


# %% mistake: a factor 2 is lost [markdown]
# The direction is right, the length is not: a square has the slope $2x$. Some swallow the 2 in the learning rate; then both
# terms of the loss have to be halved alike, and η is another one. Here the loss is as it stands.


# %% mistake: a factor 2 is lost
def step(p, q, user_bias, movie_bias, rating, mean, eta, l2):
    error = rating - (mean + user_bias + movie_bias + p @ q)
    return (
        p + eta * (error * q - l2 * p),
        q + eta * (error * p - l2 * q),
        user_bias + eta * (error - l2 * user_bias),
        movie_bias + eta * (error - l2 * movie_bias),
    )


# %% mistake: only one square has its 2 [markdown]
# One of the two slopes has its 2, the other has not. The error is squared in the loss, and so is everything in the price.


# %% mistake: only one square has its 2
def step(p, q, user_bias, movie_bias, rating, mean, eta, l2):
    error = rating - (mean + user_bias + movie_bias + p @ q)
    return (
        p + 2 * eta * (0.5 * error * q - l2 * p),
        q + 2 * eta * (0.5 * error * p - l2 * q),
        user_bias + 2 * eta * (0.5 * error - l2 * user_bias),
        movie_bias + 2 * eta * (0.5 * error - l2 * movie_bias),
    )


# %% mistake: only one square has its 2
def step(p, q, user_bias, movie_bias, rating, mean, eta, l2):
    error = rating - (mean + user_bias + movie_bias + p @ q)
    return (
        p + eta * (2 * error * q - l2 * p),
        q + eta * (2 * error * p - l2 * q),
        user_bias + eta * (2 * error - l2 * user_bias),
        movie_bias + eta * (2 * error - l2 * movie_bias),
    )


# %% mistake: uphill [markdown]
# The step goes the wrong way: after it the loss is larger. Look at the sign of the error and at the sign of the step.


# %% mistake: uphill
def step(p, q, user_bias, movie_bias, rating, mean, eta, l2):
    error = (mean + user_bias + movie_bias + p @ q) - rating
    return (
        p + 2 * eta * (error * q + l2 * p),
        q + 2 * eta * (error * p + l2 * q),
        user_bias + 2 * eta * (error + l2 * user_bias),
        movie_bias + 2 * eta * (error + l2 * movie_bias),
    )


# %% mistake: the biases pay nothing [markdown]
# The rows are right. The biases move as if they were free: read the loss again, all the squares in it.


# %% mistake: the biases pay nothing
def step(p, q, user_bias, movie_bias, rating, mean, eta, l2):
    error = rating - (mean + user_bias + movie_bias + p @ q)
    return (
        p + 2 * eta * (error * q - l2 * p),
        q + 2 * eta * (error * p - l2 * q),
        user_bias + 2 * eta * error,
        movie_bias + 2 * eta * error,
    )


# %% exercise [markdown]
# ## 02.4 ★★ Through the loophole
#
# A penalty charges for the tables, and not for $w$. Show what that is worth: take a model and make it cheaper without
# changing one prediction.
#
# The model predicts from $w\,p_u \cdot q_i$, and the price of its tables is
# $\sum_u \lVert p_u\rVert^2 + \sum_i \lVert q_i\rVert^2$. `users` is a tensor `[n_users, k]`, `movies` one of
# `[n_movies, k]`, `w` a number. Return new `users, movies, w` with the same $w\,p_u \cdot q_i$ for every pair and exactly
# `share` times the price, for any `share` above 0; leave what you get as it is.


# %% stub
def cheaper(users, movies, w, share):
    """Give tables and a weight that predict the same at `share` times the price."""
    ...


# %% solution
def cheaper(users, movies, w, share):
    """Give tables and a weight that predict the same at `share` times the price."""
    return users * share**0.5, movies * share**0.5, w / share


# %% why [markdown]
# The price is a sum of squares, so rows that are √share times as long cost `share` times as much. A dot product has two rows
# in it, so it falls to `share` times, and $w$ has to make up for all of that. With a share near 0 the penalty is next to
# nothing and the model is the same, free to overfit. This is what training finds when $w$ grows. To close the loophole,
# freeze $w$, or charge for it too, or leave it out.


# %% other
def cheaper(users, movies, w, share):
    of_users, of_movies = float(users.square().sum()), float(movies.square().sum())
    left = share * (of_users + of_movies)  # the users' table pays a quarter of it, the movies' the rest
    shrink_users, shrink_movies = (0.25 * left / of_users) ** 0.5, (0.75 * left / of_movies) ** 0.5
    return users * shrink_users, movies * shrink_movies, w / (shrink_users * shrink_movies)


# %% check
def mistake_in(cheaper):
    generator = torch.Generator().manual_seed(2)
    for (n_users, n_movies, k), w, share in (((6, 4, 3), 1.5, 0.25), ((5, 5, 1), -2.0, 0.01), ((1, 7, 2), 0.3, 4.0)):
        users = torch.randn(n_users, k, generator=generator, dtype=torch.float64)
        movies = torch.randn(n_movies, k, generator=generator, dtype=torch.float64)
        given = users.clone(), movies.clone()
        result = cheaper(*given, w, share)
        assert isinstance(result, tuple | list) and len(result) == 3, "Return three things: users, movies and w."
        new_users = expect.array(result[0], "The table of users", tuple(users.shape))
        new_movies = expect.array(result[1], "The table of movies", tuple(movies.shape))
        new_w = expect.number(result[2], "w")
        old = w * (users @ movies.T).numpy()
        new = new_w * (new_users @ new_movies.T)
        price = ((new_users**2).sum() + (new_movies**2).sum()) / float(users.square().sum() + movies.square().sum())
        if expect.close(new, old) and expect.close(price, share**2):
            return "the rows are shortened by the share itself"
        if expect.close(price, share) and expect.close(new, old * share):
            return "w is left as it was"
        if expect.close(price, share) and expect.close(new, old * share**2):
            return "w goes the wrong way"
        if expect.close(price, share) and expect.close(new, old * share**0.5):
            return "w makes up for one row only"
        what = f"With w = {w:g} and a share of {share:g}"
        assert expect.close(new, old), f"{what} the predictions are not what they were."
        assert expect.close(price, share), f"{what} the price is {price:.4g} times what it was."
        assert torch.equal(given[0], users) and torch.equal(given[1], movies), (
            "It changes the tables that it gets: make new ones."
        )


# %% hint [markdown]
# Make all rows `a` times as long. What becomes of the price, and what of a dot product?

# %% hint [markdown]
# Both fall by the square of `a`. Choose `a` for the price; then `w` has to bring the dot products back.

# %% mistake: the rows are shortened by the share itself [markdown]
# The predictions are right, but it is too cheap (or too dear): the price is made of squares.


# %% mistake: the rows are shortened by the share itself
def cheaper(users, movies, w, share):
    return users * share, movies * share, w / share**2


# %% mistake: w is left as it was [markdown]
# The price is right, and the predictions have shrunk with the rows. What has the model left that costs nothing?


# %% mistake: w is left as it was
def cheaper(users, movies, w, share):
    return users * share**0.5, movies * share**0.5, w


# %% mistake: w goes the wrong way [markdown]
# The price is right. The rows have become shorter, and `w` smaller as well: what should it make up for?


# %% mistake: w goes the wrong way
def cheaper(users, movies, w, share):
    return users * share**0.5, movies * share**0.5, w * share


# %% mistake: w makes up for one row only [markdown]
# The price is right, and `w` has grown, but not enough: two rows have been shortened, and a dot product contains both.


# %% mistake: w makes up for one row only
def cheaper(users, movies, w, share):
    return users * share**0.5, movies * share**0.5, w / share**0.5


# %% exercise [markdown]
# ## 02.5 ★★ More like these two
#
# A friend liked two movies. Which others point in the direction half way between them?
#
# Half way means: both directions count the same, however long the two rows are. `rows` is a tensor `[n_movies, k]`, `one`
# and `other` are two different row numbers. Return the numbers of the `n` movies whose rows have the largest cosine with
# that direction, the nearest first, without `one` and `other` themselves. `n` is at most `n_movies - 2`.


# %% stub
def like_both(rows, one, other, n):
    """Give the n movies nearest to the direction between two movies, i64 [n]."""
    ...


# %% solution
def like_both(rows, one, other, n):
    """Give the n movies nearest to the direction between two movies, i64 [n]."""
    directions = torch.nn.functional.normalize(rows, dim=1)
    cosines = directions @ (directions[one] + directions[other])  # its length changes no order
    cosines[[one, other]] = -torch.inf
    return cosines.topk(n).indices


# %% why [markdown]
# The sum of two directions points half way between them; the sum of two rows points to the longer one, and how long a row
# is, is the penalty's choice. The length of the target is the same for all candidates, so it need not be divided out. The
# length of the candidates has to be, else long rows fill the list. Nothing is more like the two than the two.


# %% other
def like_both(rows, one, other, n):
    def cosine(a):
        return torch.cosine_similarity(rows, rows[a][None])

    order = sorted(range(len(rows)), key=lambda row: -float(cosine(one)[row] + cosine(other)[row]))
    return [row for row in order if row not in (one, other)][:n]


# %% check
def ways(rows, one, other, n):
    """The right list, and those of known mistakes."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    scores = {
        None: unit @ (unit[one] + unit[other]),
        "the longer row decides": unit @ (rows[one] + rows[other]),
        "long rows fill the list": rows @ (unit[one] + unit[other]),
        "long rows fill the list ": rows @ (rows[one] + rows[other]),
    }
    lists = {name: [row for row in np.argsort(-score) if row not in (one, other)][:n] for name, score in scores.items()}
    left = np.delete(scores[None], [one, other])
    lists["numbers of a shorter table"] = np.argsort(-left)[:n]
    lists["the first two are dropped"] = np.argsort(-scores[None])[2 : n + 2]
    lists["they find themselves"] = np.argsort(-scores[None])[:n]
    lists["they find themselves "] = np.argsort(-scores["the longer row decides"])[:n]
    lists["they find themselves  "] = np.argsort(-scores["long rows fill the list "])[:n]
    return lists


def mistake_in(like_both):
    random = np.random.default_rng(3)
    for n_movies, k, n in ((40, 3, 6), (40, 2, 38), (12, 5, 1)):
        rows = random.normal(size=(n_movies, k)) * random.uniform(0.2, 3, size=(n_movies, 1))
        one, other = 1, 8
        rows[one] *= 8 / np.linalg.norm(rows[one])
        rows[other] *= 0.5 / np.linalg.norm(rows[other])
        found = expect.array(like_both(torch.tensor(rows), one, other, n), "What it gives")
        assert found.shape == (n,), f"For n = {n} it gives the shape {list(found.shape)}, not [{n}]."
        assert np.array_equal(found, np.round(found)), "Give the numbers of the movies, not their cosines."
        lists = ways(rows, one, other, n)
        for name, expected in lists.items():
            if np.array_equal(found, expected):
                if name is None:
                    break
                return name.strip()
        else:
            assert not {one, other} & set(found), "One of the two movies is on its own list."
            assert set(found) != set(lists[None]) or n == 1, (
                "These are the right movies, in another order: the nearest first."
            )
            raise AssertionError(f"These are not the {n} nearest to the direction half way between the two.")


# %% hint [markdown]
# A direction is a row divided by its length. `torch.nn.functional.normalize(rows, dim=1)` does that for all.

# %% hint [markdown]
# The direction half way is that of the sum of two directions. One product of a matrix and a vector gives all cosines, up to
# a factor they share. Set two of them to `-torch.inf` before `topk`.

# %% mistake: the longer row decides [markdown]
# You add up the two *rows*, and one of them is many times as long as the other: the sum points where the long one does.
# Divide before you add.


# %% mistake: the longer row decides
def like_both(rows, one, other, n):
    cosines = torch.cosine_similarity(rows, ((rows[one] + rows[other]) / 2)[None])
    cosines[[one, other]] = -torch.inf
    return cosines.topk(n).indices


# %% mistake: long rows fill the list [markdown]
# Your list prefers long rows: a dot product grows with the candidate's length. What does the cosine divide by?


# %% mistake: long rows fill the list
def like_both(rows, one, other, n):
    target = rows[one] / rows[one].norm() + rows[other] / rows[other].norm()
    dots = rows @ target
    dots[[one, other]] = -torch.inf
    return dots.topk(n).indices


# %% mistake: long rows fill the list
def like_both(rows, one, other, n):
    dots = rows @ (rows[one] + rows[other])
    dots[[one, other]] = -torch.inf
    return dots.topk(n).indices


# %% mistake: they find themselves [markdown]
# The two movies you started from are not taken out. Nobody has to be told that a movie is like itself.


# %% mistake: they find themselves
def like_both(rows, one, other, n):
    directions = torch.nn.functional.normalize(rows, dim=1)
    return (directions @ (directions[one] + directions[other])).topk(n).indices


# %% mistake: numbers of a shorter table [markdown]
# Are these numbers of `rows`? Whoever takes two rows out of a table shifts those behind them.


# %% mistake: numbers of a shorter table
def like_both(rows, one, other, n):
    directions = torch.nn.functional.normalize(rows, dim=1)
    target = directions[one] + directions[other]
    others = [row for row in range(len(rows)) if row not in (one, other)]
    return (directions[others] @ target).topk(n).indices


# %% mistake: the first two are dropped [markdown]
# You drop the first two of the list, as if these had to be the two movies themselves. Is nothing nearer to the middle than
# its ends?


# %% mistake: the first two are dropped
def like_both(rows, one, other, n):
    directions = torch.nn.functional.normalize(rows, dim=1)
    return (directions @ (directions[one] + directions[other])).topk(n + 2).indices[2:]


# %% exercise [markdown]
# ## 02.6 ★★ The same predictions, other rows
#
# Rewrite a model so that the factors of its users are at right angles and of length 1, and no prediction changes. There is
# always a map that does it.
#
# `users` is a float64 tensor `[n_users, k]` with more users than factors, no factor a combination of the others; `movies` is
# one of `[n_movies, k]`. Return new `users, movies` of the same shapes, so that `users.T @ users` is the identity `[k, k]`
# and `users @ movies.T` is what it was, to rounding. Several pairs of tables fit; each is right.


# %% stub
def rewritten(users, movies):
    """Give tables that predict the same, the columns of the users' at right angles and of length 1."""
    ...


# %% solution
def rewritten(users, movies):
    """Give tables that predict the same, the columns of the users' at right angles and of length 1."""
    new_users, back = torch.linalg.qr(users)  # users = new_users @ back
    return new_users, movies @ back.T


# %% why [markdown]
# $PQ^\top = P'R\,Q^\top = P'\,(Q R^\top)^\top$: what is taken from the users has to be given to the movies, transposed. Here
# $P' = P A$ with $A = R^{-1}$, and the movies get $A^{-\top} = R^\top$. So *the* correlation of two factors, or *the*
# variance of a factor among users, is no fact of the ratings: a rewriting sets it at will. Only what all rewritings share
# is, such as the predictions.


# %% other
def rewritten(users, movies):
    values, directions = torch.linalg.eigh(users.T @ users)
    root = directions @ torch.diag(values**0.5) @ directions.T
    return users @ torch.linalg.inv(root), movies @ root


# %% check
def mistake_in(rewritten):
    random = np.random.default_rng(4)
    for n_users, n_movies, k in ((9, 6, 3), (30, 20, 5), (4, 3, 1)):
        users = random.normal(size=(n_users, k)) @ random.normal(size=(k, k)) + 0.5
        movies = random.normal(size=(n_movies, k))
        result = rewritten(torch.tensor(users), torch.tensor(movies))
        assert isinstance(result, tuple | list) and len(result) == 2, "Return two tables: users and movies."
        new_users = expect.array(result[0], "The table of users", users.shape)
        new_movies = expect.array(result[1], "The table of movies", movies.shape)
        products, eye = new_users.T @ new_users, np.eye(k)
        right_angles = np.abs(products - eye).max() < 1e-4
        same = np.abs(new_users @ new_movies.T - users @ movies.T).max() < 1e-3
        if right_angles and not same:
            to_new = np.linalg.lstsq(users, new_users, rcond=None)[0]
            if expect.close(new_movies, movies):
                return "the movies stay as they were"
            if expect.close(new_movies, movies @ to_new):
                return "both tables get the same map"
            if expect.close(new_movies, movies @ to_new.T):
                return "the map back is taken for the map"
            if expect.close(new_movies, movies @ np.linalg.inv(to_new)):
                return "the inverse is not transposed"
        if k > 1 and np.allclose((new_users**2).sum(axis=1), 1, atol=1e-4):
            return "rows in the place of columns"
        if np.allclose(np.diag(products), 1, atol=1e-4) and not right_angles:
            return "of length 1, but not at right angles"
        size = f"For {n_users} users, {n_movies} movies and k = {k}"
        assert right_angles, f"{size}, `users.T @ users` is not the identity."
        assert same, f"{size}, the predictions are not what they were."


# %% hint [markdown]
# Look for a matrix $A$, `[k, k]`, that makes `users @ A` what is wanted. The end of the notebook tells what the movies get
# then.

# %% hint [markdown]
# Many decompositions give such an $A$: QR of `users`, its SVD, or the Cholesky factor or eigenvectors of `users.T @ users`.

# %% hint [markdown]
# `torch.linalg.qr(users)` gives two matrices whose product is `users`. The first has columns as wanted; which side of the
# product with the movies can take the second?

# %% mistake: the movies stay as they were [markdown]
# The users' table is as wanted, and the predictions have changed: the movies have to undo what the users got.


# %% mistake: the movies stay as they were
def rewritten(users, movies):
    return torch.linalg.qr(users)[0], movies


# %% mistake: both tables get the same map [markdown]
# Both tables are multiplied by the same $A$, so the dot products have $A A^\top$ in the middle. That is the identity for a
# rotation only.


# %% mistake: both tables get the same map
def rewritten(users, movies):
    to_new = torch.linalg.inv(torch.linalg.cholesky(users.T @ users)).T
    return users @ to_new, movies @ to_new


# %% mistake: the map back is taken for the map [markdown]
# The movies get the inverse of what they should. With `Q, R = torch.linalg.qr(users)`, say, you took $A = R$. But
# `users @ A` is `Q`: which $A$ is that?


# %% mistake: the map back is taken for the map
def rewritten(users, movies):
    new_users, back = torch.linalg.qr(users)
    return new_users, movies @ torch.linalg.inv(back).T


# %% mistake: the inverse is not transposed [markdown]
# The movies get $A^{-1}$. Write the product of the two new tables out, with the transposition of the second: what stands
# between $A$ and $Q^\top$?


# %% mistake: the inverse is not transposed
def rewritten(users, movies):
    to_new = torch.linalg.inv(torch.linalg.cholesky(users.T @ users)).T
    return users @ to_new, movies @ torch.linalg.inv(to_new)


# %% mistake: rows in the place of columns [markdown]
# You gave each *user* a row of length 1. No map does that, and the predictions are others. Factors are columns.


# %% mistake: rows in the place of columns
def rewritten(users, movies):
    lengths = users.norm(dim=1, keepdim=True)
    return users / lengths, movies * lengths.mean()


# %% mistake: of length 1, but not at right angles [markdown]
# Each factor has the length 1 now. But `users.T @ users` still has numbers beside its diagonal: factors that go together. A
# map that only stretches cannot part them.


# %% mistake: of length 1, but not at right angles
def rewritten(users, movies):
    lengths = users.norm(dim=0)
    return users / lengths, movies * lengths


# %% exercise [markdown]
# ## 02.7 ★★★ The size or the loudness?
#
# Alone, a larger embedding raised the validation error. But with the same `init_std` its first opinions are louder, too:
# more products are added up. Change one of the two at a time, and say which does the harm.
#
# Train `InnerProduct` three ways: 4 factors with `init_std=0.1`; 32 factors with `init_std=0.1`; and 32 factors with the
# `init_std` at which the first dot products $p_u \cdot q_i$ have the same standard deviation as with 4 factors and 0.1.
# Freeze $w$ at its 1 in all three (`model.output.weight.requires_grad_(False)`): a smaller `init_std` makes rows shorter
# and opinions quieter, and with $w$ trained, shorter rows help by themselves. Take at least three seeds, the same for all
# three ways, and of each run the validation error (MSE) of its best epoch: `utilities.train_model` gives the model and its
# trainer, and `trainer.checkpoint_callback.best_model_score` is that error.
#
# Hand over the errors, a list for each way, unrounded; the `init_std` of the third; `"mean"`, the validation error of the
# trivial rival that predicts the mean of the training ratings for all; `"lost share"`, the part that loudness takes away of
# what quiet 32 factors gain over that rival (a number from 0 to 1, from the means over the seeds); and a conclusion, one of
# `"the size harms"`, `"the loudness harms"`, `"both harm"` and `"no difference seen"`. The size harms if every seed of 4
# factors is below every seed of 32 that start as quietly; the loudness harms if every quiet seed of 32 is below every loud
# one. Write down what you expect first.


# %% stub
def best_error(embedding_size, init_std, seed):
    """Train one model with w frozen (about a second); give the validation MSE of its best epoch."""
    ...


answer = {
    "4 factors": ...,
    "32 factors": ...,
    "32 factors, as quiet": ...,
    "quiet init_std": ...,
    "mean": ...,
    "lost share": ...,
    "conclusion": ...,
}


# %% solution
def best_error(embedding_size, init_std, seed):
    """Train one model with w frozen (about a second); give the validation MSE of its best epoch."""

    def build():
        model = InnerProduct(users_df.height, movies_df.height, mean_rating, scale, embedding_size, init_std)
        model.output.weight.requires_grad_(False)
        return model

    _, trainer = utilities.train_model(build, ratings_df, seed=seed, enable_progress_bar=False)
    return float(trainer.checkpoint_callback.best_model_score)


quiet_std = 0.1 * (4 / 32) ** 0.25  # a dot product spreads by init_std² · √k
few, loud, quiet = (
    [best_error(size, std, seed) for seed in range(3)] for size, std in ((4, 0.1), (32, 0.1), (32, quiet_std))
)
mean = ((val_df["rating"] - mean_rating) ** 2).mean()
answer = {
    "4 factors": few,
    "32 factors": loud,
    "32 factors, as quiet": quiet,
    "quiet init_std": quiet_std,
    "mean": mean,
    "lost share": (sum(loud) - sum(quiet)) / (3 * mean - sum(quiet)),
    "conclusion": "the loudness harms",
}

# %% why [markdown]
# A dot product is a sum of $k$ products of two numbers, so its standard deviation is $\text{std}^2\sqrt k$: to be as quiet,
# 32 factors need $8^{-1/4}$ times the `init_std`. Start them so, and every seed ends below every loud one: the size does no
# harm then, and 64 factors, started as quietly, do better than 4. Loudness takes away about a sixth of what 32 factors gain
# over the mean. It takes far less from 4, where the ranges of the seeds overlap, and among starts ten times as loud the
# larger embedding *is* the worse one: loudness harms the more, the more factors there are. Whoever compares sizes at one
# `init_std` has changed two things. And the third way has shorter rows as well; but with $w$ frozen
# their length alone shows nothing: rows as long as the loud ones behind a frozen $w = 8^{-1/2}$, as quiet by that, end where
# the short ones do (0.739, 0.752 and 0.750 with the same seeds). With $w$ trained they end as high as the loud. (These are best
# epochs. Where 32 factors end without early stopping is another question.)

# %% other
answer = {  # seeds 3 to 8, the standard deviation by trial, the mean's error as the notebook prints it
    "4 factors": torch.tensor([0.7391, 0.7547, 0.7405, 0.7489, 0.7935, 0.7585]),
    "32 factors": [0.7975, 0.7845, 0.7839, 0.7923, 0.7924, 0.7838],
    "32 factors, as quiet": (0.7539, 0.744, 0.7437, 0.7494, 0.7564, 0.7463),
    "quiet init_std": 0.06,
    "mean": 1.005,
    "lost share": 0.157,
    "conclusion": "the loudness harms",
}

# %% check
BANDS = {"4 factors": (0.715, 0.82), "32 factors": (0.76, 0.815), "32 factors, as quiet": (0.72, 0.77)}


def outside(errors):
    """Name the ways whose errors are not those of such models."""
    return [way for way, (low, high) in BANDS.items() if not low < errors[way].min() <= errors[way].max() < high]


def mistake_in(answer):
    errors = {way: expect.runs(answer[way], repr(way), 1) for way in BANDS}
    quiet_std, mean, share = (expect.number(answer[key], repr(key)) for key in ("quiet init_std", "mean", "lost share"))
    few, loud, quiet = errors.values()
    if min(map(len, errors.values())) < 3:
        return "too few seeds"
    assert len(few) == len(loud) == len(quiet), "Take the same seeds for all three ways: your lists differ in length."
    if expect.close(quiet_std, 0.1 * 8**-0.5, 0.02):
        return "as if one row were random"
    assert not expect.close(quiet_std, 0.1 / 8, 0.02), (
        "You divide `init_std` by 8, as if the terms of a dot product all had the same sign."
    )
    assert expect.close(quiet_std, 0.1 * 8**-0.25, 0.05), (
        f"With 32 factors and {quiet_std:.4g} the first dot products spread otherwise."
    )
    assert outside({way: found**2 for way, found in errors.items()}), (
        "These look like roots of squared errors: hand over the MSE."
    )
    assert max(found.max() for found in errors.values()) > 0.68, (
        "So low are only the errors on the rows that the models were trained on."
    )
    if quiet.min() > 0.79:
        return "the last epoch, not the best"
    if loud.mean() > 0.806 and loud.mean() - quiet.mean() > 0.052:
        return "w is trained"
    assert min(abs(mean - 1.00891), abs(mean - 1.01337)) > 1e-3, (
        "The models are judged on the validation rows, your mean on others: a rival is judged on the same rows."
    )
    assert abs(mean - 1.00531) < 2e-3, f"The mean of the training ratings does not have the error {mean:.4f} here."
    for way in outside(errors):
        raise AssertionError(f"The errors under {way!r} are not those of this model on these rows.")
    lost = loud.mean() - quiet.mean()
    if min(abs(share - lost / loud.mean()), abs(share - lost / quiet.mean()), abs(share - lost / mean)) < 0.004:
        return "a share of the error"
    assert abs(share - lost / (mean - quiet.mean())) < 0.008, (
        "'lost share' does not fit your errors: what do quiet 32 factors gain over the mean, and loud ones?"
    )
    size, loudness = few.max() < quiet.min(), quiet.max() < loud.min()
    said = {(0, 0): "no difference seen", (0, 1): "the loudness harms", (1, 0): "the size harms", (1, 1): "both harm"}
    if expect.one_of(answer["conclusion"], said.values(), "'conclusion'") != said[size, loudness]:
        return "a conclusion that the numbers do not carry"


# %% hint [markdown]
# How widely does a sum of `k` independent products spread, each a product of two numbers of standard deviation `init_std`?
# Multiply two tables of `torch.randn` and measure, if you would rather not derive it.

# %% hint [markdown]
# `train_model` wants a function that builds the model, the ratings, and a seed. Write a function that makes the model,
# freezes its weight and returns it; then `best_error` for one way and one seed, and look at the number: is it below the
# mean's? The mean's error needs no model.

# %% hint [markdown]
# One comparison for each cause: same loudness and another size; same size and another loudness. In each, is the worst seed
# of the one below the best of the other?

# %% mistake: too few seeds [markdown]
# One or two runs of each way cannot tell the cause from the luck of the start: take three seeds or more.

# %% mistake: too few seeds
answer = answer | {"4 factors": [0.7486], "32 factors": [0.7764], "32 factors, as quiet": [0.7383]}

# %% mistake: as if one row were random [markdown]
# With your `init_std` the first opinions are quieter than those of 4 factors. You divided by √8, as a sum of eight times as
# many terms asks for. How often does `init_std` stand in each term?

# %% mistake: as if one row were random
answer = answer | {
    "4 factors": [0.7486, 0.7791, 0.7576],
    "32 factors": [0.7764, 0.7966, 0.7955],
    "32 factors, as quiet": [0.7195, 0.73, 0.7283],
    "quiet init_std": 0.1 * (4 / 32) ** 0.5,
}

# %% mistake: w is trained [markdown]
# These look like errors with $w$ trained. Then the third way differs from the second in two things, how loud it starts and
# how long its rows are: freeze $w$ in all three.

# %% mistake: w is trained
answer = answer | {
    "4 factors": [0.7689, 0.8067, 0.7835],
    "32 factors": [0.8124, 0.8382, 0.8371],
    "32 factors, as quiet": [0.7504, 0.7727, 0.7723],
}

# %% mistake: the last epoch, not the best [markdown]
# These are the errors after the last epoch, when training was stopped because they had been rising. The best epoch came
# before.

# %% mistake: the last epoch, not the best
answer = answer | {
    "4 factors": [0.7519, 0.7805, 0.7599],
    "32 factors": [0.8318, 0.8433, 0.8414],
    "32 factors, as quiet": [0.8155, 0.8272, 0.819],
}

# %% mistake: a share of the error [markdown]
# You divide what loudness costs by an error. The mean has an error of about 1 and nobody has 0: a share of the *gain* counts
# from where the trivial rival stands.

# %% mistake: a share of the error
answer = answer | {
    "4 factors": [0.7486, 0.7791, 0.7576],
    "32 factors": [0.7764, 0.7966, 0.7955],
    "32 factors, as quiet": [0.7383, 0.7553, 0.7532],
    "lost share": 0.053,
}

# %% mistake: a conclusion that the numbers do not carry [markdown]
# Your numbers say otherwise than your conclusion. For each cause take the two ways that differ in it alone, and compare the
# worst seed of the one with the best of the other.

# %% mistake: a conclusion that the numbers do not carry
answer = answer | {
    "4 factors": [0.7486, 0.7791, 0.7576],
    "32 factors": [0.7764, 0.7966, 0.7955],
    "32 factors, as quiet": [0.7383, 0.7553, 0.7532],
    "conclusion": "the size harms",
}
