"""The page: what is in the file, and what it does in a browser.

The browser is Debian's Chromium, driven by its chromedriver, which speaks JSON over HTTP.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from unspool import Parameter, Tape, Tensor, scope, unroll
from unspool.autograd import Op, apply, cross_entropy, relu, sigmoid
from unspool.cells import GRU, LSTM, Bidirectional, Cell, Elman, Stacked
from unspool.models import FeedForward, LanguageModel
from unspool.viz import draw, equations, page

ASSETS = Path(page.__file__).with_name("assets")
HIGH = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
HOSTILE = [
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 1</script>",
    "<!--<script>",
    '"><img src=x onerror="window.hacked = 1">',
    "'; window.hacked = 1; '",
    "\u2028]]>&lt;b&gt;\x00\\u003c",
    "${window.hacked = 1}{{data}}{{script}}",
]


def lstm_tape(steps=4, width=3, d_in=2, seed=0):
    rng = np.random.default_rng(seed)
    xs = Tensor(rng.normal(size=(steps, d_in)).astype(np.float32), name="xs")
    ys, _ = unroll(LSTM(d_in, width, rng=seed), xs)
    return Tape((ys * ys).sum())


def packed(text):
    found = re.search(r'<script type="application/octet-stream" id="data">(.*?)</script>', text)
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def data_of(text):
    return packed(text)["page"]


def written(what, **options):
    """The data of a page that does not compute: the numbers stand in the file."""
    with mock.patch.object(page, "reason_against", return_value="of a test"):
        return data_of(page_of(what, **options))


def page_of(tape, **options):
    return draw(tape, **options).page()


def flat(values):
    return [{"NaN": np.nan, "∞": np.inf, "−∞": -np.inf}.get(v, v) for v in values]


# The file -----------------------------------------------------------------------------------


def test_save_writes_one_file(tmp_path):
    drawing = draw(lstm_tape(), level="cell")
    path = drawing.save(tmp_path / "deep" / "x.html")
    assert path.read_text(encoding="utf-8") == drawing.page()
    assert [p.name for p in path.parent.iterdir()] == ["x.html"]


def test_the_same_tape_gives_the_same_page():
    tape = lstm_tape()
    grads = tape.gradients()
    assert page_of(tape, grads=grads) == page_of(tape, grads=grads)


def test_nothing_is_asked_from_elsewhere():
    text = page_of(lstm_tape())
    assert not re.search(r"(?:src|href|action|data|poster)\s*=\s*[\"']?(?:https?:)?//", text)
    assert not re.search(r"@import|url\(|<link|<img|<iframe|<object", text)
    for word in ("fetch(", "XMLHttpRequest", "WebSocket", "sendBeacon", "import("):
        assert word not in text, word
    scripts = "".join((ASSETS / f"{name}.js").read_text(encoding="utf-8") for name in page.SCRIPTS)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(", scripts
    )
    assert {path.stem for path in ASSETS.glob("*.js")} == {*page.SCRIPTS, "unpack"}


def test_no_function_of_the_script_has_the_name_of_another():
    """They stand in one function: a second one would replace the first."""
    files = [(ASSETS / f"{name}.js").read_text(encoding="utf-8") for name in page.SCRIPTS]
    names = re.findall(r"^function\*? (\w+)", "\n".join(files), re.M)
    assert len(names) > 100
    assert len(names) == len(set(names))


def test_the_policy_names_the_checksums_of_what_is_there():
    text = page_of(lstm_tape())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"

    def checksum(found):
        return f"'sha256-{base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()}'"

    (unpack,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    scripts = [unpack, packed(text)["script"]]
    assert rules["script-src"].split() == [checksum(script) for script in scripts]
    styles = re.findall(r"<style>(.*?)</style>", text, re.S)
    assert [rules["style-src"]] == [checksum(style) for style in styles]
    assert "unsafe" not in policy
    assert not re.search(r"\son\w+=|\sstyle=", text.split("<script", 1)[0])


def test_a_page_of_twenty_steps_of_an_lstm_is_small():
    tape = lstm_tape(steps=20, width=64, d_in=32)
    assert len(page_of(tape, grads=tape.gradients()).encode()) < 700_000


def test_the_walk_of_a_small_network_is_small():
    ys, _ = unroll(Elman(3, 4, rng=0), np.ones((4, 3), np.float32))
    assert len(draw((ys * ys).sum()).walk().page.encode()) < 100_000


# What it knows ----------------------------------------------------------------------------------


def test_every_record_stands_once_at_the_level_of_ops():
    tape = lstm_tape()
    data = data_of(page_of(tape))
    assert [r["i"] for r in data["records"]] == list(range(1, len(tape) + 1))
    shown = [row for node in data["scenes"]["op"]["nodes"] for row in node.get("r", [])]
    assert sorted(shown) == list(range(len(tape)))
    for record, row in zip(tape, data["records"], strict=True):
        assert row["o"].split()[0] == record.op
        assert [tuple(data["tensors"][n]["s"]) for n in row["a"]] == [
            x.shape for x in record.inputs
        ]


def test_edges_are_operands():
    tape = lstm_tape()
    data = data_of(page_of(tape))
    scene = data["scenes"]["op"]
    made = {r["r"]: n for n, r in enumerate(data["records"])}
    found = set()
    for tail, head, kind, _, tensor, *_ in scene["edges"]:
        if kind != "side" and scene["nodes"][head].get("r") and tensor in made:
            found.add((scene["nodes"][tail]["r"][0], scene["nodes"][head]["r"][0]))
    wanted = {(made[x], n) for n, r in enumerate(data["records"]) for x in r["a"] if x in made}
    assert found == wanted


@pytest.mark.parametrize("given", [True, False])
def test_numbers_are_the_tapes_own(given):
    tape = lstm_tape()
    grads = tape.gradients()
    data = written(tape, grads=grads if given else None)
    for record, row in zip(tape, data["records"], strict=True):
        for x, n in zip((*record.inputs, record.output), (*row["a"], row["r"]), strict=True):
            found = data["tensors"][n]
            np.testing.assert_allclose(found["v"], np.ravel(x.data), rtol=1e-3, atol=1e-30)
            assert ("g" in found) == (given and x in grads)
            if "g" in found:
                np.testing.assert_allclose(found["g"], np.ravel(grads[x]), rtol=1e-3, atol=1e-30)
                assert found["m"] == pytest.approx(np.linalg.norm(grads[x]), rel=1e-3)


def test_what_equations_name_has_that_name():
    data = data_of(page_of(lstm_tape(2)))
    named = {t["e"]: t["n"] for t in data["tensors"] if "e" in t}
    assert {"f_1", "i_1", "o_1", "g_1", "f_2", "i_2", "o_2", "g_2"} <= set(named)
    assert all(re.fullmatch(r"v\d+", name) for name in named.values())
    lines = {r["e"] for r in data["records"]}
    assert {"f_1 = σ(x_1 W_f + h_0 U_f + b_f)", "h_2 = o_2 ⊙ tanh(c_2)"} <= lines


def test_large_arrays_are_summed_up():
    x = Tensor(np.arange(1000.0).reshape(10, 100) - 300, name="x")
    ids = Tensor(np.arange(100), name="ids")
    data = written(Tape(np.tanh(x).sum(), ids + 1))
    found = {t["n"]: t["v"] for t in data["tensors"]}
    numbers = x.data
    assert found["x"] == {
        "mean": 199.5,
        "std": float(f"{numbers.std():.4g}"),
        "min": -300,
        "max": 699,
        "norm": float(f"{np.linalg.norm(numbers):.4g}"),
    }
    assert found["ids"]["max"] == 99


def test_what_is_not_finite_is_text():
    x = Tensor(np.array([np.nan, np.inf, -np.inf, 0.0]), name="x")
    found = {t["n"]: t["v"] for t in written(Tape(x * 2))["tensors"]}
    assert found["x"] == ["NaN", "∞", "−∞", 0]
    large = Tensor(np.full(100, np.nan), name="x")
    found = {t["n"]: t["v"] for t in written(Tape(large * 2))["tensors"]}
    assert set(found["x"].values()) == {"NaN"}


def test_how_much_of_a_steps_gradient_reaches_each_input():
    tape = lstm_tape(steps=5)
    grads = tape.gradients()
    data = written(tape, grads=grads)
    names = {t["n"]: n for n, t in enumerate(data["tensors"])}
    by_name = {r.output.name: r.output for r in tape if r.output.name}
    xs = next(x for x in tape.leaves if x.name == "xs")
    reach = data["reach"]["0"]
    assert set(reach) == {"1", "2", "3", "4", "5"}
    for t in range(1, 6):
        h = by_name[f"h_{t}"]
        wanted = Tape(h).gradients(grads[h])[xs]  # zero after t
        state, *inputs = reach[str(t)]
        assert state == names[f"h_{t}"]
        assert [n for n, _ in inputs] == [names[f"x_{s}"] for s in range(1, t + 1)]
        norms = np.linalg.norm(wanted[:t], axis=1)
        np.testing.assert_allclose([m for _, m in inputs], norms, rtol=1e-3)
        assert not wanted[t:].any()


def test_reach_goes_by_both_directions_and_through_layers():
    xs = Tensor(np.random.default_rng(0).normal(size=(4, 2)), name="xs")
    net = Stacked(
        [
            Bidirectional(Elman(2, 3, rng=0, dtype=float), Elman(2, 3, rng=1, dtype=float)),
            GRU(6, 2, rng=2, dtype=float),
        ]
    )
    ys, _ = unroll(net, xs)
    tape = Tape(ys.sum())
    grads = tape.gradients()
    data = written(tape, grads=grads)
    h = [r.output for r in tape if r.output.name == "h_2"][-1]  # of the GRU
    wanted = np.linalg.norm(Tape(h).gradients(grads[h])[xs], axis=1)
    _, *inputs = data["reach"]["2"]["2"]
    found = {}
    for n, m in inputs:
        found.setdefault(data["tensors"][n]["n"], set()).add(m)
    assert found == {f"x_{s}": {float(f"{w:.4g}")} for s, w in enumerate(wanted, 1)}


def test_each_steps_share_in_a_parameters_gradient():
    tape = lstm_tape(steps=3)
    grads = tape.gradients()
    data = written(tape, grads=grads)
    b = next(x for x in tape.leaves if x.name == "b_f")
    (number,) = [n for n, t in enumerate(data["tensors"]) if t["n"] == "b_f"]
    sums = [r for r in tape if any(x is b for x in r.inputs)]  # a bias has its sum's gradient
    wanted = {r.step: np.linalg.norm(grads[r.output]) for r in sums}
    found = {t: m for loop, t, m in data["shares"][str(number)]}
    assert found == pytest.approx(wanted, rel=1e-3)


def test_what_each_record_adds_sums_to_the_gradient():
    tape = lstm_tape()
    grads = tape.gradients()
    data = written(tape, grads=grads)
    sums = {}
    for record in data["records"]:
        for n, share in record.get("c", {}).items():
            share = data["tensors"][int(n)]["g"] if share == "all" else share
            sums[int(n)] = sums.get(int(n), 0) + np.array(flat(share), float)
        assert set(map(int, record.get("c", {}))) <= set(record["a"])
    assert len(sums) > 60
    for n, total in sums.items():
        np.testing.assert_allclose(total, flat(data["tensors"][n]["g"]), rtol=5e-3, atol=1e-4)


def last_only():
    """A loss of the last output alone: nothing flows back from the others."""
    ys, _ = unroll(LSTM(2, 3, rng=0), Tensor(np.eye(4, 2, dtype=np.float32), name="xs"))
    return Tape((ys[-1] ** 2).sum())


def test_along_each_edge_stands_what_flows_back():
    tape = last_only()
    grads = tape.gradients()
    data = written(tape, grads=grads)
    for level in ("cell", "gate", "op"):
        scene = data["scenes"][level]
        into_ys = {}
        for tail, head, kind, slot, number, flow in scene["edges"]:
            a, b = scene["nodes"][tail], scene["nodes"][head]
            if a.get("t") and b.get("bar"):
                into_ys[a["t"]] = flow
            elif slot >= 0 and kind == "state" and b["k"] != "end":
                assert flow in (None, data["tensors"][number]["m"])
        (ys,) = (r.output for r in tape if r.op == "stack")
        whole = pytest.approx(np.linalg.norm(grads[ys]), rel=1e-3)
        assert into_ys == {1: None, 2: None, 3: None, 4: whole}


def test_without_gradients_nothing_is_reached():
    data = data_of(page_of(lstm_tape()))
    assert data["reach"] == data["shares"] == {}
    assert any("grads=tape.gradients()" in note for note in data["notes"])


def test_a_tape_that_is_too_long_is_cut_and_says_so(monkeypatch):
    monkeypatch.setattr(page, "MOST_RECORDS", 200)
    tape = lstm_tape(steps=20)
    data = data_of(page_of(tape))
    steps = {r["t"] for r in data["records"] if "t" in r}
    assert steps == {1, 2, 3, 4, 5, 6, 20}
    assert "The page holds 7 of 20 steps: the first 6 and the last." in data["notes"]
    assert len(data["records"]) <= 200


def test_a_long_tape_without_steps_is_cut_too(monkeypatch):
    monkeypatch.setattr(page, "MOST_RECORDS", 200)
    monkeypatch.setattr(page, "LAST", 30)
    x = Tensor(np.ones(2), name="x")
    for _ in range(300):
        x = np.tanh(x)
    data = data_of(page_of(x))
    assert len(data["records"]) == 30
    assert "The page holds the last 30 of 300 records." in data["notes"]


def test_shapes_and_values_may_stand_beside_the_ops():
    tape = lstm_tape(2)
    notes = []
    for values in (False, True):
        text = page_of(tape, values=values)
        scene = packed(text)["scenes"]["op"]
        scenes = ET.fromstring(f"<svg>{scene}</svg>")
        nodes = list(scenes.iterfind("g/g[@class='nodes']/g"))
        data = data_of(text)
        assert len(nodes) == len(data["scenes"]["op"]["nodes"])
        note = nodes[node_of(data, row_named(data, "x_1"))].find("g[@class='note']")
        lines = ["".join(line.itertext()) for line in note]
        notes.append(lines)
        for node, known in zip(nodes, data["scenes"]["op"]["nodes"], strict=True):
            assert ("note" in known) == (node.find("g[@class='note']") is not None)
    assert notes[0] == ["x1"]
    assert notes[1][1:] == ["(2,)", "x₁"]
    assert notes[1][0].startswith("[")


def test_where_the_gradient_is_cut_is_said():
    xs = Tensor(np.ones((4, 2), np.float32), name="xs")
    tape = Tape(unroll(LSTM(2, 3, rng=0), xs, truncate=2)[0].sum())
    data = data_of(page_of(tape, grads=tape.gradients()))
    assert any("truncated" in note for note in data["notes"])
    assert sum(node["k"] == "cut" for node in data["scenes"]["op"]["nodes"]) == 2


def test_long_names_are_cut_in_the_picture_alone():
    x = Tensor(np.ones(2), name="x" * 200)
    data = data_of(page_of(x * 2))
    assert "x" * 200 in {t["n"] for t in data["tensors"]}
    assert max(len(node["l"]) for node in data["scenes"]["op"]["nodes"]) <= page.LETTERS


def test_scenes_that_are_too_large_are_left_out_and_it_says_so(monkeypatch):
    monkeypatch.setattr(page, "MOST_NODES", 60)
    data = data_of(page_of(lstm_tape(steps=10)))
    assert list(data["scenes"]) == ["folded", "cell"]
    assert data["scene"] == "folded"
    assert "Too large to be drawn here: level gate, op." in data["notes"]


def test_a_network_without_steps_has_two_levels():
    x = Tensor(np.ones((2, 3), np.float32), name="x")
    data = data_of(page_of(FeedForward([3, 4, 2], rng=0)(x).sum()))
    assert list(data["scenes"]) == ["gate", "op"]
    assert data["steps"] == 0


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, {"scene": "op", "steps": 3, "at": 0, "end": False}),
        ({"level": "cell", "steps": 5}, {"scene": "cell", "steps": 5}),
        ({"fold": True}, {"scene": "folded"}),
        ({"at": 7}, {"at": 7}),
        ({"title": "A <b>", "caption": "below"}, {"title": "A <b>", "caption": "below"}),
    ],
)
def test_a_page_opens_as_it_was_drawn(options, wanted):
    data = data_of(page_of(lstm_tape(steps=8), **options))
    assert {name: data[name] for name in wanted} == wanted


def test_backward_opens_at_the_end():
    tape = lstm_tape()
    assert data_of(page_of(tape, grads=tape.gradients(), backward=True))["end"]


def test_a_theme_is_kept_to():
    assert "prefers-color-scheme" in page_of(lstm_tape(2))
    dark = page_of(lstm_tape(2), theme="dark")
    assert "prefers-color-scheme" not in dark
    assert "color-scheme:dark" in dark


def hostile_tape():
    with scope(HOSTILE[0]):
        W = Parameter(np.ones((2, 2), np.float32), name=HOSTILE[1])
        h = Tensor(np.zeros(2, np.float32), name=HOSTILE[3])
        for t, name in enumerate(HOSTILE, 1):
            x = Tensor(np.full(2, t, np.float32), name=name)
            with scope("step", step=t), scope(name):
                h = np.tanh(x @ W + h)
                h.name = name
    return Tape(h.sum())


def test_hostile_labels_stand_in_the_file_as_data_alone():
    tape = hostile_tape()
    text = page_of(tape, grads=tape.gradients(), title=HOSTILE[1], caption=HOSTILE[0])
    assert len(re.findall("<script", text)) == len(re.findall("</script", text)) == 2
    assert "<!--" not in text
    assert html.escape(HOSTILE[1]) in text.split("</title>")[0]
    data = data_of(text)
    assert data["title"] == HOSTILE[1]
    assert HOSTILE[0] in {t["n"] for t in data["tensors"]}


# In a browser ---------------------------------------------------------------------------------

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",
    "--window-size=1400,900",
]
KEYS = {
    "Tab": "\ue004",
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "PageUp": "\ue00e",
    "PageDown": "\ue00f",
    "Home": "\ue011",
    "End": "\ue010",
    "Left": "\ue012",
    "Up": "\ue013",
    "Right": "\ue014",
    "Down": "\ue015",
}


class Browser:
    """A Chromium without a window; ``close`` ends it."""

    def __init__(self, profile, *flags):
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            port = next(
                found[1]
                for line in self.driver.stdout
                if (found := re.search(r"started successfully on port (\d+)", line))
            )
            self.address = f"http://127.0.0.1:{port}"
            options = {"args": [*FLAGS, f"--user-data-dir={profile}", *flags]}
            wanted = {
                "browserName": "chrome",
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
                "goog:chromeOptions": options,
            }
            session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        except BaseException:
            self.stop()
            raise
        self.address += f"/session/{session['sessionId']}"

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(error.read().decode()[:2000]) from None

    def open(self, path):
        """Load a file; the logs then hold what this has caused."""
        self.call("POST", "/url", {"url": "about:blank"})
        self.log("performance")
        self.log("browser")
        self.call("POST", "/url", {"url": Path(path).as_uri()})

    def wait(self):
        """Until the page has unpacked its data and set itself up."""
        for _ in range(500):
            if self.run("return document.documentElement.dataset.ready") == "true":
                return
            time.sleep(0.02)
        raise AssertionError(f"the page did not begin: {self.log('browser')}")

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def log(self, kind):
        return self.call("POST", "/se/log", {"type": kind})

    def requests(self):
        messages = (json.loads(entry["message"])["message"] for entry in self.log("performance"))
        return [
            m["params"]["request"]["url"]
            for m in messages
            if m["method"] == "Network.requestWillBeSent"
        ]

    def press(self, *keys):
        actions = []
        for key in keys:
            value = KEYS.get(key, key)
            actions += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        self.act({"type": "key", "id": "keys", "actions": actions})

    def point(self, x, y, *more):
        move = {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
        pointer = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}}
        self.act({**pointer, "actions": [move, *more]})

    def act(self, source):
        self.call("POST", "/actions", {"actions": [source]})

    def middle(self, selector):
        """Where the middle of what a selector finds is; of the picture all comes into sight."""
        return self.run(
            "const e = document.querySelector(arguments[0]);"
            "if (!e) throw new Error('nothing is ' + arguments[0]);"
            "const part = e.querySelector('.shape, rect') ?? e;"
            "const p = document.getElementById('picture').getBoundingClientRect();"
            "let b = part.getBoundingClientRect();"
            "if (e.closest('#picture') && (b.x < 0 || b.right > p.right || b.y < p.y ||"
            "b.bottom > p.bottom)) document.getElementById('fit').click();"
            "b = part.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]",
            selector,
        )

    def hover(self, selector):
        self.point(1, 1)
        self.point(*self.middle(selector))

    def click(self, selector):
        down, up = ({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up"))
        self.point(*self.middle(selector), down, up)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def equation(self, selector):
        return self.run(
            "return document.querySelector(arguments[0] + ' .equation').dataset.text", selector
        )

    def walk_by(self, unit):
        self.run(
            "const by = document.getElementById('by'); by.value = arguments[0];"
            "by.dispatchEvent(new Event('change'))",
            unit,
        )

    def go(self, place):
        self.run(
            "const w = document.getElementById('walk'); w.value = arguments[0];"
            "w.dispatchEvent(new Event('input'))",
            place,
        )

    def count(self, selector):
        return self.run("return document.querySelectorAll(arguments[0]).length", selector)

    def stop(self):
        self.driver.terminate()
        self.driver.wait()
        self.driver.stdout.close()

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {missing[0]}: apt-get install chromium chromium-driver")
    started = Browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Opens the page of a tape; afterwards nothing may have gone wrong or gone out."""
    pages = []

    def open_page(what, **options):
        path = draw(what, **options).save(tmp_path / "page.html")
        browser.open(path)
        browser.wait()
        pages.append(path.as_uri())
        data = data_of(path.read_text(encoding="utf-8"))
        if data["live"]:  # the numbers that the page has computed, as if they stood in the file
            data |= browser.run("return { tensors: unspool.tensors, records: unspool.records }")
            for name, flows in browser.run(
                "return Object.entries(unspool.scenes).map(([name, s]) => [name, s.flows ?? []])"
            ):
                for edge, flow in zip(data["scenes"][name]["edges"], flows, strict=False):
                    edge[5] = flow
        return data

    yield open_page
    assert [entry["message"] for entry in browser.log("browser")] == []
    assert set(browser.requests()) == set(pages)


