import json
import socket
import subprocess
import sys
from itertools import chain
from pathlib import Path

import polars as pl
import pytest
import pytorch_lightning as lightning
import torch
from tiny import N_MOVIES, N_USERS, BiasModel, ScheduledModel, mapped_ratings_df
from torch.nn import functional as F

from utilities import (
    DictLogger,
    EarlyStoppingWithMinEpochs,
    get_data_loaders,
    make_trainer,
    predict,
    split_train_test,
    train_model,
)

# 150 rows: 105 to train on (batches of 32, 32, 32 and 9), 30 and 15 to evaluate on (the last batches short, too).
RATINGS_DF = mapped_ratings_df(150)


@pytest.fixture
def loaders():
    torch.manual_seed(0)
    return get_data_loaders(RATINGS_DF, batch_size=32)


def mean_squared_error(model, loader):
    """Take all rows at once, so that no batch can weigh too much."""
    user_ids, movie_ids, ratings = loader.dataset[:]
    with torch.no_grad():
        return F.mse_loss(model(user_ids, movie_ids).double(), ratings.double()).item()


def epoch_values(logger, metric):
    return [float(value) for _, value in logger.metrics[metric]]


class BroadcastModel(BiasModel):
    """Adds `[B, 1]` to `[B]`, the reference's fault."""

    def forward(self, user_ids, movie_ids):
        return 3.5 + self.user_biases(user_ids) + self.movie_biases(movie_ids).squeeze(1)


class SqueezedModel(BiasModel):
    """Squeezes all axes, so that a batch of one loses its own."""

    def forward(self, user_ids, movie_ids):
        return 3.5 + (self.user_biases(user_ids) + self.movie_biases(movie_ids)).squeeze()


def test_epoch_losses_are_means_over_rows_not_over_batches():
    loaders = get_data_loaders(RATINGS_DF, batch_size=29)  # 105 = 3 · 29 + 18, 30 = 29 + 1, 15
    model, logger = BiasModel(learning_rate=0.0), DictLogger()
    trainer = make_trainer(1, logger=logger)
    trainer.fit(model, loaders.train, loaders.val)
    (tested,) = trainer.test(model, loaders.test, verbose=False)
    for stage, loader in (("train", loaders.train), ("val", loaders.val), ("test", loaders.test)):
        (logged,) = epoch_values(logger, f"{stage}_loss")
        assert logged == pytest.approx(mean_squared_error(model, loader), rel=1e-6)
    assert tested == {"test_loss": pytest.approx(mean_squared_error(model, loaders.test), rel=1e-6)}
    mean_of_means = sum(F.mse_loss(model(u, m), r).item() for u, m, r in loaders.val) / 2
    assert abs(mean_of_means - epoch_values(logger, "val_loss")[0]) > 0.01


def test_a_fit_is_the_plain_torch_loop(loaders):
    logger, model, expected = DictLogger(), BiasModel(), BiasModel()
    trainer = make_trainer(3, logger=logger, enable_checkpointing=False)
    trainer.fit(model, loaders.train, loaders.val)

    optimizer = torch.optim.Adam(expected.parameters(), lr=0.05)
    step_losses, train_losses, val_losses = [], [], []
    for epoch in range(3):
        loaders.train.sampler.set_epoch(epoch)  # the same orders again
        squared_error = 0.0
        for user_ids, movie_ids, ratings in loaders.train:
            loss = F.mse_loss(expected(user_ids, movie_ids), ratings)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step_losses.append(loss.item())
            squared_error += loss.item() * len(ratings)
        train_losses.append(squared_error / 105)
        val_losses.append(mean_squared_error(expected, loaders.val))
    assert epoch_values(logger, "train_loss_step") == pytest.approx(step_losses, rel=1e-5)
    assert epoch_values(logger, "train_loss") == pytest.approx(train_losses, rel=1e-5)
    assert epoch_values(logger, "val_loss") == pytest.approx(val_losses, rel=1e-5)
    torch.testing.assert_close(model.user_biases.weight, expected.user_biases.weight)
    torch.testing.assert_close(model.movie_biases.weight, expected.movie_biases.weight)


def test_the_penalty_is_trained_on_but_not_logged(loaders):
    class PenalizedModel(BiasModel):
        def penalty(self, user_ids, movie_ids):
            return 1e3 * self.user_biases(user_ids).square().mean() + 1e3 * self.movie_biases(movie_ids).square().mean()

    free, penalized, logger = BiasModel(), PenalizedModel(), DictLogger()
    make_trainer(3).fit(free, loaders.train, loaders.val)
    make_trainer(3, logger=logger).fit(penalized, loaders.train, loaders.val)
    assert penalized.user_biases.weight.norm() < 0.5 * free.user_biases.weight.norm()
    assert epoch_values(logger, "val_loss")[-1] == pytest.approx(mean_squared_error(penalized, loaders.val), rel=0.01)


