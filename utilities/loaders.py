"""Batches as slices of tensors, inside PyTorch's own `DataLoader`."""

import warnings
from collections.abc import Callable
from functools import partial
from inspect import signature
from itertools import islice
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from utilities.frames import as_frame, check_ids, describe_rows, whole_number
from utilities.releases import OWN, RELEASES
from utilities.splits import split_train_test

LARGE_FROM = 2_000_000  # ratings


class RatingsDataset(Dataset):
    """Ratings as three tensors of one length: user ids i64, movie ids i64, ratings f32.

    Attributes:
        record: What the rows are, for the record of a run; empty unless `get_data_loaders` has made the dataset.
    """

    def __init__(self, ratings_df: pl.DataFrame, record: dict[str, str | int | float] | None = None):
        """Copy the columns `userIdMapped`, `movieIdMapped` and `rating` of a frame, refusing what are no ratings."""
        ratings_df = _columns(ratings_df)
        self.record = record or {}
        self.user_ids = ratings_df["userIdMapped"].cast(pl.Int64).to_torch()
        self.movie_ids = ratings_df["movieIdMapped"].cast(pl.Int64).to_torch()
        self.ratings = ratings_df["rating"].cast(pl.Float32).to_torch()

    def __len__(self):
        """Count the ratings."""
        return len(self.ratings)

    def __getitem__(self, index):
        """Give one rating, or those of a slice."""
        return self.user_ids[index], self.movie_ids[index], self.ratings[index]

    def __getitems__(self, indices):
        """Give the batch of these indices; `index_select` takes a third of the time of indexing with a tensor."""
        indices = torch.as_tensor(indices)
        return tuple(column.index_select(0, indices) for column in (self.user_ids, self.movie_ids, self.ratings))


class EpochSampler(RandomSampler):
    """A `RandomSampler` whose order depends on a seed and the number of the epoch alone.

    Whatever else drew random numbers, and however often the rows were passed before: an epoch that is resumed has its own
    order again. The seed is drawn from torch's global generator, once. Lightning calls `set_epoch`, as it does for a
    `DistributedSampler`; in a loop of one's own each pass is the next epoch.

    Attributes:
        seed: Fixes all the orders.
        epoch: Number of the next pass, from 0.
    """

    def __init__(self, data_source: Dataset):
        """Draw the seed."""
        super().__init__(data_source)
        self.seed, self.epoch = int(torch.empty((), dtype=torch.int64).random_()), 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass is."""
        self.epoch = epoch

    def order(self) -> torch.Tensor:
        """Give the rows of this epoch in order (i64, shape `[N]`), and go on to the next."""
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        self.epoch += 1
        return torch.randperm(len(self), generator=generator)

    def __iter__(self):
        """Yield the rows of this epoch one by one."""
        yield from self.order().tolist()


class IndexBatchSampler(BatchSampler):
    """A `BatchSampler` whose batches are tensors of indices, not lists of ints.

    The order of the rows is the sampler's, so that a distributed sampler can take its place. The two of `get_data_loaders`
    are asked for the whole order at once; any other is walked through index by index.
    """

    def __iter__(self):
        """Yield the indices of each batch (i64), the last one short unless `drop_last`."""
        yield from self._order().split(self.batch_size)[: len(self)]

    def _order(self) -> torch.Tensor:
        if isinstance(self.sampler, EpochSampler):
            return self.sampler.order()
        if type(self.sampler) is SequentialSampler:
            return torch.arange(len(self.sampler))
        return torch.tensor(list(self.sampler), dtype=torch.int64)


class RatingsLoader(DataLoader):
    """A `DataLoader` over an `IndexBatchSampler` that a checkpoint can be resumed with, in the middle of an epoch too.

    A pass starts when its first batch is asked for: Lightning makes the iterator before it names the epoch.
    """

    _state = _resumed = None  # as in a checkpoint: of the latest pass, of the one to go on with

    @property
    def sampler(self):
        """The sampler in use; where there is a batch sampler, PyTorch's own attribute is a stand-in."""
        return self.batch_sampler.sampler

    @sampler.setter
    def sampler(self, stand_in):
        pass

    def __iter__(self):
        """Yield the batches; after a resumption, those left of the epoch."""
        state = {name: getattr(self.sampler, name, None) for name in ("seed", "epoch")} | {"n_batches": 0}
        resumed, self._resumed = self._resumed, None
        if resumed and resumed["epoch"] == state["epoch"] is not None:
            state["n_batches"] = resumed["n_batches"]
        self._state = state
        for batch in islice(super().__iter__(), state["n_batches"], None):
            state["n_batches"] += 1
            yield batch

    def state_dict(self) -> dict[str, int | None]:
        """Give what a checkpoint keeps: the seed, the epoch, and how many of its batches were passed."""
        return dict(self._state or {})

    def load_state_dict(self, state: dict[str, int | None]) -> None:
        """Take up what a checkpoint kept: the next pass is the rest of that epoch, or the next one if nothing is left."""
        self._state = self._resumed = dict(state)
        if state and hasattr(self.sampler, "set_epoch"):
            self.sampler.seed = state["seed"]
            self.sampler.set_epoch(state["epoch"] + (state["n_batches"] == len(self)))


class DataLoaders(NamedTuple):
    """The loaders of one split."""

    train: DataLoader
    val: DataLoader
    test: DataLoader


