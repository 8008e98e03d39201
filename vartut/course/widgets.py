"""Something to turn: sliders, a line of text and a picture.

Only widgets that ipywidgets 7.7 and 8 share.  The picture is an `Image` and the text an `HTML` widget that a callback
refills, so nothing leaves through the kernel's output channel, and a cell can print the text of every position.
"""

import html

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import display

from .style import small_png


class Explorer:
    """Sliders above what `draw` makes of their values: `draw(**values)` returns a figure and a text.

    Each keyword names a slider: (first value, last value, value at the start) and, if it is not one, the step between
    two values, all whole numbers.
    """

    def __init__(self, draw, **sliders: tuple[int, ...]):
        self.draw, self.starts = draw, {name: numbers[2] for name, numbers in sliders.items()}
        self.sliders = {name: slider(name, *numbers) for name, numbers in sliders.items()}
        self.image, self.line = ipywidgets.Image(format="png"), ipywidgets.HTML()
        knobs = ipywidgets.HBox(list(self.sliders.values()), layout=ipywidgets.Layout(flex_flow="row wrap"))
        start = ipywidgets.Layout(align_items="flex-start")  # else the picture is stretched to the window's width
        self.box = ipywidgets.VBox([knobs, self.line, self.image], layout=start)
        self.text = ""
        for knob in self.sliders.values():
            knob.observe(self._refill, names="value")
        self._refill()

    def _refill(self, change=None) -> None:
        figure, self.text = self.draw(**{name: knob.value for name, knob in self.sliders.items()})
        self.image.value, self.line.value = small_png(figure), html.escape(self.text)
        plt.close(figure)

    def at(self, **values: int) -> str:
        """The text for these values, the others as at the start; the sliders stay where they are."""
        for name in values:
            self.sliders[name]  # KeyError for one that there is not
        figure, text = self.draw(**(self.starts | values))
        plt.close(figure)
        return text

    def _ipython_display_(self) -> None:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        names = ", ".join(knob.description for knob in self.sliders.values())
        text = f"run this cell to turn the sliders ({names}); what they say is printed below"
        display({"application/vnd.jupyter.widget-view+json": view, "text/plain": text}, raw=True)


def slider(name: str, low: int, high: int, start: int, step: int = 1) -> ipywidgets.IntSlider:
    """A slider that calls back when it is let go, its name and its value seen whole."""
    look = {"description": name.replace("_", " "), "continuous_update": False}
    look |= {"style": {"description_width": "initial"}, "layout": ipywidgets.Layout(width="320px", flex="0 0 auto")}
    return ipywidgets.IntSlider(value=start, min=low, max=high, step=step, **look)
