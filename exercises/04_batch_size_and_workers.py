# %% [markdown]
# # 04 · Exercises: batch size and workers
#
# They practise what [04 · Batch size and workers](../notebooks/04_batch_size_and_workers.ipynb) teaches: count before you
# time, take an epoch apart, and give every batch size its own learning rate. Each `check` tells whether an answer is
# right, and knows the mistakes that are made most; `hint("04.1")` helps, one hint at a time.

# %% setup
import math

import numpy as np
import torch
from torch import nn

import utilities
from utilities.models import BiasedInnerProduct

scale = utilities.rating_scale("built-in")
ratings_df, users_df, movies_df = utilities.load_torch_data("built-in", 500)
train_df, val_df, test_df = utilities.split_train_test(ratings_df)
loaders = utilities.get_data_loaders(ratings_df)
train_columns, val_columns = loaders.train.dataset[:], loaders.val.dataset[:]  # user ids, movie ids, ratings


def fit(batch_size, learning_rate, seed, n_epochs=6):
    """Train a biased inner product with Adam; give the lowest validation MSE of all epochs."""
    torch.manual_seed(seed)
    mean_rating = train_columns[2].mean().item()
    model = BiasedInnerProduct(users_df.height, movies_df.height, mean_rating, scale)
    adam = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    errors = []
    for _ in range(n_epochs):
        model.train()
        for row_ids in torch.randperm(len(train_columns[0])).split(batch_size):
            batch = [column.index_select(0, row_ids) for column in train_columns]
            adam.zero_grad()
            (model.mse(batch) + model.penalty(*batch[:2])).backward()
            adam.step()
        model.eval()
        with torch.no_grad():
            errors.append(nn.functional.mse_loss(model(*val_columns[:2]), val_columns[2]).item())
    return min(errors)


# %% checks
import itertools
import math
import random

import numpy as np
import torch
from torch import nn

from utilities.exercises import expect

# %% exercise [markdown]
# ## 04.1 ★ Epochs for as many updates
#
# How many whole epochs does a batch size need to make at least as many updates as another one has made? Predict it first
# for this course's sample: 31,740 rows, ten epochs of batches of 256, and the rival has batches of 4,096, sixteen times as
# many rows.
#
# Write `epochs_needed`. `n_updates` is how many updates are wanted, `n_rows` how many rows an epoch has, `batch_size` how
# many of them a full batch takes; all three are at least 1. The last batch of an epoch may be short, and it is kept: it
# makes an update like any other. Give the smallest whole number of epochs.


# %% stub
def epochs_needed(n_updates, n_rows, batch_size):
    """Give the whole epochs after which at least `n_updates` updates have been made."""
    ...


# %% solution
def epochs_needed(n_updates, n_rows, batch_size):
    """Give the whole epochs after which at least `n_updates` updates have been made."""
    return math.ceil(n_updates / math.ceil(n_rows / batch_size))


# %% why [markdown]
# Ten epochs of 256 make 1,240 updates, and an epoch of 4,096 makes 8. So it takes 155 epochs, and not 160: sixteen times
# the rows are not a sixteenth of the updates, because a short last batch is an update, too. Who counts rows instead gives
# one of the two sizes more updates and calls the comparison fair. Both roundings go up, for different reasons: a batch is
# begun as soon as one row is left, and an epoch, once begun, is finished.


# %% other
def epochs_needed(n_updates, n_rows, batch_size):
    made = epochs = 0
    while made < n_updates:
        made += len(range(0, n_rows, batch_size))
        epochs += 1
    return epochs


# %% check
def mistake_in(epochs_needed):
    def found(*numbers):
        asked = "{:,} updates, {:,} rows, batches of {:,}".format(*numbers)
        return expect.number(epochs_needed(*numbers), f"What it gives for {asked}"), asked

    epochs, asked = found(1240, 31740, 4096)
    if epochs in (178, 177) or expect.close(epochs, 1240 / 7):
        return "the last batch is dropped"
    if epochs in (160, 161) or expect.close(epochs, 1240 * 4096 / 31740):
        return "rows are counted, not updates"
    if found(100, 31740, 4096)[0] in (12, 12.5):
        return "epochs are not rounded up"
    if epochs == 155 and found(6, 8, 4)[0] == 2:
        return "a batch too many"
    assert epochs != 156 or found(16, 8, 1)[0] != 3, (
        "It gives one epoch too many where the updates come out even: 16 updates at 8 an epoch are two epochs."
    )
    cases = {
        (1240, 31740, 4096): 155,
        (100, 31740, 4096): 13,
        (6, 8, 4): 3,
        (9, 9, 4): 3,
        (1, 9, 9): 1,
        (7, 10, 5): 4,
        (10, 500, 1024): 10,
    }
    cases |= {(1000, 31740, 1): 1, (97, 1001, 10): 1, (3, 1, 1): 3, (125, 31740, 256): 2, (124, 31740, 256): 1}
    for numbers, expected in cases.items():
        epochs, asked = found(*numbers)
        assert epochs == expected, (
            f"For {asked} it gives {epochs:g}. Make a list of the batches of one epoch and count."
        )


# %% hint [markdown]
# Two questions, one after the other: how many updates does one epoch make? How many such epochs?

# %% hint [markdown]
# 8 rows in batches of 4 make two updates, 9 rows make three. Try your first answer on both.

# %% hint [markdown]
# `math.ceil(a / b)` is how many boxes of `b` it takes for `a` things.

# %% mistake: the last batch is dropped [markdown]
# It counts full batches only. 31,740 rows are 7 batches of 4,096 and 3,068 rows more: what happens to those?


