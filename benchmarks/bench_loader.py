"""One pass over the training rows: the package's loader against PyTorch's default one."""

import statistics

import torch
from _common import BATCH_SIZE, interleaved, machine, planted_ratings, ratio, spread
from torch.utils.data import DataLoader, TensorDataset

import utilities

SHARE = 10  # the default loader runs over a tenth of the rows: its cost is per row


def main():
    print(machine())
    ratings_df, *_ = utilities.map_users_and_movies(planted_ratings())
    loader = utilities.get_data_loaders(ratings_df, batch_size=BATCH_SIZE).train
    columns = loader.dataset[:]
    n_rows = len(loader.dataset)
    default = DataLoader(TensorDataset(*(c[: n_rows // SHARE] for c in columns)), BATCH_SIZE, shuffle=True)

    def slices():
        for index in torch.randperm(n_rows).split(BATCH_SIZE):
            yield tuple(column.index_select(0, index) for column in columns)

    times = interleaved(
        {
            "default DataLoader over a TensorDataset": lambda: list(map(len, default)),
            "utilities.get_data_loaders": lambda: list(map(len, loader)),
            "bare slices of tensors": lambda: list(map(len, slices())),
        },
        repeats=5,
    )
    default_name, package_name, bare_name = times
    times[default_name] = [SHARE * t for t in times[default_name]]
    print(f"\none pass over {n_rows:,} rows in batches of {BATCH_SIZE:,}, median of 5 (range)\n")
    print("| loader | seconds | million rows a second |\n|---|---|---|")
    for name, of in times.items():
        print(f"| {name} | {spread(of)} | {n_rows / statistics.median(of) / 1e6:.2f} |")
    print(f"\npackage against default: {ratio(times[default_name], times[package_name]):.0f} times as fast")
    print(f"package against bare slices: {ratio(times[package_name], times[bare_name]):.2f} times the seconds")


if __name__ == "__main__":
    main()
