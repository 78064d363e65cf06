import re
from functools import partial

import numpy as np
import polars as pl
import pytest
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from tiny import mapped_ratings_df
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from utilities import IndexBatchSampler, get_data_loaders, load_torch_data, split_train_test
from utilities import loaders as loaders_module

# 100 rows: 70 to train on (batches of 32, 32 and 6), 20 and 10 to evaluate on. Users number the rows.
RATINGS_DF = mapped_ratings_df(100).with_columns(userIdMapped=pl.col("row").cast(pl.UInt32))


def passed_rows(loader):
    """Pass through a loader once and give its rows, in order."""
    return [row for batch in loader for row in zip(*(column.tolist() for column in batch), strict=True)]


@pytest.fixture
def loaders():
    return get_data_loaders(RATINGS_DF, batch_size=32)


def test_batches_are_int64_ids_and_float32_ratings_and_the_last_is_short(loaders):
    batches = list(loaders.train)
    assert [len(ratings) for _, _, ratings in batches] == [32, 32, 6]
    for batch in batches:
        assert [column.dtype for column in batch] == [torch.int64, torch.int64, torch.float32]
        assert len({column.shape for column in batch}) == 1
    assert (len(loaders.train), len(loaders.val), len(loaders.test)) == (3, 1, 1)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_rows_are_those_of_the_default_loader_each_exactly_once(num_workers):
    loaders = get_data_loaders(RATINGS_DF, batch_size=32, num_workers=num_workers)
    assert all(isinstance(loader, DataLoader) for loader in loaders)
    for loader, df in zip(loaders, split_train_test(RATINGS_DF), strict=True):
        columns = [df["userIdMapped"].to_list(), df["movieIdMapped"].to_list(), df["rating"].to_list()]
        default_loader = DataLoader(TensorDataset(*map(torch.tensor, columns)), batch_size=32, shuffle=True)
        for _ in range(2):
            rows = passed_rows(loader)
            assert sorted(rows) == sorted(passed_rows(default_loader))
            assert len(set(rows)) == len(rows) == df.height


@pytest.mark.parametrize("num_workers", [0, 2])
def test_training_rows_come_in_a_new_order_each_epoch_and_in_the_same_again_for_the_same_seed(num_workers):
    def two_epochs(seed, workers):
        torch.manual_seed(seed)
        loader = get_data_loaders(RATINGS_DF, batch_size=32, num_workers=workers).train
        torch.rand(3)  # whatever else draws random numbers
        return passed_rows(loader), passed_rows(loader)

    first, second = two_epochs(0, num_workers)
    assert first != second
    assert two_epochs(0, 0) == (first, second)
    assert two_epochs(1, num_workers)[0] != first


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_has_its_own_order_however_often_the_rows_were_passed_before(num_workers):
    loader = get_data_loaders(RATINGS_DF, batch_size=32, num_workers=num_workers).train
    epochs = [passed_rows(loader) for _ in range(3)]
    for epoch in (2, 0, 1):
        iterator = iter(loader)  # Lightning makes it first and names the epoch then
        loader.sampler.set_epoch(epoch)
        assert passed_rows(iterator) == epochs[epoch]
    assert passed_rows(loader) == epochs[2]


@pytest.mark.parametrize("n_passed", [0, 1, 2, 3])
def test_a_loop_of_ones_own_goes_on_where_a_kept_state_says(n_passed):
    loader, other = (get_data_loaders(RATINGS_DF, batch_size=32).train for _ in range(2))
    two_epochs = passed_rows(loader) + passed_rows(loader)
    loader.sampler.set_epoch(0)
    batches = iter(loader)
    passed = [len(next(batches)[0]) for _ in range(n_passed)]
    other.load_state_dict(loader.state_dict() if n_passed else {})
    expected = two_epochs[sum(passed) :][:70] if n_passed == 3 else two_epochs[sum(passed) : 70]
    assert (passed_rows(other) == expected) == (n_passed > 0)  # without a state the other has a seed of its own


