"""Solutions of notebook 04."""

# exercise 4.1
def draw(seed, path):
    """A number from 0 to 1 for the node that `path` leads to."""
    address = hashlib.blake2b(repr((seed, path)).encode(), digest_size=8).digest()
    return int.from_bytes(address, "big") / 2**64


# exercise 4.1
def draw(seed, path):
    return np.random.default_rng([seed, len(path), *path]).random()


# mistake 4.1
def draw(seed, path):
    return torch.rand(()).item()


# mistake 4.1
def draw(seed, path):
    return np.random.default_rng([0, len(path), *path]).random()


# mistake 4.1
def draw(seed, path):
    return np.random.default_rng([seed, *sorted(path)]).random()


# mistake 4.1
def draw(seed, path):
    digits = str(seed) + "".join(str(j) for j in path)
    return int.from_bytes(hashlib.blake2b(digits.encode(), digest_size=8).digest(), "big") / 2**64


# mistake 4.1
def draw(seed, path):
    address = hashlib.blake2b(repr((seed, path)).encode(), digest_size=8).digest()
    return int.from_bytes(address, "big")


# exercise 4.2
def without_cache(words, sides):
    """Positions that go through the network, all passes together."""
    total, read = 0, words
    for side in sides:
        read += side * side
        total += read
    return total


# exercise 4.2
def without_cache(words, sides):
    return sum(words + sum(n * n for n in sides[: k + 1]) for k in range(len(sides)))


# mistake 4.2
def without_cache(words, sides):
    return words + sum(side * side for side in sides)


# mistake 4.2
def without_cache(words, sides):
    return words + sum(sum(n * n for n in sides[: k + 1]) for k in range(len(sides)))


# mistake 4.2
def without_cache(words, sides):
    return len(sides) * words + sum(side * side for side in sides)


# mistake 4.2
def without_cache(words, sides):
    return len(sides) * (words + sum(side * side for side in sides))


# mistake 4.2
def without_cache(words, sides):
    return sum(words + sum(sides[: k + 1]) for k in range(len(sides)))


# exercise 4.3
def passes_needed(steps, width, candidates):
    """Passes of a row that a beam with rollouts has to run, with nothing computed twice."""
    rollouts = sum(steps - k for k in range(1, steps))  # a candidate at map k runs those after it
    return 1 + width * candidates * rollouts


# exercise 4.3
def passes_needed(steps, width, candidates):
    return width * candidates * (steps * steps - steps) / 2 + 1


# mistake 4.3
def passes_needed(steps, width, candidates):
    return width * candidates * steps * (steps + 1) // 2


# mistake 4.3
def passes_needed(steps, width, candidates):
    return width * candidates * steps * (steps - 1) // 2


# mistake 4.3
def passes_needed(steps, width, candidates):
    return width * candidates * steps * steps


# mistake 4.3
def passes_needed(steps, width, candidates):
    return 1 + width * candidates * steps * (steps + 1) // 2


# mistake 4.3
def passes_needed(steps, width, candidates):
    return 1 + candidates * steps * (steps - 1) // 2


# exercise 4.4
MAPS = 3
PREDICTION = 60


def reforked(state, row, maps, n):
    """n new endings of a row, its first maps kept; finished."""
    again = nano.begin(state.prompts[row], [state.seeds[row]])
    for j in state.paths[row][:maps]:
        again = nano.expand(again, 1, first=j)
    return finish(nano.expand(again, n, first=1000))


# exercise 4.4
MAPS = 3
PREDICTION = 80


def reforked(state, row, maps, n):
    return finish(nano.expand(nano.renoise(nano.select(state, [row]), maps), n))


# mistake 4.4
MAPS = 3
PREDICTION = 60


def reforked(state, row, maps, n):
    return finish(nano.expand(nano.begin(state.prompts[row], [state.seeds[row]]), n))


# mistake 4.4
MAPS = 3
PREDICTION = 60


def reforked(state, row, maps, n):
    again = nano.begin(state.prompts[row], [state.seeds[row]])
    for j in state.paths[row][:maps]:
        again = nano.expand(again, 1, first=j)
    return finish(nano.expand(again, n))


# mistake 4.4
MAPS = 3
PREDICTION = 60


def reforked(state, row, maps, n):
    again = nano.begin(state.prompts[row], [state.seeds[row]])
    for j in state.paths[row][:maps]:
        again = nano.expand(again, 1, first=j)
    return nano.expand(again, n, first=1000)


# mistake 4.4
MAPS = 3
PREDICTION = None


def reforked(state, row, maps, n):
    again = nano.begin(state.prompts[row], [state.seeds[row]])
    for j in state.paths[row][:maps]:
        again = nano.expand(again, 1, first=j)
    return finish(nano.expand(again, n, first=1000))


# mistake 4.4
MAPS = 6
PREDICTION = 60


def reforked(state, row, maps, n):
    again = nano.begin(state.prompts[row], [state.seeds[row]])
    for j in state.paths[row][:maps]:
        again = nano.expand(again, 1, first=j)
    return finish(nano.expand(again, n, first=1000))
