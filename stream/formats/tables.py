"""Small helpers of both compilers: what a trie wants below a node, and texts that programs refer to."""

from __future__ import annotations

from stream.events.paths import KEY_SIZE, KEY_START, PARENT, UNWANTED, Trie


class Wanted:
    """The keys of a trie by parent, for schemas whose names are known beforehand."""

    def __init__(self, trie: Trie) -> None:
        self._child: dict[tuple[int, str], int] = {}
        self._below: dict[int, list[int]] = {}
        self._elements: dict[int, list[int]] = {}
        for node, row in enumerate(trie.nodes.tolist()[1:], start=1):
            start, size = row[KEY_START], row[KEY_SIZE]
            if size < 0:
                self._elements.setdefault(row[PARENT], []).append(node)
                continue
            key = trie.keys[start : start + size].tobytes().decode("utf-8", "surrogateescape")
            self._child[row[PARENT], key] = node
            self._below.setdefault(row[PARENT], []).append(node)

    def child(self, node: int, names: list[str]) -> int:
        """The node of the first of some names below a node, UNWANTED when no path goes there."""
        found = (self._child.get((node, name), UNWANTED) for name in names)
        return next((one for one in found if one != UNWANTED), UNWANTED)

    def below(self, node: int) -> list[int]:
        """The nodes one key below a node."""
        return self._below.get(node, [])

    def elements(self, node: int) -> list[int]:
        """The nodes of elements of the array at a node."""
        return self._elements.get(node, [])


TRUE_SIZE, FALSE_SIZE = 4, 5


class Texts:
    """Texts back to back, each kept once; true and false first, whose text is their category."""

    def __init__(self) -> None:
        self.data = b"truefalse"
        self._at: dict[bytes, int] = {}

    def place(self, text: str) -> tuple[int, int]:
        """Where a text stands, (start, size) in bytes."""
        encoded = text.encode()
        if encoded not in self._at:
            self._at[encoded] = len(self.data)
            self.data += encoded
        return self._at[encoded], len(encoded)