def node_of(data, row, scene="op"):
    """Where a record stands in a scene."""
    nodes = data["scenes"][scene]["nodes"]
    return next(n for n, node in enumerate(nodes) if row in node.get("r", []))


def row_named(data, name):
    numbers = [n for n, t in enumerate(data["tensors"]) if t["n"] == name]
    return next(k for k, r in enumerate(data["records"]) if r["r"] in numbers)


def numbers_shown(browser, selector):
    """The tables of numbers in a part of the page, Tensor by Tensor."""
    rows = browser.run(
        "const all = (e, what) => [...e.querySelectorAll(what)];"
        "return all(document, arguments[0] + ' .tensor').map(t => [t.dataset.tensor,"
        "all(t, '.numbers').map(n => all(n, 'td').map(c => c.textContent))])",
        selector,
    )
    return {
        int(n): [[float(text.replace("−", "-")) for text in table] for table in tables]
        for n, tables in rows
    }


def test_it_opens_without_errors_and_without_requests(opened, browser):
    data = opened(lstm_tape())
    assert browser.text("h1") == "LSTM: 4 steps"
    assert browser.count("#levels button") == 4
    assert browser.count("svg .node") == len(data["scenes"]["op"]["nodes"])
    assert browser.run("return performance.getEntriesByType('resource').length") == 0


