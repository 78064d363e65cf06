# %% [markdown]
# # 03 · Exercises: biases, concatenation and a dense network
#
# They practise what [03 · Biases, concatenation and a dense network](../notebooks/03_concat_bias.ipynb) teaches: shapes
# that broadcast in silence, sums that cannot know a taste, and what it takes to break them. Each `check` tells whether an
# answer is right, and knows the mistakes that are made most; `hint("03.1")` helps, one hint at a time.

# %% setup
import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional as F

import utilities

scale = utilities.rating_scale("built-in")
ratings_df, users_df, movies_df = utilities.load_torch_data("built-in", 500)
train_df, val_df, test_df = utilities.split_train_test(ratings_df)
bias_baseline = utilities.BiasBaseline.fit(train_df, 4, scale)


class TwoTables(nn.Module):
    """Two tables, and a module that makes one number of their rows side by side: for 03.7."""

    def __init__(self, output, size=8):
        super().__init__()
        self.users, self.movies = nn.Embedding(users_df.height, size), nn.Embedding(movies_df.height, size)
        for table in (self.users, self.movies):
            nn.init.normal_(table.weight, std=0.1)
        self.output = output()
        nn.init.constant_(list(self.output.modules())[-1].bias, train_df["rating"].mean())

    def forward(self, user_ids, movie_ids):
        return self.output(torch.cat([self.users(user_ids), self.movies(movie_ids)], dim=1)).squeeze(dim=1)


def columns(df):
    ids = (df[name].cast(pl.Int64).to_torch() for name in ("userIdMapped", "movieIdMapped"))
    return *ids, df["rating"].to_torch().float()


def validation_errors(output, seed, epochs=12):
    """Train one model; give the validation MSE after each epoch, predictions clamped to the scale."""
    torch.manual_seed(seed)
    model, train, val = TwoTables(output), columns(train_df), columns(val_df)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, fused=True)
    errors = []
    for _ in range(epochs):
        for rows in torch.randperm(train_df.height).split(1024):
            user_ids, movie_ids, stars = (column[rows] for column in train)
            optimizer.zero_grad()
            F.mse_loss(model(user_ids, movie_ids), stars).backward()
            optimizer.step()
        with torch.no_grad():
            predictions = model(*val[:2]).clamp(scale.lowest, scale.highest)
        errors.append(F.mse_loss(predictions, val[2]).item())
    return errors


# %% checks
import numpy as np
import torch
from torch import nn

from utilities.exercises import expect


class Tiny(nn.Module):
    """A model on one number a user and a movie each, shaped as the notebook's: `score`, and `forward` that clamps."""

    def __init__(self, output, user_rows, movie_rows, dropout=0.0):
        super().__init__()
        self.user_rows, self.movie_rows = (
            torch.tensor(rows).reshape(len(rows), -1) for rows in (user_rows, movie_rows)
        )
        self.dropout, self.output = nn.Dropout(dropout), output

    def score(self, user_ids, movie_ids):
        rows = self.user_rows[user_ids], self.movie_rows[movie_ids]
        return self.output(self.dropout(torch.cat(rows, dim=1))).squeeze(dim=1)

    def forward(self, user_ids, movie_ids):
        scores = self.score(user_ids, movie_ids)
        return scores if self.training else scores.clamp(0.5, 5.0)


def summed(inputs):
    """f(u) + g(i), which no pair of users can tell from one movie to the next."""
    return inputs.sum(dim=1, keepdim=True)


def multiplied(inputs):
    """The product of all numbers of a row."""
    return inputs.prod(dim=1, keepdim=True)


def means_of(values, ids, n):
    """Average the values of each id."""
    return np.bincount(ids, values, n) / np.bincount(ids, minlength=n)


# %% exercise [markdown]
# ## 03.1 ★ The bill of a perfect model
#
# A model predicts every validation rating exactly, but in the shape `[B, 1]`. All validation rows are one batch: what does
# the mean squared error say of this model?
#
# That is, `predictions` of shape `[B, 1]` are equal to `ratings` of shape `[B]`, number for number, and you are asked what
# `F.mse_loss(predictions, ratings)` gives. Guess first: 0? Then hand over `bill`, one number in stars², right to four
# digits. Torch would compare 9,068 × 9,068 pairs for it; one line with `val_df["rating"]` is enough.

# %% stub
bill = ...

# %% solution
bill = 2 * val_df["rating"].var(ddof=0)

# %% why [markdown]
# Every prediction is compared with every rating. By the notebook's identity the loss is the spread of the outputs, plus
# the error of their mean, and both are the variance of the ratings. A model that says the mean to everybody pays the
# second part only. So this loss charges a perfect model *twice* as much as one that has learned nothing, and training goes
# where the bill is lower.

# %% other
ratings = val_df["rating"].to_torch().double()
bill = 0
for some in ratings.split(512):  # all pairs, some rows of them at a time
    bill += (some[:, None] - ratings).square().sum() / len(ratings) ** 2


# %% check
def mistake_in(bill):
    bill = expect.number(bill, "`bill`")
    variance = _variance_of_the_validation_rows()
    if abs(bill) < 1e-6:
        return "the loss that was meant"
    if expect.close(bill, variance, 3e-4):
        return "half of the bill"
    if expect.close(bill, 2 * variance**0.5, 3e-4) or expect.close(bill, variance**0.5, 3e-4):
        return "a standard deviation"
    assert not 2.5e-4 < abs(bill / (2 * variance) - 1) < 5e-4, "Nearly: give it to four digits."
    assert expect.close(bill, 2 * variance, 2.5e-4), (
        f"It is not {bill:.4f}. Write down all pairs for a batch of two ratings, say 1 and 5: what are the four squares?"
    )


def _variance_of_the_validation_rows():
    import utilities

    ratings_df = utilities.load_torch_data("built-in", 500)[0]
    stars = utilities.split_train_test(ratings_df)[1]["rating"].to_numpy().astype(float)
    return np.mean(stars**2) - np.mean(stars) ** 2


