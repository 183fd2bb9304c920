"""Colours of charts and report: one for each codec, the same everywhere, on light and dark ground.

Ours are warm, peers are cool, so that the two stay apart for colour-blind eyes, too; lossy codecs differ by their markers
as well. Charts are drawn in the light colours; where they stand in a page these become CSS variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mnistzip.bench.results import Row

# Name: on light ground, on dark ground. Each light colour stands for one name only, as pages find a colour by it.
COLOURS = {
    "paper": ("#ffffff", "#15181c"),
    "ink": ("#1c2126", "#e7e9ec"),
    "muted": ("#59636e", "#a3adb8"),
    "grid": ("#e3e6ea", "#30363d"),
    "lossless": ("#8a95a1", "#87929e"),
    "solid": ("#46525e", "#c3ccd6"),
    "ours-0": ("#c2410c", "#ff8f57"),
    "ours-1": ("#a8326b", "#f283b4"),
    "ours-2": ("#946200", "#e5b64f"),
    "ours-3": ("#7a2e1d", "#d99a86"),
    "ours-4": ("#d1495b", "#ff8a98"),
    "peer-0": ("#0067a8", "#5cb3f2"),
    "peer-1": ("#007a5a", "#3fc79e"),
    "peer-2": ("#6a57c9", "#a99bff"),
    "peer-3": ("#1a7f9c", "#7fdcf5"),
    "peer-4": ("#2b3a8f", "#8f9ff5"),
    "peer-5": ("#5b7f1a", "#a5cc55"),
}
LIGHT = {name: light for name, (light, _) in COLOURS.items()}
OURS = [name for name in COLOURS if name.startswith("ours")]
PEERS = [name for name in COLOURS if name.startswith("peer")]
OURS_MARKS = "osDPp"
PEER_MARKS = "^v<>Xh"
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 2, 1.5, 2)), "-")


@dataclass(frozen=True)
class Look:
    """How a codec is drawn: ``colour`` is a name in :data:`COLOURS`, marker and dash are matplotlib's."""

    colour: str
    marker: str = "o"
    dash: str | tuple[int, tuple[float, ...]] = "-"

    @property
    def light(self) -> str:
        return LIGHT[self.colour]


def looks(rows: Sequence[Row]) -> dict[str, Look]:
    """The look of every codec by its name, in the order of the rows; more codecs than colours begin anew."""
    found: dict[str, Look] = {}
    ours = peers = 0
    for row in rows:
        if row.codec in found:
            continue
        if row.ours:
            at = ours % len(OURS)
            found[row.codec] = Look(OURS[at], OURS_MARKS[at], DASHES[at])
            ours += 1
        elif row.kind == "lossy":
            at = peers % len(PEERS)
            found[row.codec] = Look(PEERS[at], PEER_MARKS[at])
            peers += 1
        else:
            found[row.codec] = Look(row.kind, "s" if row.kind == "solid" else "o")
    return found