@pytest.mark.slow
def test_what_the_policy_stops_is_seen_by_these_tests(browser, tmp_path):
    path = tmp_path / "broken.html"
    image = "<img src='https://example.invalid/x.png'>"
    path.write_text(draw(lstm_tape(2)).page().replace("<body>", f"<body>{image}"), "utf-8")
    browser.open(path)
    assert any("Content Security Policy" in entry["message"] for entry in browser.log("browser"))
    assert "https://example.invalid/x.png" in browser.requests()


@pytest.mark.slow
def test_it_steps_forward_and_back_along_the_tape(opened, browser):
    tape = lstm_tape(3)
    grads = tape.gradients()
    data = opened(tape, grads=grads)
    assert browser.count(".lit") == 0
    count = len(tape)
    nodes = data["scenes"]["op"]["nodes"]
    # What runs along a wire is used by the record at its head; at an end it only goes out.
    ends = [(nodes[tail], nodes[head]) for tail, head, *_ in data["scenes"]["op"]["edges"]]
    used = [(tail if head["k"] == "end" else head)["r"][0] for tail, head in ends]
    for place in range(1, count + 1):
        browser.run("document.getElementById('next').click()")
        assert browser.text("#now h2") == f"Forward: record {place}"
        lit = browser.run(
            "return [...document.querySelectorAll('.node.lit')].map(e => +e.dataset.node)"
        )
        assert lit == [node_of(data, place - 1)]
        later = browser.run(
            "return [...document.querySelectorAll('.node.later')].map(e => +e.dataset.node)"
        )
        waiting = {node_of(data, row) for row in range(place, count)}
        ops = {n for n in later if data["scenes"]["op"]["nodes"][n].get("r")}
        assert ops == waiting
        assert browser.count(".edge.later") == sum(row >= place for row in used)
        assert browser.count(".reached") == 0
    sums = {}  # what has arrived, from the records that the way back has left behind
    sums[tape.outputs[0]] = grads[tape.outputs[0]]
    for place in range(count, 0, -1):
        browser.run("document.getElementById('next').click()")
        assert browser.text("#now h2") == f"Backward: record {place}"
        reached = browser.run(
            "return [...document.querySelectorAll('.node.reached')].map(e => +e.dataset.node)"
        )
        record = tape[place - 1]
        if np.any(grads[record.output]):
            for x, part in record.operand_gradients(grads[record.output]).items():
                sums[x] = sums.get(x, 0) + part
        ops = {n for n in reached if data["scenes"]["op"]["nodes"][n].get("r")}
        some = [row for row in range(count) if np.any(sums.get(tape[row].output, 0))]
        assert ops == {node_of(data, row) for row in some}
    browser.run("document.getElementById('next').click()")  # the end stays
    assert browser.text("#now h2") == "Backward: record 1"
    browser.run("document.getElementById('first').click()")
    assert browser.count(".lit, .reached, .later") == 0


@pytest.mark.slow
def test_the_panel_shows_the_numbers_of_the_record(opened, browser):
    tape = lstm_tape(3)
    grads = tape.gradients()
    data = opened(tape, grads=grads)
    for row in (0, 4, 25, len(tape) - 1):
        browser.go(row + 1)
        record = tape[row]
        shown = numbers_shown(browser, "#now")
        numbers = (data["records"][row]["r"], *data["records"][row]["a"])
        for x, n in zip((record.output, *record.inputs), numbers, strict=True):
            if data["tensors"][n].get("k") == "number":
                continue
            np.testing.assert_allclose(shown[n][0], np.ravel(x.data), rtol=1e-3, atol=1e-6)
            assert len(shown[n]) == 1  # no gradient before the backward pass
        browser.go(2 * len(tape) - row)
        assert browser.text("#now h2") == f"Backward: record {row + 1}"
        shown = numbers_shown(browser, "#now")
        n = data["records"][row]["r"]
        np.testing.assert_allclose(
            shown[n][1], np.ravel(grads[record.output]), rtol=1e-3, atol=1e-6
        )


