"""Notebook 05's explorer: menus spell prompts of the grammar, free text is read, and what is no prompt is said so."""

import io
from itertools import product

import matplotlib.pyplot as plt
import pytest
import torch
from PIL import Image

from vartut import world
from vartut.course.prompt_explorer import JOINED, OFFERED, PromptExplorer, spelled

PROMPT = "a red circle left of a blue square"


class Answers:
    """A stand-in for the reasoner: as sure of an answer as the picture is bright."""

    name = "a stand-in"

    def explain(self, images, prompt):
        return images.mean((1, 2, 3))[:, None].expand(-1, len(world.parse(prompt).groups))


def bright(images, prompt):
    """Scores by brightness; refuses long prompts, as CLIP does."""
    if len(prompt.split()) > 9:
        raise ValueError("it reads at most 9 words")
    return images.mean((1, 2, 3))


@pytest.fixture
def explorer():
    images = torch.tensor([0.2, 0.9, 0.5]).view(3, 1, 1, 1).expand(3, 3, 64, 64).clone()
    images[1] = world.render(world.sample("position", 1, "test"))[0]
    dark = {"bright": bright, "dark": lambda images, prompt: -bright(images, prompt)}
    yield PromptExplorer(images, dark, PROMPT, Answers())
    plt.close("all")


def test_it_begins_with_its_prompt_and_first_picture(explorer):
    assert explorer.field.value == PROMPT
    assert "picture 0" in explorer.line.value
    assert Image.open(io.BytesIO(explorer.image.value)).width > 300
    assert plt.get_fignums() == []


def test_places_are_counted_among_all_pictures_for_this_prompt(explorer):
    assert "place of 3 by bright 3, by dark 1" in explorer.at(picture=0)
    assert "place of 3 by bright 1, by dark 3" in explorer.at(picture=1)
    assert "place of 3 by bright 2, by dark 2" in explorer.at("two stars", 2)


def test_the_judge_and_the_answers_stand_beside(explorer):
    scene = world.sample("position", 1, "test")[0]
    assert explorer.at(scene.prompt, 1).startswith(
        f"picture 1, the judge: {world.judge(explorer.images[1:2], [scene.prompt])[0].reason}"
    )
    assert "a stand-in believes: is there a circle ? yes 20 %" in explorer.at(picture=0)


def test_menus_write_into_the_field_and_the_picture_follows(explorer):
    menus, joined = explorer.menus, explorer.joined
    menus[0]["color"].value, menus[0]["shape"].value = "red", "star"
    assert explorer.field.value == "a red star"
    joined.value = "above"
    menus[1]["shape"].value = "ring"
    assert explorer.field.value == "a red star above a ring"
    assert "picture 0" in explorer.line.value
    menus[1]["count"].value = 3
    assert world.parse(explorer.field.value).groups[1].count == 3


def test_what_is_no_prompt_is_said_and_the_picture_stays(explorer):
    before = explorer.image.value
    explorer.field.value = "a red dog"
    assert "unknown word &quot;dog&quot;" in explorer.line.value
    assert explorer.image.value == before
    explorer.field.value = "a small striped red star left of a large dotted blue ring"
    assert "at most 9 words" in explorer.line.value
    explorer.field.value = "a star"
    assert "picture 0" in explorer.line.value


def test_all_that_the_menus_offer_is_a_prompt_or_refused_in_words():
    first = {"count": 1, "size": None, "texture": None, "color": "red", "shape": "star"}
    for joined, count, size, shape in product(JOINED, OFFERED["count"], OFFERED["size"], ("star", "ring")):
        second = {"count": count, "size": size, "texture": "striped", "color": None, "shape": shape}
        if joined and count == 5:  # with the star six objects
            with pytest.raises(ValueError, match="more than five objects"):
                spelled(first, joined, second)
        else:
            prompt = spelled(first, joined, second)
            assert world.describe(world.parse(prompt)) == prompt


def test_it_shows_itself_with_a_text_beside(explorer, monkeypatch):
    shown = []
    monkeypatch.setattr("vartut.course.prompt_explorer.display", lambda data, raw: shown.append(data))
    explorer._ipython_display_()
    assert shown[0]["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.box.model_id


@pytest.mark.parametrize("picture", [3, -1, 1.5, True])
def test_pictures_are_numbered_from_0(explorer, picture):
    with pytest.raises(ValueError, match="picture"):
        explorer.at(picture=picture)


def test_a_score_of_nan_has_no_place():
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    explorer = PromptExplorer(images, {"odd": lambda images, prompt: bright(images, prompt) * float("nan")}, PROMPT)
    assert "odd gives NaN" in explorer.line.value
