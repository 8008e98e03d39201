"""The byte pair merges of our CLIPs' tokenizer: written once, for the words of the world."""

import gzip
from collections import Counter
from itertools import pairwise
from pathlib import Path

from ..paths import write_files


def merges(vocabulary) -> list[tuple[str, str]]:
    """Byte pair merges, most frequent pair first, until every word of the vocabulary is one token."""
    spelled = [[*word[:-1], word[-1] + "</w>"] for word in vocabulary]
    learned = []
    while any(len(parts) > 1 for parts in spelled):
        pairs = Counter(pair for parts in spelled for pair in pairwise(parts))
        a, b = max(sorted(pairs), key=pairs.get)
        learned.append((a, b))
        for parts in spelled:
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == (a, b):
                    parts[i : i + 2] = [a + b]
                i += 1
    return learned


def write_merges(path: Path, vocabulary) -> None:
    """Write the merges in the form that open_clip's tokenizer reads; the same bytes every time."""
    text = "\n".join(["#version: vartut", *(" ".join(pair) for pair in merges(vocabulary))])
    write_files({path: gzip.compress(text.encode(), mtime=0)})