# %% hint [markdown]
# Take a batch of two ratings, 1 and 5, and a model that predicts 1 and 5. Which pairs does `[2, 1]` against `[2]` make?
# What is the mean of the four squares?

# %% hint [markdown]
# The notebook has an identity for the wrong loss: a spread of the outputs, and an error of their mean. What is each of
# them when the outputs *are* the ratings?

# %% hint [markdown]
# polars has `Series.var`. Its `ddof=0` divides by the number of rows.

# %% mistake: the loss that was meant [markdown]
# That is what `[B]` against `[B]` would give. Here the first prediction is compared with *all* ratings, not only with its
# own.

# %% mistake: the loss that was meant
bill = F.mse_loss(val_df["rating"].to_torch(), val_df["rating"].to_torch()).item()

# %% mistake: half of the bill [markdown]
# This is what a model pays that says the mean rating to everybody. Yours also pays for something that such a model does
# not have: outputs that differ.

# %% mistake: half of the bill
bill = val_df["rating"].var()

# %% mistake: a standard deviation [markdown]
# Close, because the ratings' spread is near 1, but a loss is in stars², and a standard deviation is in stars.

# %% mistake: a standard deviation
bill = 2 * val_df["rating"].std()

# %% exercise [markdown]
# ## 03.2 ★ Three parts, two shapes
#
# A prediction is the output of a layer plus two biases, which come in different shapes. Write the one line that adds them
# up, right for a batch of any size.
#
# `output`, from a linear layer, and `movie_bias`, from an `nn.Embedding`, have the shape `[B, 1]`; `user_bias`, looked up
# in an `nn.Parameter`, has the shape `[B]`. Return the sum for each row, of shape `[B]`.


# %% stub
def add_up(output, user_bias, movie_bias):
    """Add up the parts of each row, [B, 1], [B] and [B, 1] → [B]."""
    ...


# %% solution
def add_up(output, user_bias, movie_bias):
    """Add up the parts of each row, [B, 1], [B] and [B, 1] → [B]."""
    return (output + movie_bias).squeeze(dim=1) + user_bias


# %% why [markdown]
# What has one shape may be added as it is; before shapes meet that differ, one of them changes, and by an axis that is
# named. `[B, 1] + [B]` is `[B, B]`, which holds the right sums on its diagonal and B² - B wrong ones beside it. To cut the
# diagonal out is right, at the price of B² additions.


# %% other
def add_up(output, user_bias, movie_bias):
    return torch.cat([output, user_bias[:, None], movie_bias], dim=1).sum(dim=1)


# %% check
def mistake_in(add_up):
    generator = torch.Generator().manual_seed(3)
    for n_rows in (4, 2, 1):
        output, user_bias, movie_bias = torch.randn(3, n_rows, generator=generator)
        expected = [a + b + c for a, b, c in zip(output.tolist(), user_bias.tolist(), movie_bias.tolist(), strict=True)]
        found = expect.array(
            add_up(output[:, None].clone(), user_bias.clone(), movie_bias[:, None].clone()),
            f"what it gives for B = {n_rows}",
        )
        if n_rows > 1 and found.shape == (n_rows, n_rows):
            return "every row with every bias"
        if n_rows > 1 and found.shape == (n_rows, 1):
            return "an axis of length 1 is left"
        if n_rows == 1 and found.shape == ():
            return "a batch of one loses its axis"
        assert found.shape == (n_rows,), f"For B = {n_rows} it gives the shape {list(found.shape)}, not [{n_rows}]."
        assert expect.close(found, expected, 1e-3), f"For B = {n_rows} the shape is right and the numbers are not."


# %% hint [markdown]
# Two of the three have the same shape. Add these first, and look at what you have.

# %% hint [markdown]
# `squeeze(dim=1)` takes `[B, 1]` to `[B]`, `unsqueeze(dim=1)` takes `[B]` to `[B, 1]`.

# %% mistake: every row with every bias [markdown]
# It gives `[B, B]`: each user's bias is added to each row's output. Where does a `[B, 1]` meet a `[B]`, or a `[1, B]`?


# %% mistake: every row with every bias
def add_up(output, user_bias, movie_bias):
    return output + user_bias + movie_bias


# %% mistake: every row with every bias
def add_up(output, user_bias, movie_bias):
    return output + user_bias.unsqueeze(0) + movie_bias


# %% mistake: an axis of length 1 is left [markdown]
# The sums are right, and the shape is `[B, 1]`: beside ratings of shape `[B]` the loss will broadcast.


# %% mistake: an axis of length 1 is left
def add_up(output, user_bias, movie_bias):
    return output + user_bias[:, None] + movie_bias


# %% mistake: a batch of one loses its axis [markdown]
# It is right for many rows. Of a single row, `squeeze()` without an axis drops the batch as well.


# %% mistake: a batch of one loses its axis
def add_up(output, user_bias, movie_bias):
    return (output + user_bias[:, None] + movie_bias).squeeze()


# %% exercise [markdown]
# ## 03.3 ★★ Take the layer apart
#
# A linear layer on the concatenation of two rows is $f(u) + g(i)$. Give $f$ for each user and $g$ for each movie.
#
# `layer` is an `nn.Linear(k + m, 1)`, `user_rows` has the shape `[n_users, k]`, `movie_rows` the shape `[n_movies, m]`;
# `k` and `m` may differ. Return the pair `f, g` of shapes `[n_users]` and `[n_movies]`, such that `f[u] + g[i]` is what
# the layer gives for `torch.cat([user_rows[u], movie_rows[i]])`, for every pair. Where the layer's constant goes is up to
# you.


# %% stub
def take_apart(layer, user_rows, movie_rows):
    """Give f of each user and g of each movie, [n_users] and [n_movies], whose sum the layer is."""
    ...


