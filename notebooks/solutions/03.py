"""Solutions of notebook 03."""

# exercise 3.1
def raster_mask(words, tokens):
    """True where the row's place may attend to the column's."""
    return block_causal_mask([words] + [1] * tokens)


# mistake 3.1
def raster_mask(words, tokens):
    return block_causal_mask([words, tokens])  # the tokens as one map


# mistake 3.1
def raster_mask(words, tokens):
    mask = torch.ones(words + tokens, words + tokens).tril().bool()
    mask[:words] = True  # the words see the picture
    return mask


# exercise 3.2
def torn(q, m):
    """The probability that m independent tokens do not all have the same colour."""
    return 1 - q**m - (1 - q) ** m


# mistake 3.2
def torn(q, m):
    return 2 * q * (1 - q)


# exercise 3.3
def teacher_inputs(tokenizer, tokens):
    """tokens: K tensors (B, n_k * n_k).  Returns the K - 1 inputs of maps 1 to K - 1."""
    return [tokenizer.shrink(tokenizer.latent(tokens[:k]), k) for k in range(1, len(tokens))]


# mistake 3.3
def teacher_inputs(tokenizer, tokens):
    alone = [tokenizer.grow(tokenizer.quantizer.lookup(t), k) for k, t in enumerate(tokens)]
    return [tokenizer.shrink(alone[k - 1], k) for k in range(1, len(tokens))]  # the last map, not the sum


# mistake 3.3
def teacher_inputs(tokenizer, tokens):
    return [tokenizer.shrink(tokenizer.latent(tokens[:k]), k - 1) for k in range(1, len(tokens))]


# exercise 3.4
def var_guided(c, u, cfg, k, K):
    """Guided logits at scale k of K, in VAR's units."""
    t = cfg * k / (K - 1)
    return (1 + t) * c - t * u


# mistake 3.4
def var_guided(c, u, cfg, k, K):
    t = cfg * k / K  # never reaches cfg
    return (1 + t) * c - t * u


# mistake 3.4
def var_guided(c, u, cfg, k, K):
    return u + cfg * k / (K - 1) * (c - u)  # ignores the prompt at the first scale


# exercise 3.5
def draw(logits, u, T):
    """Codes (...,) drawn from softmax(logits / T), for logits and u (..., V)."""
    if T == 0:
        return logits.argmax(-1)
    return (logits / T - (-u.log()).log()).argmax(-1)


# mistake 3.5
def draw(logits, u, T):
    if T == 0:
        return logits.argmax(-1)
    return ((logits - (-u.log()).log()) / T).argmax(-1)  # the noise cools too, and T changes nothing


# mistake 3.5
def draw(logits, u, T):
    if T == 0:
        return logits.argmax(-1)
    return (logits / T + u.log()).argmax(-1)
