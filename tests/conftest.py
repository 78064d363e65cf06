"""What the unit tests share: a tracking store of their own, and ratings small enough to count by hand."""

import os
from pathlib import Path

import polars as pl
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Give the URI of the unit tests' MLflow store: one for all, because to make one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(scope="module", autouse=True)
def own_settings(store, tmp_path_factory):
    """Keep the unit tests' runs and files away from those of the notebooks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store)
        patch.setenv("MOVIELENS_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        patch.setenv("MOVIELENS_WORK_DIR", str(tmp_path_factory.mktemp("work")))
        yield


@pytest.fixture(scope="module")
def environment(own_settings):
    """Give the environment of a fresh Python that imports this package and the tests' models."""
    path = [str(REPOSITORY), str(REPOSITORY / "tests"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}


@pytest.fixture
def ratings_df():
    """Give four valid ratings, out of order: user 1 rates movies 30 and 10, user 2 movies 10 and 20."""
    return pl.DataFrame(
        {
            "userId": [2, 1, 2, 1],
            "movieId": [20, 30, 10, 10],
            "rating": [0.5, 5.0, 3.0, 4.5],
            "timestamp": [400, 300, 200, 300],
        }
    )