# %% solution
def take_apart(layer, user_rows, movie_rows):
    """Give f of each user and g of each movie, [n_users] and [n_movies], whose sum the layer is."""
    k = user_rows.shape[1]
    weights = layer.weight[0]
    return user_rows @ weights[:k] + layer.bias, movie_rows @ weights[k:]


# %% why [markdown]
# The first `k` weights meet the user's numbers, the rest the movie's, in the order of the concatenation. The constant
# belongs to neither, so it goes to one of them, once. With `n_users + n_movies` numbers you can now say all
# `n_users * n_movies` outputs: whatever `k` and `m` are, that is all the layer can know.


# %% other
def take_apart(layer, user_rows, movie_rows):
    no_user, no_movie = torch.zeros(1, user_rows.shape[1]), torch.zeros(1, movie_rows.shape[1])
    with torch.no_grad():
        users = layer(torch.cat([user_rows, no_movie.expand(len(user_rows), -1)], dim=1)).flatten()
        movies = layer(torch.cat([no_user.expand(len(movie_rows), -1), movie_rows], dim=1)).flatten()
        constant = layer(torch.cat([no_user, no_movie], dim=1)).item()
    return users, movies - constant


# %% check
def mistake_in(take_apart):
    generator = torch.Generator().manual_seed(4)
    for k, m, n_users, n_movies in ((3, 3, 4, 5), (2, 5, 4, 3), (4, 1, 1, 2)):
        layer = nn.Linear(k + m, 1)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(1, k + m, generator=generator))
            layer.bias.fill_(3.5)
        user_rows, movie_rows = (
            torch.randn(n_users, k, generator=generator),
            torch.randn(n_movies, m, generator=generator),
        )
        weights, u, v = layer.weight.detach().numpy()[0].astype(float), user_rows.numpy(), movie_rows.numpy()
        asked = f"For {k} numbers a user and {m} a movie"
        try:
            parts = take_apart(layer, user_rows.clone(), movie_rows.clone())
        except Exception as error:
            if k != m and any(words in str(error) for words in ("size mismatch", "cannot be multiplied", "must match")):
                return "cut in the middle"
            raise
        assert isinstance(parts, tuple | list) and len(parts) == 2, "Return two things, `f, g`."
        f, g = expect.array(parts[0], "`f`"), expect.array(parts[1], "`g`")
        if (f.shape, g.shape) == ((n_users, 1), (n_movies, 1)):
            return "an axis of length 1 is left"
        assert f.shape == (n_users,), f"{asked}, `f` has the shape {list(f.shape)} for {n_users} users."
        assert g.shape == (n_movies,), f"{asked}, `g` has the shape {list(g.shape)} for {n_movies} movies."
        found, without = f[:, None] + g, (u @ weights[:k])[:, None] + v @ weights[k:]
        if expect.close(found, without + 7.0, 1e-3):
            return "the constant twice"
        if expect.close(found, without, 1e-3):
            return "the constant nowhere"
        if k == m and any(
            expect.close(found, (u @ weights[k:])[:, None] + v @ weights[:k] + c, 1e-3) for c in (0.0, 3.5, 7.0)
        ):
            return "the halves swapped"
        assert expect.close(found, without + 3.5, 1e-3), f"{asked}, `f[u] + g[i]` is not what the layer gives."


# %% hint [markdown]
# Write the layer as a sum of products for one user with two numbers and one movie with three. Which weights meet the
# user's?

# %% hint [markdown]
# `layer.weight` has the shape `[1, k + m]`. Cut its only row at `k`, which `user_rows.shape` knows, and mind `layer.bias`.

# %% mistake: the constant twice [markdown]
# The layer's constant is in `f` *and* in `g`, so every sum is too large by it. A layer called with zeros still adds its
# constant.


# %% mistake: the constant twice
def take_apart(layer, user_rows, movie_rows):
    users = layer(torch.cat([user_rows, torch.zeros(len(user_rows), movie_rows.shape[1])], dim=1))
    movies = layer(torch.cat([torch.zeros(len(movie_rows), user_rows.shape[1]), movie_rows], dim=1))
    return users.squeeze(1), movies.squeeze(1)


# %% mistake: the constant nowhere [markdown]
# The sums are off by the same number for every pair. What does a linear layer add to its products?


# %% mistake: the constant nowhere
def take_apart(layer, user_rows, movie_rows):
    k = user_rows.shape[1]
    return user_rows @ layer.weight[0, :k], movie_rows @ layer.weight[0, k:]


# %% mistake: the halves swapped [markdown]
# The weights that you give to the users meet the movies in the layer. In which order are the two rows concatenated?


# %% mistake: the halves swapped
def take_apart(layer, user_rows, movie_rows):
    m = movie_rows.shape[1]
    return user_rows @ layer.weight[0, m:] + layer.bias, movie_rows @ layer.weight[0, :m]


# %% mistake: cut in the middle [markdown]
# It works while users and movies have equally many numbers, and stops where they differ: the users' rows have `k`, the
# movies' `m`. Where is the layer cut?


# %% mistake: cut in the middle
def take_apart(layer, user_rows, movie_rows):
    k = layer.in_features // 2
    weights = layer.weight[0]
    return user_rows @ weights[:k] + layer.bias, movie_rows @ weights[k:]


# %% mistake: an axis of length 1 is left [markdown]
# `f` and `g` come as `[n, 1]`. Looked up for a batch and added, fine; beside ratings of shape `[B]` they broadcast.


# %% mistake: an axis of length 1 is left
def take_apart(layer, user_rows, movie_rows):
    k = user_rows.shape[1]
    return user_rows @ layer.weight[:, :k].T + layer.bias, movie_rows @ layer.weight[:, k:].T


