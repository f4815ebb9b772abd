"""Hostile names through every output, and a parser over each."""

from __future__ import annotations

import collections
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest

from helpers import needs
from reliability.campaigns import times
from reliability.names import hostile_names
from unspool import Parameter, Tape, Tensor, draw, scope
from unspool.viz import equations

pytestmark = pytest.mark.slow

# Control characters but line ends and tabs: what a terminal obeys.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
PARTS = 8


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = collections.Counter()

    def handle_starttag(self, tag, attrs):
        self.found[tag] += 1


def tags_of(text):
    parser = Tags()
    parser.feed(text)
    return parser.found


def network(name):
    x, W = Tensor(np.ones((1, 2)), name=name), Parameter(np.ones((2, 2)), name=name)
    h = Tensor(np.zeros((1, 2)), name=f"{name}_0")
    for t in (1, 2):
        with scope(name), scope("t", step=t), scope(name):
            h = np.tanh(x @ W + h @ W)
    return h


def page(name, tmp_path):
    y = network(name)
    path = tmp_path / "page.html"
    draw(y, level="op", title=name, caption=name, words=[name, name]).save(path)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("part", range(PARTS))
def test_hostile_names(part, campaign, tmp_path):
    pygraphviz = needs("pygraphviz")
    scripts = tags_of(page("x", tmp_path))["script"]
    for name in hostile_names(times(500))[part::PARTS]:
        y = network(name)
        for text in (str(Tape(y)), repr(Tape(y)), str(equations(y))):
            assert not CONTROL.search(text), name
            text.encode()
        with pytest.raises(ValueError, match="matmul") as caught:
            y @ Tensor(np.ones(3), name=name)
        assert not CONTROL.search(str(caught.value)), name
        level = ("op", "gate", "cell")[len(name) % 3]
        drawing = draw(y, level=level, title=name, caption=name, words=[name, name])
        drawing.save(tmp_path / "picture.svg")
        ElementTree.fromstring((tmp_path / "picture.svg").read_bytes())
        pygraphviz.AGraph(string=drawing.source)
        written = page(name, tmp_path)
        assert tags_of(written)["script"] == scripts, name
        assert not CONTROL.search(written), name
        campaign["names"] += 1
