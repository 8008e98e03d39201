"""What any sampler and any verifier must do, as plain functions that take one.

    contract.children_nest(sampler, prompts)        # three prompts that it reads, the first and the last the same
    contract.refuses(verifier, pictures, prompts)   # three pictures, and prompts that it reads

Each raises AssertionError with what is wrong.  A new sampler or verifier joins by one line in a list of
`test_contract.py`; what only it does belongs in its own test file.
"""

import contextlib
import dataclasses
import math

import numpy as np
import pytest
import torch

from vartut.ledger import Ledger

ROUNDING = 1e-5  # logits may differ by so much with the batch; guidance and a low temperature make more of it
KINDS = (np.int64, np.uint8, torch.tensor)  # of whole numbers, beside Python's own


# ---- tools ---------------------------------------------------------------------------------------------------------


def finish(sampler, state):
    """Child 0 until the picture is done."""
    while state.step < sampler.num_steps:
        state = sampler.expand(state)
    return state


def near(sampler, k: int) -> float:
    """Perturbed logits u + g (c - u), over T, closer than this may change places with the batch."""
    g, temperature = sampler.guidance[k], sampler.temperature[k] or 1.0
    return max(1e-4, 2 * ROUNDING * (abs(g) + abs(1 - g)) / temperature)


def near_ties(sampler, state, other, rows=None):
    """How many rows part at a near-tie; fails where tokens differ that were no near-tie.

    Row i of `state` is compared with row rows[i] of `other`, up to the first scale where they part.
    """
    parted = 0
    for row, twin in enumerate(range(len(other)) if rows is None else rows):
        assert state.paths[row] == other.paths[twin]
        chain = state.cells[row].ancestors()[1:]  # the root is the text's
        for k, cell in enumerate(chain):
            differ = state.tokens[k][row] != other.tokens[k][twin]
            if differ.any():
                logits = cell.result.logits[cell.row][None]
                scores = sampler.perturbed(k, logits, [state.seeds[row]], [state.paths[row][: k + 1]])[0]
                gap = scores.topk(2).values.diff().abs().squeeze(-1)
                said = f"row {row} draws other tokens at scale {k}, and {gap[differ].max():.1e} was no near-tie"
                assert gap[differ].max() < near(sampler, k), said
                parted += 1
                break
    return parted


def same(sampler, state, other, rows=None) -> None:
    """Fail unless rows of two states are the same pictures, but for one near-tie where tokens are drawn."""
    rows = list(range(len(other)) if rows is None else rows)
    assert state.step == other.step
    for name in ("prompts", "seeds", "paths"):
        assert getattr(state, name) == tuple(getattr(other, name)[row] for row in rows), name
    if hasattr(sampler, "perturbed") and hasattr(state, "tokens"):
        ties = near_ties(sampler, state, other, rows)
        print(f"{ties} near-ties")
        assert ties <= 1
        if ties:
            return
    torch.testing.assert_close(sampler.latent(state), sampler.latent(other)[rows], atol=1e-4, rtol=1e-4)


def tensors(state) -> dict[str, torch.Tensor]:
    """Copies of all tensors of a state, by field."""
    found = {}
    for field in dataclasses.fields(state):
        value = getattr(state, field.name)
        parts = [value] if isinstance(value, torch.Tensor) else value if isinstance(value, tuple) else []
        parts = [part for part in parts if isinstance(part, torch.Tensor)]
        found |= {f"{field.name} {i}": part.clone() for i, part in enumerate(parts)}
    return found


@contextlib.contextmanager
def user_defaults():
    """The user has set torch's defaults to float64 and to a device where nothing can be computed."""
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def refused(call, about: str) -> str:
    """The message of the ValueError that the call raises; fails where there is none, or where it is not one line."""
    message = None
    try:
        call()
    except ValueError as error:
        message = str(error)
    assert message is not None, f"{about} was taken"
    assert "\n" not in message, f"{about}: {message}"
    assert len(message) > 10, f"{about}: {message}"
    return message


# ---- samplers ------------------------------------------------------------------------------------------------------