# %% exercise [markdown]
# ## 03.4 ★★ Does this model know tastes?
#
# A model knows tastes if the difference of two users depends on the movie. Write a test that says by how much, for any
# model of the notebook's kind.
#
# `model` is a module with `score(user_ids, movie_ids)`, which is the formula, and with `forward`, which clamps the score
# to the scale unless the model is training; both take two i64 tensors of shape `[B]` and give `[B]`. It may contain
# dropout, and it may come in training mode or not; hand it back in the mode in which it came. For each movie from 0 to
# `n_movies - 1`, take what the *formula* says for `one_user` less what it says for `other_user`. Return the largest of
# these differences less the smallest, one number in stars: 0 for every model that is a sum $f(u) + g(i)$, up to rounding.


# %% stub
def taste(model, one_user, other_user, n_movies):
    """Give by how much the difference of two users varies over the movies, in stars."""
    ...


# %% solution
def taste(model, one_user, other_user, n_movies):
    """Give by how much the difference of two users varies over the movies, in stars."""
    was_training = model.training
    model.eval()
    movies = torch.arange(n_movies)
    with torch.no_grad():
        one, other = (model.score(torch.full_like(movies, user), movies) for user in (one_user, other_user))
    model.train(was_training)
    difference = one - other
    return (difference.max() - difference.min()).item()


# %% why [markdown]
# In $f(u) + g(i)$ the movie's part cancels in the first difference, and the user's part in the second; only what depends
# on both at once is left. Two things can fake it. Dropout is drawn anew for each row, so without `eval()` even a sum seems
# to have tastes. And the clamp cuts one user's score and not the other's: a sum, clamped, is no sum any more. A test that
# leaves `eval()` behind is no bystander: asked between two epochs, it has the second train without dropout.


# %% other
import copy


def taste(model, one_user, other_user, n_movies):
    model = copy.deepcopy(model).train(False)  # the model itself stays as it is
    users = torch.tensor([one_user, other_user]).repeat_interleave(n_movies)
    scores = model.score(users, torch.arange(n_movies).repeat(2)).reshape(2, n_movies).detach().numpy()
    return np.ptp(scores[0] - scores[1])


# %% check
def mistake_in(taste):
    users, movies = [1.5, 0.5, 1.0], [0.25, 2.0, 1.0, 0.5]

    def of(model, *asked):
        return expect.number(taste(model, *asked), "what it gives")

    plain = of(Tiny(summed, users, movies), 0, 1, 4)
    if abs(plain - 1.0) < 1e-4 or abs(plain + 1.0) < 1e-4:
        return "the difference itself"
    assert abs(plain) < 1e-4, f"For a model that is f(u) + g(i) it gives {plain:.4f}, not 0."
    clamped = of(Tiny(summed, users, [-3.0, 1.0, 2.0, 6.0]).eval(), 0, 1, 4)
    if abs(clamped) > 1e-4:
        return "what the clamp has cut"
    unsteady = [of(Tiny(summed, users, movies, dropout=0.5).train(), 0, 1, 4) for _ in range(8)]
    if max(map(abs, unsteady)) > 1e-4:
        return "dropout is on"
    liked = [-0.25, 2.0, 1.0, 0.5]
    product = of(Tiny(multiplied, users, liked), 0, 2, 4)  # differences 0.5 × each movie: -0.125 to 1
    if abs(product) < 1e-4:
        return "nothing is left"
    assert product > 0, "The largest less the smallest difference cannot be negative."
    if any(abs(product - spread) < 1e-3 for spread in _other_spreads(0.5 * np.array(liked))):
        return "another measure of spread"
    assert abs(product - 1.125) < 1e-3, (
        f"For differences of -0.125, 1, 0.5 and 0.25 stars it gives {product:.3f}, not 1.125."
    )
    for asked, expected in (((1, 2, 4), 1.125), ((2, 1, 2), 1.125), ((0, 1, 1), 0.0), ((1, 1, 4), 0.0)):
        found = of(Tiny(multiplied, users, liked).train(), *asked)
        assert abs(found - expected) < 1e-3, (
            f"For users {asked[0]} and {asked[1]} and {asked[2]} movies it gives {found:.3f}."
        )
    for mode in (True, False):
        model = Tiny(summed, users, movies, dropout=0.5).train(mode)
        of(model, 0, 1, 4)
        if [part.training for part in model.modules()] != [mode] * len(list(model.modules())):
            return "another mode than before"


def _other_spreads(differences):
    """Give what a standard deviation, a variance or a mean distance would say of the differences."""
    yield from (differences.std(ddof=ddof) for ddof in (0, 1))
    yield from (differences.var(ddof=ddof) for ddof in (0, 1))
    yield from (np.abs(differences).max(), np.abs(differences - differences.mean()).mean())


# %% hint [markdown]
# `torch.arange(n_movies)` are the movies, and `torch.full_like` makes a tensor of the same shape with the same user
# throughout.

# %% hint [markdown]
# What would your test say of a sum with dropout on its inputs? And of a sum whose scores for some movies are above 5?

# %% hint [markdown]
# `model.eval()` turns dropout off, `model.training` knows the mode before that, and `model.score`, unlike `model(…)`, does
# not clamp.

# %% mistake: the difference itself [markdown]
# It gives by how much the two users differ. A generous and a strict user differ, too, by the same for every movie: how
# does the difference *vary*?


# %% mistake: the difference itself
def taste(model, one_user, other_user, n_movies):
    model.eval()
    movies = torch.arange(n_movies)
    one, other = (model.score(torch.full_like(movies, user), movies) for user in (one_user, other_user))
    return (one - other).abs().mean()


# %% mistake: dropout is on [markdown]
# For a sum with dropout it finds tastes, and others each time it is asked. In which mode does the model come?


# %% mistake: dropout is on
def taste(model, one_user, other_user, n_movies):
    movies = torch.arange(n_movies)
    with torch.no_grad():
        one, other = (model.score(torch.full_like(movies, user), movies) for user in (one_user, other_user))
    return ((one - other).max() - (one - other).min()).item()


# %% mistake: what the clamp has cut [markdown]
# For a sum with scores beyond the scale it finds tastes that the formula does not have. Which of the model's two methods
# clamps?