@pytest.mark.slow
def test_on_the_way_back_a_gradient_grows_record_by_record(opened, browser):
    """At t=3 of 3 a bias has this step's share alone; at t=1 it is the whole gradient."""
    tape = lstm_tape(3)
    grads = tape.gradients()
    data = opened(tape, grads=grads)
    bias = next(x for x in tape.leaves if x.name == "b_o")
    number = next(n for n, t in enumerate(data["tensors"]) if t["n"] == "b_o")
    uses = [k for k, r in enumerate(data["records"]) if number in r["a"]]
    assert len(uses) == 3
    so_far = np.zeros(3)
    for left, row in ((2, uses[2]), (1, uses[1]), (0, uses[0])):
        browser.go(2 * len(tape) - row)
        share = np.array(data["records"][row]["c"][str(number)])
        so_far += share
        _, mine, *total = numbers_shown(browser, "#now")[number]
        np.testing.assert_allclose(mine, share)
        if total:
            np.testing.assert_allclose(total[0], so_far, rtol=1e-3)
        text = browser.text(f'#now [data-tensor="{number}"]')
        assert ("complete" in text) == (left == 0)
        assert f"{left} more to come" in text or not left
    np.testing.assert_allclose(so_far, grads[bias], rtol=1e-2, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("level", ["cell", "gate", "op"])
def test_no_wire_lights_up_along_which_nothing_comes_back(opened, browser, level):
    tape = last_only()
    data = opened(tape, grads=tape.gradients(), level=level, backward=True)
    edges = data["scenes"][level]["edges"]
    dead = sum(edge[5] is None for edge in edges)
    assert dead >= 3
    browser.run("document.getElementById('last').click()")
    assert browser.count(".edge") == len(edges)
    assert browser.count(".edge.reached") <= len(edges) - dead
    assert browser.count(".edge.reached") > len(edges) // 2


@pytest.mark.slow
def test_no_norm_is_told_before_its_gradient_is_whole(opened, browser):
    tape = lstm_tape(steps=3)
    grads = tape.gradients()
    data = opened(tape, level="cell", grads=grads)
    told = (
        "return [...document.querySelectorAll('#picture text')]"
        ".filter(t => /∂L/.test(t.textContent) && !t.classList.contains('untold'))"
        ".map(t => t.textContent)"
    )
    assert browser.run(told) == []
    going = [n for n, r in enumerate(data["records"]) if data["tensors"][r["r"]].get("g")]
    readers = {n: [row for row in going if n in data["records"][row]["a"]] for n in range(99)}
    numbers = {f"{s}_{t}": n for n, x in enumerate(data["tensors"]) for s in "hc" for t in range(4)
               if (x.get("e") or x["n"]) == f"{s}_{t}"}  # fmt: skip
    for back in (1, 3, 20, 41, len(going)):
        browser.go(len(tape) + back)
        reached = set(going[::-1][:back])
        whole = {name for name, n in numbers.items() if reached >= set(readers[n])}
        found = {
            re.sub(r".*∂L/∂(\w)(\d).*", r"\1_\2", t.translate(HIGH)) for t in browser.run(told)
        }
        assert found == whole, back
    assert len(browser.run(told)) == 8


@pytest.mark.slow
def test_hovering_shows_value_gradient_equation_and_shape(opened, browser):
    tape = lstm_tape(3)
    grads = tape.gradients()
    data = opened(tape, grads=grads)
    by_name = {r.output.name: r.output for r in tape if r.output.name}
    for name in ("h_2", "c_3", "x_1"):
        row = row_named(data, name)
        browser.hover(f'[data-node="{node_of(data, row)}"]')
        assert not browser.run("return document.getElementById('card').hidden")
        shown = numbers_shown(browser, "#card")[data["records"][row]["r"]]
        np.testing.assert_allclose(shown[0], by_name[name].data, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(shown[1], grads[by_name[name]], rtol=1e-3, atol=1e-6)
        text = browser.text("#card")
        assert f"({by_name[name].size},) float32" in text
        assert f"norm {np.linalg.norm(grads[by_name[name]]):.4g}" in text
    browser.hover(f'[data-node="{node_of(data, row_named(data, "h_2"))}"]')
    assert browser.equation("#card") == "h_2 = o_2 ⊙ tanh(c_2)"
    browser.press("Escape")
    assert browser.run("return document.getElementById('card').hidden")


@pytest.mark.slow
@pytest.mark.parametrize("level", ["op", "cell"])
def test_a_state_is_asked_by_its_name_on_the_wire(opened, browser, level):
    tape = lstm_tape(3)
    grads = tape.gradients()
    data = opened(tape, grads=grads, level=level)
    (c,) = [r.output for r in tape if r.output.name == "c_2"]
    number = next(n for n, t in enumerate(data["tensors"]) if t["n"] == "c_2")
    browser.hover(f'text[data-tensor="{number}"]')
    shown = numbers_shown(browser, "#card")[number]
    np.testing.assert_allclose(shown[0], c.data, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(shown[1], grads[c], rtol=1e-3, atol=1e-6)
    assert browser.equation("#card") == "c_2 = k_2 + j_2"


@pytest.mark.slow
@pytest.mark.parametrize("level", ["op", "cell"])
def test_one_step_in_detail(opened, browser, level):
    data = opened(lstm_tape(8), at=4, level=level)
    boxes = data["scenes"]["op"]["boxes"]
    shown = browser.run(
        "return [...document.querySelectorAll('.box.column')].map(e => +e.dataset.box)"
    )
    assert [boxes[b]["t"] for b in shown] == [4]
    assert browser.count(".cover.of-cell") == 4  # 1, 2, 3 and the last, with 5 to 7 left out
    assert browser.count(".cover.of-dots") == 1


@pytest.mark.slow
def test_a_parameter_tells_its_gradient(opened, browser):
    tape = lstm_tape(3)
    grads = tape.gradients()
    data = opened(tape, grads=grads)
    b = next(x for x in tape.leaves if x.name == "b_f")
    node = next(n for n, v in enumerate(data["scenes"]["op"]["nodes"]) if v["l"] == "b_f")
    browser.hover(f'[data-node="{node}"]')
    (shown,) = numbers_shown(browser, "#card").values()
    np.testing.assert_allclose(shown[0], b.data, rtol=1e-3)
    np.testing.assert_allclose(shown[1], grads[b], rtol=1e-3)
    assert "used 3 times" in browser.text("#card")
    shares = browser.run(
        "return [...document.querySelectorAll('.shares tr')].map(r => r.innerText)"
    )
    assert [share.split()[0] for share in shares] == ["t=1", "t=2", "t=3"]


@pytest.mark.slow
def test_hovering_over_a_step_colours_the_inputs_by_their_gradient(opened, browser):
    tape = lstm_tape(4)
    data = opened(tape, grads=tape.gradients(), level="cell")
    cells = [n for n, v in enumerate(data["scenes"]["cell"]["nodes"]) if v["k"] == "cell"]
    browser.hover(f'[data-node="{cells[2]}"]')  # t=3
    coloured = browser.run(
        "return [...document.querySelectorAll('.arrived')].map(e => [e.textContent,"
        "e.style.getPropertyValue('--arrived')])"
    )
    assert [name for name, _ in coloured] == ["x1", "x2", "x3"]
    by_name = {r.output.name: r.output for r in tape if r.output.name}
    found = Tape(by_name["h_3"]).gradients(tape.gradients()[by_name["h_3"]])
    norms = [float(f"{np.linalg.norm(found[by_name[f'x_{t}']]):.4g}") for t in (1, 2, 3)]
    grades = [int(grade[-2]) for _, grade in coloured]
    order = np.argsort(norms)
    assert grades[order[-1]] == 4
    assert grades[order[0]] == 0
    assert sorted(grades) == [grades[k] for k in order]
    shown = browser.run(
        "return [...document.querySelectorAll('#card [data-input]')].map("
        "r => r.lastChild.textContent)"
    )
    np.testing.assert_allclose([float(m) for m in shown], norms, rtol=2e-3)
    browser.point(1, 1)
    assert browser.count(".arrived") == 0


@pytest.mark.slow
def test_an_input_of_both_directions_is_coloured_by_either(opened, browser):
    xs = Tensor(np.random.default_rng(0).normal(size=(3, 2)), name="xs")
    ys, _ = unroll(Bidirectional(LSTM(2, 3, rng=0), GRU(2, 3, rng=1)), xs)
    tape = Tape((ys * ys).sum())
    data = opened(tape, grads=tape.gradients(), level="cell")
    nodes = data["scenes"]["cell"]["nodes"]
    assert sum(v["k"] == "input" for v in nodes) == 3
    for title, reached in (("LSTM", ["x1", "x2"]), ("GRU", ["x2", "x3"])):
        (cell,) = (n for n, v in enumerate(nodes) if v["l"] == title and v["t"] == 2)
        browser.hover(f'[data-node="{cell}"]')
        texts = browser.run(
            "return [...document.querySelectorAll('.arrived')].map(e => e.textContent)"
        )
        assert sorted(texts) == reached


def boxes_of(data, kind, scene="op"):
    return [b for b, box in enumerate(data["scenes"][scene]["boxes"]) if box["k"] == kind]


@pytest.mark.slow
def test_a_cell_opens_and_closes(opened, browser):
    data = opened(lstm_tape(3), level="cell")
    cells = [n for n, v in enumerate(data["scenes"]["cell"]["nodes"]) if v["k"] == "cell"]
    assert browser.count(".node.cell") == 3
    browser.click(f'[data-node="{cells[1]}"]')
    assert browser.run("return document.getElementById('picture').dataset.scene") == "op"
    closed = browser.run(
        "return [...document.querySelectorAll('.cover.of-cell')].map(e => +e.dataset.box)"
    )
    columns = boxes_of(data, "column")
    assert closed == [columns[0], columns[2]]
    inside = {
        n
        for n, node in enumerate(data["scenes"]["op"]["nodes"])
        if node.get("t") == 2 and node.get("r")
    }
    shown = set(
        browser.run("return [...document.querySelectorAll('.node')].map(e => +e.dataset.node)")
    )
    assert inside <= shown
    assert not any(
        data["scenes"]["op"]["nodes"][n].get("t") in (1, 3)
        and data["scenes"]["op"]["nodes"][n].get("r")
        for n in shown
    )
    browser.click(f'.cover[data-box="{columns[2]}"]')  # another one opens
    assert browser.count(".cover.of-cell") == 1
    browser.click(f'.handle[data-box="{columns[1]}"]')  # and this one closes
    closed = browser.run(
        "return [...document.querySelectorAll('.cover.of-cell')].map(e => +e.dataset.box)"
    )
    assert sorted(closed) == sorted(columns[:2])


@pytest.mark.slow
def test_what_opens_is_in_sight(opened, browser):
    opened(lstm_tape(20), level="cell", steps=20)
    browser.run(
        "[...document.querySelectorAll('.node.cell')].at(-1).dispatchEvent(new MouseEvent('click'))"
    )
    ((x1, _, x2, _),) = frames(browser, ".box.column")
    assert 0 < x1 < x2 < browser.run("return document.getElementById('picture').clientWidth")


@pytest.mark.slow
def test_a_gate_opens_and_closes(opened, browser):
    data = opened(lstm_tape(2), level="gate")
    assert browser.count(".node.gate") == 8
    browser.click(".node.gate")
    assert browser.count(".cover.of-gate") == 7
    before = browser.count(".node")
    browser.click(".cover.of-gate")
    assert browser.count(".cover.of-gate") == 6
    assert browser.count(".node") > before
    gate = boxes_of(data, "gate")[0]
    browser.click(f'.handle[data-box="{gate}"]')
    assert browser.count(".cover.of-gate") == 7
    wires = browser.count(".edge")
    browser.run("document.querySelector('[data-scene=op]').click()")
    assert browser.count(".cover") == 0
    assert browser.count(".edge") > wires


@pytest.mark.slow
def test_a_layer_opens_and_closes(opened, browser):
    xs = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    ys, _ = unroll(Stacked([LSTM(2, 3, rng=0), GRU(3, 2, rng=1)]), xs)
    opened(Tape(ys.sum()), level="cell")
    assert browser.count(".node.cell") == 6
    browser.click('[data-layer="1"]')  # from the level of cells the layer opens
    assert browser.count(".cover.of-cell") == 3
    browser.click('[data-layer="1"]')
    assert browser.count(".cover.of-cell") == 6
    browser.click('[data-layer="0"]')
    assert browser.count(".cover.of-cell") == 3


@pytest.mark.slow
def test_what_is_closed_lights_up_for_what_is_in_it(opened, browser):
    tape = lstm_tape(3)
    data = opened(tape, level="cell")
    browser.walk_by("record")
    browser.go(30)
    lit = browser.run(
        "return [...document.querySelectorAll('.node.lit')].map(e => +e.dataset.node)"
    )
    assert [data["scenes"]["cell"]["nodes"][n]["k"] for n in lit] == ["cell"]
    assert data["scenes"]["cell"]["nodes"][lit[0]]["t"] == 2
    browser.run("document.querySelector('[data-scene=folded]').click()")
    lit = browser.run(
        "return [...document.querySelectorAll('.node.lit')].map(e => +e.dataset.node)"
    )
    assert lit == [node_of(data, 29, "folded")]


def frames(browser, selector):
    return browser.run(
        "return [...document.querySelectorAll(arguments[0])].map(e => {"
        "const b = (e.querySelector('.shape, rect') ?? e).getBoundingClientRect();"
        "return [b.left, b.top, b.right, b.bottom]})",
        selector,
    )


@pytest.mark.slow
@pytest.mark.parametrize("closed", [0, 1, 2, 3])
def test_boxes_keep_clear_of_each_other_whatever_is_closed(opened, browser, closed):
    data = opened(lstm_tape(4))
    for b in [*boxes_of(data, "column")[:closed], *boxes_of(data, "gate")[-5 * closed :]][
        : 3 * closed
    ]:
        if browser.count(f'.handle[data-box="{b}"]'):
            browser.run(
                "document.querySelector(arguments[0]).dispatchEvent(new MouseEvent('click'))",
                f'.handle[data-box="{b}"]',
            )
    shown = [f for f in frames(browser, ".node:not(.state):not(.end), .cover") if f[2] > f[0]]
    bars = 2
    for n, (x1, y1, x2, y2) in enumerate(shown):
        for other in shown[:n]:
            apart = (
                x1 >= other[2] - 1 or other[0] >= x2 - 1 or y1 >= other[3] - 1 or other[1] >= y2 - 1
            )
            assert apart, (shown[n], other, bars)


@pytest.mark.slow
def test_what_is_closed_takes_less_room(opened, browser):
    data = opened(lstm_tape(4))
    size = "const b = document.querySelector('#picture > g').getBBox(); return [b.width, b.height]"
    wide, high = browser.run(size)
    columns = boxes_of(data, "column")
    for b in columns:
        browser.run(
            "document.querySelector(arguments[0]).dispatchEvent(new MouseEvent('click'))",
            f'.handle[data-box="{b}"]',
        )
    assert browser.count(".cover.of-cell") == 4
    less_wide, less_high = browser.run(size)
    assert less_wide < 0.5 * wide
    assert less_high < 0.7 * high
    browser.run("document.querySelector('[data-scene=op]').click()")
    assert browser.run(size) == pytest.approx([wide, high])


@pytest.mark.slow
def test_a_wide_picture_begins_where_it_can_be_read(opened, browser):
    opened(lstm_tape(20), steps=20)
    scale = "return unspool.zoom.k"
    assert browser.run(scale) > 0.4
    assert frames(browser, ".box.column")[0][0] > 0
    browser.run("document.getElementById('last').click()")  # what is lit comes into sight
    ((x1, _, x2, _),) = frames(browser, ".node.lit")
    wide = browser.run("return document.getElementById('picture').getBoundingClientRect().right")
    assert 0 < x1 < x2 < wide
    browser.press("0")
    assert browser.run(scale) < 0.2
    assert frames(browser, ".box.column")[-1][2] < wide


@pytest.mark.slow
def test_as_many_steps_are_found_as_are_asked_for(opened, browser):
    tape = lstm_tape(9)
    data = opened(tape, keep="first")
    browser.run(
        "const k = document.getElementById('keep'); k.value = 'first';"
        "k.dispatchEvent(new Event('change'))"
    )
    assert browser.run("return document.getElementById('steps').value") == "3"
    columns = {b: data["scenes"]["op"]["boxes"][b]["t"] for b in boxes_of(data, "column")}

    def steps():
        found = browser.run(
            "return [...document.querySelectorAll('.box.column')].map(e => +e.dataset.box)"
        )
        return sorted(columns[b] for b in found)

    assert steps() == [1, 2, 9]
    assert "t=3 to 8" in browser.text(".cover.of-dots")
    browser.run(
        "const s = document.getElementById('steps'); s.value = 5;"
        "s.dispatchEvent(new Event('change'))"
    )
    assert steps() == [1, 2, 3, 4, 9]
    browser.run("document.querySelector('[data-scene=cell]').click()")
    assert browser.count(".node.cell") == 5
    for count, wanted in ((9, 9), (100, 9), (1, 1), (-3, 1)):
        browser.run(
            "const s = document.getElementById('steps'); s.value = arguments[0];"
            "s.dispatchEvent(new Event('change'))",
            count,
        )
        assert browser.count(".node.cell") == wanted
        assert browser.count(".cover.of-dots") == (wanted < 9)
    browser.click(".cover.of-dots")  # one step more
    assert browser.count(".node.cell") == 2


@pytest.mark.slow
def test_all_steps_of_a_long_tape(opened, browser):
    tape = lstm_tape(20)
    data = opened(tape, steps=20)
    assert browser.count(".cover") == 0
    assert browser.count(".node") == len(data["scenes"]["op"]["nodes"])
    assert browser.count(".edge") == len(data["scenes"]["op"]["edges"])


@pytest.mark.slow
def test_it_can_be_used_by_the_keyboard_alone(opened, browser):
    tape = lstm_tape(3)
    data = opened(tape, grads=tape.gradients(), level="cell")
    focused = (
        "return document.activeElement.id || document.activeElement.getAttribute('aria-label')"
    )
    browser.press("Right", "Right")
    assert browser.text("#now h2") == "Forward: t=2"
    browser.walk_by("record")
    browser.press("Home", "Right", "Right", "Right")
    assert browser.text("#now h2") == "Forward: record 3"
    browser.press("Left")
    assert browser.text("#now h2") == "Forward: record 2"
    browser.press("End")
    assert browser.text("#now h2") == "Backward: record 1"
    browser.press("Home")
    assert browser.text("#now h2") == "Before the first record"
    seen = []
    for _ in range(40):
        browser.press("Tab")
        seen.append(browser.run(focused))
        if seen[-1] == "picture":
            break
    assert seen[-1] == "picture"
    assert {"steps", "out", "in", "fit", "ask"} <= set(seen)
    outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    browser.press("Right")
    names = {browser.run(focused)}
    for _ in range(30):
        browser.press("Right")
        names.add(browser.run(focused))
        if browser.run("return document.activeElement.classList.contains('cell')"):
            break
    assert browser.run("return document.activeElement.classList.contains('cell')"), names
    assert not browser.run("return document.getElementById('card').hidden")
    browser.press("Enter")
    assert browser.run("return document.getElementById('picture').dataset.scene") == "op"
    assert browser.count(".cover.of-cell") == 2
    assert re.fullmatch(r"LSTM, t=\d, open", browser.run(focused))
    browser.press("Enter")
    assert browser.count(".cover.of-cell") == 3
    assert re.fullmatch(r"LSTM, t=\d, closed", browser.run(focused))
    browser.press("Enter")
    assert browser.count(".cover.of-cell") == 2
    scale = "return unspool.zoom.k"
    browser.press("0")
    before = browser.run(scale)
    browser.press("+", "+")
    assert browser.run(scale) == pytest.approx(1.69 * before)
    browser.press("-")
    assert browser.run(scale) == pytest.approx(1.3 * before)
    browser.press("0")
    assert browser.run(scale) == pytest.approx(before)
    browser.press("?")
    assert browser.run("return document.getElementById('keys').open")
    browser.press("Escape")
    assert not browser.run("return document.getElementById('keys').open")
    assert data["title"] == "LSTM: 3 steps"


@pytest.mark.slow
def test_it_walks_by_time_steps(opened, browser):
    tape = lstm_tape(3)
    data = opened(tape, grads=tape.gradients(), level="cell")
    seen = []
    for _ in range(20):
        browser.press("PageDown")
        place = browser.run("return +document.getElementById('walk').value")
        seen.append(place)
        if place == 2 * len(tape):
            break
    steps = [data["records"][p - 1].get("t") for p in seen if p <= len(tape)]
    assert steps == [1, 2, 3, None]  # and what follows them
    assert len(seen) <= 9
    browser.press("PageUp", "PageUp")
    assert browser.run("return +document.getElementById('walk').value") < seen[-1]
    browser.walk_by("step")
    browser.run("document.getElementById('first').click()")
    browser.run("document.getElementById('play').click()")
    assert (
        browser.run("return document.getElementById('play').getAttribute('aria-label')") == "Stop"
    )
    browser.run("document.getElementById('play').click()")


@pytest.mark.slow
def test_the_slider_works_by_its_own_keys(opened, browser):
    opened(lstm_tape(2))
    browser.run("document.getElementById('walk').focus()")
    browser.press("Right", "Right")
    assert browser.text("#now h2") == "Forward: record 2"
    assert browser.run(
        "return document.getElementById('walk').getAttribute('aria-valuetext')"
    ).startswith("forward 2 of ")


@pytest.mark.slow
def test_it_zooms_and_pans_by_the_mouse(opened, browser):
    opened(lstm_tape(3))
    place = "const z = unspool.zoom; return [z.x, z.y, z.k]"
    x, y, k = browser.run(place)
    wheel = {"type": "scroll", "duration": 0, "x": 400, "y": 120, "deltaX": 0, "deltaY": -200}
    browser.act({"type": "wheel", "id": "wheel", "actions": [wheel]})
    assert browser.run(place)[2] > k
    browser.run("document.getElementById('fit').click()")
    x, y, k = browser.run(place)
    drag = [
        {"type": "pointerDown", "button": 0},
        {"type": "pointerMove", "duration": 0, "x": 460, "y": 150},
        {"type": "pointerUp", "button": 0},
    ]
    browser.point(400, 120, *drag)
    assert browser.run(place) == pytest.approx([x + 60, y + 30, k])
    # A drag that begins on a node moves it along, and is no click on it.
    browser.run("document.getElementById('fit').click()")
    x, y, k = browser.run(place)
    start = browser.middle('[data-node="3"]')
    drag[1] |= {"x": round(start[0]) + 20, "y": round(start[1]) + 10}
    browser.point(*start, *drag)
    assert browser.run(place) == pytest.approx([x + 20, y + 10, k], abs=1)
    assert browser.run("return document.getElementById('walk').value") == "0"
    browser.click('[data-node="3"]')
    assert browser.run("return document.getElementById('walk').value") != "0"


@pytest.mark.slow
def test_two_fingers_zoom_and_move_what_is_under_them(opened, browser):
    opened(lstm_tape(3))
    (left, top), (x, y, k) = browser.run(
        "const b = document.getElementById('picture').getBoundingClientRect();"
        "const z = unspool.zoom; return [[b.x, b.y], [z.x, z.y, z.k]]"
    )

    def finger(name, start, end):
        move = {"type": "pointerMove", "duration": 0}
        (x1, y1), (x2, y2) = start, end
        return {
            "type": "pointer",
            "id": name,
            "parameters": {"pointerType": "touch"},
            "actions": [
                {**move, "x": x1, "y": y1},
                {"type": "pointerDown", "button": 0},
                {**move, "x": x2, "y": y2},
                {"type": "pointerUp", "button": 0},
            ],
        }

    before, after = ((300, 200), (500, 300)), ((250, 250), (650, 450))
    fingers = [finger(f"finger{n}", *way) for n, way in enumerate(zip(before, after, strict=True))]
    browser.call("POST", "/actions", {"actions": fingers})
    now = browser.run("const z = unspool.zoom; return [z.x, z.y, z.k]")
    assert now[2] == pytest.approx(2 * k)

    def under(place, x, y, k):
        return [(place[0] - left - x) / k, (place[1] - top - y) / k]

    for was, where in zip(before, after, strict=True):
        assert under(where, *now) == pytest.approx(under(was, x, y, k), abs=1)


@pytest.mark.slow
def test_every_control_has_a_name(opened, browser):
    tape = lstm_tape(3)
    opened(tape, grads=tape.gradients())
    nameless = browser.run(
        "return [...document.querySelectorAll('button, input, [tabindex]')].filter(e =>"
        "!(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length))"
        ".map(e => e.outerHTML)"
    )
    assert nameless == []
    names = browser.run(
        "return [...document.querySelectorAll('#picture [aria-label]')].map(e => e.ariaLabel)"
    )
    assert not [name for name in names if re.search(r"(t=\d+), \1|Layer layer", name)]


@pytest.mark.slow
def test_hostile_labels_do_nothing(opened, browser):
    tape = hostile_tape()
    data = opened(tape, grads=tape.gradients(), title=HOSTILE[1], caption=HOSTILE[0])
    assert browser.text("h1") == HOSTILE[1]
    assert browser.run("return document.title") == HOSTILE[1]
    for scene in data["scenes"]:
        browser.run("document.querySelector(arguments[0]).click()", f"[data-scene={scene}]")
        browser.press("0")
        for target in browser.run(
            "return [...document.querySelectorAll('[data-node]')].map(e => e.dataset.node)"
        )[:12]:
            browser.hover(f'[data-node="{target}"]')
    browser.run("document.getElementById('last').click()")
    for _ in range(5):
        browser.run("document.getElementById('back').click()")
    assert browser.run("return window.hacked ?? null") is None
    assert browser.count("script") == 3
    assert browser.count("img, b, iframe") == 0
    browser.run("document.querySelector('[data-scene=op]').click()")
    assert HOSTILE[0][:20] in browser.text("#picture")


@pytest.mark.slow
def test_it_works_again_when_loaded_again(opened, browser):
    opened(lstm_tape(3))
    for _ in range(2):
        browser.run("document.getElementById('next').click()")
        assert browser.text("#now h2") == "Forward: record 1"
        browser.call("POST", "/refresh", {})
        browser.wait()
        assert browser.text("#now h2") == "Before the first record"


@pytest.mark.slow
def test_networks_of_every_kind_open(opened, browser):
    xs = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    both = Bidirectional(LSTM(2, 3, rng=0), LSTM(2, 3, rng=1))
    for what in (
        unroll(both, xs)[0],
        FeedForward([2, 4, 2], rng=0)(Tensor(xs, name="x")),
        Elman(2, 3),
    ):
        data = opened(what)
        for scene in data["scenes"]:
            browser.run("document.querySelector(arguments[0]).click()", f"[data-scene={scene}]")
            assert browser.count(".node") > 0
            handles = browser.count(".handle[data-box]")
            for _ in range(handles):  # all boxes, one after another
                if browser.count(".handle[data-box]"):
                    browser.run(
                        "document.querySelector('.handle[data-box]').dispatchEvent("
                        "new MouseEvent('click'))"
                    )
            assert browser.count(".handle[data-box]") == 0


@pytest.mark.slow
def test_a_tape_without_gradients_goes_forward_only(opened, browser):
    tape = lstm_tape(2)
    opened(tape)
    assert browser.run("return +document.getElementById('walk').max") == len(tape)
    assert browser.run("return document.getElementById('backward').hidden")


@pytest.mark.slow
def test_dark_and_light_are_the_readers(browser, tmp_path, opened):
    opened(lstm_tape(2))
    colour = "return getComputedStyle(document.body).backgroundColor"
    assert browser.run(colour) == "rgb(255, 255, 255)"
    browser.call(
        "POST",
        "/goog/cdp/execute",
        {
            "cmd": "Emulation.setEmulatedMedia",
            "params": {"features": [{"name": "prefers-color-scheme", "value": "dark"}]},
        },
    )
    try:
        assert browser.run(colour) == "rgb(18, 23, 28)"
    finally:
        browser.call(
            "POST",
            "/goog/cdp/execute",
            {"cmd": "Emulation.setEmulatedMedia", "params": {"features": []}},
        )


# Backpropagation through time, shown and changed --------------------------------------------------


class OwnCell(Cell):
    """A cell of a student's own: a leaky unit, without a scope."""

    def __init__(self, d_in, d_h, rng):
        self.d_in, self.d_h = d_in, d_h
        self.W = Parameter(rng.normal(size=(d_in, d_h)))
        self.U = Parameter(rng.normal(size=(d_h, d_h)))
        self.a = Parameter(rng.normal(size=d_h))

    def forward(self, x, state):
        (h,) = state
        keep = sigmoid(self.a)
        return (keep * h + (1 - keep) * np.tanh(x @ self.W + h @ self.U),)


def four_steps(name):
    """A loss over four steps in float64: an Elman network, an LSTM, a GRU, a cell of one's own."""
    rng = np.random.default_rng(7)
    cells = {"Elman": Elman, "LSTM": LSTM, "GRU": GRU}
    cell = OwnCell(2, 3, rng) if name == "own" else cells[name](2, 3, rng=rng, dtype=float)
    V = Parameter(rng.normal(size=(3, 3)), name="V")
    ids = Tensor(rng.normal(size=(4, 2)), name="xs")
    ys, _ = unroll(cell, ids)
    targets = np.array([0, 2, 1, 1])
    return cell, V, ids, targets, Tape(cross_entropy(ys @ V, targets))


NETWORKS = ("Elman", "LSTM", "GRU", "own")


def step_by_step(tape):
    """The pass back by Python, record by record: contributions, running sums, final gradients."""
    final = tape.gradients()
    sums = {tape.outputs[0]: np.array(final[tape.outputs[0]])}
    for row in range(len(tape) - 1, -1, -1):
        record = tape[row]
        if record.output not in final:
            continue
        parts = record.operand_gradients(final[record.output])
        for x, part in parts.items():
            sums[x] = sums.get(x, 0) + part
        yield row, parts, dict(sums), final


def close_to_digits(found, wanted):
    """Numbers as they are shown: four digits."""
    np.testing.assert_allclose(found, np.ravel(wanted), rtol=6e-4, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_way_back_shows_what_a_pass_step_by_step_computes(opened, browser, name):
    tape = four_steps(name)[-1]
    data = opened(tape, grads=tape.gradients())
    browser.walk_by("record")
    browser.go(len(tape))
    seen = {"parts": 0, "sums": 0, "final": 0}
    for row, parts, sums, final in step_by_step(tape):
        browser.run("document.getElementById('next').click()")
        record, shown_record = tape[row], data["records"][row]
        assert browser.text("#now h2") == f"Backward: record {row + 1}"
        shown = browser.run(
            "return [...document.querySelectorAll('#now .tensor')].map(t => [+t.dataset.tensor,"
            "[...t.querySelectorAll('.numbers')].map(n => [n.previousElementSibling.innerText,"
            "[...n.querySelectorAll('td')].map(c => c.textContent)])])"
        )
        shown = {
            n: {
                text.split("\n")[0]: [float(v.replace("−", "-")) for v in values]
                for text, values in tables
            }
            for n, tables in shown
        }
        arrived_at = shown[shown_record["r"]]
        (arrived,) = (v for text, v in arrived_at.items() if "has arrived" in text)
        close_to_digits(arrived, sums[record.output])
        close_to_digits(arrived, final[record.output])
        for x, part in parts.items():
            number = next(
                n for n, y in zip(shown_record["a"], record.inputs, strict=True) if y is x
            )
            if not np.any(final[record.output]):
                continue
            for text, values in shown[number].items():
                if "goes there" in text:
                    close_to_digits(values, part)
                    seen["parts"] += 1
                elif "so far" in text or "complete" in text:
                    close_to_digits(values, sums[x])
                    left = sum(
                        any(y is x for y in r.inputs) and bool(np.any(final.get(r.output, 0)))
                        for r in tape[:row]
                    )
                    assert ("complete" in text) == (left == 0)
                    assert left == 0 or f"{left} more to come" in text
                    seen["sums"] += 1
                elif "in the end" in text:
                    close_to_digits(values, final[x])
                    seen["final"] += 1
    assert min(seen.values()) > 12, seen


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_after_edits_the_page_computes_what_python_computes(opened, browser, name):
    cell, V, xs, targets, tape = four_steps(name)
    data = opened(tape, grads=tape.gradients())
    rng = np.random.default_rng(11)
    leaves = [x for x in tape.leaves if x.requires_grad or x is xs]
    for k in range(10):
        if k % 5 == 4:
            place, value = int(rng.integers(4)), int(rng.integers(3))
            targets[place] = value
            browser.run("unspool.change('targets', arguments[0], arguments[1])", place, value)
            continue
        leaf = leaves[int(rng.integers(len(leaves)))]
        place, value = int(rng.integers(leaf.size)), float(rng.normal())
        changed = leaf.data.copy()
        changed.flat[place] = value
        leaf.data = changed
        browser.run(
            "unspool.change(arguments[0], arguments[1], arguments[2])", leaf.name, place, value
        )
    again = Tape(cross_entropy(unroll(cell, xs)[0] @ V, targets))
    wanted = again.gradients()
    full = browser.run(
        "const { gradients } = unspool.live.backward();"
        "return { values: unspool.live.arrays.map(x => [...x.d]),"
        "gradients: [...gradients].map(([x, g]) => [x, [...g.d]]) }"
    )
    gradients = dict(full["gradients"])
    loss = data["records"][-1]["r"]
    assert full["values"][loss] == pytest.approx([again.outputs[0].item()], rel=1e-9)
    pairs = [
        (n, x)
        for row, record in zip(data["records"], again, strict=True)
        for n, x in zip((*row["a"], row["r"]), (*record.inputs, record.output), strict=True)
    ]
    compared = 0
    for n, x in pairs:
        np.testing.assert_allclose(full["values"][n], np.ravel(x.data), rtol=1e-9, atol=1e-14)
        if x in wanted:
            np.testing.assert_allclose(gradients[n], np.ravel(wanted[x]), rtol=1e-9, atol=1e-14)
            compared += 1
    assert compared > 50
    shown = browser.text("#loss")
    assert float(shown.split("=")[1]) == pytest.approx(again.outputs[0].item(), rel=1e-3)
    browser.run("document.getElementById('reset').click()")
    assert browser.run("return unspool.tensors[arguments[0]].v[0]", loss) == pytest.approx(
        tape.outputs[0].item(), rel=1e-3
    )


@pytest.mark.slow
def test_a_number_is_changed_by_keys_by_typing_and_by_dragging(opened, browser):
    tape = four_steps("LSTM")[-1]
    opened(tape, grads=tape.gradients())
    before = browser.text("#loss")
    chip = "[...document.querySelectorAll('#chips .chip')].find(c => c.textContent === 'Wf')"
    browser.run(f"{chip}.click()")
    cell = "document.querySelectorAll('#editor .spin')[0]"
    value = float(browser.run(f"return {cell}.getAttribute('aria-valuenow')"))
    browser.run(f"{cell}.focus()")
    browser.press("Up")
    now = float(browser.run(f"return {cell}.getAttribute('aria-valuenow')"))
    assert now == pytest.approx(value + 0.1)
    assert browser.text("#loss") != before
    browser.press("Enter", "1", ".", "2", "5", "Enter")
    assert browser.run(f"return {cell}.textContent") == "1.25"
    assert browser.run("return unspool.tensors.find(x => x.n === 'W_f').v[0]") == 1.25
    place = browser.run(
        f"{cell}.scrollIntoView({{block: 'center'}});"
        f"const b = {cell}.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]"
    )
    drag = [
        {"type": "pointerDown", "button": 0},
        {"type": "pointerMove", "duration": 0, "x": round(place[0]) + 40, "y": round(place[1])},
        {"type": "pointerUp", "button": 0},
    ]
    browser.point(*place, *drag)
    assert float(browser.run(f"return {cell}.getAttribute('aria-valuenow')")) > 1.5
    assert browser.text("#now h2") == "Before the first record"  # the keys did not walk


@pytest.mark.slow
def test_a_word_is_picked_and_both_passes_follow(opened, browser):
    model = LanguageModel(6, 3, cell=GRU, rng=0, dtype=float)
    ids = np.array([1, 4, 2, 5])
    tape = Tape(model.loss(ids))
    words, targets = ["the", "cat", "sat"], ["cat", "sat", "down"]
    opened(tape, grads=tape.gradients(), words=words, targets=targets)
    assert {"the", "cat", "sat"} <= set(browser.text("#picture").split() + words)
    chip = "[...document.querySelectorAll('#chips .chip')].find(c => /^word/.test(c.textContent))"
    browser.run(f"{chip}.click()")
    assert browser.run(
        "return [...document.querySelectorAll('#editor select')].map(s => "
        "s.selectedOptions[0].textContent)"
    ) == ["1 the", "4 cat", "2 sat"]
    browser.run(
        "const s = document.querySelectorAll('#editor select')[1]; s.value = 2;"
        "s.dispatchEvent(new Event('change'))"
    )
    loss = Tape(model.loss(np.array([1, 2, 2, 5])))  # as input; the target stays a cat
    scores = next(r for r in loss if r.op == "cross_entropy").inputs[0]
    wanted = cross_entropy(scores.data, np.array([4, 2, 5]))
    found = browser.run("return unspool.live.arrays[unspool.records.at(-1).r].d[0]")
    assert found == pytest.approx(wanted, rel=1e-9)


@pytest.mark.slow
def test_an_op_that_the_page_does_not_know_is_named_and_the_page_is_a_walk(opened, browser):
    cube = Op("cube", lambda x: x**3, (lambda g, y, x: 3 * g * x * x,))
    x = Parameter([0.5, -1.0], name="x")
    tape = Tape(apply(cube, (np.tanh(x),)).sum())
    data = opened(tape, grads=tape.gradients())
    assert not data["live"]
    assert "Numbers cannot be changed here: cube is not among" in browser.text("#now")
    assert browser.count("#editor .spin") == 0
    browser.run("document.getElementById('last').click()")
    assert browser.text("#now h2") == "Backward: record 1"
    n = data["records"][0]["a"][0]
    shown = numbers_shown(browser, "#now")[n]
    np.testing.assert_allclose(shown[-1], tape.gradients()[x], rtol=1e-3)


@pytest.mark.slow
def test_it_walks_by_gates_and_steps_and_tells_sums_over_time(opened, browser):
    tape = four_steps("LSTM")[-1]
    grads = tape.gradients()
    opened(tape, grads=grads, level="cell")
    browser.run("document.getElementById('next').click()")
    assert browser.text("#now h2") == "Forward: t=1"
    browser.walk_by("gate")
    browser.run("document.getElementById('next').click()")
    heads = set()
    for _ in range(6):
        browser.run("document.getElementById('next').click()")
        heads.add(browser.text("#now h2"))
    assert any("t=2, input" in head for head in heads)
    browser.walk_by("step")
    while not browser.text("#now h2").startswith("Backward: t=3"):
        browser.run("document.getElementById('next').click()")
    U = next(x for x in tape.leaves if x.name == "U_f")
    uses = [r for r in tape if any(x is U for x in r.inputs)]
    parts = {r.step: r.operand_gradients(grads[r.output])[U] for r in uses}
    number = browser.run("return unspool.tensors.findIndex(x => x.n === 'U_f')")
    row = browser.run(
        "return [...document.querySelectorAll('#now tr[data-tensor]')].filter(r =>"
        "+r.dataset.tensor === arguments[0]).map(r => [...r.querySelectorAll('td')].slice(1)"
        ".map(c => c.textContent))[0]",
        number,
    )
    found = [float(v.replace("−", "-")) for v in row]
    norms = [np.linalg.norm(x) for x in (parts[3], parts[4] + parts[3], grads[U])]
    np.testing.assert_allclose(found, norms, rtol=6e-4)


@pytest.mark.slow
def test_rules_with_numbers_are_right(opened, browser):
    """Each line reads as arithmetic: what it says equals its left side."""
    a, b = (Parameter(np.array(values), name=n) for n, values in (("a", [0.4]), ("b", [-1.5])))
    y = np.exp(a) * np.sqrt(a) - np.square(b) / a + np.abs(b) * np.tanh(b) + sigmoid(a) ** 3.0
    tape = Tape((np.log(a) * relu(a) - b + y).sum())
    opened(tape, grads=tape.gradients(), level="op")
    browser.walk_by("record")
    browser.run("document.getElementById('last').click()")
    lines = []
    for _ in range(len(tape)):
        lines += browser.run(
            "return [...document.querySelectorAll('#now .with-numbers')].map(p => p.textContent)"
        )
        browser.run("document.getElementById('back').click()")
    functions = {"log": np.log, "sign": np.sign}
    read = dict.fromkeys(("exp", "sqrt", "square", "tanh", "abs", "sigmoid", "relu", "sum"))
    signs = {"−": "-", "·": "*", "²": "**2", "^": "**", "[": "(", "]": ")"}
    checked = 0
    for line in lines:
        left, right = line.replace(" for the first number", "").split(" = ", 1)
        text = right
        for sign, python in signs.items():
            text, left = text.replace(sign, python), left.replace(sign, python)
        text = re.sub(r"\b(log|sign) (\S+)", r"\1(\2)", text)
        if any(re.search(rf"\b{name}\(", text) for name in read):
            continue
        assert eval(text, functions) == pytest.approx(float(left), rel=2e-3, abs=1e-9), line
        checked += 1
    assert checked >= 12


@pytest.mark.slow
def test_the_chart_shows_the_gradient_of_each_state(opened, browser):
    tape = four_steps("Elman")[-1]
    grads = tape.gradients()
    opened(tape, grads=grads)
    by_name = {r.output.name: r.output for r in tape if r.output.name}
    label = browser.run("return document.querySelector('#chart svg').getAttribute('aria-label')")
    found = dict(re.findall(r"t=(\d): ([\d.e−+-]+)", label))
    for t in range(1, 5):
        norm = np.linalg.norm(grads[by_name[f"h_{t}"]])
        assert float(found[str(t)].replace("−", "-")) == pytest.approx(norm, rel=6e-4)


@pytest.mark.slow
def test_the_tour_has_five_captions(opened, browser):
    tape = four_steps("LSTM")[-1]
    opened(tape, grads=tape.gradients())
    browser.run("document.getElementById('guide').click()")
    heads = []
    for k in range(5):
        assert browser.text("#tour-nth") == f"{k + 1} of 5"
        heads.append(browser.text("#now h2"))
        browser.run("document.getElementById('tour-next').click()")
    assert heads[0] == "Before the first record"
    assert heads[2].startswith("Forward")
    assert heads[3].startswith("Backward: t=4")
    assert browser.run("return document.getElementById('tour').hidden")


@pytest.mark.slow
def test_the_tape_is_searched(opened, browser):
    tape = four_steps("LSTM")[-1]
    opened(tape, grads=tape.gradients())
    browser.run(
        "const s = document.getElementById('search'); s.value = 'forget t=2 sigmoid';"
        "s.dispatchEvent(new Event('input'))"
    )
    assert browser.text("#found") == f"1 of {len(tape)}"
    browser.run("document.querySelector('#tape ol button').click()")
    (row,) = [k for k, r in enumerate(tape) if r.op == "sigmoid" and r.scope[-1] == "forget"
              and r.step == 2]  # fmt: skip
    assert browser.text("#now h2") == f"Forward: record {row + 1}"


@pytest.mark.slow
def test_equations_are_mathml(opened, browser):
    tape = four_steps("LSTM")[-1]
    opened(tape, grads=tape.gradients())
    row = next(k for k, r in enumerate(tape) if r.op == "sigmoid" and r.step == 2)
    browser.go(row + 1)
    found = browser.run(
        "const m = document.querySelector('#now .equation math');"
        "return [m.namespaceURI, m.getAttribute('alttext'),"
        "[...m.querySelectorAll('msub')].map(s => s.textContent)]"
    )
    assert found[0] == "http://www.w3.org/1998/Math/MathML"
    assert found[1] == "f_2 = σ(x_2 W_f + h_1 U_f + b_f)"
    assert found[2] == ["f2", "x2", "Wf", "h1", "Uf", "bf"]


@pytest.mark.slow
def test_names_of_two_directions_have_arrows_and_subscripts(opened, browser):
    xs = np.ones((2, 3), np.float32)
    ys, _ = unroll(Bidirectional(GRU(3, 2, rng=0), GRU(3, 2, rng=1)), xs)
    tape = Tape((ys * ys).sum())
    opened(tape, grads=tape.gradients(), level="gate")
    browser.walk_by("gate")
    browser.run("document.getElementById('last').click()")
    found = ""
    for _ in range(12):
        html_ = browser.run("return document.getElementById('now').innerHTML")
        found += html_
        browser.run("document.getElementById('back').click()")
    heads = re.findall(r"<h2>(.*?)</h2>", found)
    assert "Backward: t=1, candidate, forward · GRU" in heads
    chips = browser.run("return [...document.querySelectorAll('.chip')].map(c => c.textContent)")
    assert {"h⃗0", "h⃖3", "W⃗z", "W⃖z"} <= set(chips)
    assert len(set(chips)) == len(chips)
    for name in ("∂L/∂r⃗<sub>1</sub>", "∂L/∂h̃⃗<sub>1</sub>", "∂L/∂W⃗<sub>h</sub>"):
        assert name in found, name
    assert "_" not in re.sub(r"<.*?>", "", found.split("<details")[0])


@pytest.mark.slow
def test_labels_say_gate_step_and_layer(opened, browser):
    xs = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    ys, _ = unroll(Stacked([LSTM(2, 3, rng=0), GRU(3, 2, rng=1)]), xs)
    opened(Tape(ys.sum()), steps=3)
    names = browser.run(
        "return [...document.querySelectorAll('#picture [aria-label]')].map(e => e.ariaLabel)"
    )
    assert any(re.fullmatch(r"σ, forget gate, t=2, .*LSTM.*", name) for name in names), names[:40]
    assert any(re.fullmatch(r"tanh, candidate gate, t=3, .*GRU.*", name) for name in names)


@pytest.mark.slow
def test_at_opening_its_words_can_be_read(browser, tmp_path, opened):
    """9 points, which are 12 pixels, at 1280 x 800; and no closed cell is a pillar."""
    metrics = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    command = {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics}
    browser.call("POST", "/goog/cdp/execute", command)
    try:
        for level in ("op", "gate", "cell"):
            opened(lstm_tape(6), level=level)
            smallest = browser.run(
                "const k = unspool.zoom.k;"
                "return k * Math.min(...[...document.querySelectorAll('.node > text')]"
                ".map(t => parseFloat(getComputedStyle(t).fontSize)))"
            )
            assert smallest >= 12 - 1e-9, level
        opened(lstm_tape(4), level="cell", steps=4)
        browser.run(
            "document.querySelectorAll('.node.cell')[1].dispatchEvent(new MouseEvent('click'))"
        )
        for x1, y1, x2, y2 in frames(browser, ".cover.of-cell"):
            assert x2 - x1 > 0.38 * (y2 - y1)
    finally:
        clear = {"cmd": "Emulation.clearDeviceMetricsOverride", "params": {}}
        browser.call("POST", "/goog/cdp/execute", clear)


@pytest.mark.slow
def test_the_last_steps_are_kept_where_a_loss_is_at_the_end(opened, browser):
    data = opened(lstm_tape(9))
    assert data["keep"] == "last"
    columns = {b: data["scenes"]["op"]["boxes"][b]["t"] for b in boxes_of(data, "column")}
    found = browser.run(
        "return [...document.querySelectorAll('.box.column')].map(e => +e.dataset.box)"
    )
    assert sorted(columns[b] for b in found) == [1, 8, 9]
    ys, _ = unroll(LSTM(2, 3, rng=0), np.ones((9, 2), np.float32))
    assert data_of(page_of(ys))["keep"] == "first"


@pytest.mark.slow
def test_a_step_of_the_walk_is_quick(opened, browser):
    """Counted in changes of the picture, which no machine's load alters."""
    opened(lstm_tape(60), steps=60)
    browser.walk_by("record")
    browser.go(700)
    changed = browser.run(
        "const seen = []; const watch = new MutationObserver(l => seen.push(...l));"
        "watch.observe(document.getElementById('world'),"
        "{ subtree: true, attributes: true, attributeFilter: ['class'] });"
        "document.getElementById('next').click();"
        "seen.push(...watch.takeRecords()); watch.disconnect();"
        "return new Set(seen.map(m => m.target)).size"
    )
    assert 0 < changed < 40


@pytest.mark.slow
def test_a_notebook_shows_the_walk_in_a_frame(browser, tmp_path):
    tape = lstm_tape(3)
    walk = draw(tape.outputs[0]).walk(height=500)
    shown = walk._repr_html_()
    assert shown.count("<") == 2  # the frame alone: the page is in its attribute
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><body>{shown}</body>", "utf-8")
    browser.open(path)
    frame = browser.call("POST", "/element", {"using": "css selector", "value": "iframe"})
    browser.call("POST", "/frame", {"id": frame})
    try:
        browser.wait()
        assert browser.text("h1") == "LSTM: 3 steps"
        browser.run("document.getElementById('last').click()")
        assert browser.text("#now h2") == "Backward: record 1"  # with its pass back
    finally:
        browser.call("POST", "/frame", {"id": None})
    assert [entry["message"] for entry in browser.log("browser")] == []
    assert all(url.startswith(("file:", "about:")) for url in browser.requests())


@pytest.mark.slow
def test_the_way_back_has_the_names_and_equations_of_the_lectures(opened, browser):
    tape = four_steps("LSTM")[-1]
    data = opened(tape, grads=tape.gradients())
    assert data["bptt"] == equations(tape, backward=True)
    row = next(k for k, r in enumerate(tape) if r.op == "sigmoid" and r.step == 3)
    browser.walk_by("record")
    browser.go(2 * len(tape) - row)
    lines = browser.run(
        "return [...document.querySelectorAll('#now .equation')].map(e => e.dataset.text)"
    )
    assert "δ_{f,3} = ∂L/∂f_3 ⊙ f_3 ⊙ (1 - f_3)" in lines
    assert set(data["bptt"]) <= set(lines)
    transposed = browser.run(
        "const lines = [...document.querySelectorAll('#now details .equation')];"
        "const line = lines.find(e => e.dataset.text.startsWith('∂L/∂x_t'));"
        "return [...line.querySelectorAll('msup')].map(e => e.textContent)"
    )
    assert transposed == ["Wf⊤", "Wi⊤", "Wo⊤", "Wg⊤"]


@pytest.mark.slow
def test_a_gradient_says_where_it_comes_from(opened, browser):
    tape = four_steps("LSTM")[-1]
    grads = tape.gradients()
    data = opened(tape, grads=grads)
    row = row_named(data, "c_2")
    browser.hover(f'[data-node="{node_of(data, row)}"]')
    found = browser.run(
        "return [...document.querySelectorAll('#card .sources tr')].map(r => r.innerText)"
    )
    c = tape[row].output
    wanted = [
        (k, np.linalg.norm(r.operand_gradients(grads[r.output])[c]))
        for k, r in reversed(list(enumerate(tape)))
        if any(x is c for x in r.inputs)
    ]
    assert len(wanted) == 2
    for text, (k, norm) in zip(found, wanted, strict=True):
        assert text.startswith(f"{k + 1} ")
        assert float(text.split()[-1]) == pytest.approx(norm, rel=6e-4)
    browser.run("document.querySelector('#card .sources button').click()")
    assert browser.text("#now h2") == f"Backward: record {wanted[0][0] + 1}"