def steps_and_pictures(sampler, prompts) -> None:
    """K steps, after each a picture in [0, 1]; then no more."""
    state = sampler.begin(prompts, 0)
    assert set(sampler.branch_steps) <= set(range(sampler.num_steps))
    assert 0 in sampler.branch_steps
    for step in range(sampler.num_steps):
        assert state.step == step
        assert len(state) == len(prompts)
        state = sampler.expand(state)
        picture = sampler.preview(state)
        assert picture.shape[:2] == (len(prompts), 3)
        assert picture.dtype == torch.float32
        assert 0 <= picture.min() <= picture.max() <= 1
        torch.testing.assert_close(sampler.decode(sampler.latent(state)), picture)
    assert (picture[0] - picture[2]).abs().max() > 1e-3, "the same prompt from two seeds is two pictures"
    one, other = sampler.latent(finish(sampler, sampler.begin(prompts[:2], [5, 5])))
    assert (one - other).abs().max() > 1e-3, "the prompt matters"
    assert "finished" in refused(lambda: sampler.expand(state), "a step too many")


def children_nest(sampler, prompts) -> None:
    """The first n of 2n children are the n children; `first` numbers on; all differ, where the sampler draws."""
    state = sampler.begin(prompts, 10)
    for step in range(sampler.num_steps):
        six, three, later = (sampler.expand(state, *given) for given in ((6, 0), (3, 0), (3, 3)))
        mixed = sampler.expand(state, [0, 2, 1])
        rows = [6 * row + j for row in range(3) for j in range(3)]
        same(sampler, three, six, rows)
        same(sampler, later, six, [row + 3 for row in rows])
        same(sampler, mixed, six, [6, 7, 12])
        assert six.paths == tuple((*state.paths[row], j) for row in range(3) for j in range(6))
        if step in sampler.branch_steps:
            assert torch.unique(sampler.latent(six).flatten(1), dim=0).shape[0] > 3, f"children of step {step} differ"
        state = sampler.select(three, [0, 4, 8])


def the_batch_changes_nothing(sampler, prompts) -> None:
    """Rows alone, in another order, in chunks, from passes at different times: the same pictures."""
    seeds = [11, 12, 13]
    together = finish(sampler, sampler.begin(prompts, seeds))
    for row in range(3):
        same(sampler, finish(sampler, sampler.begin([prompts[row]], [seeds[row]])), together, [row])
    same(sampler, finish(sampler, sampler.begin(prompts[::-1], seeds[::-1])), together, [2, 1, 0])
    whole, again = (sampler.expand(sampler.begin(prompts, 8), 2) for _ in range(2))
    whole = finish(sampler, whole)
    for rows in ([4, 1, 5], [0], [3, 2]):
        same(sampler, finish(sampler, sampler.select(again, rows)), whole, rows)
    same(sampler, finish(sampler, again), whole)  # by now its passes have run in three parts


def forks_equal_painting_anew(sampler, prompts) -> None:
    """Rows that were expanded, dropped, repeated and reordered are those painted alone by their paths."""
    state = sampler.expand(sampler.begin(prompts, 5), 2)
    state = sampler.expand(sampler.select(state, [4, 0, 0, 3]), [2, 1, 0, 1])
    state = finish(sampler, sampler.select(sampler.expand(state, 2), [7, 2, 2, 1]))
    for row in range(len(state)):
        alone = sampler.begin([state.prompts[row]], [state.seeds[row]])
        for child in state.paths[row]:
            alone = sampler.expand(alone, 1, first=child)
        same(sampler, alone, state, [row])


def no_rows_are_a_state(sampler, prompts) -> None:
    """Nothing to do is nothing wrong, and costs no pass."""
    begun = sampler.begin(prompts, 0)
    for state in (begun, sampler.expand(begun)):
        before = state.ledger.nfe
        none = sampler.select(state, [])
        for empty in (none, sampler.expand(state, 0), sampler.expand(none, 3)):
            assert len(empty) == len(finish(sampler, empty)) == len(sampler.latent(empty)) == 0
        assert state.ledger.nfe == before
    assert len(sampler.preview(sampler.select(begun, []))) == 0


