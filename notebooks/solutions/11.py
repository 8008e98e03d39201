"""Solutions of notebook 11."""

# exercise 11.1
def cache_bytes(scales, layers, channels, bytes_per_number):
    """Bytes of one row's keys and values, both guidance branches."""
    tokens = sum(n * n for n in scales[:-1])  # nothing attends to the last scale
    return 2 * 2 * layers * tokens * channels * bytes_per_number


# mistake 11.1
def cache_bytes(scales, layers, channels, bytes_per_number):
    return 2 * layers * sum(n * n for n in scales[:-1]) * channels * bytes_per_number  # one branch alone


# mistake 11.1
def cache_bytes(scales, layers, channels, bytes_per_number):
    return 4 * layers * sum(n * n for n in scales) * channels * bytes_per_number  # the last scale, too


# mistake 11.1
def cache_bytes(scales, layers, channels, bytes_per_number):
    return 4 * layers * sum(scales[:-1]) * channels * bytes_per_number  # n tokens, not n * n


# exercise 11.2
def deepest(need, children, available):
    """The last scale at which this beam can branch, or None."""
    fits = [last for last in range(len(need.kv)) if need.search(children, 2, last) <= available]
    return max(fits, default=None)


# mistake 11.2
def deepest(need, children, available):
    fits = [last for last in range(len(need.kv)) if need.total(children) <= available]  # all rows at once
    return max(fits, default=None)


# mistake 11.2
def deepest(need, children, available):
    fits = [last for last in range(len(need.kv) - 1) if need.search(children, 2, last) <= available]
    return max(fits, default=None)


# mistake 11.2
def deepest(need, children, available):
    last = 0
    while last < len(need.kv) - 1 and need.search(children, 2, last + 1) <= available:
        last += 1
    return last  # 0 even where nothing fits


# exercise 11.3
def guided(conditional, unconditional, k, K, weight):
    """Guided logits of scale k, counted from 0, of K."""
    t = weight * k / (K - 1)
    return (1 + t) * conditional - t * unconditional


# mistake 11.3
def guided(conditional, unconditional, k, K, weight):
    t = weight * k / K
    return (1 + t) * conditional - t * unconditional


# mistake 11.3
def guided(conditional, unconditional, k, K, weight):
    t = weight * k / (K - 1)
    return unconditional + max(t, 1) * (conditional - unconditional)


# exercise 11.4
def differences(wanted, found):
    """Missing, surplus and misshapen names."""
    both = wanted.keys() & found.keys()
    misshapen = sorted(name for name in both if tuple(wanted[name]) != tuple(found[name]))
    return sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys()), misshapen


# mistake 11.4
def differences(wanted, found):
    both = wanted.keys() & found.keys()
    return sorted(wanted.keys() - found.keys()), [], sorted(n for n in both if wanted[n] != found[n])


# mistake 11.4
def differences(wanted, found):
    both = wanted.keys() & found.keys()
    misshapen = sorted(name for name in both if torch.Size(wanted[name]).numel() != torch.Size(found[name]).numel())
    return sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys()), misshapen


# exercise 11.5
def overall(right, pictures):
    """The overall score from two dicts: task -> right pictures, task -> all pictures."""
    return sum(right[task] / pictures[task] for task in pictures) / len(pictures)


# mistake 11.5
def overall(right, pictures):
    return sum(right[task] / pictures[task] for task in pictures) / 6
