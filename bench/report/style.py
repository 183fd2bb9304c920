"""Colours of charts and report: one for each codec, for light and dark backgrounds.

Codecs of mnistzip have warm colours and peers cool ones, which colour-blind readers can distinguish. Lossy codecs also differ
by their markers. Charts are drawn in the light colours; within a page these become CSS variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mnistzip.bench.results import Row

# Name: light colour, dark colour. Each light colour has one name only, because inline() finds the name by the colour.
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
    "ours-5": ("#b01fc4", "#eb9df5"),
    "ours-6": ("#5c4a00", "#cdbb6a"),
    "ours-7": ("#8c6d62", "#c9aea4"),
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
OURS_MARKS = "osDPp*d8"
PEER_MARKS = "^v<>Xh"
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 2, 1.5, 2))) * 2


@dataclass(frozen=True)
class CodecStyle:
    """The style of a codec: ``colour`` is a name in :data:`COLOURS`, ``marker`` and ``dash`` are those of matplotlib."""

    colour: str
    marker: str = "o"
    dash: str | tuple[int, tuple[float, ...]] = "-"

    @property
    def light(self) -> str:
        """The light colour, as ``#rrggbb``."""
        return LIGHT[self.colour]


def codec_styles(rows: Sequence[Row]) -> dict[str, CodecStyle]:
    """The style of every codec by its name, in the order of the rows; colours repeat if there are too few."""
    styles: dict[str, CodecStyle] = {}
    ours = peers = 0
    for row in rows:
        if row.codec in styles:
            continue
        if row.ours:
            index = ours % len(OURS)
            styles[row.codec] = CodecStyle(OURS[index], OURS_MARKS[index], DASHES[index])
            ours += 1
        elif row.kind == "lossy":
            index = peers % len(PEERS)
            styles[row.codec] = CodecStyle(PEERS[index], PEER_MARKS[index])
            peers += 1
        else:
            styles[row.codec] = CodecStyle(row.kind, "s" if row.kind == "solid" else "o")
    return styles