class RecordingModel(lightning.LightningModule):
    """Learns one number a user, and keeps what it was trained on: (epoch, rows of the batch)."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding.from_pretrained(torch.zeros(100, 1), freeze=False)
        self.batches = []

    def training_step(self, batch, batch_idx):
        users, _, ratings = batch
        self.batches.append((self.current_epoch, users.tolist()))
        return ((self.table(users).squeeze(1) - ratings) ** 2).mean()

    def validation_step(self, batch, batch_idx):
        """Do nothing; that validation takes place is what matters."""

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)


def recorded_fit(seed=0, ckpt_path=None, callbacks=(), loaders=None, **options):
    lightning.seed_everything(seed, verbose=False)
    loaders = loaders or get_data_loaders(RATINGS_DF, batch_size=32)
    options |= dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    options |= {"enable_checkpointing": bool(callbacks), "accelerator": "cpu", "callbacks": [*callbacks]}
    model = RecordingModel()
    lightning.Trainer(**({"max_epochs": 3} | options)).fit(model, loaders.train, loaders.val, ckpt_path=ckpt_path)
    return model


@pytest.mark.filterwarnings("ignore::UserWarning")  # Lightning's advice on workers and intervals
@pytest.mark.parametrize("options", [{}, {"limit_train_batches": 2}, {"val_check_interval": 2}])
def test_a_fit_resumed_after_any_step_passes_the_batches_left_and_ends_with_the_same_weights(tmp_path, options):
    every_step = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    loaders = get_data_loaders(RATINGS_DF, batch_size=32)
    whole = recorded_fit(callbacks=[every_step], loaders=loaders, **options)
    for step in range(1, len(whole.batches)):
        for again in (loaders, None):  # in the same process; in another one, which has drawn another seed
            rest = recorded_fit(9, tmp_path / f"step={step}.ckpt", loaders=again, **options)
            assert rest.batches == whole.batches[step:]
            assert torch.equal(rest.table.weight, whole.table.weight)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_overfitting_on_a_few_batches_passes_the_same_ones_in_each_epoch():
    batches = recorded_fit(overfit_batches=1).batches
    assert [users for _, users in batches] == [batches[0][1]] * 3


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("options", [{"num_samples": 25}, {"num_samples": 250}, {"replacement": True}, {}])
def test_a_batch_sampler_keeps_the_order_and_number_of_the_sampler_it_is_given(options, drop_last):
    def batches_of(kind):
        rows = RandomSampler(range(100), generator=torch.Generator().manual_seed(5), **options)
        return kind(rows, 32, drop_last)

    ours, pytorchs = batches_of(IndexBatchSampler), batches_of(BatchSampler)
    assert len(ours) == len(pytorchs)
    assert [batch.tolist() for batch in ours] == list(pytorchs)


def test_validation_and_test_rows_keep_the_order_of_the_split(loaders):
    _, val_df, test_df = split_train_test(RATINGS_DF)
    for loader, df in ((loaders.val, val_df), (loaders.test, test_df)):
        expected = df.select("userIdMapped", "movieIdMapped", "rating").rows()
        assert passed_rows(loader) == passed_rows(loader) == expected


def test_loaders_unpack_in_the_order_train_val_test(loaders):
    train, val, test = loaders
    assert (train, val, test) == (loaders.train, loaders.val, loaders.test)
    assert [len(loader.dataset) for loader in loaders] == [70, 20, 10]


def test_a_sample_is_the_first_training_rows_and_leaves_validation_and_test_whole():
    loaders = get_data_loaders(RATINGS_DF, batch_size=32, sample=40)
    train_df, val_df, test_df = split_train_test(RATINGS_DF)
    assert loaders.train.dataset.user_ids.tolist() == train_df["row"].to_list()[:40]
    assert sorted(user for user, _, _ in passed_rows(loaders.train)) == sorted(train_df["row"].head(40))
    assert loaders.val.dataset.user_ids.tolist() == val_df["row"].to_list()
    assert loaders.test.dataset.user_ids.tolist() == test_df["row"].to_list()


def test_a_sample_larger_than_the_training_rows_says_so_and_takes_all():
    with pytest.warns(UserWarning, match="sample=71, but there are only 70 training rows: all taken"):
        loaders = get_data_loaders(RATINGS_DF, sample=71)
    assert len(loaders.train.dataset) == 70


def test_another_split_divides_the_rows_by_any_of_their_columns():
    def by_row(df):
        return (
            df.filter(pl.col("row") < 60),
            df.filter(pl.col("row").is_between(60, 79)),
            df.filter(pl.col("row") >= 80),
        )

    loaders = get_data_loaders(RATINGS_DF, batch_size=32, split=by_row)
    assert [sorted(user for user, _, _ in passed_rows(loader)) for loader in loaders] == [
        [*range(60)],
        [*range(60, 80)],
        [*range(80, 100)],
    ]


def test_the_batch_size_is_that_of_the_frames_release_or_goes_by_the_size(monkeypatch):
    def batch_size(ratings_df):
        return get_data_loaders(ratings_df).train.batch_sampler.batch_size

    monkeypatch.setenv("MOVIELENS_DATASET", "ml-25m")  # says nothing about the frame
    assert batch_size(RATINGS_DF) == 1024
    monkeypatch.setattr(loaders_module, "LARGE_FROM", 100)
    assert batch_size(RATINGS_DF) == 4096
    assert batch_size(RATINGS_DF.head(99)) == 1024
    assert batch_size(load_torch_data("built-in", 50)[0]) == 1024


NUMPYS_3 = np.int64(3)


def by_row(df, seed=NUMPYS_3, share=0.1, key=None):
    return df, df, df


class Fold:
    def __call__(self, df):
        return df, df, df

    def part(self, df):
        return df, df, df


@pytest.mark.parametrize(
    ("split", "record"),
    [
        (split_train_test, {"split": "split_train_test", "split_seed": 42}),
        (partial(split_train_test, seed=1), {"split": "split_train_test", "split_seed": 1}),
        (partial(split_train_test, seed=np.int64(7)), {"split": "split_train_test", "split_seed": 7}),
        (partial(partial(split_train_test, seed=1), seed=2), {"split": "split_train_test", "split_seed": 2}),
        (partial(split_train_test, seed=None), {"split": "split_train_test"}),
        (lambda df: split_train_test(df, seed=1), {"split": "<lambda>"}),
        (by_row, {"split": "by_row", "split_seed": 3, "split_share": 0.1}),
        (partial(by_row, share=0.2), {"split": "by_row", "split_seed": 3, "split_share": 0.2}),
        (Fold(), {"split": "Fold"}),
        (Fold().part, {"split": "part"}),
    ],
)
def test_the_record_names_the_split_and_the_seed_it_was_called_with(split, record):
    loaders = get_data_loaders(RATINGS_DF, split=split)
    recorded = loaders.train.dataset.record
    assert {name: value for name, value in recorded.items() if name.startswith("split")} == record
    assert all(type(value) in (str, int, float) for value in recorded.values())
    assert loaders.val.dataset.record == loaders.test.dataset.record == recorded


@pytest.mark.filterwarnings("ignore:sample=")
@pytest.mark.parametrize(("sample", "recorded"), [(None, "all"), (40, 40), (np.int64(40), 40), (71, "all")])
def test_the_record_has_the_sample_that_was_taken(sample, recorded):
    assert get_data_loaders(RATINGS_DF, sample=sample).train.dataset.record["sample"] == recorded


def test_the_record_names_a_release_only_for_the_rows_that_were_made_of_it(monkeypatch):
    def record(ratings_df):
        record = get_data_loaders(ratings_df).train.dataset.record
        return {name: record.get(name) for name in ("dataset", "top_movies", "dataset_sample", "n_ratings")}

    top_df = load_torch_data("built-in", np.int64(50))[0]
    named = {"dataset": "built-in", "top_movies": 50, "dataset_sample": "all", "n_ratings": top_df.height}
    monkeypatch.setenv("MOVIELENS_TOP_MOVIES", "7")  # says nothing about the frame
    monkeypatch.setenv("MOVIELENS_SAMPLE", "700")
    assert record(top_df) == record(top_df.clone().with_columns(row=1)) == named
    sampled_df = load_torch_data("built-in")[0]
    assert record(sampled_df) == named | {"top_movies": 7, "dataset_sample": 700, "n_ratings": sampled_df.height}

    unnamed = dict.fromkeys(named) | {"dataset": "own rows", "n_ratings": top_df.height}
    assert record(top_df.head(99)) == unnamed | {"n_ratings": 99}
    assert record(top_df.reverse()) == unnamed
    assert record(top_df.with_columns(pl.col("rating").clip(1.0))) == unnamed
    assert record(top_df.with_columns(userIdMapped="movieIdMapped", movieIdMapped="userIdMapped")) == unnamed


@pytest.mark.parametrize("name", ["batch_size", "sample", "num_workers"])
@pytest.mark.parametrize("value", [-1, True, 2.0, "8", np.float64(8)])
def test_sizes_that_are_no_whole_numbers_in_range_are_refused_by_name(name, value):
    with pytest.raises(
        ValueError, match=rf"^{name} must be a whole number of at least [01], not {re.escape(repr(value))}"
    ):
        get_data_loaders(RATINGS_DF, **{name: value})


@pytest.mark.parametrize("name", ["batch_size", "sample"])
def test_a_size_of_0_is_refused(name):
    with pytest.raises(ValueError, match=f"^{name} must be a whole number of at least 1, not 0"):
        get_data_loaders(RATINGS_DF, **{name: 0})


def test_sizes_of_numpys_types_are_taken():
    loaders = get_data_loaders(RATINGS_DF, batch_size=np.int64(32), sample=np.int32(40), num_workers=np.uint8(0))
    assert [len(ratings) for _, _, ratings in loaders.train] == [32, 8]


def with_value(column, value, dtype=None):
    """Put a value into one row of a column."""
    dtype = dtype or RATINGS_DF.schema[column]
    changed = pl.when(pl.col("row") == 50).then(pl.lit(value, dtype)).otherwise(pl.col(column).cast(dtype))
    return RATINGS_DF.with_columns(changed.alias(column))


@pytest.mark.parametrize(
    ("wrong_df", "message"),
    [
        (with_value("userIdMapped", None), "1 nulls in column 'userIdMapped': drop these rows"),
        (with_value("movieIdMapped", None), "1 nulls in column 'movieIdMapped': drop these rows"),
        (with_value("userIdMapped", 1.0, pl.Float64), "column 'userIdMapped' is Float64, not whole numbers: cast it"),
        (with_value("movieIdMapped", "1", pl.String), "column 'movieIdMapped' is String, not whole numbers: cast it"),
        (with_value("movieIdMapped", -2, pl.Int64), "column 'movieIdMapped' goes down to -2: a table's rows are"),
        (with_value("rating", None), "1 ratings are null, NaN or infinite: drop these rows"),
        (with_value("rating", float("nan")), "1 ratings are null, NaN or infinite: drop these rows"),
        (with_value("rating", float("inf")), "1 ratings are null, NaN or infinite: drop these rows"),
        (with_value("rating", "4", pl.String), "column 'rating' is String, not numbers: cast it"),
        (RATINGS_DF.with_columns(rating=True), "column 'rating' is Boolean, not numbers: cast it"),
    ],
)
def test_values_that_cannot_be_trained_on_are_refused_by_column(wrong_df, message):
    with pytest.raises(ValueError, match=message):
        get_data_loaders(wrong_df)
    with pytest.raises(ValueError, match=message):  # as from a split of one's own
        get_data_loaders(RATINGS_DF, split=lambda _: (RATINGS_DF, wrong_df, RATINGS_DF))


@pytest.mark.parametrize("convert", [pl.DataFrame.lazy, pl.DataFrame.to_pandas])
def test_a_lazy_and_a_pandas_frame_give_the_same_batches(convert):
    torch.manual_seed(0)
    expected = [passed_rows(loader) for loader in get_data_loaders(RATINGS_DF)]
    torch.manual_seed(0)
    assert [passed_rows(loader) for loader in get_data_loaders(convert(RATINGS_DF))] == expected


def test_an_integer_rating_is_a_number():
    ratings_df = RATINGS_DF.with_columns(pl.col("rating").ceil().cast(pl.Int8))
    assert passed_rows(get_data_loaders(ratings_df).test)[0][2] in range(1, 6)


def test_what_is_no_frame_is_refused():
    with pytest.raises(TypeError, match="expected a frame of polars or pandas, not dict"):
        get_data_loaders(RATINGS_DF.to_dict())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((RATINGS_DF, RATINGS_DF), "returned tuple, not three frames"),
        (RATINGS_DF, "returned DataFrame, not three frames"),
        (None, "returned NoneType, not three frames"),
        ((RATINGS_DF.clear(), RATINGS_DF, RATINGS_DF), "left no rows to train on"),
    ],
)
def test_a_split_that_gives_something_else_is_refused_by_its_name(parts, message):
    def my_split(_):
        return parts

    with pytest.raises(ValueError, match=f"my_split.* {message}"):
        get_data_loaders(RATINGS_DF, split=my_split)


def test_a_split_may_leave_no_rows_to_evaluate_on():
    loaders = get_data_loaders(RATINGS_DF, split=lambda df: (df, df.clear(), df.clear()))
    assert [len(list(loader)) for loader in loaders] == [1, 0, 0]


def test_unmapped_ratings_and_too_few_rows_are_refused():
    with pytest.raises(ValueError, match=r"missing columns \['userIdMapped'\]; map_users_and_movies adds"):
        get_data_loaders(RATINGS_DF.drop("userIdMapped"))
    with pytest.raises(ValueError, match="3 rows are too few"):
        get_data_loaders(RATINGS_DF.head(3))


def test_the_frame_stays_unchanged_by_what_is_done_to_the_batches():
    before_df = RATINGS_DF.clone()
    loaders = get_data_loaders(RATINGS_DF, batch_size=32)
    loaders.val.dataset.ratings.zero_()
    loaders.val.dataset.user_ids.zero_()
    assert RATINGS_DF.equals(before_df)
