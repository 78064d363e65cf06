"""Lightning's contract: whatever a `Trainer` is asked for, a `RatingModel` does as a plain `LightningModule` does."""

import copy
import logging
import pickle
import shutil
import signal
import warnings
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from lightning_fabric import Fabric
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from pytorch_lightning.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    OnExceptionCheckpoint,
    TQDMProgressBar,
)
from pytorch_lightning.callbacks import StochasticWeightAveraging as Averaging
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from tiny import BiasModel, ScheduledModel, mapped_ratings_df
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from conftest import REPOSITORY
from utilities import DictLogger, get_data_loaders, make_trainer, train_model
from utilities.training import BestCheckpoint, FitProgressBar

RATINGS_DF = mapped_ratings_df(150)  # 105 rows to train on: 4 batches, the last of 9; 30 to validate on: 1 batch
LOSSES = ("train_loss_step", "train_loss", "val_loss")


class PlainModel(lightning.LightningModule):
    """`BiasModel` as Lightning's documentation would write it."""

    def __init__(self):
        super().__init__()
        self.user_biases = nn.Embedding.from_pretrained(torch.zeros(20, 1), freeze=False)
        self.movie_biases = nn.Embedding.from_pretrained(torch.zeros(15, 1), freeze=False)

    def forward(self, user_ids, movie_ids):
        return 3.5 + (self.user_biases(user_ids) + self.movie_biases(movie_ids)).squeeze(1)

    def training_step(self, batch, batch_idx):
        user_ids, movie_ids, ratings = batch
        loss = F.mse_loss(self(user_ids, movie_ids), ratings)
        self.log("train_loss_step", loss, on_step=True, on_epoch=False)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(ratings))
        return loss

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        user_ids, movie_ids, ratings = batch
        self.log("val_loss", F.mse_loss(self(user_ids, movie_ids), ratings), batch_size=len(ratings))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05, fused=True)


class StepwiseDecay:
    def configure_optimizers(self):
        optimizer = super().configure_optimizers()
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


class DecayOnPlateau:
    def configure_optimizers(self):
        optimizer = super().configure_optimizers()
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=0, threshold=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}


class Unfused:
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)


class Manual:
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.optimizers().zero_grad()
        self.manual_backward(loss)
        self.optimizers().step()


class ByTurns(Manual):
    """Steps with two optimizers, each on every second batch."""

    def configure_optimizers(self):
        return [torch.optim.Adam(table.parameters(), lr=0.05) for table in (self.user_biases, self.movie_biases)]

    def training_step(self, batch, batch_idx):
        loss = super(Manual, self).training_step(batch, batch_idx)
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            if batch_idx % 2:
                optimizer.step()
                optimizer.zero_grad()


class ManyEvaluations:
    def configure_optimizers(self):
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=4)


class OwnHooks:
    """Overrides hooks without calling those of its base, as Lightning allows."""

    def on_train_epoch_start(self):
        pass

    def on_train_epoch_end(self):
        assert self.trainer.callback_metrics["train_loss"] > 0


class StopsEpochEarly:
    def on_train_batch_start(self, batch, batch_idx):
        return -1 if batch_idx == 2 else None


class HookCounter(Callback):
    """Counts the hooks that practitioners hang their work on."""

    def __init__(self):
        self.calls = Counter()

    def on_train_batch_end(self, *args):
        self.calls["train batch"] += 1

    def on_validation_batch_end(self, *args):
        self.calls["validation batch"] += 1

    def on_before_optimizer_step(self, *args):
        self.calls["optimizer step"] += 1

    def on_train_epoch_end(self, *args):
        self.calls["train epoch"] += 1


class LossReader(Callback):
    """Reads the epoch's loss where Lightning has it ready."""

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.logger.log_metrics({"train_loss_read": trainer.callback_metrics["train_loss"]}, trainer.current_epoch)


