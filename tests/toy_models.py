"""Untrained models for tests, small, with every weight random: fresh ones have zeros where logits would be born."""

import torch

from vartut import world
from vartut.hub import read_prompts
from vartut.models.flow import FlowSampler
from vartut.models.next_scale import NextScaleSampler
from vartut.models.tokenizer import Tokenizer
from vartut.models.transformer import NextScaleTransformer
from vartut.models.velocity import VelocityTransformer


def toy_tokenizer(bitwise: bool = False) -> Tokenizer:
    """A tokenizer of 32 codes, or of 6 bits, over the true scales."""
    torch.manual_seed(0)
    tokenizer = Tokenizer("bits" if bitwise else "codebook", codes=32, channels=6 if bitwise else 8, width=8)
    if not bitwise:
        tokenizer.quantizer.codebook.normal_()
    for phi in tokenizer.phi:
        torch.nn.init.normal_(phi.bias, std=0.1)
    return tokenizer.eval()


def toy_transformer(
    tokenizer: Tokenizer, width: int = 32, depth: int = 2, heads: int = 2, words: int = world.MAX_WORDS
) -> NextScaleTransformer:
    """A transformer for the world's prompts, fresh from torch's seed."""
    return NextScaleTransformer(tokenizer, len(world.WORDS), words, width, depth, heads)


def randomise(transformer: NextScaleTransformer, head: float) -> NextScaleTransformer:
    """Replace the zeros of a fresh transformer, and make its logits vary by about `head` times a few."""
    torch.manual_seed(1)
    for layer in transformer.layers:
        torch.nn.init.normal_(layer.attention.out.weight, std=0.2)
        torch.nn.init.normal_(layer.down.weight, std=0.1)
    torch.nn.init.normal_(transformer.word.weight, std=1.0)
    torch.nn.init.normal_(transformer.head.weight, std=head)
    return transformer.eval()


def learn(recipe, steps) -> tuple[list[float], dict]:
    """The losses of a recipe at these steps, one after the other, and the metrics of the last."""
    losses = []
    for step in steps:
        loss, metrics = recipe.loss(step)
        for optimizer in recipe.optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in recipe.optimizers:
            optimizer.step()
        losses.append(loss.item())
    return losses, metrics


def toy_sampler(bitwise: bool = False, **settings) -> NextScaleSampler:
    """A sampler of 30 thousand weights."""
    tokenizer = toy_tokenizer(bitwise)
    return NextScaleSampler(tokenizer, randomise(toy_transformer(tokenizer), 0.3), read_prompts, **settings)


def toy_flow(**settings) -> FlowSampler:
    """The twin of the toy sampler, of as many weights."""
    tokenizer = toy_tokenizer()
    torch.manual_seed(2)
    network = VelocityTransformer(tokenizer, len(world.WORDS), world.MAX_WORDS, 32, 2, 2)
    torch.nn.init.normal_(network.time[2].weight, std=0.1)
    network.mean.normal_(std=0.5)
    network.std.uniform_(0.5, 1.5)
    return FlowSampler(tokenizer, randomise(network, 0.3), read_prompts, **settings)
