"""The tokenizer: its quantizers by hand, its scales against a plain recomputation, its codebook kept alive."""

import itertools

import pytest
import torch
from torch.nn import functional as F
from toy_models import toy_tokenizer

from vartut import world
from vartut.hub import load_tokenizer
from vartut.models.tokenizer import SCALES, Bits, Codebook, Tokenizer
from vartut.training.recipes import TokenizerRecipe, self_correcting_pairs, usage


@pytest.fixture(params=[False, True], ids=["codebook", "bits"])
def tokenizer(request):
    """A toy with either quantizer."""
    return toy_tokenizer(request.param)


@pytest.fixture(scope="module")
def pictures():
    """A picture of each task."""
    return world.render(world.sample("all", 8, "validation"))


# ---- scales --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_encoding_recomputed_plainly(tokenizer, pictures):
    """VAR's algorithm 1 written out, one place of one scale at a time."""
    f = tokenizer.encoder(2 * pictures - 1)
    tokens, rest = tokenizer.encode(pictures), f.clone()
    assert [t.shape[1] for t in tokens] == [n * n for n in SCALES]
    assert tokenizer.num_tokens == sum(t.shape[1] for t in tokens) == 130
    for k, n in enumerate(SCALES):
        codes = torch.zeros(8, tokenizer.channels, n, n)
        for i in range(n):
            for j in range(n):  # the mean over the area that the place covers
                rows = slice(8 * i // n, -(-8 * (i + 1) // n))
                vector = rest[:, :, rows, 8 * j // n : -(-8 * (j + 1) // n)].mean((2, 3))
                token = tokens[k][:, i * n + j]
                if tokenizer.bitwise:
                    assert torch.equal(token, (vector > 0).long())
                    code = torch.where(vector > 0, 1.0, -1.0) / tokenizer.channels**0.5
                else:
                    distance = torch.cdist(vector, tokenizer.quantizer.codebook)
                    assert torch.equal(token, distance.argmin(1))
                    code = tokenizer.quantizer.codebook[token]
                codes[:, :, i, j] = code
        grown = codes if n == 8 else F.interpolate(codes, size=(8, 8), mode="bicubic")
        rest = rest - F.conv2d(grown, tokenizer.phi[k].weight, tokenizer.phi[k].bias, padding=1)
    torch.testing.assert_close(tokenizer.latent(tokens), f - rest, atol=1e-4, rtol=0)


@torch.no_grad()
def test_sums_latents_and_previews_agree(tokenizer, pictures):
    f = tokenizer.encoder(2 * pictures - 1)
    tokens, sums, vectors = tokenizer.quantize(f)
    latent = tokenizer.empty(8)
    for k in range(6):
        torch.testing.assert_close(vectors[k], tokenizer.shrink(f - latent, k))
        latent = tokenizer.add(latent, tokens[k], k)
        torch.testing.assert_close(latent, sums[k])
        torch.testing.assert_close(tokenizer.latent(tokens[: k + 1]), sums[k])
        preview = tokenizer.preview(tokens[: k + 1])
        torch.testing.assert_close(preview, tokenizer.decode(sums[k]))
        assert preview.shape == pictures.shape
        assert preview.min() >= 0
        assert preview.max() <= 1


@torch.no_grad()
def test_inputs_of_the_next_scale_come_from_the_sum(tokenizer, pictures):
    f = tokenizer.encoder(2 * pictures - 1)
    tokens = tokenizer.encode(pictures)
    inputs, targets = self_correcting_pairs(tokenizer, f, torch.zeros(8), torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(tokens, targets))
    for k in range(1, 6):
        torch.testing.assert_close(inputs[k - 1], tokenizer.shrink(tokenizer.latent(tokens[:k]), k))


@torch.no_grad()
def test_spoiled_inputs_are_repaired_by_later_targets(tokenizer, pictures):
    f = tokenizer.encoder(2 * pictures - 1)
    share = torch.tensor([0.5] * 4 + [0.0] * 4)
    inputs, targets = self_correcting_pairs(tokenizer, f, share, torch.Generator().manual_seed(0))
    clean, _ = self_correcting_pairs(tokenizer, f, 0 * share, torch.Generator().manual_seed(0))
    assert not torch.equal(inputs[4][:4], clean[4][:4])
    assert torch.equal(inputs[4][4:], clean[4][4:])
    spoiled = inputs[4].transpose(1, 2).unflatten(2, (8, 8))  # the last scale's input is the sum itself, unshrunk
    left = (f - spoiled).flatten(2).transpose(1, 2)
    assert torch.equal(targets[5], tokenizer.quantizer(left))
    assert torch.equal(targets[0], tokenizer.encode(pictures)[0])


@torch.no_grad()
def test_the_shipped_tokenizer_leaves_less_with_every_scale():
    pictures = world.render(world.sample("all", 64, "validation"))
    tokenizer = load_tokenizer("tokenizer", where=torch.device("cpu"))
    f = tokenizer.encoder(2 * pictures - 1)
    tokens, sums, _ = tokenizer.quantize(f)
    left = [f.square().mean().item(), *[(f - s).square().mean().item() for s in sums]]
    assert all(b < a for a, b in itertools.pairwise(left)), left
    error = (tokenizer.preview(tokens) - pictures).square().mean()
    assert error < 0.002, f"squared error {error:.4f}"
    assert all(share > 0.02 for share in usage(tokenizer, tokens)), "a scale uses a few codes only"


def test_gradients_reach_everything_but_the_codes(pictures):
    for bitwise in (False, True):
        recipe = TokenizerRecipe(toy_tokenizer(bitwise).train(), torch.device("cpu"), batch=8)
        loss, _ = recipe.loss(0)
        loss.backward()
        for name, parameter in recipe.model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
        assert not any("quantizer" in name for name, _ in recipe.model.named_parameters())


# ---- quantizers ----------------------------------------------------------------------------------------------------


def test_the_codebook_starts_at_data_and_moves_to_the_running_mean():
    draws, decay = torch.Generator().manual_seed(1), 0.9
    book = Codebook(4, 2, decay)
    data = torch.randn(400, 2, generator=draws)
    book.learn(data, torch.zeros(400, dtype=torch.long), draws)
    assert all((data == code).all(1).any() for code in book.codebook), "a first code is no vector of the batch"
    codes, counts = book.codebook.tolist(), book.count.tolist()
    for _ in range(3):
        vectors = torch.randn(400, 2, generator=draws)
        tokens = book(vectors[None])[0]
        chosen = [(vectors[i] - torch.tensor(codes)).square().sum(1).argmin().item() for i in range(400)]
        assert tokens.tolist() == chosen
        for v in range(4):  # the running sum of vectors over the running number of choices, by hand
            own = [vectors[i].tolist() for i in range(400) if chosen[i] == v]
            count = decay * counts[v] + (1 - decay) * len(own)
            for c in range(2):
                total = decay * counts[v] * codes[v][c] + (1 - decay) * sum(vector[c] for vector in own)
                codes[v][c] = total / count
            counts[v] = count
        assert min(counts) > 0.02 * 400 / 4, "the test wants no restart here"
        book.learn(vectors, tokens, draws)
        torch.testing.assert_close(book.codebook, torch.tensor(codes), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(book.count, torch.tensor(counts), atol=1e-4, rtol=1e-5)


def test_restarts_revive_dead_codes():
    draws = torch.Generator().manual_seed(2)
    book = Codebook(16, 2, decay=0.5)
    book.count.fill_(1.0)
    book.codebook.copy_(100 + torch.randn(16, 2, generator=draws))  # far from all data: all but one code is dead
    centres = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]])

    def batch():
        return centres[torch.randint(4, (256,), generator=draws)] + 0.3 * torch.randn(256, 2, generator=draws)

    vectors = batch()
    assert len(book(vectors[None]).unique()) < 4
    for _ in range(20):
        book.learn(vectors, book(vectors[None])[0], draws)
        vectors = batch()
    counts = torch.bincount(book(vectors[None])[0], minlength=16)
    assert (counts > 0).sum() >= 14, f"{(counts == 0).sum()} of 16 codes are dead"
    error = (book.lookup(book(vectors[None]))[0] - vectors).square().sum(1).mean()
    assert error < 0.1