@pytest.mark.parametrize(
    ("stage", "shapes"),
    [("fit", ("[32, 32]", "[32]")), ("validate", ("[30, 30]", "[30]")), ("test", ("[15, 15]", "[15]"))],
)
def test_predictions_of_another_shape_are_refused_with_both_shapes(loaders, stage, shapes):
    trainer, model = make_trainer(1), BroadcastModel()
    with pytest.raises(ValueError, match="BroadcastModel returned predictions of shape") as error:
        if stage == "fit":
            trainer.fit(model, loaders.train, loaders.val)
        else:
            getattr(trainer, stage)(model, getattr(loaders, {"validate": "val"}.get(stage, stage)), verbose=False)
    assert f"shape {shapes[0]} for ratings of shape {shapes[1]}:" in str(error.value)


def test_a_batch_of_one_that_lost_its_axis_is_refused():
    assert predict(SqueezedModel(), RATINGS_DF.head(2)).to_list() == [3.5, 3.5]
    with pytest.raises(ValueError, match=r"predictions of shape \[\] for ratings of shape \[1\]"):
        predict(SqueezedModel(), RATINGS_DF.head(1))


def test_ids_outside_the_tables_are_refused_with_their_range(loaders):
    message = rf"tables of BiasModel: the batch has user ids 0 to {N_USERS - 1} and movie ids \d+ to {N_MOVIES - 1}"
    small_model = BiasModel(n_movies=N_MOVIES - 1)
    with pytest.raises(IndexError, match=message):
        predict(small_model, RATINGS_DF)
    with pytest.raises(IndexError, match="tables of BiasModel"):
        make_trainer(1).fit(small_model, loaders.train, loaders.val)


def test_predictions_come_in_the_order_of_the_rows_whatever_the_batch_size():
    model = BiasModel()
    torch.nn.init.normal_(model.user_biases.weight)
    torch.nn.init.normal_(model.movie_biases.weight)
    user_biases, movie_biases = model.user_biases.weight[:, 0].tolist(), model.movie_biases.weight[:, 0].tolist()
    pairs = RATINGS_DF.select("userIdMapped", "movieIdMapped").rows()
    expected = [3.5 + user_biases[user] + movie_biases[movie] for user, movie in pairs]
    for batch_size in (1, 7, 150, 1000):
        predictions = predict(model, RATINGS_DF, batch_size)
        assert (predictions.name, predictions.dtype) == ("prediction", pl.Float32)
        assert predictions.to_list() == pytest.approx(expected, rel=1e-5)


def test_predictions_are_made_in_evaluation_mode_without_gradients_and_the_mode_is_restored():
    class CarefulModel(BiasModel):
        def forward(self, user_ids, movie_ids):
            assert not self.training
            assert not torch.is_grad_enabled()
            return super().forward(user_ids, movie_ids)

    model = CarefulModel()
    for mode in (True, False):
        model.train(mode)
        predict(model, RATINGS_DF)
        assert model.training is model.user_biases.training is mode
    model.train()
    with pytest.raises(IndexError):
        predict(model, RATINGS_DF.with_columns(userIdMapped=pl.lit(99)))
    assert model.training


def fit_levels(errors, **options):
    """Fit a model that misses every rating by `errors[epoch]`; all ratings are 3, so `val_loss` is the square."""
    threes_df = RATINGS_DF.with_columns(rating=pl.lit(3.0))
    loaders = get_data_loaders(threes_df, batch_size=64)
    logger, model = DictLogger(), ScheduledModel([3 + error for error in errors])
    trainer = make_trainer(len(errors), logger=logger, **options)
    trainer.fit(model, loaders.train, loaders.val)
    val_losses = epoch_values(logger, "val_loss")
    assert val_losses == pytest.approx([error**2 for error in errors[: len(val_losses)]], rel=1e-5)
    return trainer, model, loaders, len(val_losses)


def test_epochs_of_the_grace_period_neither_stop_training_nor_set_the_bar():
    # Judged are the epochs from the fourth on: 1.0, 0.9, 0.8, then two that are no better. Lightning's own `min_epochs`
    # would count from the first epoch, and stop as soon as it may, after three.
    errors = [0.1, 1.5, 1.5, 1.0, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8]
    assert fit_levels(errors, min_epochs=3, patience=2)[3] == 8


def test_without_a_grace_period_patience_runs_from_the_first_epoch():
    assert fit_levels([0.1, 1.5, 1.5, 1.0, 0.9], min_epochs=0, patience=2)[3] == 3


