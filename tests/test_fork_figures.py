"""Notebook 04's figures: boxes counted as the sampler holds them, bars as high as what was given."""

import matplotlib.pyplot as plt
import pytest
from contract import finish
from toy_models import toy_sampler

from vartut import world
from vartut.course import fork_figures as figures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def words(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize(("fork", "children"), [(1, 2), (2, 3), (4, 5)])
def test_the_drawing_holds_what_the_sampler_holds(fork, children):
    sampler = toy_sampler()
    state = sampler.begin("a circle", 0)
    for _ in range(fork):
        state = sampler.expand(state)
    ended = finish(sampler, sampler.expand(state, children))
    chains = [cell.ancestors() for cell in ended.cells]
    cells = {cell for chain in chains for cell in chain if cell.result.kv is not None}
    held = sum(cell.result.kv.shape[5] for cell in cells)
    ax = figures.forked_caches(fork, children, world.MAX_WORDS).axes[0]
    [said] = [text for text in words(ax) if text.startswith("held")]
    assert said.endswith(f"= {held} positions")
    copied = sum(cell.result.kv.shape[5] for chain in chains for cell in chain if cell.result.kv is not None)
    [said] = [text for text in words(ax) if text.startswith("if every child")]
    assert said.endswith(f"= {copied}")
    boxes = [text for text in words(ax) if text.isdigit()]
    assert sum(map(int, boxes)) == held, "every box is one pass"


def test_bars_are_in_percent_and_written():
    ax = figures.draw_prices({"one": dict(zip(figures.CURRENCIES, (0.125, 0.5, 0.75, 1.0)))}).axes[0]
    assert [round(bar.get_height(), 1) for bar in ax.patches] == [12.5, 50, 75, 100]
    assert words(ax) == ["12", "50", "75", "100"]
    assert [label.get_text() for label in ax.get_xticklabels()] == list(figures.CURRENCIES)
    assert ax.get_legend() is None
    two = figures.draw_prices({name: dict(zip(figures.CURRENCIES, (1, 1, 1, 1))) for name in "ab"}).axes[0]
    assert [text.get_text() for text in two.get_legend().get_texts()] == ["a", "b"]


def test_savings_stand_in_pairs():
    ax = figures.draw_savings({"many": (0.46, 0.12), "one": (0.5, 0.5)}).axes[0]
    assert [round(bar.get_width()) for bar in ax.patches] == [46, 50, 12, 50]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["many", "one"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["NFE", "tokens"]