# %% mistake: the last batch is dropped
def epochs_needed(n_updates, n_rows, batch_size):
    return math.ceil(n_updates / (n_rows // batch_size))


# %% mistake: rows are counted, not updates [markdown]
# It gives the epochs as if every update had a full batch. The last one of an epoch is short, and it is an update all the
# same: count those of one epoch first.


# %% mistake: rows are counted, not updates
def epochs_needed(n_updates, n_rows, batch_size):
    return math.ceil(n_updates * batch_size / n_rows)


# %% mistake: rows are counted, not updates
def epochs_needed(n_updates, n_rows, batch_size):
    return n_updates / (n_rows / batch_size)


# %% mistake: epochs are not rounded up [markdown]
# For 100 updates at 8 an epoch it gives 12 or 12.5. After twelve whole epochs there are 96.


# %% mistake: epochs are not rounded up
def epochs_needed(n_updates, n_rows, batch_size):
    return n_updates // math.ceil(n_rows / batch_size)


# %% mistake: epochs are not rounded up
def epochs_needed(n_updates, n_rows, batch_size):
    return n_updates / math.ceil(n_rows / batch_size)


# %% mistake: a batch too many [markdown]
# It is right for most numbers. 8 rows in batches of 4, though, are two batches, and no third one that is empty.


# %% mistake: a batch too many
def epochs_needed(n_updates, n_rows, batch_size):
    return math.ceil(n_updates / (n_rows // batch_size + 1))


# %% exercise [markdown]
# ## 04.2 ★★ The same error, whatever the batch size
#
# A validation error must not depend on how the rows were cut into batches. Write the pass that gives it exactly, in the
# middle of training, and leaves no trace.
#
# `model(user_ids, movie_ids)` gives predictions of shape `[B]`; it is an `nn.Module` and may have dropout. `batches`
# yields triples `user_ids`, `movie_ids`, `ratings` of shape `[B]`, of any sizes, and can be passed once. Give the mean
# squared error over all rows, as a float or a tensor of one number. Predict without dropout and without keeping anything
# for gradients, and hand the model back in the mode in which it came, training or not.


# %% stub
def exact_mse(model, batches):
    """Give the mean squared error over the rows of all batches."""
    ...


# %% solution
def exact_mse(model, batches):
    """Give the mean squared error over the rows of all batches."""
    was_training = model.training
    model.eval()
    total = n_rows = 0
    with torch.no_grad():
        for user_ids, movie_ids, ratings in batches:
            total += (model(user_ids, movie_ids) - ratings).square().sum().item()
            n_rows += len(ratings)
    model.train(was_training)
    return total / n_rows


# %% why [markdown]
# Sums can be added over batches; means cannot, unless all stand for as many rows. A short last batch of 3 rows would
# otherwise count as much as one of 4,096, and two batch sizes would be compared by two different yardsticks. `eval()` and
# `no_grad()` do not do each other's work: the one switches dropout off, the other spares memory and time. And a model that
# stays in `eval` mode trains its next epoch without dropout, which no error message tells.


# %% other
def exact_mse(model, batches):
    modes = {module: module.training for module in model.modules()}
    model.eval()
    with torch.inference_mode():
        parts = [(model(users, movies), ratings) for users, movies, ratings in batches]
    for module, mode in modes.items():
        module.training = mode
    predictions, ratings = (torch.cat(column) for column in zip(*parts, strict=True))
    return nn.functional.mse_loss(predictions, ratings)


# %% check
def mistake_in(exact_mse):
    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            self.users, self.movies = (nn.Parameter(torch.randn(9, 3, generator=generator)) for _ in range(2))
            self.dropout = nn.Dropout(0.5)

        def forward(self, user_ids, movie_ids):
            seen.append((self.dropout.training, torch.is_grad_enabled()))  # a copy of the model is seen, too
            return 3.5 + (self.dropout(self.users[user_ids]) * self.movies[movie_ids]).sum(dim=1)

    class Once:
        def __init__(self, batches):
            self.batches, self.is_passed = batches, False

        def __iter__(self):
            if self.is_passed:
                raise RuntimeError("the batches can be passed once, and here they are passed a second time")
            self.is_passed = True
            return self.batches

        def __next__(self):
            return next(self.batches)

    generator = torch.Generator().manual_seed(1)
    for sizes, trains in (([5, 5, 2], True), ([1], True), ([4, 4], False), ([3, 1, 7, 1], True)):
        ids, stars = (
            torch.randint(9, (2, sum(sizes)), generator=generator),
            1 + 4 * torch.rand(sum(sizes), generator=generator),
        )
        seen, model = [], Watched().train(trains)
        batches = Once(zip(*(column.split(sizes) for column in (*ids, stars)), strict=True))
        users, movies = (rows.detach().numpy().astype(np.float64) for rows in (model.users, model.movies))
        errors = (3.5 + (users[ids[0].numpy()] * movies[ids[1].numpy()]).sum(axis=1) - stars.numpy()) ** 2
        means = [part.mean() for part in np.split(errors, np.cumsum(sizes)[:-1])]
        torch.set_grad_enabled(True)  # whatever the learner's cells have left; reset behind the check
        found = expect.number(exact_mse(model, batches), "What it gives")
        assert seen, "It does not ask the model for any prediction."
        if any(training for training, _ in seen):
            return "dropout is left on"
        if len(sizes) == 3 and expect.close(found, np.mean(means)):
            return "the mean of the batches' means"
        assert len(sizes) != 3 or not expect.close(found, errors.sum() / 3), (
            "It adds up rows and divides by batches: divide by what you have added up."
        )
        if expect.close(found, np.sqrt(errors.mean())) or expect.close(found, np.mean(np.sqrt(means))):
            return "the root of it"
        assert expect.close(found, errors.mean()), (
            f"For batches of {sizes} rows it gives {found:.4f}, and the mean over all rows is {errors.mean():.4f}."
        )
        if any(gradient for _, gradient in seen):
            return "everything is kept for gradients"
        assert torch.is_grad_enabled(), (
            "Gradients are still switched off afterwards, for everyone: use `with torch.no_grad():`."
        )
        if trains and not (model.training and model.dropout.training):
            return "the model stays in eval mode"
        assert model.training == trains, "It came in eval mode and is handed back in training mode."


# %% hint [markdown]
# Batches of 5, 5 and 2 rows: why is the mean of their three means off? What can you add up over batches instead?

# %% hint [markdown]
# Four things surround the loop: remember the mode, switch to `eval`, no gradients, go back to the mode.

# %% hint [markdown]
# `model.training` tells the mode, and `model.train(mode)` sets it, both ways.

# %% mistake: the mean of the batches' means [markdown]
# It averages the batches' means. The short last batch then counts as much as a full one. What stands for how many rows?


# %% mistake: the mean of the batches' means
def exact_mse(model, batches):
    model.eval()
    with torch.no_grad():
        losses = [nn.functional.mse_loss(model(users, movies), ratings) for users, movies, ratings in batches]
    model.train()
    return torch.stack(losses).mean()


# %% mistake: dropout is left on [markdown]
# It asks the model while its dropout draws. `no_grad` does not change that: which of the model's two modes is for
# predicting?


# %% mistake: dropout is left on
def exact_mse(model, batches):
    total = n_rows = 0
    with torch.no_grad():
        for user_ids, movie_ids, ratings in batches:
            total += (model(user_ids, movie_ids) - ratings).square().sum().item()
            n_rows += len(ratings)
    return total / n_rows


# %% mistake: the root of it [markdown]
# It gives a root: the error in stars. What is asked for is the mean squared error, in stars².


# %% mistake: the root of it
def exact_mse(model, batches):
    was_training = model.training
    model.eval()
    total = n_rows = 0
    with torch.no_grad():
        for user_ids, movie_ids, ratings in batches:
            total += (model(user_ids, movie_ids) - ratings).square().sum().item()
            n_rows += len(ratings)
    model.train(was_training)
    return math.sqrt(total / n_rows)


# %% mistake: everything is kept for gradients [markdown]
# The number is right, and each prediction is computed with all that `backward` would need. Nobody will call it: say so.


# %% mistake: everything is kept for gradients
def exact_mse(model, batches):
    was_training = model.training
    model.eval()
    total = n_rows = 0
    for user_ids, movie_ids, ratings in batches:
        total += (model(user_ids, movie_ids) - ratings).square().sum().item()
        n_rows += len(ratings)
    model.train(was_training)
    return total / n_rows


# %% mistake: the model stays in eval mode [markdown]
# The number is right. But the model came in training mode and is handed back in `eval` mode: what will the next epoch's
# dropout do?


# %% mistake: the model stays in eval mode
def exact_mse(model, batches):
    model.eval()
    total = n_rows = 0
    with torch.no_grad():
        for user_ids, movie_ids, ratings in batches:
            total += (model(user_ids, movie_ids) - ratings).square().sum().item()
            n_rows += len(ratings)
    return total / n_rows


# %% exercise [markdown]
# ## 04.3 ★★ A loader that goes on where it stopped
#
# `whole_batches` of the notebook is quick, but after a crash in the middle of an epoch it cannot go on: its order is gone.
# Write a loader whose order depends on a seed and the number of the epoch only, and which can skip the batches already
# done.
#
# `columns` is a tuple of tensors of one length `N`. Yield (or give a list of) tuples of tensors, one for each column, of
# `batch_size` rows and in the last batch those that are left: each row once an epoch, in a random order that differs from
# epoch to epoch (0, 1, …) and from seed to seed (0, 1, …). Called again with the same numbers, it passes the same batches.
# With `n_done` it leaves out as many batches from the front. The global random generators, torch's, NumPy's and Python's,
# stay untouched, between two batches, too: dropout draws from torch's.


# %% stub
def batches_of(columns, batch_size, seed, epoch, n_done=0):
    """Yield the batches of an epoch from the `n_done`-th on, in an order of its own."""
    ...


# %% solution
def batches_of(columns, batch_size, seed, epoch, n_done=0):
    """Yield the batches of an epoch from the `n_done`-th on, in an order of its own."""
    generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    order = torch.randperm(len(columns[0]), generator=generator)
    for row_ids in order.split(batch_size)[n_done:]:
        yield tuple(column.index_select(0, row_ids) for column in columns)


# %% why [markdown]
# One order for all columns keeps each rating with its user. A generator of its own, seeded by two numbers that a
# checkpoint can hold, makes the order a function: whoever knows seed and epoch knows the rest of the epoch, in any
# process. Reseeding the global generator would do that, too, and at the start of each epoch also bring back the same
# dropout masks. Skipping costs nothing here, because batches are slices of an order, and not things to be made and thrown
# away.


# %% other
def batches_of(columns, batch_size, seed, epoch, n_done=0):
    order = np.random.default_rng([seed, epoch]).permutation(len(columns[0]))
    starts = range(n_done * batch_size, len(order), batch_size)
    return [[column[torch.from_numpy(order[i : i + batch_size])] for column in columns] for i in starts]


# %% check
def mistake_in(batches_of):
    def generators():
        _, keys, position, *_ = np.random.get_state()
        return torch.random.get_rng_state().tolist(), keys.tolist(), position, random.getstate()

    def passed(n_rows, batch_size, seed, epoch, *n_done):
        ids = torch.arange(n_rows)
        result = batches_of((ids.clone(), 2 * ids + 1, ids / 2), batch_size, seed, epoch, *n_done)
        assert hasattr(result, "__iter__") and not isinstance(result, str | dict | torch.Tensor), (
            f"It should give something to loop over, it gives `{type(result).__name__}`."
        )
        batches = []
        for batch in itertools.islice(result, n_rows + 1):
            batches.append(batch)
            while_looping.append(generators())
        assert all(isinstance(batch, tuple | list) and len(batch) == 3 for batch in batches), (
            "Three columns go in, so each batch should be a tuple of three tensors."
        )
        assert all(isinstance(column, torch.Tensor) for batch in batches for column in batch), (
            "A batch should hold tensors."
        )
        return batches

    def order(batches):
        return [row for batch in batches for row in batch[0].tolist()]

    before, while_looping = generators(), []
    batches = passed(23, 5, 0, 1)
    untouched, rows, between = generators() == before, order(batches), [state == before for state in while_looping]
    if any(not torch.equal(m, 2 * u + 1) or not torch.equal(r, u / 2) for u, m, r in batches):
        return "the columns are shuffled apart"
    if len(set(rows)) < len(rows):
        return "rows are drawn with replacement"
    if len(rows) == 20:
        return "the last batch is lost"
    if order(passed(23, 5, 0, 1)) != rows:
        return "another order each time"
    if not untouched:
        return "the global generator is reseeded"
    assert all(between), (
        "Between two batches a global generator is not the caller's: `fork_rng`, if that is it, has to end before the "
        "first `yield`."
    )
    assert sorted(rows) == list(range(23)), "Of 23 rows in batches of 5 it does not pass each row once."
    if order(passed(23, 5, 0, 0)) == rows and order(passed(23, 5, 0, 2)) == rows:
        return "the same order in each epoch"
    assert rows != sorted(rows), "The rows come in the order in which they stand."
    assert sum((after - row) % 23 == 1 for row, after in itertools.pairwise(rows)) < 12, (
        "Rows that stand side by side in the columns nearly always share a batch: put each row into a new place."
    )
    if order(passed(23, 5, 0, 1, 2)) == rows[2:]:
        return "rows are skipped, not batches"
    orders = {(seed, epoch): order(passed(23, 5, seed, epoch)) for seed in range(3) for epoch in range(3)}
    for one, other in itertools.combinations(orders, 2):
        same = orders[one] == orders[other]
        if same and one[0] != other[0] and one[1] != other[1]:
            continue  # seed + epoch is what PyTorch's own samplers do
        assert not same, f"Seed and epoch {one} have the same order as {other}."
    assert [len(b[0]) for b in batches] == [5, 5, 5, 5, 3], (
        f"The batches of 23 rows have {[len(b[0]) for b in batches]} rows."
    )
    for n_rows, size, n_done in ((23, 5, 2), (23, 5, 4), (23, 5, 5), (6, 3, 1), (4, 9, 0), (1, 1, 0)):
        whole, rest = passed(n_rows, size, 2, 1), passed(n_rows, size, 2, 1, n_done)
        assert order(whole[n_done:]) == order(rest) and [len(b[0]) for b in rest] == [
            len(b[0]) for b in whole[n_done:]
        ], f"With {n_rows} rows in batches of {size} and n_done={n_done} it does not pass the rest of the epoch."
        assert len(whole) == math.ceil(n_rows / size), f"{n_rows} rows in batches of {size} make {len(whole)} batches."
        assert all(column[0].dtype == torch.int64 for column in whole), "It changes the type of the ids."


# %% hint [markdown]
# Draw one order of row numbers, cut it, and use each piece for all columns. Where does the order's randomness come from?

# %% hint [markdown]
# `torch.Generator().manual_seed(number)` is a generator of your own, and `torch.randperm` takes it as `generator=`. Make
# one number out of seed and epoch.

# %% hint [markdown]
# `order.split(batch_size)` is a tuple, and a tuple can be sliced.

# %% mistake: the columns are shuffled apart [markdown]
# The columns of a batch do not belong together: each is put into an order of its own, so that a rating stands beside a
# foreign user. No error tells, the model just learns nothing. How many orders does an epoch have?


# %% mistake: the columns are shuffled apart
def batches_of(columns, batch_size, seed, epoch, n_done=0):
    generator = torch.Generator().manual_seed(seed + epoch)
    shuffled = [column[torch.randperm(len(column), generator=generator)] for column in columns]
    return list(zip(*(column.split(batch_size) for column in shuffled), strict=True))[n_done:]


# %% mistake: rows are drawn with replacement [markdown]
# Some rows come twice in an epoch, and others not at all: it draws numbers where it should put them into a new order.


# %% mistake: rows are drawn with replacement
def batches_of(columns, batch_size, seed, epoch, n_done=0):
    generator = torch.Generator().manual_seed(seed + epoch)
    order = torch.randint(len(columns[0]), (len(columns[0]),), generator=generator)
    for row_ids in order.split(batch_size)[n_done:]:
        yield tuple(column[row_ids] for column in columns)


# %% mistake: the last batch is lost [markdown]
# Of 23 rows in batches of 5 it passes 20. The last batch is short, but its rows are ratings like the others.


# %% mistake: the last batch is lost
def batches_of(columns, batch_size, seed, epoch, n_done=0):
    order = torch.randperm(len(columns[0]), generator=torch.Generator().manual_seed(seed + epoch))
    for i in range(n_done, len(order) // batch_size):
        yield tuple(column[order[i * batch_size : (i + 1) * batch_size]] for column in columns)


# %% mistake: another order each time [markdown]
# Called twice with the same seed and epoch, it passes two different orders. After a crash, the rest of the epoch would be
# the rest of another one.


# %% mistake: another order each time
def batches_of(columns, batch_size, seed, epoch, n_done=0):
    for row_ids in torch.randperm(len(columns[0])).split(batch_size)[n_done:]:
        yield tuple(column[row_ids] for column in columns)


# %% mistake: the global generator is reseeded [markdown]
# The order comes back, and the generator that everyone draws from has been set or moved. Set to one number before each
# epoch, it draws the same dropout masks in each: leave it alone and take a generator of your own.


# %% mistake: the global generator is reseeded
def batches_of(columns, batch_size, seed, epoch, n_done=0):
    torch.manual_seed(seed + epoch)
    for row_ids in torch.randperm(len(columns[0])).split(batch_size)[n_done:]:
        yield tuple(column[row_ids] for column in columns)


# %% mistake: the same order in each epoch [markdown]
# Epochs 0, 1 and 2 of a seed have the same order, so the same rows always share a batch. What has the order to depend
# on besides the seed?


# %% mistake: the same order in each epoch
def batches_of(columns, batch_size, seed, epoch, n_done=0):
    order = torch.randperm(len(columns[0]), generator=torch.Generator().manual_seed(seed))
    for row_ids in order.split(batch_size)[n_done:]:
        yield tuple(column[row_ids] for column in columns)


# %% mistake: rows are skipped, not batches [markdown]
# With `n_done=2` it leaves out two rows. Two *batches* were done.


# %% mistake: rows are skipped, not batches
def batches_of(columns, batch_size, seed, epoch, n_done=0):
    order = torch.randperm(len(columns[0]), generator=torch.Generator().manual_seed(seed + epoch))
    for row_ids in order[n_done:].split(batch_size):
        yield tuple(column[row_ids] for column in columns)


# %% exercise [markdown]
# ## 04.4 ★★ What a repair can bring
#
# Before you mend a stage of an epoch, you can know what it will bring. Predict: fetching is 60 % of an epoch; how many
# times as fast does the epoch become if fetching gets ten times as fast, and if it costs nothing at all?
#
# Write `speed_up`. `marks` is a NumPy array of shape `[n_steps, n_stages + 1]`, in seconds: for each step what the clock
# showed before its first stage and after each stage. Between the last mark of a step and the first of the next the loop
# does something else, which takes time and is not mended. `factors`, an array of shape `[n_stages]`, says how many times
# as fast each stage becomes: 1 is left as it is, `math.inf` costs nothing any more. An epoch goes from the first mark to
# the last. Give its old seconds divided by its new ones.


# %% stub
def speed_up(marks, factors):
    """Give how many times as fast the epoch becomes when its stages become `factors` times as fast."""
    ...


# %% solution
def speed_up(marks, factors):
    """Give how many times as fast the epoch becomes when its stages become `factors` times as fast."""
    stages = np.diff(marks, axis=1).sum(axis=0)
    old = marks[-1, -1] - marks[0, 0]
    new = old - stages.sum() + (stages / factors).sum()
    return old / new


# %% why [markdown]
# Seconds can be added, speeds cannot. A stage of 60 % that becomes ten times as fast leaves 0.4 + 0.06 of the epoch: 2.2
# times as fast, and at best 2.5 times, if it costs nothing. That is Amdahl's law: what you do not mend sets the limit.
# What no stage's clock saw belongs to that, too. Whoever adds up the stages and calls it the epoch overlooks the part that
# is left in the end.


# %% other
def speed_up(marks, factors):
    marks = np.asarray(marks, float)
    saved = sum(
        (1 - 1 / f) * (after - before).sum()
        for f, before, after in zip(factors, marks.T[:-1], marks.T[1:], strict=True)
    )
    return 1 / (1 - saved / (marks.max() - marks.min()))


# %% check
def mistake_in(speed_up):
    def found(marks, factors):
        return expect.number(speed_up(np.array(marks, float), np.array(factors, float)), "What it gives")

    def seconds(marks, factors):
        stages = [sum(step[i + 1] - step[i] for step in marks) for i in range(len(factors))]
        return np.array(stages, float), marks[-1][-1] - marks[0][0]

    marks, factors = [[5, 9, 11], [13, 15, 19]], np.array([3.0, 2.0])
    result, (stages, old) = found(marks, factors), seconds(marks, factors)
    shorter, rest = (stages / factors).sum(), old - stages.sum()
    steps = [np.diff(step).sum() / (np.diff(step) / factors).sum() for step in marks]
    if expect.close(result, stages.sum() / shorter):
        return "what lies between the steps is forgotten"
    averages = [(stages * factors).sum() / stages.sum(), ((stages * factors).sum() + rest) / old]
    if any(expect.close(result, average) for average in (*averages, (stages * factors).sum() / old, factors.mean())):
        return "the factors are averaged"
    if expect.close(result, factors.prod()):
        return "the factors are multiplied"
    if expect.close(result, (rest + shorter) / old):
        return "the wrong way up"
    for wrong, sentence in (
        (old / shorter, "What lies between the steps is in your old seconds and not in your new ones."),
        (np.mean(steps), "It averages what each step gains. Seconds can be added over the steps, speeds cannot."),
        (old / (rest + (stages * factors).sum()), "It multiplies seconds by the factors: what gets faster takes less."),
        (old / (old - (stages - stages / factors).sum() / 2), "It mends the stages of one step only: all steps gain."),
        (19 / (19 - stages.sum() + shorter), "Its epoch begins at 0 on the clock, and not with the first mark."),
    ):
        assert not expect.close(result, wrong), sentence
    for marks, factors in (
        ([[5, 9, 11], [13, 15, 19]], [3, 2]),
        ([[100, 103, 104, 109], [110, 111, 115, 118], [120, 122, 123, 124]], [math.inf, 1, 4]),
        ([[7, 8, 10], [11, 14, 15], [19, 20, 22], [23, 25, 26]], [math.inf, math.inf]),
        ([[3, 5, 9]], [2, math.inf]),
        ([[0, 2], [3, 5], [6, 10]], [0.5]),
        ([[1, 2, 4], [4, 7, 8]], [3, 3]),
    ):
        stages, old = seconds(marks, factors)
        new = old - stages.sum() + (stages / factors).sum()
        result = found(marks, factors)
        assert expect.close(result, old / new), (
            f"For the marks {marks} and the factors {factors} it gives {result:.3f}: the epoch took {old:g} seconds, and "
            f"takes {new:g} then."
        )


# %% hint [markdown]
# Work in seconds: how long is the epoch now, and how long is it then? Only at the end comes a division.

# %% hint [markdown]
# What is the epoch's length minus the seconds of all stages?

# %% hint [markdown]
# `np.diff(marks, axis=1)` are the seconds of each stage in each step. A number divided by `math.inf` is 0.

# %% mistake: what lies between the steps is forgotten [markdown]
# It takes the stages for the epoch. Between two steps there is time that no stage has, and it stays: how long is the epoch
# from the first mark to the last?


# %% mistake: what lies between the steps is forgotten
def speed_up(marks, factors):
    stages = np.diff(marks, axis=1).sum(axis=0)
    return stages.sum() / (stages / factors).sum()


# %% mistake: the factors are averaged [markdown]
# It averages the factors. Then a stage of 1 % that costs nothing any more would make the epoch infinitely fast. What can
# be added are seconds.


# %% mistake: the factors are averaged
def speed_up(marks, factors):
    stages = np.diff(marks, axis=1).sum(axis=0)
    return (stages / stages.sum() * factors).sum()


# %% mistake: the factors are averaged
def speed_up(marks, factors):
    stages, old = np.diff(marks, axis=1).sum(axis=0), marks[-1, -1] - marks[0, 0]
    return (stages / old * factors).sum() + (old - stages.sum()) / old


# %% mistake: the factors are multiplied [markdown]
# It multiplies the factors. Each holds for its own stage only, and not for the whole epoch.


# %% mistake: the factors are multiplied
def speed_up(marks, factors):
    return np.prod(factors)


# %% mistake: the wrong way up [markdown]
# It gives the new seconds divided by the old ones. An epoch that takes half as long is *twice* as fast.


# %% mistake: the wrong way up
def speed_up(marks, factors):
    stages, old = np.diff(marks, axis=1).sum(axis=0), marks[-1, -1] - marks[0, 0]
    return (old - stages.sum() + (stages / factors).sum()) / old


# %% exercise [markdown]
# ## 04.5 ★★ The way a row goes on
#
# A user is in the first batch and in none after it. Predict: the first step moves a number of the user's row by one
# learning rate; how far do all later steps together move it, with a gradient of zero each? Write dense Adam for a single
# number to see it.
#
# `gradients` is an array of shape `[T]`, the number's gradient in each step. Give an array (or list) of shape `[T]`: by
# how much each step changes the number, with its sign. Adam keeps two averages that start at 0. Each step takes β₁ of the
# first and 1 − β₁ of the gradient, β₂ of the second and 1 − β₂ of the gradient's square. In step $t$, counted from 1, the
# averages are divided by $1 - \beta_1^t$ and $1 - \beta_2^t$, because they started at 0. With $\hat m$ for the first and
# $\hat v$ for the second, so divided, and $\eta$ for the learning rate, the number moves by
# $-\eta\,\hat m / (\sqrt{\hat v} + \varepsilon)$.


# %% stub
def adam_moves(gradients, learning_rate=5e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """Give the change of one number in each step of Adam, [T] → [T]."""
    ...


# Then look: adam_moves([1.0] + [0.0] * 60)


# %% solution
def adam_moves(gradients, learning_rate=5e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """Give the change of one number in each step of Adam, [T] → [T]."""
    first = second = 0.0
    moves = []
    for t, gradient in enumerate(gradients, start=1):
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        mean, square = first / (1 - beta1**t), second / (1 - beta2**t)
        moves.append(-learning_rate * mean / (math.sqrt(square) + eps))
    return np.array(moves)


# %% why [markdown]
# After a rating in step 1 the number moves another five times as far as it did with it, and after one in step 500 another
# nine times. The first average forgets a tenth in each step: all it has after the first step adds up to nine times what it
# had then. The second, whose root it is divided by, forgets a hundred times more slowly. So a rare user's row is mostly
# moved by steps that have none of the user's ratings. Plain SGD stops at once, and `SparseAdam` lets the averages of
# absent rows stand still: which of them is right is a choice of algorithm, not of speed.


# %% other
def adam_moves(gradients, learning_rate=5e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    number = nn.Parameter(torch.zeros((), dtype=torch.float64))
    adam = torch.optim.Adam([number], lr=learning_rate, betas=(beta1, beta2), eps=eps)
    places = [0.0]
    for gradient in gradients:
        number.grad = torch.tensor(float(gradient), dtype=torch.float64)
        adam.step()
        places.append(number.item())
    return np.diff(places)


# %% check
def mistake_in(adam_moves):
    def steps(
        gradients, rate=5e-3, beta1=0.9, beta2=0.999, eps=1e-8, corrected="12", power=0.5, skipping="", sign=-1.0
    ):
        gradients, out, kept = np.asarray(gradients, float), [], []
        for t, gradient in enumerate(gradients):
            kept = kept if skipping and gradient == 0 else [*kept, gradient]
            ages = np.arange(len(kept))[::-1]
            mean = (np.array(kept) * (1 - beta1) * beta1**ages).sum()
            square = (np.array(kept) ** 2 * (1 - beta2) * beta2**ages).sum()
            n = max(len(kept), 1) if skipping == "count" else t + 1
            mean = mean / (1 - beta1**n) if "1" in corrected else mean
            square = square / (1 - beta2**n) if "2" in corrected else square
            under = np.sqrt(square + eps) if power == "inside" else square**power + eps
            out.append(0.0 if skipping and gradient == 0 else sign * rate * mean / under)
        return np.array(out)

    def overwritten(gradients, rate, beta1, beta2, eps):
        mean, square, out = 0.0, 0.0, []
        for t, gradient in enumerate(gradients, start=1):
            mean = (beta1 * mean + (1 - beta1) * gradient) / (1 - beta1**t)
            square = (beta2 * square + (1 - beta2) * gradient**2) / (1 - beta2**t)
            out.append(-rate * mean / (np.sqrt(square) + eps))
        return out

    def found(gradients, *numbers):
        moves = adam_moves(np.array(gradients, float), *numbers)
        return expect.array(moves, f"What it gives for {len(gradients)} gradients", (len(gradients),))

    gradients, numbers = [0.2, 0.0, -0.05, 0.0, 0.0, 3e-4, 0.1], (0.01, 0.8, 0.99, 0.1)
    moves = found(gradients, *numbers)
    for name, way in (
        ("the averages are not corrected", {"corrected": ""}),
        ("a zero gradient is skipped", {"skipping": "count"}),
        ("a zero gradient is skipped", {"skipping": "steps"}),
        ("it moves with the gradient", {"sign": 1.0}),
        ("ε is under the root", {"power": "inside"}),
    ):
        if expect.close(moves, steps(gradients, *numbers, **way)):
            return name
    if expect.close(moves, overwritten(gradients, *numbers)):
        return "what is kept is corrected"
    for sentence, wrong in (
        (
            "It gives where the number is after each step, and not by how much the step changes it.",
            steps(gradients, *numbers).cumsum(),
        ),
        ("It leaves the arguments unused: `learning_rate`, `beta1`, `beta2` and `eps`.", steps(gradients)),
        (
            "It corrects one of the two averages only, and both have started at 0.",
            steps(gradients, *numbers, corrected="1"),
        ),
        (
            "It corrects one of the two averages only, and both have started at 0.",
            steps(gradients, *numbers, corrected="2"),
        ),
        ("It divides by the second average: where is its root?", steps(gradients, *numbers, power=1.0)),
        ("It leaves ε out, or does not take the one that is given.", steps(gradients, *numbers[:3], 0.0)),
    ):
        assert not expect.close(moves, wrong), sentence
    for gradients, numbers in (
        ([0.2, 0.0, -0.05, 0.0, 0.0, 3e-4, 0.1], (0.01, 0.8, 0.99, 0.1)),
        ([1.0] + [0.0] * 60, ()),
        ([0.0, 0.0, -7.0, 0.0], ()),
        ([3e-9, 0.0], ()),
        ([-3e-3], (1.0, 0.5, 0.5, 1e-3)),
        ([1e-6, 2e-6, 0.0], (0.1, 0.9, 0.999, 1e-8)),
    ):
        expected, moves = steps(gradients, *numbers), found(gradients, *numbers)
        wrong = np.flatnonzero(~np.isclose(moves, expected, rtol=1e-3, atol=1e-9))
        if len(wrong):
            some, i = ", ".join(f"{gradient:g}" for gradient in gradients[:7]), wrong[0]
            some += ", …" if len(gradients) > 7 else ""
            rate, beta1, beta2, eps = numbers or (5e-3, 0.9, 0.999, 1e-8)
            raise AssertionError(
                f"For the gradients {some} (learning rate {rate:g}, β₁ {beta1:g}, β₂ {beta2:g}, ε {eps:g}) step {i + 1} "
                f"moves the number by {moves[i]:.6f}, not by {expected[i]:.6f}."
            )


# %% hint [markdown]
# Two numbers live from step to step. Write one step, for a gradient of 1 as the first: whatever the gradient's size, it
# moves the number by about the learning rate.

# %% hint [markdown]
# A gradient of zero is a gradient: both averages are updated with it, and the number moves.

# %% hint [markdown]
# `enumerate(gradients, start=1)` counts the steps. Divide copies of the averages by the corrections; what is kept stays as
# it is.

# %% mistake: the averages are not corrected [markdown]
# It leaves out the division by $1 - \beta^t$. Both averages start at 0 and are far too small in the first steps, one of
# them more than the other.


# %% mistake: the averages are not corrected
def adam_moves(gradients, learning_rate=5e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    first = second = 0.0
    moves = []
    for gradient in gradients:
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        moves.append(-learning_rate * first / (math.sqrt(second) + eps))
    return np.array(moves)


# %% mistake: a zero gradient is skipped [markdown]
# Steps with a gradient of zero do not move the number. That is `SparseAdam`'s way. Dense Adam cannot tell an absent user
# from a gradient of zero.


# %% mistake: a zero gradient is skipped
def adam_moves(gradients, learning_rate=5e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    first = second = t = 0.0
    moves = []
    for gradient in gradients:
        if gradient == 0:
            moves.append(0.0)
            continue
        t += 1
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        moves.append(-learning_rate * first / (1 - beta1**t) / (math.sqrt(second / (1 - beta2**t)) + eps))
    return np.array(moves)


# %% mistake: it moves with the gradient [markdown]
# The sizes are right, and the number goes uphill: a gradient says where the loss *rises*.


# %% mistake: it moves with the gradient
def adam_moves(gradients, learning_rate=5e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    first = second = 0.0
    moves = []
    for t, gradient in enumerate(gradients, start=1):
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        moves.append(learning_rate * first / (1 - beta1**t) / (math.sqrt(second / (1 - beta2**t)) + eps))
    return np.array(moves)


# %% mistake: ε is under the root [markdown]
# It adds ε before the root is taken. A small ε under a root is a much larger one: the root of 1e-8 is 1e-4.


# %% mistake: ε is under the root
def adam_moves(gradients, learning_rate=5e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    first = second = 0.0
    moves = []
    for t, gradient in enumerate(gradients, start=1):
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        moves.append(-learning_rate * first / (1 - beta1**t) / math.sqrt(second / (1 - beta2**t) + eps))
    return np.array(moves)


# %% mistake: what is kept is corrected [markdown]
# It divides the averages by $1 - \beta^t$ and keeps the result. The next step then corrects what is corrected already: the
# division is for this step's move only.


# %% mistake: what is kept is corrected
def adam_moves(gradients, learning_rate=5e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    first = second = 0.0
    moves = []
    for t, gradient in enumerate(gradients, start=1):
        first = (beta1 * first + (1 - beta1) * gradient) / (1 - beta1**t)
        second = (beta2 * second + (1 - beta2) * gradient**2) / (1 - beta2**t)
        moves.append(-learning_rate * first / (math.sqrt(second) + eps))
    return np.array(moves)


# %% exercise [markdown]
# ## 04.6 ★★★ Which batch size would you like to win?
#
# A colleague compares batches of 1,024 and of 8,192 rows at one learning rate and says which is better. Can the choice of
# that rate decide who wins? And who wins if each size has a rate of its own? This model has the biases and the penalty
# that the notebook's had not.
#
# `fit(batch_size, learning_rate, seed)` from the setup trains for six epochs and gives the lowest validation MSE of them.
# Try both sizes at the rates 0.005, 0.02, 0.04 and 0.16, each with the same three seeds or more. All fits together take
# some five seconds. Hand over
#
# - `"1,024"` and `"8,192"`: these errors with all their digits, shape `[4, n_seeds]`, a row for each rate in this order
#   (lists, an array or a tensor);
# - `"own rates"`: the best rate of 1,024 and the best rate of 8,192, a list of two, each by its mean over the seeds;
# - `"biases"`: the validation MSE of a rival without any rate, `utilities.BiasBaseline.fit(train_df, 4, scale)`, from its
#   `.predict(val_df)` and `utilities.rating_metrics`;
# - `"at one rate"`: `"1,024 at every rate"`, `"8,192 at every rate"` or `"it depends on the rate"`, by who has the lower
#   mean over the seeds;
# - `"conclusion"`: who wins with own rates, at six epochs each: `"1,024"` or `"8,192"`, or `"no difference seen"` if the
#   ranges of the seeds overlap.

# %% stub
RATES = [0.005, 0.02, 0.04, 0.16]


def errors_of(batch_size, seeds=range(3)):
    """Give the error of each fit, a row for each rate."""
    ...


answer = {
    "1,024": ...,
    "8,192": ...,
    "own rates": ...,
    "biases": ...,
    "at one rate": ...,
    "conclusion": ...,
}

# %% solution
RATES = [0.005, 0.02, 0.04, 0.16]


def errors_of(batch_size, seeds=range(3)):
    """Give the error of each fit, a row for each rate."""
    return np.array([[fit(batch_size, rate, seed) for seed in seeds] for rate in RATES])


small, large = errors_of(1024), errors_of(8192)
biases = utilities.BiasBaseline.fit(train_df, 4, scale).predict(val_df)
answer = {
    "1,024": small,
    "8,192": large,
    "own rates": [RATES[errors.mean(axis=1).argmin()] for errors in (small, large)],
    "biases": utilities.rating_metrics(val_df["rating"], biases)["mse"],
    "at one rate": "it depends on the rate",
    "conclusion": "1,024",
}

# %% why [markdown]
# At 0.005 the large batch is far behind and does not even reach the biases. At 0.16 it is clearly ahead. Nothing has
# changed but the one rate at which both were compared, so such a comparison says which size that rate suits. With a rate
# of its own the large batch passes the biases and ends a little behind, in every seed. Both had six epochs: the large one
# has made 24 updates, the small one 186. Whether that is what is left, these numbers do not say. It takes another
# experiment, `n_epochs=47` for the large one, with rates of its own again.

# %% other
answer = {  # seeds 3 to 6, as lists and a tensor
    "1,024": [
        [0.7140, 0.7171, 0.7167, 0.7127],
        [0.7046, 0.7007, 0.7073, 0.7006],
        [0.7141, 0.7044, 0.7106, 0.7125],
        [0.8024, 0.7998, 0.7951, 0.8050],
    ],
    "8,192": torch.tensor(
        [
            [0.89553, 0.89541, 0.89641, 0.89639],
            [0.7333, 0.7332, 0.7399, 0.7310],
            [0.7122, 0.7143, 0.7225, 0.7117],
            [0.7378, 0.7367, 0.7471, 0.7348],
        ]
    ),
    "own rates": (0.02, 0.04),
    "biases": 0.7277,
    "at one rate": "it depends on the rate",
    "conclusion": "1,024",
}


# %% check
def mistake_in(answer):
    rates = np.array([0.005, 0.02, 0.04, 0.16])
    tables = {}
    for size in ("1,024", "8,192"):
        tables[size] = expect.array(answer[size], f"{size!r}")
        assert tables[size].ndim == 2 and len(tables[size]) == 4, (
            f"{size!r} should have the shape [4, n_seeds], a row for each rate; it has {list(tables[size].shape)}."
        )
    small, large = tables.values()
    if min(small.shape[1], large.shape[1]) < 3:
        return "too few seeds"
    assert small.shape == large.shape, "The two sizes do not have as many seeds: the one with more has more chances."
    ways = ("1,024 at every rate", "8,192 at every rate", "it depends on the rate")
    for key, words in (("at one rate", ways), ("conclusion", (*tables, "no difference seen"))):
        expect.one_of(answer[key], words, repr(key))
    if small[1].max() < 0.6:
        return "errors on the training rows"
    if large.max() < 0.73:
        return "more epochs for the larger batch"
    if large[0].min() > 0.9035 and small[1].min() > 0.712:
        return "errors on the test rows"
    bands = {  # well beyond what 16 seeds gave, more than four standard deviations from their mean
        "1,024": ([0.704, 0.680, 0.685, 0.775], [0.728, 0.722, 0.730, 0.840]),
        "8,192": ([0.884, 0.708, 0.690, 0.705], [0.908, 0.760, 0.745, 0.785]),
    }
    for size, (lowest, highest) in bands.items():
        for rate, errors, low, high in zip(rates, tables[size], lowest, highest, strict=True):
            expect.runs(errors, f"{size!r} at the rate {rate:g}")
            assert low < errors.min() <= errors.max() < high, (
                f"Batches of {size} at the rate {rate:g}: errors of {errors.min():.3f} to {errors.max():.3f} do not come "
                "from `fit`. Are the rows in the order of the rates?"
            )
    biases = expect.number(answer["biases"], "'biases'")
    assert not any(expect.close(biases, other, 5e-4) for other in (0.75001, 0.68799)), (
        "The biases are judged on other rows than the models: a rival is judged on the same ones, here `val_df`."
    )
    assert not expect.close(biases, math.sqrt(0.72772), 5e-4), f"{biases:.4f} is the root of the biases' MSE."
    assert expect.close(biases, 0.72772, 5e-4), (
        f"The biases do not have the validation MSE {biases:.4f}: fitted on `train_df`, with the 4, and asked on `val_df`?"
    )
    own, best = (
        expect.array(answer["own rates"], "'own rates'", (2,)),
        [errors.mean(axis=1).argmin() for errors in (small, large)],
    )
    assert not all(rate in range(5) for rate in own), "'own rates' has the numbers of two rows: hand over the rates."
    if own[0] == own[1] and best[0] != best[1]:
        return "one rate for both"
    for size, rate, row in zip(tables, own, best, strict=True):
        assert expect.close(rate, rates[row]), f"By its mean over the seeds {rate:g} is not the best rate of {size}."
    leads = small.mean(axis=1) < large.mean(axis=1)
    at_one = (
        "1,024 at every rate" if leads.all() else "it depends on the rate" if leads.any() else "8,192 at every rate"
    )
    some, others = small[best[0]], large[best[1]]
    said = "no difference seen" if expect.overlap(some, others) else "1,024" if some.max() < others.min() else "8,192"
    assert answer["at one rate"] == at_one, (
        "Your numbers say otherwise than your 'at one rate'. Compare the two tables row by row, by the means over the seeds."
    )
    if answer["conclusion"] != said:
        return "a conclusion that the numbers do not carry"


# %% hint [markdown]
# Write the loop for one size first and look at its four rows. Both sizes get the same rates and seeds, so that neither has
# more trials.

# %% hint [markdown]
# For `"at one rate"` compare the two tables row by row. For the conclusion take one row of each. Which?

# %% hint [markdown]
# `errors.mean(axis=1).argmin()` is the number of the best rate. The ranges overlap if the worst seed of the lower row is
# above the best seed of the other.

# %% mistake: too few seeds [markdown]
# One or two runs of each kind cannot tell the size from the luck of the start: take three seeds or more.

# %% mistake: too few seeds
answer = answer | {"1,024": [[0.7151], [0.7014], [0.7121], [0.8158]], "8,192": [[0.8962], [0.7332], [0.7113], [0.7457]]}

# %% mistake: errors on the training rows [markdown]
# So low are only the errors on the rows that the models were trained on. What do they say of new ratings?

# %% mistake: errors on the training rows
answer = answer | {
    "1,024": [[0.6591, 0.6527, 0.6571], [0.5487, 0.5355, 0.5303], [0.5320, 0.5259, 0.5247], [0.7019, 0.6962, 0.7013]],
    "8,192": [[0.8883, 0.8867, 0.8892], [0.6762, 0.6696, 0.6829], [0.5880, 0.5804, 0.6017], [0.5308, 0.5186, 0.5490]],
}

# %% mistake: errors on the test rows [markdown]
# These are errors on the test rows. A rate is chosen with them here, and then they are no test any more: which rows are
# for choosing?

# %% mistake: errors on the test rows
answer = answer | {
    "1,024": [[0.7351, 0.7364, 0.7380], [0.7175, 0.7152, 0.7152], [0.7277, 0.7221, 0.7247], [0.8199, 0.8197, 0.8152]],
    "8,192": [[0.9075, 0.9057, 0.9086], [0.7555, 0.7514, 0.7654], [0.7362, 0.7324, 0.7536], [0.7640, 0.7605, 0.7683]],
}

# %% mistake: more epochs for the larger batch [markdown]
# At 0.005 the larger batch gets there only with many more epochs than six. With as many updates it is another experiment,
# worth doing next; here both get the same epochs.

# %% mistake: more epochs for the larger batch
answer = answer | {
    "1,024": [[0.7151, 0.7157, 0.7182], [0.7014, 0.6995, 0.6979], [0.7121, 0.7072, 0.7070], [0.8158, 0.8001, 0.8002]],
    "8,192": [[0.7042, 0.7022, 0.7021], [0.7053, 0.7013, 0.7106], [0.7061, 0.7042, 0.7129], [0.7132, 0.7072, 0.7139]],
}

# %% mistake: one rate for both [markdown]
# Both sizes have got the same rate, and that rate is the best for one of them. Look at the means of each table by itself.

# %% mistake: one rate for both
answer = answer | {
    "1,024": [[0.7151, 0.7157, 0.7182], [0.7014, 0.6995, 0.6979], [0.7121, 0.7072, 0.7070], [0.8158, 0.8001, 0.8002]],
    "8,192": [[0.8962, 0.8950, 0.8976], [0.7332, 0.7289, 0.7428], [0.7113, 0.7092, 0.7265], [0.7457, 0.7354, 0.7467]],
    "own rates": [0.02, 0.02],
}

# %% mistake: one rate for both
answer = answer | {
    "1,024": [[0.7151, 0.7157, 0.7182], [0.7014, 0.6995, 0.6979], [0.7121, 0.7072, 0.7070], [0.8158, 0.8001, 0.8002]],
    "8,192": [[0.8962, 0.8950, 0.8976], [0.7332, 0.7289, 0.7428], [0.7113, 0.7092, 0.7265], [0.7457, 0.7354, 0.7467]],
    "own rates": [0.005, 0.005],
}

# %% mistake: a conclusion that the numbers do not carry [markdown]
# Your numbers say otherwise than your `"conclusion"`. Of each size's best row: does the worst seed of one beat the best of
# the other?

# %% mistake: a conclusion that the numbers do not carry
answer = answer | {
    "1,024": [[0.7151, 0.7157, 0.7182], [0.7014, 0.6995, 0.6979], [0.7121, 0.7072, 0.7070], [0.8158, 0.8001, 0.8002]],
    "8,192": [[0.8962, 0.8950, 0.8976], [0.7332, 0.7289, 0.7428], [0.7113, 0.7092, 0.7265], [0.7457, 0.7354, 0.7467]],
    "conclusion": "no difference seen",
}

# %% mistake: a conclusion that the numbers do not carry
answer = answer | {
    "1,024": [[0.7151, 0.7157, 0.7182], [0.7014, 0.6995, 0.6979], [0.7121, 0.7072, 0.7070], [0.8158, 0.8001, 0.8002]],
    "8,192": [[0.8962, 0.8950, 0.8976], [0.7332, 0.7289, 0.7428], [0.7113, 0.7092, 0.7265], [0.7457, 0.7354, 0.7467]],
    "conclusion": "8,192",
}
