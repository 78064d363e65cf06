"""What the notebooks of the course share: ratings, splits, loaders, training and tracking.

Every name is imported from its module when it is first used, so that `import utilities` is quick: torch, Lightning and
MLflow take seconds to import, and notebook 01 needs none of them to start.
"""

import os
import warnings
from importlib import import_module

from utilities.settings import data_folder, settings

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a download of one small file needs no bar
warnings.filterwarnings("ignore", "IProgress not found")  # MLflow and Lightning ask tqdm for widgets nobody needs

_MODULE_OF = {
    "load_movies": "datasets",
    "load_ratings": "datasets",
    "rating_scale": "datasets",
    "save_parquet": "datasets",
    "get_most_frequent_movies": "frames",
    "load_torch_data": "frames",
    "map_users_and_movies": "frames",
    "split_train_test": "splits",
    "BiasBaseline": "baselines",
    "BayesianFactorization": "bayesian",
    "movie_features": "bayesian",
    "bootstrap_interval": "metrics",
    "rating_metrics": "metrics",
    "IndexBatchSampler": "loaders",
    "get_data_loaders": "loaders",
    "EarlyStoppingWithMinEpochs": "training",
    "RatingModel": "training",
    "make_trainer": "training",
    "predict": "training",
    "train_model": "training",
    "import_classes": "notebooks",
    "DictLogger": "tracking",
    "mlflow_logger": "tracking",
    "runs_to_df": "tracking",
    "send_kept_runs": "tracking",
    "step_logs_to_df": "tracking",
    "tracking_client": "store",
    "training_logs_to_df": "tracking",
    "plot_learning_curves": "plots",
    "set_plot_style": "plots",
}

__all__ = ["data_folder", "settings", *_MODULE_OF]


def __getattr__(name):
    """Import a public name from its module on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'utilities' has no attribute {name!r}")
    value = getattr(import_module(f"utilities.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    """List the public names, those not imported yet too."""
    return sorted(__all__)