class Loaders(lightning.LightningDataModule):
    def __init__(self, loaders):
        super().__init__()
        self.loaders = loaders

    def train_dataloader(self):
        return self.loaders.train

    def val_dataloader(self):
        return self.loaders.val


def whole_batches(loaders):
    """Feed batches without any batching: `batch_size=None` over a list of batches."""
    return DataLoader(list(loaders.train), batch_size=None), loaders.val


CASES = {
    "the defaults": {},
    "max_steps": {"max_steps": 6},
    "max_steps within the first epoch": {"max_steps": 3},
    "max_epochs=0": {"max_epochs": 0},
    "max_time": {"max_time": "00:01:00:00"},
    "gradient_clip_val": {"gradient_clip_val": 0.02},
    "gradient_clip_algorithm": {"gradient_clip_val": 0.002, "gradient_clip_algorithm": "value"},
    "accumulate_grad_batches": {"accumulate_grad_batches": 2},
    "val_check_interval": {"val_check_interval": 0.5},
    "check_val_every_n_epoch": {"check_val_every_n_epoch": 2},
    "limit_train_batches": {"limit_train_batches": 2},
    "limit_train_batches=0": {"limit_train_batches": 0},
    "limit_val_batches=0": {"limit_val_batches": 0},
    "overfit_batches": {"overfit_batches": 1},
    "fast_dev_run": {"fast_dev_run": True},
    "log_every_n_steps": {"log_every_n_steps": 3},
    "log_every_n_steps=0": {"log_every_n_steps": 0},
    "num_sanity_val_steps": {"num_sanity_val_steps": 2},
    "reload_dataloaders_every_n_epochs": {"reload_dataloaders_every_n_epochs": 1},
    "precision bf16-mixed": {"precision": "bf16-mixed"},
    "precision 64-true": {"precision": "64-true"},
    "clipping under AMP, which wants an optimizer that is not fused": {
        "precision": "bf16-mixed",
        "gradient_clip_val": 0.02,
        "mixin": Unfused,
    },
    "detect_anomaly": {"detect_anomaly": True},
    "inference_mode=False": {"inference_mode": False},
    "enable_progress_bar=False": {"enable_progress_bar": False},
    "deterministic": {"deterministic": True},
    "profiler": {"profiler": "simple"},
    "a scheduler on steps": {"mixin": StepwiseDecay},
    "a scheduler on val_loss": {"mixin": DecayOnPlateau},
    "manual optimization": {"mixin": Manual},
    "two optimizers that wait for a second batch": {"mixin": ByTurns},
    "an optimizer that evaluates a batch several times": {"mixin": ManyEvaluations},
    "hooks that do not call their base's": {"mixin": OwnHooks},
    "a callback that reads train_loss at the epoch's end": {"callbacks": lambda: LossReader()},
    "precision bf16-true": {"precision": "bf16-true"},
    "an epoch ended by on_train_batch_start": {"mixin": StopsEpochEarly},
    "stochastic weight averaging": {"callbacks": lambda: [Averaging(swa_lrs=0.01, swa_epoch_start=1)]},
    "a callback alone": {"callbacks": lambda: EarlyStopping("val_loss", stopping_threshold=100.0)},
    "no validation loader": {"feed": lambda loaders: (loaders.train, None)},
    "batch_size=None": {"feed": whole_batches},
    "a data module": {"feed": lambda loaders: (Loaders(loaders),)},
}


