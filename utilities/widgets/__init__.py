"""Things to play with: one idea each, in JupyterLab with a kernel and on a page without one."""

from utilities.widgets.cost_sheet import CostSheet as CostSheet
from utilities.widgets.shrinkage import Shrinkage as Shrinkage