# %% mistake: what the clamp has cut
def taste(model, one_user, other_user, n_movies):
    model.eval()
    movies = torch.arange(n_movies)
    with torch.no_grad():
        one, other = (model(torch.full_like(movies, user), movies) for user in (one_user, other_user))
    return ((one - other).max() - (one - other).min()).item()


# %% mistake: another measure of spread [markdown]
# It is 0 where it should be, but it is another measure than the one asked for: the largest difference less the smallest.


# %% mistake: another measure of spread
def taste(model, one_user, other_user, n_movies):
    model.eval()
    movies = torch.arange(n_movies)
    with torch.no_grad():
        one, other = (model.score(torch.full_like(movies, user), movies) for user in (one_user, other_user))
    return (one - other).std().item()


# %% mistake: another mode than before [markdown]
# The number is right, and the model comes back in another mode than it came in. Asked between two epochs, your test would
# have the second train without dropout, or predict with it.


# %% mistake: another mode than before
def taste(model, one_user, other_user, n_movies):
    model.eval()
    movies = torch.arange(n_movies)
    with torch.no_grad():
        one, other = (model.score(torch.full_like(movies, user), movies) for user in (one_user, other_user))
    return ((one - other).max() - (one - other).min()).item()


# %% mistake: nothing is left [markdown]
# It is 0 even for a product, which knows nothing but tastes. What is left once everything has been averaged or subtracted?


# %% mistake: nothing is left
def taste(model, one_user, other_user, n_movies):
    model.eval()
    movies = torch.arange(n_movies)
    with torch.no_grad():
        one, other = (model.score(torch.full_like(movies, user), movies) for user in (one_user, other_user))
    return (one - other - (one - other).mean()).mean().item()


# %% exercise [markdown]
# ## 03.5 ★★ What would everybody give it?
#
# A movie's mean depends on who rated it. Give the mean that it would have, by a bias model, if *every* user had rated it.
#
# The model is $c_0 + f(u) + g(i)$ with the least squared error on the given ratings, no penalty and no clamp. Return for
# each movie the mean of what it predicts over all `n_users` users, each counted once: float, of shape `[n_movies]`, right
# to a hundredth of a star. `user_ids` and `movie_ids` are i64 numpy arrays of shape `[n]`, `ratings` a float64 one. Every
# user and every movie has at least one rating, but not all have equally many.


# %% stub
def everybodys_means(user_ids, movie_ids, ratings, n_users, n_movies):
    """Give the mean over all users of what least squares predicts for each movie, [n_movies]."""
    ...


# %% solution
def everybodys_means(user_ids, movie_ids, ratings, n_users, n_movies):
    """Give the mean over all users of what least squares predicts for each movie, [n_movies]."""

    def means(values, ids, n):
        return np.bincount(ids, values, n) / np.bincount(ids, minlength=n)

    f = np.zeros(n_users)
    for _ in range(500):  # the best g for this f, the best f for that g
        g = means(ratings - f[user_ids], movie_ids, n_movies)
        f = means(ratings - g[movie_ids], user_ids, n_users)
    return g + f.mean()


# %% why [markdown]
# At least squares the model's mean over a movie's own raters *is* the movie's mean: its errors there add up to 0. So the
# correction lies all in who is averaged over. A movie that generous people chose is lower among everybody, by its raters'
# mean generosity less everybody's. How the constant is shared between $c_0$, $f$ and $g$ does not matter, since their sum
# is all that is asked. It remains a guess: the model has nobody's taste, and people choose what they like.


# %% other
def everybodys_means(user_ids, movie_ids, ratings, n_users, n_movies):
    design = np.hstack([np.eye(n_users)[user_ids], np.eye(n_movies)[movie_ids]])
    f, g = np.split(np.linalg.lstsq(design, ratings, rcond=None)[0], [n_users])
    return (f[:, None] + g).mean(axis=0)


# %% check
def mistake_in(everybodys_means):
    for seed, n_users, n_movies in ((0, 8, 5), (1, 4, 6)):
        rng = np.random.default_rng(seed)
        given = rng.random((n_users, n_movies)) < np.linspace(0.3, 1.0, n_users)[:, None]
        given[:, 0], given[-1] = True, True  # so that everything hangs together
        given[0, 1:] = False  # a user with a single rating
        users, movies = (ids.astype(np.int64) for ids in np.nonzero(given))
        generous, good = rng.normal(0, 1.0, n_users), rng.normal(3, 0.7, n_movies)
        stars = generous[users] + good[movies] + rng.normal(0, 0.3, len(users))
        design = np.hstack([np.eye(n_users)[users], np.eye(n_movies)[movies]])
        f, g = np.split(np.linalg.pinv(design) @ stars, [n_users])
        expected, plain = g + f.mean(), means_of(stars, movies, n_movies)
        what = f"what it gives for {n_movies} movies"
        given_ratings = users.copy(), movies.copy(), stars.copy(), n_users, n_movies
        found = expect.array(everybodys_means(*given_ratings), what, (n_movies,))

        def near(others, found=found):
            return np.abs(found - others).max() < 5e-3

        if near(plain):
            return "its own raters only"
        if near(g + f[users].mean()):
            return "every rating counted, not every user"
        if any(near(one) for one in _first_rounds(users, movies, stars, n_users, n_movies, plain)):
            return "a single round"
        if not near(expected) and near(expected + (found - expected).mean()):
            return "off by the same for every movie"
        late = any(near(one) for one in _turns(users, movies, stars, n_users, n_movies))
        assert near(expected) or not late, "The turns have not settled: take more."
        clamped = any(near((g[:, None] + f).clip(low, 5.0).mean(axis=1)) for low in (0.5, 1.0))
        assert near(expected) or not clamped, "You average clamped predictions: the model is asked for without a clamp."
        assert near(expected), "These are not the means of the least-squares predictions over all users."