def fit(make, model_class, *, mixin=object, callbacks=list, wrap=lambda model: model, feed=None, **options):
    """Fit for three epochs; give what came out: the metrics by name, the weights, and what was called how often."""
    torch.manual_seed(0)
    loaders = get_data_loaders(RATINGS_DF, batch_size=32)
    model = type("Model", (mixin, model_class), {})() if mixin is not object else model_class()
    counter, logger = HookCounter(), DictLogger()
    added = callbacks()
    added = [counter, *(added if isinstance(added, list) else [added])]
    options = {"max_epochs": 3, "log_every_n_steps": 1, "num_sanity_val_steps": 0} | options
    trainer = make(logger=logger, callbacks=added, **options)
    trainer.fit(wrap(model), *(feed(loaders) if feed else (loaders.train, loaders.val)))
    metrics = {name: values for name, values in logger.metrics.items() if name.startswith(LOSSES)}
    counts = counter.calls | {"global_step": trainer.global_step, "current_epoch": trainer.current_epoch}
    return metrics, dict(model.state_dict()), counts


def plain_trainer(**options):
    hidden = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(accelerator="cpu", devices=1, **(hidden | options))


def our_trainer(**options):
    return make_trainer(min_epochs=99, **({"enable_checkpointing": False} | options))


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("case", CASES)
def test_a_trainers_option_does_what_it_does_to_a_plain_module(case):
    metrics, weights, counts = fit(our_trainer, BiasModel, **CASES[case])
    plain_metrics, plain_weights, plain_counts = fit(plain_trainer, PlainModel, **CASES[case])
    assert counts == plain_counts
    assert metrics.keys() == plain_metrics.keys()
    for name, values in metrics.items():
        assert [step for step, _ in values] == [step for step, _ in plain_metrics[name]], name
        assert [float(v) for _, v in values] == pytest.approx([float(v) for _, v in plain_metrics[name]], rel=1e-3), (
            name
        )
    assert weights.keys() == plain_weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, plain_weights[name], rtol=1e-5, atol=1e-6)


def test_a_compiled_model_trains_as_it_does_uncompiled():
    compiled = fit(our_trainer, BiasModel, wrap=lambda model: torch.compile(model, backend="eager"))
    _, weights, counts = fit(our_trainer, BiasModel)
    assert compiled[2] == counts
    for name, weight in weights.items():
        torch.testing.assert_close(compiled[1][name], weight)


def test_of_several_validation_loaders_the_first_is_watched():
    torch.manual_seed(0)
    loaders, logger = get_data_loaders(RATINGS_DF, batch_size=32), DictLogger()
    trainer = make_trainer(2, logger=logger)
    trainer.fit(BiasModel(), loaders.train, [loaders.val, loaders.test])
    one, first = DictLogger(), trainer.checkpoint_callback.best_model_score
    torch.manual_seed(0)
    make_trainer(2, logger=one).fit(BiasModel(), get_data_loaders(RATINGS_DF, batch_size=32).train, loaders.val)
    assert logger.metrics["val_loss"] == one.metrics["val_loss"]
    assert first == min(value for _, value in one.metrics["val_loss"])
    assert len(logger.metrics["val_loss/dataloader_idx_1"]) == 2


def test_lightnings_own_refusals_stay():
    with pytest.raises(RuntimeError, match="does not allow for gradient clipping because it performs unscaling"):
        fit(our_trainer, BiasModel, precision="bf16-mixed", gradient_clip_val=0.02)
    with pytest.raises(MisconfigurationException, match="multiple progress bar"):
        make_trainer(callbacks=[TQDMProgressBar(), FitProgressBar()])


class UntilStep(Callback):
    """Interrupts a fit as Ctrl-C does, or breaks it off, before a step."""

    def __init__(self, step, error=KeyboardInterrupt):
        self.step, self.error = step, error

    def on_train_batch_start(self, trainer, *args):
        if trainer.global_step == self.step:
            raise self.error()


