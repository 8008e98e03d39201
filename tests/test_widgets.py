"""Sliders above a picture: a turned knob draws anew, and a cell can ask for every position."""

import io

import matplotlib.pyplot as plt
import pytest
from PIL import Image

from vartut.course.widgets import Explorer


@pytest.fixture
def drawn():
    """An explorer of two sliders, and what its callback was asked for."""
    asked = []

    def draw(shade, side=1):
        asked.append((shade, side))
        figure, ax = plt.subplots(figsize=(1, 1))
        ax.imshow([[shade]], vmin=0, vmax=100, cmap="gray")
        ax.set_axis_off()
        return figure, f"{shade} < 100, side {side}"

    yield Explorer(draw, shade=(0, 100, 40, 10), side=(1, 3, 2)), asked
    plt.close("all")


def brightness(explorer) -> float:
    picture = Image.open(io.BytesIO(explorer.image.value)).convert("L")
    return picture.getpixel((picture.width // 2, picture.height // 2)) / 255


def test_it_begins_where_its_sliders_begin(drawn):
    explorer, asked = drawn
    assert asked == [(40, 2)]
    assert explorer.text == "40 < 100, side 2"
    assert explorer.line.value == "40 &lt; 100, side 2", "text is no HTML"
    assert brightness(explorer) == pytest.approx(0.4, abs=0.02)
    assert plt.get_fignums() == [], "what was drawn is closed"


def test_a_turned_knob_draws_anew(drawn):
    explorer, asked = drawn
    explorer.sliders["shade"].value = 90
    assert asked[-1] == (90, 2)
    assert brightness(explorer) == pytest.approx(0.9, abs=0.02)
    assert explorer.text == "90 < 100, side 2"


def test_a_cell_asks_by_name_the_others_as_at_the_start_and_turns_nothing(drawn):
    explorer, _ = drawn
    picture = explorer.image.value
    assert explorer.at(shade=70, side=3) == "70 < 100, side 3"
    assert explorer.at(shade=20) == "20 < 100, side 2"
    assert (explorer.sliders["shade"].step, explorer.sliders["side"].step) == (10, 1)
    with pytest.raises(KeyError, match="shad"):
        explorer.at(shad=3)
    assert [knob.value for knob in explorer.sliders.values()] == [40, 2], "the reader finds the first picture"
    assert (explorer.image.value, explorer.text) == (picture, "40 < 100, side 2")
    assert plt.get_fignums() == []


def test_a_notebook_shows_it_with_a_text_beside(drawn, monkeypatch):
    shown = []
    monkeypatch.setattr("vartut.course.widgets.display", lambda data, raw: shown.append(data))
    drawn[0]._ipython_display_()
    assert shown[0]["text/plain"].startswith("run this cell to turn the sliders (shade, side)")
    assert shown[0]["application/vnd.jupyter.widget-view+json"]["model_id"] == drawn[0].box.model_id