def states_are_values(sampler, prompts) -> None:
    """Whatever is done with a state, it stays as it was; doing it again gives the same."""
    state = sampler.expand(sampler.begin(prompts, 0), 2)
    facts, copies = (state.step, state.paths, state.seeds, state.prompts), tensors(state)
    once = finish(sampler, sampler.select(sampler.expand(state, 3), [5, 4, 11]))
    sampler.preview(state)
    assert facts == (state.step, state.paths, state.seeds, state.prompts)
    assert all(torch.equal(tensor, copies[name]) for name, tensor in tensors(state).items())
    same(sampler, finish(sampler, sampler.select(sampler.expand(state, 3), [5, 4, 11])), once)
    for name, value in (("step", 3), ("seeds", ())):
        with pytest.raises(AttributeError):
            setattr(state, name, value)
    twin = sampler.select(state, range(len(state)))
    assert [twin, state].index(state) == 1, "states compare by identity"
    assert len({state, twin, state}) == 2


def nothing_runs_twice(sampler, prompts) -> None:
    """Siblings and aliases share their parent's pass, and a state remembers it; whoever triggers it pays."""
    ledger = Ledger()
    state = sampler.expand(sampler.expand(sampler.begin(prompts[:1], 0, ledger)), 2)
    before = ledger.nfe
    doubled = sampler.expand(sampler.select(state, [1, 0, 1]), [2, 1, 1])
    assert ledger.nfe == before + 2, "three rows, two pictures"
    assert torch.equal(sampler.latent(doubled)[0], sampler.latent(doubled)[3]), "an alias is no new draw"
    before = ledger.nfe
    sampler.expand(state, 4, first=1)
    assert ledger.nfe == before, "the pass has run"
    assert ledger.total("calls", "decoder") == 0
    sampler.preview(state)
    assert ledger.total("calls", "decoder") == 2


def numbers_of_any_kind(sampler, prompts) -> None:
    """Integers of NumPy and torch, ranges, masks: the same states as of plain ints, with plain ints in them."""
    start = sampler.begin(prompts, 3)
    counts = [1, 0, 2, 0, 1, 1]
    wanted = sampler.expand(sampler.expand(start, 2, first=3), counts)
    for kind in KINDS:
        assert sampler.begin(prompts, kind(3)).seeds == start.seeds
        assert sampler.begin(prompts, [kind(3), 4, kind(5)]).seeds == sampler.begin(prompts, range(3, 6)).seeds
        state = sampler.expand(sampler.begin(prompts, kind(3)), kind(2), first=kind(3))
        for given in ([kind(n) for n in counts], np.array(counts), torch.tensor(counts)):
            found = sampler.expand(state, given)
            same(sampler, found, wanted)
            assert all(type(j) is int for path in found.paths for j in path)
            assert all(type(seed) is int for seed in found.seeds)
    mask = [False, True, False, True, True]
    for rows in ([1, 3, 4], (1, 3, 4), np.array([1, 3, 4]), torch.tensor([1, 3, 4]), (row for row in (1, 3, 4)),
                 mask, np.array(mask), torch.tensor(mask)):  # fmt: skip
        same(sampler, sampler.select(wanted, rows), wanted, [1, 3, 4])
    same(sampler, sampler.select(wanted, range(2, 4)), wanted, [2, 3])


def wrong_numbers_are_refused(sampler, prompts) -> None:
    """One line, and never another picture."""
    state = sampler.begin(prompts, 0)
    for seed in (True, 0.7, "0", None, [0.7, 1, 2], ["0", "1", "2"], [True, 1, 2], [1, 2], torch.rand(3), {1, 2, 3}):
        refused(lambda seed=seed: sampler.begin(prompts, seed), f"seed={seed}")
    for n in (True, 1.5, "1", -1, None, [1, 2], [1, 1.0, 1], [True, 1, 1], [1, -1, 1], torch.ones(3), np.ones(3) > 0):
        refused(lambda n=n: sampler.expand(state, n), f"n={n}")
    for first in (True, 1.5, -1, "0", None, [0], np.float64(1)):
        refused(lambda first=first: sampler.expand(state, 1, first=first), f"first={first}")
    for rows in ([3], [-1], [1.7], [0, 1.0], ["0"], "0", 0, True, [True], [True] * 4, [True, 1, 0], np.ones(3), {0, 1},
                 torch.ones(2) > 0, torch.rand(3), None):  # fmt: skip
        refused(lambda rows=rows: sampler.select(state, rows), f"rows={rows}")
    for asked in ([], [None], [prompts[0], 1.5], None, set(prompts), dict.fromkeys(prompts), b"a fox"):
        refused(lambda asked=asked: sampler.begin(asked, 0), f"prompts={asked}")