@pytest.mark.parametrize("step", [3, 4, 6, 9])
def test_a_fit_resumed_in_mid_epoch_ends_where_an_undisturbed_one_does(tmp_path, step):
    def trainer(**options):
        return our_trainer(max_epochs=3, logger=DictLogger(), **options)

    torch.manual_seed(0)
    loaders = get_data_loaders(RATINGS_DF, batch_size=32)
    undisturbed, resumed = BiasModel(), BiasModel()
    trainer().fit(undisturbed, loaders.train, loaders.val)
    steps = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    with pytest.raises(RuntimeError):
        broken = trainer(callbacks=[steps, UntilStep(step, RuntimeError)], enable_checkpointing=True)
        broken.fit(BiasModel(), loaders.train, loaders.val)
    trainer().fit(resumed, loaders.train, loaders.val, ckpt_path=tmp_path / f"step={step}.ckpt")
    torch.testing.assert_close(resumed.user_biases.weight, undisturbed.user_biases.weight)


def test_step_checkpoints_are_kept_beside_the_best_one(tmp_path):
    loaders = get_data_loaders(RATINGS_DF, batch_size=32)
    steps = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=3, save_top_k=-1)
    trainer = make_trainer(3, callbacks=[steps])
    trainer.fit(BiasModel(), loaders.train, loaders.val)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step={n}.ckpt" for n in (12, 3, 6, 9)]
    assert isinstance(trainer.checkpoint_callback, BestCheckpoint)


