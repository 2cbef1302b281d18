"""Other people's figures for the same models, and goals: the TOML file that `scons bench` compares with."""

from pathlib import Path

import msgspec

from nnrules.catalog.checked import checked, read_toml


class Peer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model in another engine on a target: instructions per inference, and bytes where they are known."""

    name: str
    target: str
    instructions: int
    ram: int | None = None
    flash: int | None = None


class PeerModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of `models/`, with its multiply-accumulates. `also`: names of files that are the same network; `hold`: by
    target, instructions that must not be exceeded, `hold_ram`: bytes of RAM in total."""

    name: str
    title: str
    macs: int
    also: tuple[str, ...] = ()
    hold: dict[str, int] = {}
    hold_ram: dict[str, int] = {}
    peers: tuple[Peer, ...] = ()

    def best(self, target: str) -> Peer | None:
        """The peer of the fewest instructions."""
        return min((peer for peer in self.peers if peer.target == target), key=lambda p: p.instructions, default=None)


class PeerLayer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of layer, by how its description begins; `per_mac`: by target, a peer's instructions per
    multiply-accumulate."""

    layer: str
    per_mac: dict[str, float]


class Peers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`source`: where the figures are from; `targets`: those that are compared on."""

    source: str
    targets: tuple[str, ...]
    models: tuple[PeerModel, ...]
    layers: tuple[PeerLayer, ...] = ()

    def model(self, name: str) -> PeerModel | None:
        """The row that a model, or a file of the same network, belongs to."""
        return next((each for each in self.models if name in (each.name, *each.also)), None)

    @property
    def ram_targets(self) -> list[str]:
        """Targets on which some peer's RAM is known."""
        known = {peer.target for model in self.models for peer in model.peers if peer.ram is not None}
        return [target for target in self.targets if target in known]

    def per_mac(self, layer: str, target: str) -> float | None:
        """A peer's instructions per multiply-accumulate for a described layer."""
        kind = next((each for each in self.layers if layer.startswith(each.layer)), None)
        return kind.per_mac.get(target) if kind else None


def load_peers(path: Path) -> Peers:
    """Read the file. Raises UserError where it is not as described here."""
    return checked(str(path), Peers, read_toml(str(path), path))