def test_usage_by_its_definition():
    tokenizer = toy_tokenizer()
    tokens = [torch.arange(32).view(1, 32), torch.zeros(1, 8).long(), torch.tensor([[0, 1] * 16])]
    assert usage(tokenizer, tokens) == pytest.approx([1.0, 1 / 32, 2 / 32], rel=1e-4)
    bits = toy_tokenizer(True)
    even = torch.tensor([[0, 1] * 3, [1, 0] * 3])[None]
    assert usage(bits, [even, torch.ones(1, 5, 6).long()]) == pytest.approx([1.0, 0.0], abs=1e-4)


def test_bits_round_trip():
    bits = Bits(6)
    tokens = torch.tensor([[(n >> i) & 1 for i in range(6)] for n in range(64)])[None]
    codes = bits.lookup(tokens)
    torch.testing.assert_close(codes.norm(dim=-1), torch.ones(1, 64))
    assert len(codes[0].unique(dim=0)) == 64
    assert torch.equal(bits(codes), tokens)
    assert torch.equal(bits(1e-3 * codes), tokens), "a bit is a sign, whatever the length"


def test_codes_round_trip():
    book = toy_tokenizer().quantizer
    tokens = torch.arange(32).view(2, 16)
    assert torch.equal(book(book.lookup(tokens)), tokens)


@torch.no_grad()
def test_pictures_of_any_precision_and_number_are_encoded(tokenizer, pictures):
    wanted = tokenizer.encode(pictures[:2].half().float())
    for given in (pictures[:2].half(), pictures[:2].half().double()):
        assert all(map(torch.equal, tokenizer.encode(given), wanted))
    none = tokenizer.encode(pictures[:0])
    assert [tokens.shape for tokens in none] == [(0, *tokens.shape[1:]) for tokens in wanted]
    assert tokenizer.preview(none).shape == (0, 3, 64, 64)


def test_bad_input_is_refused_in_a_line():
    tokenizer = toy_tokenizer()
    for shape in ((3, 64, 64), (1, 1, 64, 64), (1, 3, 32, 32)):
        with pytest.raises(ValueError, match=r"the tokenizer reads a tensor of pictures \(B, 3, 64, 64\)"):
            tokenizer.encode(torch.zeros(shape))
    with pytest.raises(ValueError, match='unknown quantizer "vq"'):
        Tokenizer("vq")
