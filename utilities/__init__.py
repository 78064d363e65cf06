"""What the notebooks of the course share: ratings, splits, loaders, training and tracking.

Every name is imported from its module when it is first used, so that `import utilities` is quick: torch, Lightning and
MLflow take seconds to import, and notebook 01 needs none of them to start. The names are listed in `__init__.pyi`.
"""

import os
import warnings

import lazy_loader

from utilities.settings import data_folder as data_folder
from utilities.settings import settings as settings  # the module has the name, too: bound here, the function stays

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # else it tells of every table of a new store
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a download of one small file needs no bar
with warnings.catch_warnings():  # MLflow and Lightning import it, and it asks for widgets nobody needs
    warnings.simplefilter("ignore")
    import tqdm.auto  # noqa: F401

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