def settings_of_any_kind(sampler, prompts) -> None:
    """Guidance from NumPy and torch is that of plain numbers; nonsense is refused; the original stays."""
    before = sampler.guidance
    for value in (np.float64(1.5), np.float32(1.5), torch.tensor(1.5), np.array(1.5)):
        assert sampler.tuned(guidance=value).guidance == sampler.tuned(guidance=1.5).guidance
    steps = range(sampler.num_steps)
    for value in (True, "2", None, math.nan, math.inf, [], object(), set(steps), dict.fromkeys(steps, 2), bytes(steps)):
        refused(lambda value=value: sampler.tuned(guidance=value), f"guidance={value}")
    assert "did you mean" in refused(lambda: sampler.tuned(cfg=3), "an unknown setting")
    assert sampler.guidance is before
    settings = {name: value for name, value in vars(sampler).items() if isinstance(value, list)}
    tuned = vars(sampler.tuned())
    for name, value in settings.items():
        assert tuned[name] == value
        assert tuned[name] is not value, f"{name} of the tuned sampler is the original's own list"


def guidance_may_change_on_the_way(sampler, prompts) -> None:
    """Another guidance for a state that is under way works, or says in a line why not."""
    for first, second in ((1.0, 3.0), (0.0, 3.0), (3.0, 1.0), (3.0, 0.0)):
        one, other = sampler.tuned(guidance=first), sampler.tuned(guidance=second)
        state = one.expand(one.expand(one.begin(prompts, 0)))
        one.expand(one.select(state, [0]))  # this row's pass has run
        for unfinished in (state, one.select(state, [0]), one.select(state, [1])):
            message = None
            try:
                found = finish(other, unfinished)
            except ValueError as error:
                message = str(error)
            if message is None:
                assert torch.isfinite(sampler.latent(found)).all()
            else:
                assert "begin anew" in message
                assert "\n" not in message


def the_users_defaults_do_not_matter(sampler, prompts) -> None:
    """torch.set_default_dtype and set_default_device change nothing."""
    state = sampler.expand(sampler.begin(prompts, 4), 2)
    wanted, picture = finish(sampler, state), sampler.preview(finish(sampler, state))
    with user_defaults():
        state = sampler.expand(sampler.begin(prompts, 4), 2)
        sampler.preview(state)
        found = finish(sampler, sampler.select(state, range(6)))
        seen = sampler.preview(found)
        assert len(finish(sampler, sampler.select(state, []))) == 0
        if hasattr(sampler, "perturbed"):
            sampler.tuned(guidance=torch.tensor(2.0, dtype=torch.float32, device="cpu"))
    same(sampler, found, wanted)
    assert seen.dtype == torch.float32
    torch.testing.assert_close(seen, picture, atol=1e-4, rtol=0)


# ---- verifiers -----------------------------------------------------------------------------------------------------