def test_the_defaults_are_six_epochs_of_grace_a_patience_of_three_and_forty_epochs():
    trainer = make_trainer()
    assert trainer.max_epochs == 40
    stopping = next(c for c in trainer.callbacks if isinstance(c, EarlyStoppingWithMinEpochs))
    assert (stopping.min_epochs, stopping.patience, stopping.monitor) == (6, 3, "val_loss")


@pytest.mark.parametrize("errors", [[0.9, 0.5, 1.1, 0.7], [0.2, 0.5, 0.6], [0.9, 0.8, 0.7]])
def test_after_a_fit_the_model_has_the_weights_of_the_best_epoch(errors):
    trainer, model, loaders, _ = fit_levels(errors)
    best = min(errors)
    assert model.level.item() == pytest.approx(3 + best)
    (tested,) = trainer.test(model, loaders.test, verbose=False)
    assert tested["test_loss"] == pytest.approx(best**2, rel=1e-5)
    checkpoint = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)
    assert checkpoint["state_dict"]["level"].item() == pytest.approx(3 + best)
    assert trainer.checkpoint_callback.best_model_score.item() == pytest.approx(best**2, rel=1e-5)


def test_the_checkpoint_loads_with_its_hyper_parameters_and_goes_with_its_trainer(loaders):
    trainer, model = make_trainer(2), BiasModel()
    trainer.fit(model, loaders.train, loaders.val)
    path = Path(trainer.checkpoint_callback.best_model_path)
    loaded = BiasModel.load_from_checkpoint(path)
    assert dict(loaded.hparams) == {"n_users": N_USERS, "n_movies": N_MOVIES, "learning_rate": 0.05}
    torch.testing.assert_close(loaded.user_biases.weight, model.user_biases.weight)
    trainer.checkpoint_callback._folder.cleanup()
    assert not path.parent.exists()


def test_a_fit_shows_one_bar_and_nothing_else(loaders, capsys, recwarn):
    make_trainer(2).fit(BiasModel(), loaders.train, loaders.val)
    printed = capsys.readouterr()
    last = printed.out.split("\r")[-1]
    assert last.startswith("BiasModel: 100%|")
    assert "8/8 steps" in last
    assert printed.out.count("\n") == 1
    assert printed.err == ""
    assert [str(warning.message) for warning in recwarn] == []


def breaks_off(model_class, epoch):
    """Make a class of models whose training breaks off before an epoch, counted from 0."""

    class Breaking(model_class):
        def on_train_epoch_start(self):
            super().on_train_epoch_start()
            if self.current_epoch == epoch:
                raise RuntimeError("broke off")

    return Breaking


def test_a_fit_that_broke_off_goes_on_from_its_last_epoch_as_if_nothing_had_happened(tmp_path):
    loaders = get_data_loaders(RATINGS_DF, batch_size=105)  # one batch an epoch: the order of its rows does not matter
    undisturbed, logger, resumed, resumed_logger = BiasModel(), DictLogger(), BiasModel(), DictLogger()
    make_trainer(4, logger=logger).fit(undisturbed, loaders.train, loaders.val)
    with pytest.raises(RuntimeError, match="broke off"):
        make_trainer(4, checkpoint_folder=tmp_path).fit(breaks_off(BiasModel, 2)(), loaders.train, loaders.val)
    trainer = make_trainer(4, checkpoint_folder=tmp_path, logger=resumed_logger)
    trainer.fit(resumed, loaders.train, loaders.val, ckpt_path=tmp_path / "last.ckpt")
    for metric in ("train_loss", "val_loss"):
        assert epoch_values(resumed_logger, metric) == pytest.approx(epoch_values(logger, metric)[2:], rel=1e-5)
    torch.testing.assert_close(resumed.user_biases.weight, undisturbed.user_biases.weight)


def test_the_best_epoch_before_a_break_is_the_best_after_it(tmp_path):
    threes_df, levels = RATINGS_DF.with_columns(rating=pl.lit(3.0)), [3.5, 3.2, 3.6, 3.7]
    loaders = get_data_loaders(threes_df, batch_size=64)
    with pytest.raises(RuntimeError, match="broke off"):
        broken = breaks_off(ScheduledModel, 2)(levels)
        make_trainer(4, checkpoint_folder=tmp_path).fit(broken, loaders.train, loaders.val)
    trainer, resumed = make_trainer(4, checkpoint_folder=tmp_path), ScheduledModel(levels)
    trainer.fit(resumed, loaders.train, loaders.val, ckpt_path=tmp_path / "last.ckpt")
    assert trainer.current_epoch == 4
    assert resumed.level.item() == pytest.approx(3.2)
    assert trainer.checkpoint_callback.best_model_score.item() == pytest.approx(0.2**2, rel=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]


