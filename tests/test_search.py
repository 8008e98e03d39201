"""The searches against a naive one without states, against enumeration, and against exact distributions."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from vartut.hub import read_prompts
from vartut.ledger import Ledger
from vartut.models.next_scale import NextScaleSampler
from vartut.models.tokenizer import Tokenizer
from vartut.models.transformer import NextScaleTransformer
from vartut.search import beam_search, greedy_search, random_search
from vartut.world import WORDS, token_ids

PROMPT = "a red circle left of a blue square"

# ---- a sampler small enough to know everything about ---------------------------------------------------------------


@dataclass(frozen=True)
class ToyState:
    step: int
    prompts: tuple
    seeds: tuple
    paths: tuple
    digits: tuple  # a tuple of digits per row
    cells: tuple  # a dict per row: {"ran": bool}
    ledger: Ledger

    def __len__(self):
        return len(self.digits)


class Toy:
    """Pictures of `steps` digits; a table gives the probabilities of the next digit after every prefix.

    The picture of a prefix is one grey level of its own, and `values` gives each prefix a score.
    """

    def __init__(self, steps=3, digits=2, seed=0, branch_steps=None):
        rng = np.random.default_rng(seed)
        self.num_steps, self.digits = steps, digits
        self.branch_steps = range(steps) if branch_steps is None else branch_steps
        self.prefixes = [p for k in range(steps + 1) for p in itertools.product(range(digits), repeat=k)]
        self.tables = {p: rng.dirichlet(np.full(digits, 3.0)) for p in self.prefixes if len(p) < steps}
        self.values = {p: float(value) for p, value in zip(self.prefixes, rng.normal(size=len(self.prefixes)))}
        self.passes = self.widest = 0

    def begin(self, prompts, seed, ledger=None):
        return ToyState(0, tuple(prompts), (seed,), ((),), ((),), ({"ran": False},), ledger)

    def expand(self, state, n=1, first=0):
        counts = [n] * len(state) if isinstance(n, int) else n
        rows = [row for row, count in enumerate(counts) for _ in range(count)]
        paths = tuple((*state.paths[row], first + j) for row, j in zip(rows, [j for c in counts for j in range(c)]))
        running = {id(c): c for c in (state.cells[row] for row in rows) if not c["ran"]}
        for cell in running.values():
            cell["ran"] = True
        self.passes, self.widest = self.passes + len(running), max(self.widest, len(rows))
        digits = tuple((*state.digits[r], self.draw(state.seeds[r], p, state.digits[r])) for r, p in zip(rows, paths))
        seeds, prompts = tuple(state.seeds[r] for r in rows), tuple(state.prompts[r] for r in rows)
        cells = tuple({"ran": False} for _ in rows)
        return ToyState(state.step + 1, prompts, seeds, paths, digits, cells, state.ledger)

    def select(self, state, rows):
        by_row = ("prompts", "seeds", "paths", "digits", "cells")
        return replace(state, **{name: tuple(getattr(state, name)[r] for r in rows) for name in by_row})

    def preview(self, state):
        level = torch.tensor([self.prefixes.index(d) for d in state.digits], dtype=torch.float64) / len(self.prefixes)
        return level.view(-1, 1, 1, 1).expand(-1, 3, 4, 4)

    def draw(self, seed, path, prefix):
        rng = np.random.default_rng([seed, len(path), *path])  # NumPy ignores trailing zeros: [5] is [5, 0]
        return int(np.searchsorted(self.tables[prefix].cumsum(), rng.random()))

    def shown(self, image):
        """The digits that a picture shows."""
        return self.prefixes[round(float(image[0, 0, 0]) * len(self.prefixes))]

    def verifier(self, images, prompts):
        return torch.tensor([self.values[self.shown(image)] for image in images], dtype=torch.float64)

    def probability(self, digits):
        return np.prod([self.tables[digits[:k]][digit] for k, digit in enumerate(digits)])


def walk(toy, seed, path):
    """The digits at the end of a path of child numbers."""
    digits = ()
    for k in range(len(path)):
        digits += (toy.draw(seed, path[: k + 1], digits),)
    return digits


def naive_beam(toy, seed, width, candidates, branch, rollouts):
    """The beam in child numbers alone, without states: (path, score) of all it looked at, those kept, the best."""
    def value(path):
        whole = path + (0,) * (toy.num_steps - len(path)) if rollouts else path
        return toy.values[walk(toy, seed, whole)]

    looked, kept, finished = [], [], []
    beam, numbers = [(0,) * branch[0]], range(width * candidates)
    for k, following in zip(branch, [*branch[1:], toy.num_steps]):
        children = [(*path, j) for path in beam for j in numbers]
        scores = [value(path) for path in children]
        looked += zip(children, scores)
        finished += scores if rollouts or k + 1 == toy.num_steps else []
        order = sorted(range(len(children)), key=lambda i: (-scores[i], i))[:width]
        survivors = [children[i] for i in sorted(order)]
        kept += survivors
        beam = [path + (0,) * (following - k - 1) for path in survivors]
        numbers = range(1, candidates + 1) if rollouts else range(candidates)
    if not finished:
        looked += [(path, value(path)) for path in beam]
        kept, finished = kept + beam, [value(path) for path in beam]
    return looked, kept, max(finished)


sizes = st.integers(1, 4)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.data(), sizes, sizes, st.integers(1, 4), st.booleans(), st.integers(1, 9), st.integers(0, 99))
def test_beam_is_the_naive_beam(data, width, candidates, steps, rollouts, max_rows, seed):
    toy = Toy(steps, digits=3, seed=seed)
    branch = sorted(data.draw(st.sets(st.integers(0, steps - 1), min_size=1)))
    score = "rollout" if rollouts else "preview"
    result = beam_search(toy, "x", toy.verifier, width, candidates, score, branch, seed=seed, max_rows=max_rows)
    looked, kept, best = naive_beam(toy, seed, width, candidates, branch, rollouts)
    assert [(node.path, node.score) for node in result.tree.nodes[1:]] == looked
    assert [node.path for node in result.tree.nodes if node.kept and node.id] == kept
    assert result.score == best
    assert toy.values[toy.shown(result.image)] == best, "the picture is not the one that earned the score"
    assert toy.widest <= max_rows


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(sizes, sizes, st.integers(1, 5), st.integers(1, 9), st.integers(0, 99))
def test_passes_are_what_the_formulas_say(width, candidates, steps, max_rows, seed):
    def passes(search, **arguments):
        toy = Toy(steps, seed=seed)
        search(toy, "x", toy.verifier, seed=seed, max_rows=max_rows, **arguments)
        return toy.passes

    wc, triangle = width * candidates, steps * (steps - 1) // 2
    assert passes(beam_search, width=width, candidates=candidates) == 1 + wc * triangle
    assert passes(greedy_search, candidates=candidates) == 1 + candidates * triangle
    assert passes(random_search, n=wc) == 1 + wc * (steps - 1)
    assert passes(beam_search, width=width, candidates=candidates, score="preview") == 1 + width * (steps - 1)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(sizes, st.integers(1, 4), st.integers(0, 99))
def test_greedy_is_the_beam_of_width_one(candidates, steps, seed):
    toy = Toy(steps, digits=3, seed=seed)
    greedy = greedy_search(toy, "x", toy.verifier, candidates, seed=seed)
    beam = beam_search(toy, "x", toy.verifier, 1, candidates, seed=seed)
    assert greedy.tree.nodes == beam.tree.nodes
    assert greedy.score == beam.score
    assert torch.equal(greedy.image, beam.image)


def test_callable_scores_compare_prefixes_and_the_verifier_finished_pictures():
    toy = Toy(3, digits=3)
    prefix_value = dict(zip(toy.prefixes, np.random.default_rng(7).normal(size=len(toy.prefixes))))

    def critic(sampler, state):
        assert sampler is toy
        assert state.step < 3, "finished pictures are the verifier's"
        return torch.tensor([prefix_value[d] for d in state.digits])

    result = beam_search(toy, "x", toy.verifier, 2, 3, score=critic, seed=5)
    for node in result.tree.nodes[1:]:
        value = toy.values if node.step == 3 else prefix_value
        assert node.score == pytest.approx(value[walk(toy, 5, node.path)], abs=1e-6)
        assert node.finished == (node.step == 3)
    assert {e.what for e in result.ledger.entries if e.phase == "score"} == {"score"}
    assert result.ledger.total("calls", "score") == 6 + 6
    assert result.ledger.total("calls", "verifier") == 6


def test_a_sampler_that_branches_at_its_first_step_alone_gets_a_random_search():
    toy = Toy(3, digits=3, branch_steps=range(1))  # as an ODE sampler: one draw, the noise
    beam, plain = beam_search(toy, "x", toy.verifier, 3, 2), random_search(toy, "x", toy.verifier, 6)
    assert beam.tree.finished_scores() == plain.tree.finished_scores()
    assert beam.score == plain.score
    assert greedy_search(toy, "x", toy.verifier, 6).tree.finished_scores() == plain.tree.finished_scores()


# ---- what is promised of the best picture, of budgets and of ties --------------------------------------------------


def test_the_best_finished_picture_is_never_lost():
    class Recorder:
        def __init__(self, toy):
            self.toy, self.seen = toy, []

        def __call__(self, images, prompts):
            scores = self.toy.verifier(images, prompts)
            self.seen += zip(scores.tolist(), map(self.toy.shown, images))
            return scores

    left_behind = 0
    for seed in range(40):
        toy = Toy(4, digits=3, seed=seed)
        verifier = Recorder(toy)
        result = beam_search(toy, "x", verifier, 2, 2, seed=seed)
        assert (result.score, toy.shown(result.image)) == max(verifier.seen)
        best = result.tree[result.tree.best]
        assert best.score == result.score
        assert walk(toy, seed, best.path + (0,) * (4 - best.step)) == toy.shown(result.image)
        last = [node.score for node in result.tree.nodes if node.kept and node.step == 4]
        left_behind += max(last) < result.score
    assert left_behind > 5, "the last beam always held the best picture: this test shows nothing"


def test_budgets_nest():
    toy = Toy(4, digits=3)
    few, many = (random_search(toy, "x", toy.verifier, n, seed=3) for n in (7, 14))
    assert many.tree.finished_scores()[:7] == few.tree.finished_scores()
    assert many.score >= few.score
    beam = beam_search(toy, "x", toy.verifier, 2, 7, seed=3)
    assert beam.tree.finished_scores()[:14] == many.tree.finished_scores()
    assert beam.score >= many.score
    wide = beam_search(toy, "x", toy.verifier, 2, 9, seed=3)
    assert wide.tree.finished_scores()[:14] == many.tree.finished_scores()


def test_of_equal_scores_the_first_wins():
    toy = Toy(3)
    result = beam_search(toy, "x", lambda images, prompts: torch.zeros(len(images)), 2, 3)
    assert result.tree.best_path == [0, 1]
    kept = [node.path for node in result.tree.nodes if node.kept]
    assert kept == [(), (0,), (1,), (0, 1), (0, 2), (0, 1, 1), (0, 1, 2)]


def test_rounding_noise_does_not_choose():
    toy = Toy(3)

    def noisy(images, prompts):  # later pictures better in the eighth digit
        noisy.calls += len(images)
        return 1 + 1e-8 * torch.arange(noisy.calls - len(images), noisy.calls, dtype=torch.float64)

    noisy.calls = 0
    assert beam_search(toy, "x", noisy, 2, 3).tree.best_path == [0, 1]


# ---- statistics ----------------------------------------------------------------------------------------------------


def test_a_random_verifier_gives_no_gain_and_the_true_one_does():
    toy = Toy(3, digits=3, seed=1)
    pictures = [p for p in toy.prefixes if len(p) == 3]
    chance = np.array([toy.probability(p) for p in pictures])
    values = np.array([toy.values[p] for p in pictures])
    mean = chance @ values
    spread = np.sqrt(chance @ (values - mean) ** 2)
    noise = torch.Generator().manual_seed(0)

    def z(verifier, n=400):
        found = [toy.values[toy.shown(beam_search(toy, "x", verifier, 2, 2, seed=seed).image)] for seed in range(n)]
        return (np.mean(found) - mean) / (spread / n**0.5)

    assert abs(z(lambda images, prompts: torch.rand(len(images), generator=noise))) < 3.3
    assert z(toy.verifier) > 10


def test_children_of_a_survivor_are_fresh_draws():
    """The rollout that made a prefix survive is not among them: they follow the table, unbiased by the choice."""
    toy = Toy(2, digits=3, seed=2)
    counts = {digit: np.zeros(3) for digit in range(3)}
    for seed in range(1500):
        result = greedy_search(toy, "x", toy.verifier, 3, seed=seed)
        for node in result.tree.nodes:
            if node.step == 2:
                first, second = walk(toy, seed, node.path)
                counts[first][second] += 1
    tested = [d for d in range(3) if counts[d].sum() > 300]
    assert len(tested) >= 2
    for digit in tested:
        assert chisquare(counts[digit], counts[digit].sum() * toy.tables[(digit,)]).pvalue > 1e-3
    assert chisquare(counts[tested[0]], counts[tested[0]].sum() * toy.tables[(tested[1],)]).pvalue < 1e-6


# ---- the real sampler, small enough to enumerate -------------------------------------------------------------------


def tiny(scales=(1, 1, 2), codes=2, seed=0, **settings):
    torch.manual_seed(seed)
    tokenizer = Tokenizer(codes=codes, channels=8, width=8, scales=scales)
    tokenizer.quantizer.codebook.normal_()
    transformer = NextScaleTransformer(tokenizer, len(WORDS), 16, width=24, depth=2, heads=2)
    for parameter in [*tokenizer.phi.parameters(), *transformer.parameters()]:
        parameter.data += 0.15 * torch.randn_like(parameter)  # far from the near-uniform start: wrong draws would show
    return NextScaleSampler(tokenizer, transformer, read_prompts, **settings)


def weighted(images, prompts):
    """A verifier that no two different pictures please alike."""
    weights = torch.rand(images[0].numel(), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return images.flatten(1).double() @ weights


@pytest.fixture(scope="module")
def enumerated():
    """A real sampler of 2^6 pictures, all of them, and the exact probability of each from the uncached transformer."""
    sampler = tiny(guidance=1.0, seed=2)  # uneven, yet every picture has at least .4 %
    tokenizer = sampler.tokenizer
    flat = torch.tensor(list(itertools.product(range(2), repeat=6)))  # (64, 6)
    tokens = list(flat.split([1, 1, 4], 1))
    with torch.no_grad():
        pictures = tokenizer.preview(tokens)
        inputs = [tokenizer.shrink(tokenizer.latent(tokens[:k]), k) for k in (1, 2)]
        logits = sampler.transformer(token_ids([PROMPT]).expand(64, -1), inputs)  # (64, 6, 2), in one causal pass
        chance = logits.log_softmax(-1).gather(-1, flat[..., None]).sum((1, 2)).exp()
    assert chance.sum().item() == pytest.approx(1, abs=1e-4)
    return sampler, pictures, chance


def test_sampling_frequencies_are_the_exact_distribution(enumerated):
    sampler, pictures, chance = enumerated
    drawn = []

    def recognise(images, prompts):
        drawn.append(torch.cdist(images.flatten(1), pictures.flatten(1)).argmin(1))
        return torch.zeros(len(images))

    random_search(sampler, PROMPT, recognise, n=4000, seed=1, max_rows=500)
    counts = torch.bincount(torch.cat(drawn), minlength=64).double()
    expected = 4000 * chance.double() / chance.double().sum()
    assert expected.min() > 5, "chi-square needs a handful of each"
    assert chisquare(counts, expected).pvalue > 1e-3
    assert chisquare(counts).pvalue < 1e-6, "too uniform a model to show anything"


def test_unpruned_beam_is_brute_force(enumerated):
    """With one candidate each nothing is ever pruned: every picture of the toy is seen, and the best one found."""
    sampler, pictures, _ = enumerated
    values = weighted(pictures, None)
    result = beam_search(sampler, PROMPT, weighted, width=500, candidates=1, seed=2, max_rows=500)
    assert all(node.kept for node in result.tree.nodes)
    seen = torch.tensor(result.tree.finished_scores(), dtype=torch.float64)
    assert (values[:, None] - seen).abs().min(1).values.max() < 1e-3
    assert result.score == pytest.approx(values.max().item(), abs=1e-3)
    assert torch.allclose(result.image, pictures[values.argmax()], atol=1e-5)


def test_unpruned_beam_is_brute_force_on_the_toy():
    toy = Toy(3, digits=2, seed=4)
    finished = {p: toy.values[p] for p in toy.prefixes if len(p) == 3}
    result = beam_search(toy, "x", toy.verifier, width=300, candidates=1)
    assert all(node.kept for node in result.tree.nodes)
    assert set(result.tree.finished_scores()) == set(finished.values())
    assert toy.shown(result.image) == max(finished, key=finished.get)


@pytest.mark.parametrize(
    ("width", "candidates", "scales"), [(1, 4, (1, 2, 4)), (3, 5, (1, 2, 4)), (2, 3, (1, 1, 2, 2, 3))]
)
def test_the_model_runs_as_often_as_the_formula_says(monkeypatch, width, candidates, scales):
    sampler, rows = tiny(scales, codes=4, guidance=1.5), []
    step = sampler.transformer.step

    def counted(k, shrunk, past):
        rows.append(past[0].shape[2])
        return step(k, shrunk, past)

    monkeypatch.setattr(sampler.transformer, "step", counted)
    result = beam_search(sampler, PROMPT, weighted, width, candidates, max_rows=4)
    K = len(scales)
    passes = 1 + width * candidates * K * (K - 1) // 2
    assert sum(rows) == 2 * passes == 2 * result.ledger.nfe, "two branches each: conditional and unconditional"
    assert max(rows) <= 2 * 4
    assert result.ledger.paper_nfe == width * candidates * K * (K + 1) // 2
    assert result.ledger.total("calls", "verifier") == result.ledger.total("calls", "decoder") == K * width * candidates


@pytest.mark.parametrize("score", ["rollout", "preview"])
def test_chunked_is_unchunked(score):
    sampler = tiny((1, 2, 4), codes=4)
    whole, *parts = (
        beam_search(sampler, PROMPT, weighted, 3, 4, score, branch=[0, 2], max_rows=rows) for rows in (1000, 1, 5)
    )
    for part in parts:
        assert [n.path for n in part.tree.nodes] == [n.path for n in whole.tree.nodes]
        assert [n.kept for n in part.tree.nodes] == [n.kept for n in whole.tree.nodes]
        scores = [[node.score for node in tree.nodes[1:]] for tree in (part.tree, whole.tree)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-3)
        assert torch.allclose(part.image, whole.image, atol=1e-5)
        assert part.ledger.nfe == whole.ledger.nfe


def test_a_survivor_goes_on_from_its_own_rollout():
    """With steps left out, what is branched is the state that the survivor's rollout passed, and nothing runs twice."""
    sampler = tiny((1, 1, 2, 3), codes=4)
    result = beam_search(sampler, PROMPT, weighted, 2, 3, branch=[1, 3])
    paths = [node.path for node in result.tree.nodes if node.step == 4]
    survivors = [node.path for node in result.tree.nodes if node.step == 2 and node.kept]
    assert paths == [(*path, 0, j) for path in survivors for j in (1, 2, 3)]
    assert all(path[0] == 0 for path in survivors)
    assert result.ledger.nfe == 2 + 6 * 2, "step 0, the shared branch at step 1, and six rollouts of two passes"


