"""What the widgets share: numbers in, a state to play with, a text that says what it shows, and a picture."""

import base64
import html
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import traitlets

from utilities.releases import HALF_STARS, Scale

FOLDER = Path(__file__).resolve().parent
METADATA = "movielens_widget"  # where a page finds what to draw without a kernel


class Widget(anywidget.AnyWidget):
    """One idea to play with, in JupyterLab with a kernel and on a page without one.

    A subclass names its JavaScript module and gives its text and its picture. Both languages say the same for every state.

    Attributes:
        data: The numbers that are drawn; they stay.
        state: What the reader has chosen, by name. Assign a dictionary to change it from Python.
        value: What comes of it, to go on with in the next cell.
    """

    name: ClassVar[str]
    data = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    _shown: ClassVar[dict[tuple[str, str], "Widget"]] = {}

    def __init_subclass__(cls, **kwargs):
        """Put the module together with what all share."""
        if "name" in vars(cls):
            cls._esm = f"{script(cls.name)}\nexport default {{ render: ({{ model, el }}) => mount(spec, model, el) }};"
            cls._css = (FOLDER / "base.css").read_text(encoding="utf-8")
        super().__init_subclass__(**kwargs)

    def __init__(self, data: Mapping[str, Any], state: Mapping[str, Any]):
        """Take what JSON can hold."""
        super().__init__(data=dict(data), state=dict(state))
        self._replace()

    def _replace(self) -> None:
        """Close the widget that an earlier execution of this cell has left."""
        kernel = getattr(self.comm, "kernel", None)
        cell = kernel.get_parent().get("metadata", {}).get("cellId") if kernel else None
        if cell:
            if earlier := self._shown.get((self.name, cell)):
                earlier.layout.close()
                earlier.close()
            self._shown[self.name, cell] = self

    @classmethod
    def example(cls) -> "Widget":
        """Give a widget to try, made without a notebook."""
        return cls()

    def text(self, state: Mapping[str, Any]) -> str:
        """Say what the widget shows in a state, in a sentence or two with its numbers."""
        raise NotImplementedError

    def picture(self):
        """Draw the idea as a matplotlib figure, for where nothing moves."""
        raise NotImplementedError

    @property
    def value(self) -> Any:
        """What comes of the state."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """The text, which tells the numbers."""
        return f"{type(self).__name__}: {self.text(self.state)}"

    def _repr_mimebundle_(self, **kwargs) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live view, the picture for where there is no kernel, the text, and what a page needs to draw it."""
        data, _ = super()._repr_mimebundle_(**kwargs)
        buffer = io.BytesIO()
        figure = self.picture()
        figure.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
        plt.close(figure)  # else Jupyter shows it once more
        data |= {"image/png": base64.b64encode(buffer.getvalue()).decode(), "text/plain": repr(self)}
        return data, {METADATA: self.stored()}

    def stored(self) -> dict[str, Any]:
        """Give what a page needs to draw the widget without a kernel."""
        return {"name": self.name, "data": self.data, "state": self.state}


def script(name: str) -> str:
    """Give the JavaScript of a widget, the shared part and its own."""
    return "\n".join((FOLDER / f"{part}.js").read_text(encoding="utf-8") for part in ("base", name))


def on_a_page(stored: Mapping[str, Any], image: str = "", text: str = "") -> str:
    """Give a widget for a page without a kernel: the style, an element, and the script that fills it.

    Args:
        stored: As `Widget.stored` gives it; it lies in the metadata of an executed cell's output.
        image: A PNG, base64, for readers without JavaScript.
        text: What that picture shows.

    Returns:
        HTML. A page has a widget of one name once: the script finds its element by its id.
    """
    id_ = f"mlw-{stored['name']}"
    style = (FOLDER / "base.css").read_text(encoding="utf-8")
    values = json.dumps({"data": stored["data"], "state": stored["state"]}).replace("</", "<\\/")
    code = f'const element = document.getElementById("{id_}");\nelement.model = storedModel({values});'
    code += "\nmount(spec, element.model, element);"
    still = f'<noscript><img alt="{html.escape(text)}" src="data:image/png;base64,{image}"></noscript>' if image else ""
    element = f'<div id="{id_}">{still}</div>'
    return f"<style>{style}</style>\n{element}\n<script>(() => {{\n{script(stored['name'])}\n{code}\n}})();</script>"


def fixed(value: float, digits: int = 0) -> str:
    """Give a number with so many digits behind the point and commas between thousands, as JavaScript's `toFixed` rounds."""
    rounded = Decimal(abs(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{'−' if value < 0 and rounded else ''}{rounded:,}"


def signed(value: float, digits: int = 0) -> str:
    """Give a number as `fixed` does, with a plus unless it has a minus."""
    text = fixed(value, digits)
    return text if text.startswith("−") else f"+{text}"


def error(value: float) -> str:
    """Give an error with three digits behind the point, or fewer if it is large."""
    return fixed(value, 3 if value < 10 else 2 if value < 100 else 1)


def distinct(titles: Iterable[Any]) -> list[str]:
    """Give the titles as texts that differ, the place in brackets behind those that come more than once; "?" for none."""
    titles = ["?" if title is None else str(title) for title in titles]
    times = Counter(titles)
    return [f"{title} [{i}]" if times[title] > 1 else title for i, title in enumerate(titles)]


def on_scale(stars: np.ndarray, scale: Scale) -> np.ndarray:
    """Stretch invented ratings of 0.5 to 5 stars onto a scale, and round to its steps."""
    share = (np.clip(stars, *HALF_STARS[:2]) - HALF_STARS.lowest) / (HALF_STARS.highest - HALF_STARS.lowest)
    width, step = scale.highest - scale.lowest, scale.step or 0.01
    return scale.lowest + (share * width / step).round() * step


def titles_with_years() -> pl.Expr:
    """Give the titles of a frame with `title` and `year`, the year in brackets where it is known."""
    return pl.when(pl.col("year").is_null()).then("title").otherwise(pl.format("{} ({})", "title", "year"))
