from __future__ import annotations

import re

import pytest
from edgewright.fleet.control.page.render import SCRIPT, STYLE, static

STYLES = static(STYLE).decode()
LIGHT, DARK = (
    dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", block)) for block in re.findall(r":root \{(.*?)\}", STYLES, re.S)
)


def luminance(colour):
    """Relative luminance, WCAG 2.2."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, two):
    lighter, darker = sorted((luminance(one), luminance(two)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("tokens", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read_on_its_ground(tokens):
    grounds = {"paper": ["ink", "quiet", "good", "bad", "open", "busy"], "soft": ["ink", "quiet"]}
    grounds |= {"good-soft": ["good"], "bad-soft": ["bad"]}
    for ground, texts in grounds.items():
        for text in texts:
            assert contrast(tokens[text], tokens[ground]) >= 4.5, (text, ground)
    for line in ("one", "two", "three", "four", "edge", "fill"):
        assert contrast(tokens[line], tokens["paper"]) >= 2.5, line


def test_both_schemes_have_all_colours():
    assert set(LIGHT) == set(DARK)
    assert set(re.findall(r"var\(--([a-z-]+)\)", STYLES)) <= set(LIGHT) | {"shade"}


def test_lines_differ_in_their_dashes_not_only_in_colour():
    dashes = [re.search(rf"\.s{number} \{{[^}}]*?(?:stroke-dasharray: ([^;]*);)? \}}", STYLES)[1] for number in range(4)]
    assert len(set(dashes)) == 4
    for kind in ("path", "bound"):
        assert "stroke-dasharray" in re.search(rf"\.picture \.{kind}\.go \{{([^}}]*)\}}", STYLES)[1]


@pytest.mark.parametrize("name", [STYLE, SCRIPT])
def test_nothing_is_loaded_from_elsewhere(name):
    assert not re.search(r"https?:|//[a-z]|url\(|@import|eval|innerHTML", static(name).decode().replace("// Puts", ""))