def _first_rounds(users, movies, stars, n_users, n_movies, plain):
    """Give what comes out before the two sides have settled."""
    f = means_of(stars - plain[movies], users, n_users)
    yield plain + f.mean()
    of_users = means_of(stars, users, n_users)
    yield plain + of_users.mean() - stars.mean()
    for centre in (stars.mean(), of_users.mean()):
        yield means_of(stars - (of_users - centre)[users], movies, n_movies) + (of_users - centre).mean()
        yield means_of(stars - (of_users - centre)[users], movies, n_movies)


def _turns(users, movies, stars, n_users, n_movies, n_turns=200):
    """Give what comes out after each turn, begun at 0 or at the users' deviations."""
    for f in (np.zeros(n_users), means_of(stars, users, n_users) - stars.mean()):
        for _ in range(n_turns):
            g = means_of(stars - f[users], movies, n_movies)
            yield g + f.mean()
            f = means_of(stars - g[movies], users, n_users)
            yield g + f.mean()


# %% hint [markdown]
# Find $f$ and $g$ first, as the notebook does: the best $g$ for an $f$, the best $f$ for that $g$, until neither moves.
# Who is averaged over afterwards?

# %% hint [markdown]
# The mean over users of $f(u) + g(i)$ is $g(i)$ plus one number. Which? Each user counts once, however much they rated.

# %% hint [markdown]
# `np.bincount(ids, values, n)` adds up the values of each id.

# %% mistake: its own raters only [markdown]
# These are the plain means of the movies. Averaged over a movie's own raters, least squares predicts exactly the mean that
# was there before: nothing is corrected.


# %% mistake: its own raters only
def everybodys_means(user_ids, movie_ids, ratings, n_users, n_movies):
    return np.bincount(movie_ids, ratings, n_movies) / np.bincount(movie_ids, minlength=n_movies)


# %% mistake: every rating counted, not every user [markdown]
# Your mean of $f$ counts a user as often as they rated, or is not there: found by turns from 0, $f$ has the mean 0 over
# the *ratings*. Over the users, each once, its mean is another.


# %% mistake: every rating counted, not every user
def everybodys_means(user_ids, movie_ids, ratings, n_users, n_movies):
    f = np.zeros(n_users)
    for _ in range(500):
        g = np.bincount(movie_ids, ratings - f[user_ids], n_movies) / np.bincount(movie_ids, minlength=n_movies)
        f = np.bincount(user_ids, ratings - g[movie_ids], n_users) / np.bincount(user_ids, minlength=n_users)
    return g + f[user_ids].mean()


# %% mistake: every rating counted, not every user
def everybodys_means(user_ids, movie_ids, ratings, n_users, n_movies):
    f = np.zeros(n_users)
    for _ in range(500):
        g = np.bincount(movie_ids, ratings - f[user_ids], n_movies) / np.bincount(movie_ids, minlength=n_movies)
        f = np.bincount(user_ids, ratings - g[movie_ids], n_users) / np.bincount(user_ids, minlength=n_users)
    return g


# %% mistake: a single round [markdown]
# One side was computed once, from means that still contain the other side. A user who saw good movies only looks generous
# then. The two have to settle: take turns.


# %% mistake: a single round
def everybodys_means(user_ids, movie_ids, ratings, n_users, n_movies):
    f = np.bincount(user_ids, ratings, n_users) / np.bincount(user_ids, minlength=n_users) - ratings.mean()
    g = np.bincount(movie_ids, ratings - f[user_ids], n_movies) / np.bincount(movie_ids, minlength=n_movies)
    return g + f.mean()


# %% mistake: off by the same for every movie [markdown]
# The movies stand in the right distances to each other, and all are off by the same. What is the mean of the users' parts,
# and of a constant if you have one?


# %% mistake: off by the same for every movie
def everybodys_means(user_ids, movie_ids, ratings, n_users, n_movies):
    left, f = ratings - ratings.mean(), np.zeros(n_users)
    for _ in range(500):
        g = np.bincount(movie_ids, left - f[user_ids], n_movies) / np.bincount(movie_ids, minlength=n_movies)
        f = np.bincount(user_ids, left - g[movie_ids], n_users) / np.bincount(user_ids, minlength=n_users)
    return g + f.mean()


# %% exercise [markdown]
# ## 03.6 ★★ Agreement out of two ReLUs
#
# Users like westerns or dislike them, $p$ = 1 or -1, and movies are westerns or the opposite, $q$ = 1 or -1. Find by hand
# a network with two hidden numbers whose output is the product $p \cdot q$ for all four pairs.
#
# The network is $v \cdot \max(0,\, W_1 [p, q] + a_1) + c_0$. Hand over the dictionary `network` with `"W1"` of shape
# `[2, 2]` (a line for each hidden number), `"a1"` and `"v"` of shape `[2]`, and the number `"c0"`; lists will do. No
# training: four pairs and a pencil are enough.

# %% stub
network = {"W1": ..., "a1": ..., "v": ..., "c0": ...}

# %% solution
network = {"W1": [[1, 1], [-1, -1]], "a1": [0, 0], "v": [1, 1], "c0": -1}

# %% why [markdown]
# The first number is on if both are 1, the second if both are -1; agreement in either way gives 2, disagreement 0, and the
# constant centres it. One ReLU is not enough: along $p + q$ the product falls and rises again, and a single ReLU goes one
# way only. What was found is $|p + q| - 1$. It is the product on the edges of the square from -1 to 1, and nowhere inside
# it: for $p = q = ½$ it says 0, not ¼. A network puts a product together from such pieces, a dot product has it built in.

# %% other
network = {  # disagreement, found by two numbers, and taken from 1
    "W1": np.array([[1.0, -1.0], [-1.0, 1.0]]),
    "a1": torch.zeros(2),
    "v": torch.tensor([-1.0, -1.0]),
    "c0": 1.0,
}


