"""The kinds of network, one row each: what a kind is made of, and where its trunk is built.

The names that a campaign file and a manifest may use, the settings that each kind reads, what a search
varies and what a report tells follow from here. A new kind is the file of its trunk, and its row.

Rules of this file
1. No Keras here: whoever reads a campaign file or a manifest needs the names alone. `build` is looked
   up by `models.network` when a network is made.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of network.

    Attributes:
        build: `module:function` of its trunk, a `models.network.Trunk`; "" for what a user builds.
        needs: Fields of `NetworkConfig` that it cannot be built without.
        may: Fields that it uses besides; the others have to stay at their defaults.
    """

    build: str
    needs: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()

    @property
    def uses(self) -> frozenset[str]:
        """All fields that mean something to it."""
        return self.needs | self.may


def _kind(build: str, needs: str = "", may: str = "") -> Kind:
    return Kind(build, frozenset(needs.split()), frozenset(may.split()))


KINDS = {
    "linear": _kind("models.layers.trunks:linear"),
    "mlp": _kind("models.layers.trunks:mlp", "hidden", "dropout"),
    "dcn": _kind("models.layers.cross_trunk:dcn", "hidden cross_layers cross_rank", "dropout"),
    "custom": _kind("", "builder", "hidden dropout cross_layers cross_rank"),
}
"""By the name that a campaign file and a manifest use."""
NAMES = tuple(KINDS)
BUILT = tuple(name for name, kind in KINDS.items() if kind.build)
"""Those that need no code of the user: a search may try them."""
SETTINGS = frozenset[str]().union(*(kind.uses for kind in KINDS.values()))