class NormalModel(BiasModel):
    """Starts from random biases."""

    def __init__(self):
        super().__init__()
        torch.nn.init.normal_(self.user_biases.weight)


def test_training_repeats_itself_for_the_same_seed():
    def weights(seed):
        torch.rand(1)  # what was drawn before does not matter
        model, _ = train_model(NormalModel, RATINGS_DF, seed=seed, batch_size=32, max_epochs=2)
        return model.user_biases.weight

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_train_model_is_seeding_splitting_building_and_fitting():
    model, trainer = train_model(NormalModel, RATINGS_DF, seed=3, batch_size=32, sample=50, max_epochs=2)
    lightning.seed_everything(3, verbose=False)
    loaders = get_data_loaders(RATINGS_DF, batch_size=32, sample=50)
    expected, expected_trainer = NormalModel(), make_trainer(2)
    expected_trainer.fit(expected, loaders.train, loaders.val)
    assert torch.equal(model.user_biases.weight, expected.user_biases.weight)
    assert (trainer.max_epochs, trainer.global_step) == (2, 4)
    best_scores = [t.checkpoint_callback.best_model_score for t in (trainer, expected_trainer)]
    assert best_scores[0] == best_scores[1]


TWO_PROCESSES = """
import json, os, sys
from pathlib import Path
import torch
from tiny import BiasModel, mapped_ratings_df
from utilities import get_data_loaders, make_trainer

class CountingModel(BiasModel):
    seen = {"train": [[], []], "val": [[], []]}

    def training_step(self, batch, batch_idx):
        self.seen["train"][self.current_epoch].append(batch[0].tolist())
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.seen["val"][self.current_epoch].append(batch[0].tolist())
        return super().validation_step(batch, batch_idx)

ratings_df = mapped_ratings_df(150).with_columns(userIdMapped="row")
loaders = get_data_loaders(ratings_df, batch_size=16)
model = CountingModel(n_users=150)
trainer = make_trainer(2, strategy="ddp", devices=2)
trainer.fit(model, loaders.train, loaders.val)
result = {
    "seen": model.seen,
    "best_val_loss": float(trainer.checkpoint_callback.best_model_score),
    "user_biases": model.user_biases.weight[:, 0].tolist(),
    "movie_biases": model.movie_biases.weight[:, 0].tolist(),
}
Path(sys.argv[1], os.environ["RANK"]).write_text(json.dumps(result))
"""


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory, environment):
    """Fit by two processes, started as torchrun starts them, and give what each has seen and ends with."""
    folder = tmp_path_factory.mktemp("ddp")
    (folder / "fit.py").write_text(TWO_PROCESSES)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "test"}
    processes = [
        subprocess.Popen(
            [sys.executable, "fit.py", "."], cwd=folder, env=environment | shared | {"RANK": rank, "LOCAL_RANK": rank}
        )
        for rank in ("0", "1")
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return [json.loads((folder / rank).read_text()) for rank in ("0", "1")]


def flat(batches):
    return list(chain.from_iterable(batches))


def test_two_processes_share_the_rows_and_every_row_is_seen(two_processes):
    all_rows = [df["row"].to_list() for df in split_train_test(RATINGS_DF)]
    for stage, rows, n_padded in (("train", all_rows[0], 1), ("val", all_rows[1], 0)):
        for epoch in range(2):
            halves = [flat(process["seen"][stage][epoch]) for process in two_processes]
            assert set(halves[0]) | set(halves[1]) == set(rows)
            # two halves of 105 rows: DistributedSampler gives one row to both
            assert len(halves[0]) == len(halves[1]) == (len(rows) + n_padded) / 2
            batch_sizes = {len(batch) for batch in two_processes[0]["seen"][stage][epoch][:-1]}
            assert batch_sizes <= {16}


def test_two_processes_draw_a_new_order_each_epoch(two_processes):
    for process in two_processes:
        first, second = (flat(batches) for batches in process["seen"]["train"])
        assert first != second


def test_two_processes_end_with_the_same_weights_those_of_the_best_epoch(two_processes):
    zero, one = two_processes
    assert (zero["user_biases"], zero["movie_biases"]) == (one["user_biases"], one["movie_biases"])
    val_df = split_train_test(RATINGS_DF)[1]
    errors = [
        3.5 + zero["user_biases"][row] + zero["movie_biases"][movie] - rating
        for row, movie, rating in val_df.select("row", "movieIdMapped", "rating").rows()
    ]
    assert zero["best_val_loss"] == pytest.approx(sum(e**2 for e in errors) / 30, rel=1e-5)
    assert zero["best_val_loss"] == one["best_val_loss"]