def test_log_likelihood_is_a_score():
    sampler = tiny((1, 2, 4), codes=4)
    result = beam_search(sampler, PROMPT, weighted, 2, 4, score=lambda sampler, state: state.log_prob, branch=[0, 1])
    assert [node.finished for node in result.tree.nodes] == [node.step == 3 for node in result.tree.nodes]
    assert len(result.tree.finished_scores()) == 2
    assert result.ledger.nfe == 1 + 2 + 2


def test_the_ledger_counts_the_verifier_and_can_be_handed_in():
    class Verifier:
        flops_per_image = 1000

        def __call__(self, images, prompts):
            assert prompts == [PROMPT] * len(images)
            return weighted(images, prompts)

    sampler, ledger = tiny((1, 2, 4), codes=4), Ledger()
    result = beam_search(sampler, PROMPT, Verifier(), 2, 2, ledger=ledger)
    assert result.ledger is ledger
    assert ledger.total("calls", "verifier", "verify") == 12
    assert ledger.total("flops", "verifier") == 12_000
    assert ledger.total("seconds", "verifier") > 0
    assert ledger.total("nfe", phase="branch") == 1
    assert ledger.total("nfe", phase="rollout") == 12
    before = ledger.nfe
    random_search(sampler, PROMPT, weighted, 2, ledger=ledger)
    assert ledger.nfe == before + 1 + 2 * 2


