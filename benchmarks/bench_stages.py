"""Where the time of an epoch goes: the seconds of each stage, for every plan that notebook 04's `EpochClock` offers.

The loop is notebook 04's `take_apart`, on one thread. *sample* is the built-in sample and a whole pass; *large* has the
shape of `bench_loader.py` and is scaled up from a few steps. Without workers nothing runs beside anything else, so each
stage is timed by itself, and the quickest of three passes counts: the one that other programs disturbed least. With workers
every plan is run, one pass after they have started. The table goes to the path that is given, or to `build/stages.csv`; what
is there already from such a machine stays where it was quicker: on a busy machine, run it again. Some 80 s on two quiet
cores.
"""

import os
import platform
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import polars as pl
import torch
from _common import N_MOVIES, N_USERS, machine
from pytorch_lightning.loggers import MLFlowLogger
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import utilities
from utilities.models import InnerProduct
from utilities.releases import HALF_STARS

STEPS = {256: 12, 1024: 10, 4096: 6, 16384: 2, 32768: 2}  # of the large data, by batch size
LOADERS, WORKERS = ["default", "whole batches"], [0, 2]
OPTIMIZERS, LOGGING = ["Adam", "fused Adam", "SparseAdam"], ["none", "a call a step", "in batches"]
STAGES = ["fetch", "forward", "backward", "optimizer", "logging"]
N_ROWS, N_LOGGED, ROUNDS = 1_781_184, 1000, 3
ids = {"userIdMapped": N_USERS, "movieIdMapped": N_MOVIES}


def optimizers_for(kind, n_users, n_movies):
    """Give a model and what trains it."""
    model = InnerProduct(n_users, n_movies, 3.5, HALF_STARS)
    if kind != "SparseAdam":
        return model, [torch.optim.Adam(model.parameters(), lr=5e-3, fused="fused" in kind)]
    model.user_embedding.sparse = model.movie_embedding.sparse = True
    tables = [model.user_embedding.weight, model.movie_embedding.weight]
    return model, [torch.optim.SparseAdam(tables, lr=5e-3), torch.optim.Adam(model.output.parameters(), lr=5e-3)]


def loader_of(kind, ratings_df, batch_size, n_workers):
    """Give PyTorch's default loader or the package's over all rows."""
    train = utilities.get_data_loaders(
        ratings_df, batch_size=batch_size, num_workers=n_workers, split=lambda df: (df, df.clear(), df.clear())
    ).train
    if kind == "whole batches":
        return train
    rows = TensorDataset(*train.dataset[:])
    return DataLoader(rows, batch_size, shuffle=True, num_workers=n_workers, persistent_workers=n_workers > 0)


def take_apart(loader, model, optimizers, log):
    """Train for one pass and give the seconds of each stage."""
    clock, batches, now = np.zeros(len(STAGES)), iter(loader), time.perf_counter
    for step in range(len(loader)):
        marks = [now()]
        user_ids, movie_ids, ratings = next(batches)
        marks.append(now())
        loss = F.mse_loss(model(user_ids, movie_ids), ratings)
        marks.append(now())
        model.zero_grad()
        loss.backward()
        marks.append(now())
        for optimizer in optimizers:
            optimizer.step()
        marks.append(now())
        if log:
            log({"loss": loss.item()}, step=step)
        marks.append(now())
        clock += np.diff(marks)
    return clock


def fetch_all(loader):
    """Give the seconds of a pass without any training."""
    start = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - start


def plans_of(ratings_df, batch_size, counts, ways, call_s):
    """Yield loader, workers, optimizer, logging and the seconds of each stage, for one size of batches."""
    trained = {kind: optimizers_for(kind, *counts) for kind in OPTIMIZERS}
    loaders = {key: loader_of(key[0], ratings_df, batch_size, key[1]) for key in product(LOADERS, WORKERS)}
    alone = loaders["whole batches", 0]
    rounds = [{kind: take_apart(alone, *trained[kind], None) for kind in OPTIMIZERS} for _ in range(1 + ROUNDS)]
    rest = {kind: min((clocks[kind] for clocks in rounds[1:]), key=np.sum) for kind in OPTIMIZERS}
    for (name, n_workers), loader in loaders.items():
        fetching = min(fetch_all(loader) for _ in range(1 if n_workers else ROUNDS))  # with workers, it starts them
        for kind, way in product(OPTIMIZERS, LOGGING):
            clock = np.array([fetching, *rest[kind][1:-1], len(alone) * call_s[way]])
            if n_workers:
                clock = take_apart(loader, *trained[kind], ways[way])
                clock[-1] += len(loader) * call_s["flush"] * (way == "in batches")
            yield name, n_workers, kind, way, clock


