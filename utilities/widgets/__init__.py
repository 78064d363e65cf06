"""Things to play with: one idea each, in JupyterLab with a kernel and on a page without one."""

from utilities.widgets.broadcast import Broadcast as Broadcast
from utilities.widgets.cost_sheet import CostSheet as CostSheet
from utilities.widgets.epoch_clock import EpochClock as EpochClock
from utilities.widgets.first_weights import FirstWeights as FirstWeights
from utilities.widgets.movie_map import MovieMap as MovieMap
from utilities.widgets.recommender import Recommender as Recommender
from utilities.widgets.shrinkage import Shrinkage as Shrinkage
from utilities.widgets.two_rows import TwoRows as TwoRows
from utilities.widgets.two_users import TwoUsers as TwoUsers