def test_numbers_of_any_kind_are_the_same_search():
    sampler = tiny((1, 2, 4), codes=4)
    wanted = beam_search(sampler, PROMPT, weighted, 2, 3, branch=[0, 2], seed=3, max_rows=4)
    for kind in (np.int64, np.uint8, torch.tensor):
        numbers = {"width": kind(2), "candidates": kind(3), "seed": kind(3), "max_rows": kind(4)}
        for branch in (np.array([0, 2]), torch.tensor([0, 2]), (kind(0), kind(2))):
            found = beam_search(sampler, PROMPT, weighted, branch=branch, **numbers)
            assert torch.equal(found.image, wanted.image)
            assert found.tree.nodes == wanted.tree.nodes


def test_same_seed_same_result_other_seed_other_pictures():
    sampler = tiny((1, 2, 4), codes=4)
    one, two, other = (beam_search(sampler, PROMPT, weighted, 2, 2, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.image, two.image)
    assert one.tree.nodes == two.tree.nodes
    assert one.tree.finished_scores() != other.tree.finished_scores()


def test_kept_images_are_the_pictures_that_were_scored():
    sampler = tiny((1, 2, 4), codes=4)
    result = beam_search(sampler, PROMPT, weighted, 2, 2, keep_images=True)
    assert result.tree[0].image is None
    assert all(n.image.shape == (3, 32, 32) and n.image.dtype == torch.uint8 for n in result.tree.nodes[1:])
    best = result.tree[result.tree.best].image
    assert (best.float() / 255 - result.image).abs().max() < 1 / 255
    assert all(n.image is None for n in beam_search(sampler, PROMPT, weighted, 2, 2).tree.nodes)


# ---- what a verifier may do, and what stops a search ----------------------------------------------------------------


def test_a_verifier_that_works_in_place_spoils_nothing():
    def destroys(images, prompts):
        scores = weighted(images, prompts)
        images.zero_()
        prompts.clear()
        return scores

    sampler = tiny((1, 2, 4), codes=4)
    for arguments in ({}, {"score": "preview", "branch": [0]}):
        wanted = beam_search(sampler, PROMPT, weighted, 2, 2, keep_images=True, **arguments)
        found = beam_search(sampler, PROMPT, destroys, 2, 2, keep_images=True, **arguments)
        assert torch.equal(found.image, wanted.image)
        assert found.tree.nodes == wanted.tree.nodes
        assert all(torch.equal(a.image, b.image) for a, b in zip(found.tree.nodes[1:], wanted.tree.nodes[1:]))


def test_a_score_that_works_in_place_spoils_nothing():
    def scores(sampler, state):
        return state.sum.sum((1, 2, 3))

    def destroys(sampler, state):
        found = scores(sampler, state)
        for tensor in (state.sum, state.log_prob, *state.tokens):
            tensor.zero_()
        return found

    sampler = tiny((1, 2, 4), codes=4)
    wanted = beam_search(sampler, PROMPT, weighted, 2, 2, score=scores)
    found = beam_search(sampler, PROMPT, weighted, 2, 2, score=destroys)
    assert torch.equal(found.image, wanted.image)
    assert found.tree.nodes == wanted.tree.nodes
    assert found.ledger.nfe == wanted.ledger.nfe


def test_results_and_nodes_can_be_found_in_lists():
    sampler = tiny((1, 2, 4), codes=4)
    results = [random_search(sampler, PROMPT, weighted, 2, seed=seed, keep_images=True) for seed in (0, 1, 1)]
    best = max(results, key=lambda result: result.score)
    assert results[results.index(best)] is best
    assert len(set(results)) == 3, "the same picture found twice is two results"
    assert all(r.tree.nodes.index(node) == node.id for r in results for node in r.tree.nodes)


class Stops:
    """A verifier that scores a number of batches and then does as told."""

    def __init__(self, batches, error):
        self.left, self.error = batches, error

    def __call__(self, images, prompts):
        if self.left == 0:
            raise self.error
        self.left -= 1
        return weighted(images, prompts)


@pytest.mark.parametrize("search", [random_search, greedy_search, beam_search])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError("no room")], ids=["Ctrl-C", "no memory"])
def test_what_stops_a_search_has_the_best_picture_so_far(search, error):
    sampler, ledger = tiny((1, 2, 4), codes=4), Ledger()
    with pytest.raises(type(error)) as stopped:
        search(sampler, PROMPT, Stops(3, error), max_rows=2, ledger=ledger)
    found = stopped.value.result
    assert len(found.tree.finished_scores()) == 6
    assert found.score == max(found.tree.finished_scores()) == found.tree[found.tree.best].score
    torch.testing.assert_close(weighted(found.image[None], [PROMPT]).item(), found.score)
    assert found.ledger is ledger
    assert any(".result" in note for note in stopped.value.__notes__)
    with pytest.raises(type(error)) as stopped:
        search(sampler, PROMPT, Stops(0, type(error)()))
    assert stopped.value.result is None, "nothing was finished yet"