def logging_seconds(ways, flush):
    """Give the seconds of one call each way, and what handing over adds to a step that is logged in batches."""
    best = dict.fromkeys(("none", "a call a step", "in batches", "flush"), np.inf) | {"none": 0.0}
    for _ in range(ROUNDS):
        for way, n_calls in (("a call a step", N_LOGGED // 10), ("in batches", N_LOGGED)):
            start = time.perf_counter()
            for step in range(n_calls):
                ways[way]({"loss": 0.5}, step=step)
            called = time.perf_counter()
            flush()
            both = time.perf_counter() - start if way == "in batches" else called - start
            best[way] = min(best[way], both / n_calls)
        best["flush"] = min(best["flush"], (time.perf_counter() - called) / N_LOGGED)
    return best


def main(path):
    print(machine())
    sample_df, users_df, movies_df = utilities.load_torch_data("built-in")
    train_df = utilities.split_train_test(sample_df)[0].select(*ids, "rating")
    rng, rows = np.random.default_rng(0), []
    on = f"{len(os.sched_getaffinity(0))} cores ({platform.machine()}), torch {torch.__version__} on one thread"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        batched = utilities.mlflow_logger("stages")
        each = MLFlowLogger(run_id=batched.run_id, tracking_uri=utilities.settings().tracking_uri)
        ways = {"none": None, "a call a step": each.log_metrics, "in batches": batched.log_metrics}
        call_s = logging_seconds(ways, batched.flush)
        for (data, counts), size in product(
            {"sample": (users_df.height, movies_df.height), "large": (N_USERS, N_MOVIES)}.items(), STEPS
        ):
            started, n = time.perf_counter(), STEPS[size] * size
            drawn = {column: rng.integers(of, size=n) for column, of in ids.items()}
            drawn_df = pl.DataFrame(drawn | {"rating": rng.integers(1, 11, size=n) / 2})
            ratings_df = train_df if data == "sample" else drawn_df
            factor = 1 if data == "sample" else N_ROWS / n
            for loader, workers, optimizer, logging, clock in plans_of(ratings_df, size, counts, ways, call_s):
                seconds = [float(f"{factor * s:.3g}") for s in clock]
                rows.append([data, loader, workers, size, optimizer, logging, *seconds, on])
            print(f"{data:<6} {size:>6,} rows a batch: measured in {time.perf_counter() - started:.1f} s", flush=True)
        batched.finalize()
    plan = ["data", "loader", "workers", "batch_size", "optimizer", "logging"]
    stages_df = pl.DataFrame(rows, [*plan, *(f"{stage}_s" for stage in STAGES), "machine"], orient="row")
    path.parent.mkdir(exist_ok=True)
    keep_quicker(stages_df, plan, path).write_csv(path)


def keep_quicker(stages_df, plan, path):
    """Take from an earlier table of such a machine what was quicker: single stages, and with workers whole plans."""
    if not path.exists():
        return stages_df
    both_df = pl.concat([stages_df, pl.read_csv(path).filter(machine=stages_df["machine"][0])], how="vertical_relaxed")
    apart_df = both_df.filter(workers=0).group_by(plan).agg(pl.all().min())
    in_order_df = both_df.filter(pl.col("workers") > 0).sort(pl.sum_horizontal("^.*_s$"), maintain_order=True)
    quicker_df = pl.concat([apart_df, in_order_df.unique(plan, keep="first")])
    return stages_df.select(plan).join(quicker_df, on=plan, how="left", maintain_order="left")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else utilities.settings().root / "build" / "stages.csv")