def test_callbacks_are_added_and_nothing_is_left_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    loaders, monitor = get_data_loaders(RATINGS_DF, batch_size=32), LearningRateMonitor("step")
    for added in ([monitor], monitor, (monitor,), None):
        trainer = make_trainer(9, callbacks=added, logger=DictLogger(), min_epochs=1, patience=1)
        names = {type(callback).__name__ for callback in trainer.callbacks}
        assert {"EarlyStoppingWithMinEpochs", "BestCheckpoint", "FitProgressBar", "RunRecord"} <= names
        assert (monitor in trainer.callbacks) == (added is not None)
    trainer.fit(ScheduledModel([3.0, 5.0, 5.0, 5.0]), loaders.train, loaders.val)
    assert trainer.current_epoch == 3
    assert "100%" not in capsys.readouterr().out.split("\r")[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_bar_of_ones_own_takes_the_place_of_ours(capsys):
    bars = [c for c in make_trainer(callbacks=[TQDMProgressBar()]).callbacks if isinstance(c, TQDMProgressBar)]
    assert len(bars) == 1
    loaders = get_data_loaders(RATINGS_DF, batch_size=32)
    make_trainer(1, enable_progress_bar=False).fit(BiasModel(), loaders.train, loaders.val)
    assert capsys.readouterr().out == ""


def test_predict_gives_one_prediction_a_row():
    loaders, model = get_data_loaders(RATINGS_DF, batch_size=8), BiasModel()
    nn.init.normal_(model.user_biases.weight)
    batches = make_trainer().predict(model, loaders.test)
    expected = model(*loaders.test.dataset[:][:2]).detach()
    torch.testing.assert_close(torch.cat(batches), expected)


def test_an_interrupted_test_leaves_no_trace_in_the_next_one():
    class Interrupting(BiasModel):
        calls = 0

        def test_step(self, batch, batch_idx, dataloader_idx=0):
            super().test_step(batch, batch_idx)
            Interrupting.calls += 1
            if Interrupting.calls == 2:
                raise RuntimeError("interrupted")

    loaders, model = get_data_loaders(RATINGS_DF, batch_size=4), Interrupting()
    trainer = make_trainer()
    with pytest.raises(RuntimeError, match="interrupted"):
        trainer.test(model, loaders.test, verbose=False)
    (again,) = trainer.test(model, loaders.test, verbose=False)
    (fresh,) = make_trainer().test(model, loaders.test, verbose=False)
    assert again == fresh


def test_an_interrupted_epoch_leaves_no_trace_in_the_next_fit():
    torch.manual_seed(0)
    loaders, model, logger = get_data_loaders(RATINGS_DF, batch_size=32), BiasModel(), DictLogger()
    with pytest.raises(RuntimeError):
        make_trainer(1, callbacks=UntilStep(2, RuntimeError)).fit(model, loaders.train, loaders.val)
    model.load_state_dict(BiasModel().state_dict())
    make_trainer(1, logger=logger).fit(model, loaders.train, loaders.val)
    sizes = (32, 32, 32, 9)
    steps = [value for _, value in logger.metrics["train_loss_step"]]
    mean = sum(size * loss for size, loss in zip(sizes, steps, strict=True)) / 105
    assert logger.metrics["train_loss"][0][1] == pytest.approx(mean, rel=1e-5)


def test_an_interrupted_fit_says_what_it_kept_and_has_the_best_weights():
    threes_df = RATINGS_DF.with_columns(rating=3.0)
    loaders = get_data_loaders(threes_df, batch_size=32)
    handler, model = signal.getsignal(signal.SIGINT), ScheduledModel([3.5, 3.2, 3.6, 3.7])
    message = r"training interrupted in epoch 4; the model has the best weights so far, val_loss 0\.040"
    with pytest.raises(KeyboardInterrupt, match=message):
        make_trainer(4, callbacks=UntilStep(13)).fit(model, loaders.train, loaders.val)
    assert model.level.item() == pytest.approx(3.2)
    assert signal.getsignal(signal.SIGINT) is handler
    with pytest.raises(KeyboardInterrupt, match="interrupted in epoch 1; the model has its last weights"):
        make_trainer(4, callbacks=UntilStep(2)).fit(BiasModel(), loaders.train, loaders.val)


def test_a_loss_that_is_no_number_stops_training_in_the_grace_period_too():
    loaders = get_data_loaders(RATINGS_DF, batch_size=32)
    trainer, model = make_trainer(9, min_epochs=6), ScheduledModel([3.0, float("nan"), 3.0, 3.0])
    with pytest.warns(UserWarning, match="training stopped in epoch 2: val_loss is nan"):
        trainer.fit(model, loaders.train, loaders.val)
    assert trainer.current_epoch == 2
    assert model.level.item() == pytest.approx(3.0)


def test_a_subclass_may_have_an_ordinary_training_step():
    class Absolute(BiasModel):
        def training_step(self, batch, batch_idx):
            user_ids, movie_ids, ratings = batch
            loss = F.l1_loss(self(user_ids, movie_ids), ratings)
            self.log("mae", loss, batch_size=len(ratings))
            return loss

    model, logger = Absolute(), DictLogger()
    loaders = get_data_loaders(RATINGS_DF, batch_size=32)
    make_trainer(3, logger=logger).fit(model, loaders.train, loaders.val)
    assert model.user_biases.weight.abs().sum() > 0
    assert len(logger.metrics["val_loss"]) == 3
    assert "train_loss" not in logger.metrics


def test_validating_after_a_fit_is_logged_at_a_step_of_its_own():
    loaders, logger = get_data_loaders(RATINGS_DF, batch_size=32), DictLogger()
    trainer, model = make_trainer(2, logger=logger), BiasModel()
    trainer.fit(model, loaders.train, loaders.val)
    trainer.validate(model, loaders.test, verbose=False)
    assert [step for step, _ in logger.metrics["val_loss"]] == [3, 7, 8]


def test_a_moved_checkpoint_folder_resumes_with_its_best_score(tmp_path):
    threes_df, levels = RATINGS_DF.with_columns(rating=3.0), [3.2, 3.5, 3.4, 3.3]
    loaders = get_data_loaders(threes_df, batch_size=32)
    make_trainer(2, checkpoint_folder=tmp_path / "here").fit(ScheduledModel(levels), loaders.train, loaders.val)
    (tmp_path / "here").rename(tmp_path / "there")
    trainer, model = make_trainer(4, checkpoint_folder=tmp_path / "there"), ScheduledModel(levels)
    trainer.fit(model, loaders.train, loaders.val, ckpt_path=tmp_path / "there" / "last.ckpt")
    assert model.level.item() == pytest.approx(3.2)
    assert trainer.checkpoint_callback.best_model_score.item() == pytest.approx(0.04, rel=1e-4)
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_a_fit_resumed_in_another_folder_takes_the_best_epoch_along(tmp_path):
    threes_df, levels = RATINGS_DF.with_columns(rating=3.0), [3.2, 3.5, 3.4, 3.3]
    loaders = get_data_loaders(threes_df, batch_size=32)
    make_trainer(2, checkpoint_folder=tmp_path / "one").fit(ScheduledModel(levels), loaders.train, loaders.val)
    trainer, model = make_trainer(4, checkpoint_folder=tmp_path / "two"), ScheduledModel(levels)
    trainer.fit(model, loaders.train, loaders.val, ckpt_path=tmp_path / "one" / "last.ckpt")
    assert model.level.item() == pytest.approx(3.2)
    assert (tmp_path / "two" / "best.ckpt").is_file()
    (tmp_path / "one" / "best.ckpt").unlink()
    (tmp_path / "two" / "best.ckpt").unlink()
    model = ScheduledModel(levels)
    with pytest.warns(UserWarning, match=r"best\.ckpt is neither in"):
        make_trainer(4, checkpoint_folder=tmp_path / "three").fit(
            model, loaders.train, loaders.val, ckpt_path=tmp_path / "one" / "last.ckpt"
        )
    assert model.level.item() == pytest.approx(3.3)


def test_a_resumed_fit_takes_the_best_epoch_from_beside_its_checkpoint(tmp_path):
    loaders = get_data_loaders(RATINGS_DF.with_columns(rating=3.0), batch_size=32)

    def fit_levels(folder, levels, resumed=None):
        model = ScheduledModel(levels)
        trainer = make_trainer(len(levels), checkpoint_folder=tmp_path / folder)
        trainer.fit(model, loaders.train, loaders.val, ckpt_path=resumed and tmp_path / resumed / "last.ckpt")
        return model.level.item()

    fit_levels("original", [3.2, 3.5])
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    assert fit_levels("original", [3.2, 3.5, 3.1], "original") == pytest.approx(3.1)
    fit_levels("used before", [4.9, 4.8])
    for folder in ("used before", "new", "copy"):
        assert fit_levels(folder, [3.2, 3.5, 3.6], "copy") == pytest.approx(3.2)


def test_the_best_checkpoint_holds_weights_and_no_optimizer(tmp_path):
    loaders = get_data_loaders(RATINGS_DF, batch_size=32)
    make_trainer(2, checkpoint_folder=tmp_path).fit(BiasModel(), loaders.train, loaders.val)
    best, last = (torch.load(tmp_path / f"{name}.ckpt", weights_only=True) for name in ("best", "last"))
    assert "optimizer_states" not in best and len(last["optimizer_states"]) == 1


def test_a_model_is_pickled_with_its_weights():
    model = BiasModel()
    nn.init.normal_(model.user_biases.weight)
    assert torch.equal(pickle.loads(pickle.dumps(model)).user_biases.weight, model.user_biases.weight)


def test_a_run_records_the_fit_and_its_options():
    logger = DictLogger()
    options = {"max_epochs": 1, "gradient_clip_val": 0.5, "patience": 2}
    train_model(BiasModel, RATINGS_DF, seed=7, batch_size=16, sample=50, logger=logger, **options)
    expected = {"seed": 7, "batch_size": 16, "n_train_ratings": 50, "n_parameters": 35, "min_epochs": 6} | options
    assert expected.items() <= logger.params.items()


def test_train_model_splits_as_it_is_told():
    def first_rows(ratings_df):
        return ratings_df.head(20), ratings_df.slice(20, 10), ratings_df.slice(30, 10)

    _, trainer = train_model(BiasModel, RATINGS_DF, split=first_rows, max_epochs=1)
    assert trainer.train_dataloader.dataset.ratings.tolist() == RATINGS_DF["rating"].head(20).to_list()


def test_what_is_quiet_in_a_fit_is_not_quiet_after_it():
    filters, level = list(warnings.filters), logging.getLogger("pytorch_lightning").level
    loaders = get_data_loaders(RATINGS_DF, batch_size=32)
    make_trainer(1).fit(BiasModel(), loaders.train, loaders.val)
    assert warnings.filters == filters
    assert logging.getLogger("pytorch_lightning").level == level


def test_a_copied_model_trains_on():
    loaders, model, logger = get_data_loaders(RATINGS_DF, batch_size=32), BiasModel(), DictLogger()
    trainer = make_trainer(1)
    trainer.fit(model, loaders.train, loaders.val)
    make_trainer(1, logger=logger).fit(copy.deepcopy(model), loaders.train, loaders.val)
    assert len(logger.metrics["train_loss"]) == 1
    assert copy.deepcopy(trainer).current_epoch == 1


@pytest.mark.parametrize("logger", [None, DictLogger()])
def test_fabric_trains_and_logs_the_steps(logger):
    fabric = Fabric(accelerator="cpu", devices=1, loggers=logger)
    model, loader = BiasModel(), get_data_loaders(RATINGS_DF, batch_size=32).train
    model, optimizer = fabric.setup(model, model.configure_optimizers())
    for batch_idx, batch in enumerate(fabric.setup_dataloaders(loader)):
        optimizer.zero_grad()
        fabric.backward(model.training_step(batch, batch_idx))
        optimizer.step()
    assert model.user_biases.weight.abs().sum() > 0
    assert logger is None or len(logger.metrics["train_loss_step"]) == 4


def test_a_loop_of_ones_own_needs_no_trainer():
    model, loader = BiasModel(), get_data_loaders(RATINGS_DF, batch_size=32).train
    with warnings.catch_warnings(action="ignore"):  # that nothing is logged
        losses = [model.training_step(batch, batch_idx) for batch_idx, batch in enumerate(loader)]
    assert len(losses) == 4 and losses[0].requires_grad


def test_where_nothing_is_validated_any_more_every_epoch_is_trained():
    loaders, model, trainer = get_data_loaders(RATINGS_DF, batch_size=32), BiasModel(), make_trainer(2, min_epochs=0)
    trainer.validate(model, loaders.val, verbose=False)
    trainer.fit(model, loaders.train)
    assert trainer.current_epoch == 2


def test_validations_may_go_by_the_clock():
    loaders, trainer = get_data_loaders(RATINGS_DF, batch_size=32), make_trainer(2, val_check_interval="00:01:00:00")
    trainer.fit(BiasModel(), loaders.train, loaders.val)
    assert trainer.current_epoch == 2


class AnyHyperParameter(BiasModel):
    """Has hyper-parameters that torch does not load without being told that they are safe."""

    def __init__(self, mean=np.float64(3.5), folder=Path()):  # noqa: B008
        super().__init__()
        self.save_hyperparameters()


class WithoutMovies(BiasModel):
    """Leaves what is not trained out of its checkpoints, and reads them so."""

    def __init__(self):
        super().__init__()
        self.strict_loading = False
        self.movie_biases.requires_grad_(False)

    def state_dict(self, *args, **kwargs):
        return {name: value for name, value in super().state_dict(*args, **kwargs).items() if "movie" not in name}


class Renamed(BiasModel):
    """Keeps its weights by other names in checkpoints."""

    def on_save_checkpoint(self, checkpoint):
        checkpoint["state_dict"] = {f"old.{name}": value for name, value in checkpoint["state_dict"].items()}

    def on_load_checkpoint(self, checkpoint):
        checkpoint["state_dict"] = {name[4:]: value for name, value in checkpoint["state_dict"].items()}


@pytest.mark.parametrize("model_class", [AnyHyperParameter, WithoutMovies, Renamed])
def test_the_best_weights_are_loaded_as_the_model_loads_checkpoints(model_class):
    loaders, model = get_data_loaders(RATINGS_DF, batch_size=32), model_class()
    trainer = make_trainer(9)
    trainer.fit(model, loaders.train, loaders.val)
    best = trainer.checkpoint_callback.best_model_score
    (validated,) = trainer.validate(model, loaders.val, verbose=False)
    assert trainer.callback_metrics["val_loss"] == validated["val_loss"] == pytest.approx(best.item())


def test_a_checkpoint_of_an_interrupted_fit_has_the_last_weights_not_the_best(tmp_path):
    loaders = get_data_loaders(RATINGS_DF.with_columns(rating=3.0), batch_size=32)
    model, kept = ScheduledModel([3.2, 3.5, 3.6]), OnExceptionCheckpoint(tmp_path)
    with pytest.raises(KeyboardInterrupt, match="best weights"):
        make_trainer(3, callbacks=[UntilStep(9), kept]).fit(model, loaders.train, loaders.val)
    assert torch.load(kept.ckpt_path, weights_only=True)["state_dict"]["level"].item() == pytest.approx(3.6)
    assert model.level.item() == pytest.approx(3.2)


def test_the_bar_shows_what_is_logged_for_it(capsys):
    class Shown(BiasModel):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            super().validation_step(batch, batch_idx)
            self.log("rows", float(len(batch[0])), prog_bar=True)

    loaders = get_data_loaders(RATINGS_DF, batch_size=32)
    make_trainer(1).fit(Shown(), loaders.train, loaders.val)
    assert "rows=30.000" in capsys.readouterr().out


def test_a_layer_without_a_size_yet_is_not_counted():
    class Lazy(BiasModel):
        def __init__(self):
            super().__init__()
            self.layer = nn.LazyLinear(1)

    loaders, logger = get_data_loaders(RATINGS_DF, batch_size=32), DictLogger()
    make_trainer(1, logger=logger, enable_checkpointing=False).fit(Lazy(), loaders.train, loaders.val)
    assert "n_parameters" not in logger.params and logger.params["batch_size"] == 32


def test_a_model_may_take_its_own_steps_many_a_call():
    class ManyStepsACall(BiasModel):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, dataloader_iter):
            for batch, batch_idx, _ in islice(dataloader_iter, 3):
                loss = super().training_step(batch, batch_idx)
                self.optimizers().zero_grad()
                self.manual_backward(loss)
                self.optimizers().step()

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*dataloader_iter.*")
        _, weights, _ = fit(our_trainer, ManyStepsACall)
    torch.testing.assert_close(weights, fit(our_trainer, BiasModel)[1])


INTERRUPTED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from tiny import BiasModel, mapped_ratings_df
import pytorch_lightning as lightning, utilities

class Interrupt(lightning.Callback):
    def on_train_batch_start(self, trainer, *args):
        if trainer.global_step == 6:
            os.kill(os.getpid(), signal.SIGINT)

model = BiasModel()
utilities.train_model(lambda: model, mapped_ratings_df(150), batch_size=32, callbacks=Interrupt())
"""


def test_a_notebook_shows_of_an_interrupted_fit_what_was_kept_and_goes_on():
    source = INTERRUPTED.format(tests=str(REPOSITORY / "tests"))
    notebook = new_notebook(
        cells=[new_code_cell(source), new_code_cell("print(model.user_biases.weight.abs().sum() > 0)")]
    )
    NotebookClient(notebook, allow_errors=True, resources={"metadata": {"path": str(REPOSITORY)}}).execute()
    error = notebook.cells[0].outputs[-1]
    assert error.ename == "KeyboardInterrupt"
    assert error.evalue.startswith("training interrupted in epoch 2; the model has the best weights so far, val_loss ")
    assert notebook.cells[1].outputs[0].text == "tensor(True)\n"
