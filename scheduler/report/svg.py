"""How does a drawn picture become part of a page? It takes the page's colours and typeface, and unique ids.

The drawing uses stand-in colours; the page's style gives each its value in the light and the dark scheme.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree

#: stand-in colour -> name of the colour in the page's style
COLOURS: Final = {
    "#010101": "ink",
    "#020202": "muted",
    "#030303": "line",
    "#040404": "paper",
    "#050505": "baseline",
    "#060606": "faint",
    "#111101": "series-1",
    "#111102": "series-2",
    "#111103": "series-3",
    "#111104": "series-4",
    "#111105": "series-5",
    "#222201": "winner",
    "#222202": "suggestive",
    "#222203": "inconclusive",
    "#222204": "neutral",
    "#222205": "loser",
    "#222206": "open",
    "#333301": "busy",
    "#333302": "failed",
    "#333303": "waiting",
    "#333304": "idle",
    "#333305": "track",
    "#333306": "zone",
}
#: name -> stand-in
STAND_INS: Final = {name: colour for colour, name in COLOURS.items()}

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_URL = re.compile(r"url\(#([^)]+)\)")


def inlined(drawn: bytes, *, name: str, title: str, css_class: str = "") -> str:
    """`drawn`, an SVG of ours, as an element for the page, told to a screen reader as `title`.

    `name` has to be unique in the page.
    """
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(drawn)
    for part in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(part)
    for part in root.iter(f"{{{_SVG}}}defs"):
        for style in part.findall(f"{{{_SVG}}}style"):
            part.remove(style)  # it would hold for the whole page
    for element in root.iter():
        _adapt(element, name)
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    width = float(root.attrib["viewBox"].split()[2])
    root.attrib.update({"role": "img", "aria-label": title, "style": f"--drawn-width: {width:.0f}px"})
    if css_class:
        root.attrib["class"] = css_class
    label = ElementTree.Element(f"{{{_SVG}}}title")
    label.text = title
    root.insert(0, label)
    text: str = ElementTree.tostring(root, encoding="unicode")
    # An HTML parser knows the namespace of <svg>, and takes no prefixes.
    return text.replace(f' xmlns="{_SVG}"', "", 1)


def _adapt(element: ElementTree.Element, name: str) -> None:
    if element.tag == f"{{{_SVG}}}g":
        element.attrib.pop("id", None)  # nothing refers to a group
    if "id" in element.attrib:
        element.attrib["id"] = f"{name}-{element.attrib['id']}"
    if _XLINK in element.attrib:
        element.attrib["href"] = f"#{name}-{element.attrib.pop(_XLINK).removeprefix('#')}"
    for key in ("clip-path", "style"):
        if key in element.attrib:
            element.attrib[key] = _URL.sub(rf"url(#{name}-\1)", element.attrib[key])
    style = element.attrib.get("style")
    if style is not None:
        element.attrib["style"] = _COLOUR.sub(_page_colour, _without_family(style))


def _without_family(style: str) -> str:
    """The page's own typeface is taken: only size and weight stay."""
    parts = [part.strip() for part in style.split(";") if part.strip()]
    return "; ".join(part for part in parts if not part.startswith("font-family"))


def _page_colour(found: re.Match[str]) -> str:
    name = COLOURS.get(found[0])
    return found[0] if name is None else f"var(--{name})"
