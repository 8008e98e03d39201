"""Solutions of notebook 02."""

# exercise 2.1
def bits_of_picture(sides, codes):
    """Bits of one picture, all maps together."""
    return sum(n * n for n in sides) * math.log2(codes)


# mistake 2.1
def bits_of_picture(sides, codes):
    return sum(n * n for n in sides) * codes  # one bit per code of the book, not per token


# exercise 2.2
def effective_codes(tokens):
    """The perplexity of tokens (N,), a number from 1 to the number of codes."""
    count = torch.bincount(tokens)
    p = count[count > 0] / len(tokens)
    return math.exp(-(p * p.log()).sum().item())


# mistake 2.2
def effective_codes(tokens):
    count = torch.bincount(tokens)
    p = count[count > 0] / len(tokens)
    return math.exp(-(p * p.log2()).sum().item())  # bits go with 2 ** x


# exercise 2.3
def straight_through(f, rounded):
    return f + (rounded - f).detach()


# mistake 2.3
def straight_through(f, rounded):
    return f + rounded - f.detach()


# mistake 2.3
def straight_through(f, rounded):
    return f


# exercise 2.4
def repair(tokenizer, latent, f, k):
    """Tokens of scales k to K-1 that correct the sum `latent` (B, C, 8, 8) towards f (B, C, 8, 8)."""
    tokens = []
    for scale in range(k, len(tokenizer.scales)):
        tokens.append(tokenizer.quantizer(tokenizer.shrink(f - latent, scale)))
        latent = tokenizer.add(latent, tokens[-1], scale)
    return tokens


# mistake 2.4
def repair(tokenizer, latent, f, k):
    return [tokenizer.quantizer(tokenizer.shrink(f - latent, scale)) for scale in range(k, len(tokenizer.scales))]


# exercise 2.5
def restart(codebook, count, vectors, least, draws):
    """A codebook (V, C) with the codes of count (V,) below `least` replaced by some of vectors (M, C)."""
    codebook, dead = codebook.clone(), count < least
    codebook[dead] = vectors[torch.randint(len(vectors), (int(dead.sum()),), generator=draws)]
    return codebook


# mistake 2.5
def restart(codebook, count, vectors, least, draws):
    codebook = codebook.clone()
    codebook[count < least] = vectors[torch.randint(len(vectors), (1,), generator=draws)]
    return codebook


# mistake 2.5
def restart(codebook, count, vectors, least, draws):
    codebook = codebook.clone()
    codebook[count < least] = torch.randn(int((count < least).sum()), codebook.shape[1], generator=draws)
    return codebook