def test_a_sampler_that_is_interrupted_leaves_the_best_picture_too(monkeypatch):
    sampler = tiny((1, 2, 4), codes=4)
    step, calls = sampler.transformer.step, []

    def interrupted(k, *rest):
        calls.append(k)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return step(k, *rest)

    monkeypatch.setattr(sampler.transformer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        random_search(sampler, PROMPT, weighted, 9, max_rows=2)
    assert len(stopped.value.result.tree.finished_scores()) == 4


@pytest.mark.parametrize("search", [random_search, greedy_search, beam_search])
def test_a_search_that_is_interrupted_while_the_prompt_is_read_says_that_it_has_nothing(search, monkeypatch):
    def interrupted(ids):
        raise KeyboardInterrupt

    sampler = tiny((1, 2, 4), codes=4)
    monkeypatch.setattr(sampler.transformer, "encode_text", interrupted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        search(sampler, PROMPT, weighted)
    assert stopped.value.result is None


# ---- bad input -----------------------------------------------------------------------------------------------------

NAN = float("nan")


@pytest.mark.parametrize(
    ("search", "arguments", "message"),
    [
        (beam_search, {"width": 0}, "width is a whole number of at least 1; got 0"),
        (beam_search, {"width": -2}, "width .* got -2"),
        (beam_search, {"width": 2.5}, "width .* got 2.5"),
        (beam_search, {"candidates": 0}, "candidates .* got 0"),
        (beam_search, {"width": 10**9}, "width x candidates is 5000000000, more than 4096"),
        (beam_search, {"branch": range(5)}, r"branch .* \[0, 1, 2\]"),
        (beam_search, {"branch": []}, "branch is one or more"),
        (beam_search, {"branch": 7}, "branch is one or more"),
        (beam_search, {"branch": [0.0, 1]}, r"branch\[0\] is a whole number; got 0.0"),
        (beam_search, {"branch": True}, "branch is a whole number; got True"),
        (beam_search, {"branch": "01"}, "branch is a whole number; got '01'"),
        (beam_search, {"score": "rolout"}, 'unknown score \'rolout\': did you mean "rollout"'),
        (beam_search, {"score": "previews"}, 'did you mean "preview"'),
        (beam_search, {"score": None}, "unknown score None"),
        (beam_search, {"score": lambda sampler, state: torch.zeros(2)}, r"score callable .* \(15,\); got shape \(2,\)"),
        (beam_search, {"max_rows": 0}, "max_rows"),
        (greedy_search, {"candidates": 0}, "candidates"),
        (random_search, {"n": 0}, "n is a whole number of at least 1"),
        (random_search, {"n": True}, "n is a whole number"),
        (random_search, {"seed": None}, "seed is a whole number"),
        (random_search, {"seed": "0"}, "seed is a whole number; got '0'"),
        (random_search, {"seed": 0.0}, "seed is a whole number; got 0.0"),
        (random_search, {"seed": np.eye(9)}, "seed is a whole number; got array"),
        (random_search, {"prompt": ["x"]}, "one prompt, a str, not a list"),
        (random_search, {"verifier": "clip"}, "verifier is a callable"),
        (random_search, {"verifier": lambda images, prompts: torch.zeros(len(images), 1)}, r"got shape \(16, 1\)"),
        (random_search, {"verifier": lambda images, prompts: [0.0] * len(images)}, "got a list"),
        (greedy_search, {"verifier": lambda images, prompts: torch.full((len(images),), NAN)}, "NaN for 15 of 15 rows"),
    ],
)
def test_bad_input_gets_one_clear_line(search, arguments, message):
    toy = Toy(3)
    with pytest.raises(ValueError, match=message) as caught:
        search(toy, **({"prompt": "x", "verifier": toy.verifier} | arguments))
    assert "\n" not in str(caught.value)