def get_data_loaders(
    ratings_df: pl.DataFrame,
    *,
    batch_size: int | None = None,
    sample: int | None = None,
    num_workers: int = 0,
    split: Callable[[pl.DataFrame], tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]] = split_train_test,
) -> DataLoaders:
    """Split ratings and wrap each part in a `DataLoader`.

    A batch is a triple of tensors of shape `[B]`: user ids i64, movie ids i64, ratings f32. Training rows come in
    a new order each epoch, which depends on the epoch's number and a seed alone; the seed is drawn here, from torch's global
    generator: seed that, and the orders repeat. Validation and test rows keep theirs. The last, shorter batch is kept.

    Args:
        ratings_df: Ratings with columns `userIdMapped`, `movieIdMapped` and `rating`; a pandas or a lazy frame will do.
        batch_size: Rows of a batch. Unless given, the default of the release that `load_torch_data` made the frame from; of
            other frames, 1,024, and from two million ratings on 4,096.
        sample: Train on the first `sample` training rows only; validation and test stay whole, so that models trained on
            more or less can be compared.
        num_workers: Processes that fetch batches; with 0 the training process does.
        split: What divides the rows, all columns of them, into training, validation and test rows.

    Returns:
        The loaders, as attributes `train`, `val` and `test` or by unpacking. The `dataset.record` of each says what was
        divided and how: `dataset`, `top_movies`, `dataset_sample` (`MOVIELENS_SAMPLE`), `rows_digest`, `n_ratings`, `split`,
        `split_seed` and `sample`. A release is named if the rows are just those that `load_torch_data` made of it; a seed,
        if it is a parameter of the split.

    Raises:
        ValueError: A number is out of range, a column is missing or holds a value that cannot be trained on, or there are
            too few rows to split.
        TypeError: `ratings_df` is no frame.
    """
    batch_size = None if batch_size is None else whole_number("batch_size", batch_size, 1)
    sample = None if sample is None else whole_number("sample", sample, 1)
    num_workers = whole_number("num_workers", num_workers, 0)
    ratings_df = as_frame(ratings_df)
    columns_df = _columns(ratings_df)
    record = describe_rows(columns_df) | _describe_split(split) | {"sample": sample or "all"}
    parts = split(columns_df if split is split_train_test else ratings_df)
    if not isinstance(parts, tuple | list) or len(parts) != 3:
        raise ValueError(f"{split} returned {type(parts).__name__}, not three frames: training, validation, test rows")
    train_df, val_df, test_df = map(_columns, parts)
    if train_df.is_empty():
        raise ValueError(f"{split} left no rows to train on")
    if sample is not None and sample > train_df.height:
        warnings.warn(f"sample={sample}, but there are only {train_df.height} training rows: all taken", stacklevel=2)
        record["sample"] = "all"
    train, val, test = (
        RatingsDataset(train_df.head(sample or train_df.height), record),
        RatingsDataset(val_df, record),
        RatingsDataset(test_df, record),
    )
    batch_size = batch_size or _default_batch_size(record)
    return DataLoaders(
        _loader(EpochSampler(train), batch_size, num_workers),
        _loader(SequentialSampler(val), batch_size, num_workers),
        _loader(SequentialSampler(test), batch_size, num_workers),
    )


def _describe_split(split: Callable) -> dict[str, str | int | float]:
    """Name a split, and its parameters that are numbers or texts as `split_…`; what is called inside it is not known."""
    function = split.func if isinstance(split, partial) else split
    record = {"split": getattr(function, "__name__", type(function).__name__)}
    try:
        parameters = signature(split).parameters.values()
    except ValueError:  # some functions in C have none
        return record
    for name, value in (
        (p.name, p.default.item() if isinstance(p.default, np.generic) else p.default) for p in parameters
    ):
        if isinstance(value, int | float | str):
            record[f"split_{name}"] = value
    return record


def _default_batch_size(record: dict) -> int:
    """Take the release's; of own rows, that of the small releases or, from as many rows on, that of the large ones."""
    own = "built-in" if record["n_ratings"] < LARGE_FROM else "ml-25m"
    return (RELEASES | OWN).get(record["dataset"], RELEASES[own]).batch_size


def _columns(ratings_df: pl.DataFrame) -> pl.DataFrame:
    """Select what the tensors are made of, so that the split copies nothing else, and refuse what cannot be trained on."""
    ratings_df = as_frame(ratings_df)
    missing = [c for c in ("userIdMapped", "movieIdMapped", "rating") if c not in ratings_df.columns]
    if missing:
        raise ValueError(f"missing columns {missing}; map_users_and_movies adds the …Mapped ones")
    ratings_df = check_ids(ratings_df, "userIdMapped", "movieIdMapped").select(
        "userIdMapped", "movieIdMapped", "rating"
    )
    for column in ("userIdMapped", "movieIdMapped"):
        if (lowest := ratings_df[column].min() or 0) < 0:
            raise ValueError(f"column {column!r} goes down to {lowest}: a table's rows are counted from 0")
    ratings = ratings_df["rating"]
    if not ratings.dtype.is_numeric():
        raise ValueError(f"column 'rating' is {ratings.dtype}, not numbers: cast it, as to pl.Float64")
    if n_wrong := ratings_df.height - (ratings.cast(pl.Float64).is_finite().sum() or 0):
        raise ValueError(f"{n_wrong} ratings are null, NaN or infinite: drop these rows")
    return ratings_df


def _loader(sampler: EpochSampler | SequentialSampler, batch_size: int, num_workers: int) -> RatingsLoader:
    return RatingsLoader(
        sampler.data_source,
        batch_sampler=IndexBatchSampler(sampler, batch_size, drop_last=False),
        collate_fn=_as_is,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )


def _as_is(batch):
    """Collate nothing: the dataset has returned whole batches."""
    return batch