def one_score_a_picture(verifier, pictures, prompts) -> None:
    """(B,) float32 without gradient, the same again; one prompt for all is a prompt for each; any float will do."""
    scores = verifier(pictures, prompts)
    assert scores.shape == (len(pictures),)
    assert scores.dtype == torch.float32
    assert not scores.requires_grad
    assert torch.isfinite(scores).all()
    assert scores.std() > 1e-6, "it tells pictures apart"
    assert torch.equal(verifier(pictures, prompts), scores)
    assert torch.equal(verifier(pictures, tuple(prompts)), scores)
    assert torch.equal(verifier(pictures, iter(prompts)), scores)
    assert torch.equal(verifier(pictures, prompts[0]), verifier(pictures, [prompts[0]] * len(pictures)))
    torch.testing.assert_close(verifier(pictures.double(), prompts), scores, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(verifier(pictures.half(), prompts), scores, atol=0.05, rtol=0.05)
    torch.testing.assert_close(verifier(pictures.clone().requires_grad_(), prompts), scores)
    assert isinstance(verifier.name, str)
    assert verifier.flops_per_image >= 0


def the_batch_changes_no_score(verifier, pictures, prompts) -> None:
    """A picture alone, and in another order: the same score."""
    scores = verifier(pictures, prompts)
    alone = torch.cat([verifier(pictures[i : i + 1], prompts[i]) for i in range(len(pictures))])
    torch.testing.assert_close(alone, scores, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(verifier(pictures.flip(0), prompts[::-1]).flip(0), scores, atol=1e-4, rtol=1e-4)


def no_pictures_have_no_scores(verifier, pictures, prompts) -> None:
    """An empty batch is one."""
    for given in ([], prompts[0]):
        scores = verifier(pictures[:0], given)
        assert scores.shape == (0,)
        assert scores.dtype == torch.float32


def pictures_and_prompts_stay(verifier, pictures, prompts) -> None:
    """It changes nothing that it is given."""
    mine, words = pictures.clone(), list(prompts)
    verifier(mine, words)
    assert torch.equal(mine, pictures)
    assert words == list(prompts)


def refuses(verifier, pictures, prompts) -> None:
    """What cannot be scored: one line that says what is wrong, and with pictures of another form, what helps."""
    last = pictures.permute(0, 2, 3, 1)
    for wrong, part in (
        ((255 * pictures).byte(), "divide by 255"),
        (pictures.numpy(), "give torch.from_numpy(images)"),
        (last.numpy(), "give torch.from_numpy(images).permute(0, 3, 1, 2)"),
        ((255 * last).byte().numpy(), "permute(0, 3, 1, 2) / 255"),
        (last[0].numpy(), "give torch.from_numpy(images).permute(2, 0, 1)[None]"),
        (last, "give images.permute(0, 3, 1, 2)"),
        (pictures[0], "give images[None]"),
        (pictures[:, :1], "(B, 3, "),
        (pictures * 255, "clamp or rescale"),
        (pictures - 1, "clamp or rescale"),
        (pictures * math.nan, "NaN"),
        (pictures[..., :4, :4], "at least 8"),
        ("picture.png", "got str"),
        (None, "got NoneType"),
    ):
        about = f"a {type(wrong).__name__} {getattr(wrong, 'dtype', '')} {tuple(getattr(wrong, 'shape', ()))}"
        message = refused(lambda wrong=wrong: verifier(wrong, prompts), about)
        assert part in message, f"{about}: {message}"
    for wrong in (prompts[:1], [*prompts, prompts[0]], [], None, 3, [None] * len(pictures), [3] * len(pictures),
                  set(prompts), dict.fromkeys(prompts)):  # fmt: skip
        refused(lambda wrong=wrong: verifier(pictures, wrong), f"prompts={wrong}")


def the_users_defaults_change_no_score(verifier, pictures, prompts) -> None:
    """torch.set_default_dtype and set_default_device change nothing."""
    wanted = verifier(pictures, prompts)
    with user_defaults():
        found, none = verifier(pictures, prompts), verifier(pictures[:0], prompts[0])
    assert found.dtype == none.dtype == torch.float32
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


SAMPLER = (
    steps_and_pictures, children_nest, the_batch_changes_nothing, forks_equal_painting_anew, no_rows_are_a_state,
    states_are_values, nothing_runs_twice, numbers_of_any_kind, wrong_numbers_are_refused, settings_of_any_kind,
    guidance_may_change_on_the_way, the_users_defaults_do_not_matter,
)  # fmt: skip
VERIFIER = (
    one_score_a_picture, the_batch_changes_no_score, no_pictures_have_no_scores, pictures_and_prompts_stay, refuses,
    the_users_defaults_change_no_score,
)  # fmt: skip