# %% check
def mistake_in(network):
    shapes = {"W1": (2, 2), "a1": (2,), "v": (2,)}
    weights, before, v = (expect.array(network[key], f"'{key}'", shape) for key, shape in shapes.items())
    constant = expect.number(network["c0"], "'c0'")
    pairs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    found = np.maximum(0, pairs @ weights.T + before) @ v + constant
    expected = pairs.prod(axis=1)
    as_if_linear = (pairs @ weights.T + before) @ v + constant
    transposed = np.maximum(0, pairs @ weights + before) @ v + constant
    assert np.allclose(found, expected, atol=1e-3) or not np.allclose(transposed, expected, atol=1e-3), (
        "'W1' is transposed: each of its lines is a hidden number, each column an input."
    )
    if np.allclose(found, -expected, atol=1e-3):
        return "the opposite taste"
    if abs(found[0] - found[1] - found[2] + found[3]) < 1e-3:
        return "still a sum"
    if not np.allclose(found, expected, atol=1e-3) and np.ptp(found - expected) < 1e-3:
        return "off by a constant"
    said = ", ".join(f"{number:g}" for number in found.round(3))
    pieces = "for (1, 1), (1, -1), (-1, 1) and (-1, -1)"
    if abs(found[1] - found[3]) < 1e-3 and abs(found[2] - found[3]) < 1e-3:
        return "a product of noughts and ones"
    assert not np.allclose(as_if_linear, found) or np.allclose(found, expected, atol=1e-3), (
        f"No hidden number is ever cut off, so the network is linear: {pieces} it says {said}."
    )
    agreed = abs(found[0] - found[3]) < 1e-3 and abs(found[1] - found[2]) < 1e-3
    assert np.allclose(found, expected, atol=1e-3) or not agreed, (
        f"{pieces.capitalize()} it says {said}: it tells agreement from disagreement, but not by the right amount. "
        "How large is a hidden number where it is on?"
    )
    assert np.allclose(found, expected, atol=1e-3), (
        f"{pieces.capitalize()} it says {said}. Take one hidden number at a time: for which pairs is it on?"
    )


# %% hint [markdown]
# What is a hidden number that is above 0 for (1, 1) alone? And one for (-1, -1) alone?

# %% hint [markdown]
# $\max(0, p + q)$ and $\max(0, -p - q)$. What does their sum say of the four pairs, and what is missing?

# %% mistake: still a sum [markdown]
# Of these users one prefers every movie by the same: the output is $f(p) + g(q)$ on the four pairs. Whether a hidden
# number is on has to depend on both.

# %% mistake: still a sum
network = network | {"W1": [[1, 0], [0, 1]]}

# %% mistake: off by a constant [markdown]
# Agreement lies above disagreement by the right amount, and all four outputs are off by the same. Which of the weights
# moves all alike?

# %% mistake: off by a constant
network = network | {"W1": [[1, 1], [-1, -1]], "v": [1, 1], "c0": 0}

# %% mistake: the opposite taste [markdown]
# It is the product with the other sign: it recommends what people dislike.

# %% mistake: the opposite taste
network = network | {"W1": [[1, 1], [-1, -1]]}

# %% mistake: a product of noughts and ones [markdown]
# It tells (1, 1) from the rest, as the notebook's unit does for noughts and ones. But two who both say -1 agree as well.

# %% mistake: a product of noughts and ones
network = network | {"W1": [[1, 1], [0, 0]]}

# %% exercise [markdown]
# ## 03.7 ★★★ The hidden layer or the ReLU?
#
# The notebook added a hidden layer and a ReLU together, and the error fell. Which of the two was it? Train without a
# hidden layer, with one that has no ReLU behind it, and with both.
#
# `validation_errors(output, seed)` of the first cell builds two tables of 8 numbers a row, puts `output()` on their
# concatenation, trains for twelve epochs on the training rows, and gives the validation MSE after each, half a second for
# a run. Fill in `outputs`: three functions that give a fresh module from 16 numbers to 1, the hidden layers 32 wide and
# without dropout, the last layer last. Hand over `answer`: for each of the three the errors of the best epochs (lowest
# validation error), at least five seeds each, unrounded; under `"biases"` the validation MSE of `bias_baseline`; under
# `"below the biases"` a list of those of the three of which every seed is below it; and as conclusion one of
# `"the hidden layer"`, `"the ReLU"`, `"both"` and `"neither"`. Something lowers the error if the worst seed with it is
# below the best seed without it: the hidden layer when `"identity"` is compared with `"no hidden layer"`, the ReLU when
# `"ReLU"` is compared with `"identity"`. And before you run: which of the three will be below the biases?

# %% stub
outputs = {"no hidden layer": ..., "identity": ..., "ReLU": ...}


answer = {
    "no hidden layer": ...,
    "identity": ...,
    "ReLU": ...,
    "biases": ...,
    "below the biases": ...,
    "conclusion": ...,
}

# %% solution
outputs = {
    "no hidden layer": lambda: nn.Linear(16, 1),
    "identity": lambda: nn.Sequential(nn.Linear(16, 32), nn.Linear(32, 1)),
    "ReLU": lambda: nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1)),
}


errors = {name: [min(validation_errors(output, seed)) for seed in range(5)] for name, output in outputs.items()}
biases = ((val_df["rating"] - bias_baseline.predict(val_df)) ** 2).mean()
answer = errors | {
    "biases": biases,
    "below the biases": [name for name in outputs if max(errors[name]) < biases],
    "conclusion": "the ReLU",
}

# %% why [markdown]
# A linear layer on a linear layer is linear: still $f(u) + g(i)$, with more numbers to say it. It ends where no hidden
# layer ends. Only the ReLU is followed by lower errors with every seed, and nothing else was changed. All three are below
# the biases, the two sums by little: `bias_baseline` is a sum as well, with other numbers in it. (On the test rows, which
# choose no epoch, the sums are above it.) So to be below the biases is no sign of taste, which no sum can express: the
# rival that tells is the same model without the part in question.

