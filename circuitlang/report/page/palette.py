"""What groups, ports and heat maps look like: colours that colour-blind readers can tell apart, and
shapes.

The colours are Okabe and Ito's (2008). Shapes are given once, for the SVG and for cytoscape: as
corners in the square from -1 to 1, or as a rounded box. Each is flat below, where edges enter.
"""

from __future__ import annotations

from dataclasses import dataclass

Corners = tuple[tuple[float, float], ...]

_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
_SHAPES: tuple[tuple[str, Corners], ...] = (
    ("pill", ()),
    ("hexagon", ((-1, 0), (-0.75, -1), (0.75, -1), (1, 0), (0.75, 1), (-0.75, 1))),
    ("slanted", ((-1, 1), (-0.7, -1), (1, -1), (0.7, 1))),
    (
        "octagon",
        ((-1, -0.4), (-0.8, -1), (0.8, -1), (1, -0.4), (1, 0.4), (0.8, 1), (-0.8, 1), (-1, 0.4)),
    ),
    ("tag", ((-1, -1), (0.75, -1), (1, 0), (0.75, 1), (-1, 1))),
    ("barrel", ((-0.85, -1), (0.85, -1), (1, 1), (-1, 1))),
    ("box", ((-1, -1), (1, -1), (1, 1), (-1, 1))),
    ("notched", ((-1, -1), (1, -1), (0.8, 0), (1, 1), (-1, 1), (-0.8, 0))),
)


@dataclass(frozen=True)
class Look:
    """How a node is drawn; without `corners` the shape is "ellipse" or "round"."""

    fill: str
    text: str
    shape: str
    corners: Corners = ()


PLAIN = Look("#ffffff", "#1b1f24", "round")
ENDS = Look("#2b3036", "#ffffff", "round")

# Of each port, and of `heads` for all of a head's together: its colour on white, and on the dark page.
PORTS = {
    "q": ("#0072b2", "#62b6ee"),
    "k": ("#b84f00", "#f0994e"),
    "v": ("#00795a", "#35c79c"),
    "heads": ("#4d6a86", "#93b4d6"),
    "mlp": ("#75507b", "#c9a0cf"),
    "logits": ("#3c434a", "#c3c9d0"),
}


def group_look(index: int) -> Look:
    """Of the group number `index`; no two of the first 56 look the same."""
    fill = _COLOURS[index % len(_COLOURS)]
    shape, corners = _SHAPES[index % len(_SHAPES)]
    return Look(fill, readable_on(fill), shape, corners)


# How many steps of colour a heat map has on each side of its middle.
HEAT_LEVELS = 10
_HEAT_MIDDLE = ("#ffffff", "#14171a")


def heat_colour(level: int, dark: bool = False) -> str:
    """From -HEAT_LEVELS, through the page's colour at 0, to HEAT_LEVELS."""
    middle, end = _HEAT_MIDDLE[dark], PORTS["q" if level > 0 else "k"][dark]
    share = abs(level) / HEAT_LEVELS
    channels = zip(_channels(middle), _channels(end), strict=True)
    mixed = (round(m * (1 - share) + e * share) for m, e in channels)
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def readable_on(fill: str) -> str:
    """Black or white, whichever has more contrast."""
    black, white = "#000000", "#ffffff"
    return black if contrast(fill, black) >= contrast(fill, white) else white


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours as WCAG 2 defines it, 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = (channel / 255 for channel in _channels(colour))
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
