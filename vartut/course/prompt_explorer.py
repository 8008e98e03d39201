"""Notebook 05's explorer: a prompt of one's own, a slider through pictures, and what every verifier says of each.

Menus spell the grammar into a field of text, and what stands in the field is the prompt, whoever wrote it.  Scores have
no common scale, so each comes with the picture's place among all pictures shown, by that verifier and for this prompt.
Only widgets that ipywidgets 7.7 and 8 share.
"""

import html

import ipywidgets
import matplotlib.pyplot as plt
import torch
from IPython.display import display

from ..inputs import whole
from ..world import COLORS, NUMBERS, RELATIONS, SHAPES, SIZES, TEXTURES, Description, Group, describe, judge, parse
from ..world.questions import questions
from .plots import BLUE, ORANGE, draw_picture
from .style import small_png

OFFERED = {  # of a group, and what a menu offers
    "count": (1, *NUMBERS.values()),
    "size": (None, *SIZES),
    "texture": (None, *TEXTURES),
    "color": (None, *COLORS),
    "shape": SHAPES,
}
JOINED = ("", "and", *RELATIONS)  # nothing more, a second group, or a second one that the first stands so to


def spelled(first: dict, joined: str, second: dict) -> str:
    """The prompt that two groups make, each as values of `OFFERED`, the second unread where nothing joins it.

    Raises ValueError for what the grammar does not have.
    """
    groups = (Group(**first), *([Group(**second)] if joined else []))
    relations = ((0, joined, 1),) if joined in RELATIONS else ()
    prompt = describe(Description(groups, relations))
    parse(prompt)
    return prompt


class PromptExplorer:
    """Menus and a field for the prompt, a slider through `images` (N, 3, 64, 64), and the verdict of `verifiers`.

    verifiers: callables (pictures, prompt) -> (N,) by name.  `reasoner`, one of them, is asked for its answers as well.
    """

    def __init__(self, images: torch.Tensor, verifiers: dict, prompt: str, reasoner=None):
        self.images, self.verifiers, self.reasoner, self.start = images, verifiers, reasoner, prompt
        self.known: dict[str, tuple] = {}  # what is said of all pictures, by prompt
        wide = {"style": {"description_width": "initial"}, "continuous_update": False}
        self.field = ipywidgets.Text(value=prompt, description="prompt", layout={"width": "640px"}, **wide)
        self.slider = ipywidgets.IntSlider(0, 0, len(images) - 1, description="picture", **wide)
        self.menus = [{name: menu(offered) for name, offered in OFFERED.items()} for _ in range(2)]
        self.joined = menu(JOINED)
        self.image, self.line = ipywidgets.Image(format="png"), ipywidgets.HTML()
        first, second = ([*menus.values()] for menus in self.menus)
        rows = [ipywidgets.HBox(row) for row in ([*first, self.joined], second)]
        below = [self.field, self.slider, self.line, self.image]
        self.box = ipywidgets.VBox([*rows, *below], layout={"align_items": "flex-start"})
        for knob in (*first, self.joined, *second):
            knob.observe(self._spell, names="value")
        for knob in (self.field, self.slider):
            knob.observe(self._refill, names="value")
        self._refill()

    def _spell(self, change=None) -> None:
        groups = [{name: knob.value for name, knob in menus.items()} for menus in self.menus]
        try:
            self.field.value = spelled(groups[0], self.joined.value, groups[1])
        except ValueError as error:
            self.line.value = html.escape(str(error))

    def _refill(self, change=None) -> None:
        try:
            figure, text = self.draw(self.field.value, self.slider.value)
        except ValueError as error:  # no prompt of the world, or too long for a verifier: say so, keep the picture
            self.line.value = html.escape(str(error))
            return
        self.image.value, self.line.value = small_png(figure), html.escape(text).replace("\n", "<br>")
        plt.close(figure)

    def said(self, prompt: str) -> tuple:
        """Scores of all pictures by name, (N,) each, the answers' probabilities (N, Q) or None, and the verdicts."""
        if prompt not in self.known:
            scores = {name: verifier(self.images, prompt).cpu() for name, verifier in self.verifiers.items()}
            if nan := [name for name, of in scores.items() if of.isnan().any()]:
                raise ValueError(f"{nan[0]} gives NaN for some picture: it has no place")
            answers = None if self.reasoner is None else self.reasoner.explain(self.images, prompt).cpu()
            self.known[prompt] = scores, answers, judge(self.images, [prompt] * len(self.images))
        return self.known[prompt]

    def draw(self, prompt: str, picture: int):
        """The figure and the text of a prompt and a picture; raises ValueError for what is no prompt."""
        asked, picture = questions(prompt), whole(least=0, most=len(self.images) - 1, picture=picture)
        scores, answers, verdicts = self.said(prompt)
        places = {name: 1 + int((of > of[picture]).sum()) for name, of in scores.items()}
        lines = [f"picture {picture}, the judge: {verdicts[picture].reason}"]
        lines += [f"place of {len(self.images)} by " + ", by ".join(f"{name} {at}" for name, at in places.items())]
        if answers is not None:
            sure = [f"{q.text} {q.right} {100 * p:.0f} %" for q, p in zip(asked, answers[picture].tolist())]
            lines += [f"{self.reasoner.name} believes: " + "; ".join(sure)]
        return draw_places(self.images[picture], places, len(self.images), verdicts[picture].correct), "\n".join(lines)

    def at(self, prompt: str | None = None, picture: int = 0) -> str:
        """The text for a prompt and a picture; the sliders and menus stay where they are."""
        figure, text = self.draw(self.start if prompt is None else prompt, picture)
        plt.close(figure)
        return text

    def _ipython_display_(self) -> None:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        text = "run this cell to spell a prompt and to turn the pictures; some of what they say is printed below"
        display({"application/vnd.jupyter.widget-view+json": view, "text/plain": text}, raw=True)


def menu(offered) -> ipywidgets.Dropdown:
    """A menu of these values, "–" for none; it begins with the first."""
    shown = [("–" if value in (None, "") else str(value), value) for value in offered]
    return ipywidgets.Dropdown(options=shown, value=offered[0], layout={"width": "110px"})


def draw_places(image: torch.Tensor, places: dict[str, int], of: int, right: bool):
    """A picture beside its place by every verifier, 1 for the best of so many; blue if it is right, else orange."""
    figure, ax = plt.subplots(figsize=(7.6, 0.6 + 0.27 * len(places)), layout="none")
    figure.subplots_adjust(left=0.42, right=0.9, bottom=0.5 / figure.get_figheight(), top=0.97)
    lengths = [100 * (of + 1 - place) / of for place in places.values()]
    bars = ax.barh([*places], lengths, color=BLUE if right else ORANGE)
    ax.bar_label(bars, [f"{place}." for place in places.values()], padding=3, fontsize=8)
    ax.set(xlim=(0, 100), xlabel=f"pictures of {of} that score no higher, %")
    ax.invert_yaxis()
    height = 7.6 * 0.26 / figure.get_figheight()
    corner = figure.add_axes((0.01, 0.5 - height / 2, 0.26, height), xlim=(0, 1), ylim=(0, 1))
    corner.set_axis_off()
    draw_picture(corner, image, (0.5, 0.5), 1)
    return figure