# %% other
answer = {  # seeds 5 to 11 and 5 to 9
    "no hidden layer": torch.tensor([0.72437, 0.72431, 0.72491, 0.72481, 0.72444, 0.72456, 0.72428]),
    "identity": np.array([0.72586, 0.72512, 0.72414, 0.72451, 0.72456, 0.72511, 0.72455]),
    "ReLU": (0.7194, 0.7116, 0.7084, 0.7103, 0.7111),
    "biases": utilities.rating_metrics(val_df["rating"], bias_baseline.predict(val_df))["mse"],
    "below the biases": ("ReLU", "identity", "no hidden layer"),
    "conclusion": "the ReLU",
}


# %% check
def mistake_in(answer):
    settings = "no hidden layer", "identity", "ReLU"
    errors = [expect.runs(answer[name], f"'{name}'", 1) for name in settings]
    if min(map(len, errors)) < 5:
        return "too few seeds"
    none, identity, relu = errors
    biases = expect.number(answer["biases"], "'biases'")
    if none.max() < 0.70:
        return "errors on the training rows"
    if 0.74 < none.min() < 0.78:
        return "errors on the test rows"
    if 0.7251 < np.median(none) < 0.735 and 0.725 < np.median(identity) < 0.735:
        return "the last epoch, not the best"
    if expect.close(biases, 0.68800, 5e-4) or expect.close(biases, 0.75001, 5e-4):
        return "the biases judged on other rows"
    bands = (0.7215, 0.7285), (0.7215, 0.7285), (0.698, 0.7235)
    inside = [low < found.min() <= found.max() < high for found, (low, high) in zip(errors, bands, strict=True)]
    roots = [
        low < found.min() ** 2 <= found.max() ** 2 < high for found, (low, high) in zip(errors, bands, strict=True)
    ]
    root = expect.close(biases, 0.72772**0.5, 5e-4)
    assert not any(roots) and not root, "These look like roots of the error; stars² are asked for."
    assert expect.close(biases, 0.72772, 5e-4), f"`bias_baseline` does not have the validation error {biases:.4f}."
    swapped = min(none.max(), identity.max()) < 0.723 < relu.min() < relu.max() < 0.7285
    assert not swapped, "Two entries seem to have changed places."
    for name, found, good in zip(settings, errors, inside, strict=True):
        assert good, (
            f"'{name}' has {found.min():.4f} to {found.max():.4f}, which seeds of this setting do not give. Is the module "
            "as asked, 32 numbers wide and without dropout, and is it the validation error of the best epoch?"
        )
    lower = identity.max() < none.min(), relu.max() < identity.min()
    assert not lower[0], (
        "By the rule your hidden layer helps, but by the notebook's algebra one without a ReLU can only be the sum again. "
        "Seeds do line up like that by chance. Run more of them."
    )
    said = "the ReLU" if lower[1] else "neither"
    allowed = "the hidden layer", "the ReLU", "both", "neither"
    if expect.one_of(answer["conclusion"], allowed, "'conclusion'") != said:
        return "a conclusion that the numbers do not carry"
    below = answer["below the biases"]
    assert isinstance(below, list | tuple | set | frozenset), "'below the biases' should be a list of names."
    strangers = ", ".join(repr(name) for name in below if name not in settings)
    assert not strangers, f"'below the biases' should hold names of the three settings, and has {strangers}."
    right = {name for name, found in zip(settings, errors, strict=True) if found.max() < biases}
    assert set(below) == right, (
        "'below the biases' does not say what your numbers say: compare each seed with 'biases'."
    )


# %% hint [markdown]
# `outputs["no hidden layer"]` is `lambda: nn.Linear(16, 1)`. The other two are an `nn.Sequential` with 32 numbers in the
# middle.

# %% hint [markdown]
# `validation_errors` gives twelve errors, one an epoch. Which of them is that of the best epoch?

# %% hint [markdown]
# Compare one step at a time: `max` of the seeds with it against `min` of the seeds without it. What is compared with the
# biases is the `max` as well.

# %% mistake: too few seeds [markdown]
# With three seeds each, two settings that do not differ line up once in ten times, all of one below all of the other. Take
# five seeds or more of each.

# %% mistake: too few seeds
answer = answer | {
    "no hidden layer": [0.72499, 0.72442, 0.7245],
    "identity": [0.72449, 0.72485, 0.72415],
    "ReLU": [0.70856, 0.71043, 0.7082],
}

# %% mistake: errors on the training rows [markdown]
# So low are only the errors on the rows that the models were trained on. The question is what they say of others.

# %% mistake: errors on the training rows
answer = answer | {"no hidden layer": [0.68213, 0.68469, 0.68234, 0.68331, 0.68244]}

# %% mistake: errors on the test rows [markdown]
# These are errors on the test rows. The best epoch is chosen on validation, so settings are compared there; the test set
# is not for choosing.

# %% mistake: errors on the test rows
answer = answer | {"no hidden layer": [0.75269, 0.75365, 0.7525, 0.75348, 0.75369]}

# %% mistake: the last epoch, not the best [markdown]
# These look like the errors after the last epoch, when they were rising again. The best epoch came before: twelve errors,
# and the lowest of them counts.

# %% mistake: the last epoch, not the best
answer = answer | {
    "no hidden layer": [0.72500, 0.72615, 0.72679, 0.72627, 0.72582],
    "identity": [0.7246, 0.72779, 0.72738, 0.72517, 0.72491],
}

# %% mistake: the biases judged on other rows [markdown]
# The networks are judged on the validation rows, the biases on others. A rival is judged on the same rows.

# %% mistake: the biases judged on other rows
answer = answer | {"biases": ((test_df["rating"] - bias_baseline.predict(test_df)) ** 2).mean()}

# %% mistake: a conclusion that the numbers do not carry [markdown]
# Your numbers say otherwise than your conclusion. For each step, compare the worst seed with it and the best seed without
# it.

# %% mistake: a conclusion that the numbers do not carry
answer = answer | {"conclusion": "neither"}
