"""``unspool draw``: a cell, unrolled over time, or a trained model over words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..autograd import Tape
from ..cells import unroll
from ..viz import draw
from .options import CELLS, Count
from .terminal import reconfigure
from .trained import load_trained


def draw_network(
    what: str,
    *,
    words: str | None = None,
    targets: str | None = None,
    generate: Count | None = None,
    steps: Count | None = None,
    level: Literal["cell", "gate", "op"] | None = None,
    fold: bool = False,
    at: Count | None = None,
    backward: bool = False,
    values: bool = False,
    input_size: Count = 3,
    hidden_size: Count = 4,
    width: Count | None = None,
    theme: Literal["light", "dark", "print"] = "light",
    title: str = "",
    caption: str = "",
    out: Path | None = None,
) -> None:
    """Draw a cell, unrolled over time or folded, or a trained model over words.

    Without --out the picture is printed as DOT text.

    Args:
        what: Recurrent cell (elman, gru, lstm, ...), the folder of a training, or a saved model's
            file.
        words: Words that a trained model reads: a sentence (default: none).
        targets: Labels of these words, or of the sentence, separated by spaces: then the loss is
            drawn too (default: none). A language model's targets are the next words.
        generate: Number of words that a language model writes behind these (default: none).
        steps: Number of time steps to unroll a cell, or to show of a model (default: 3, or all).
        level: Level of detail: each cell, each gate, or each op is a node (default: op, of a
            model cell).
        fold: Draw the loop over time as one step, not unrolled.
        at: Number of the time step, from 1, to draw in detail (default: all steps alike).
        backward: Draw the backward pass and its gradients too (cells only).
        values: Show the values of the arrays.
        input_size: Number of features in the input of a cell.
        hidden_size: Number of units in the hidden state of a cell.
        width: Number of pixels that the picture fits, by showing less (default: any).
        theme: Colours of the picture.
        title: Title above the picture (default: none).
        caption: Text below the picture (default: none).
        out: File for the picture: .svg, .png, .pdf, .html or .dot (default: standard output).

    Example:
        unspool draw lstm --steps 3 --level op --out lstm.svg
        unspool draw gru --level gate --fold --out gru.pdf
        unspool draw demo --words "If the value" --generate 4 --out generation.svg
        unspool draw upos --words "They can" --targets "PRON AUX" > tags.dot
    """
    options: dict[str, Any] = {"level": level, "fold": fold, "at": at, "values": values}
    options |= {"width": width, "theme": theme, "steps": steps}
    options |= {"title": title, "caption": caption}
    if what.lower() in CELLS:
        if words is not None or targets is not None or generate is not None:
            raise ValueError(
                "--words, --targets and --generate are for a trained model; give its folder in "
                f"place of {what}"
            )
        net: Any = CELLS[what.lower()](input_size, hidden_size, rng=0)
        if backward:
            ys, _ = unroll(net, np.ones((steps or 3, input_size), np.float32))
            options |= {"backward": True, "grads": Tape(ys).gradients(np.ones(ys.shape))}
            net = ys
    elif not Path(what).exists():
        raise ValueError(
            f"expected one of {', '.join(CELLS)}, or the folder of a training or a saved model's "
            f"file, got {what!r}"
        )
    else:
        net = load_trained(Path(what)).model
        labels = targets.split() if targets is not None else None
        options |= {"words": words, "targets": labels, "generate": generate}
    picture = draw(net, **options)
    if out is None:
        reconfigure(sys.stdout, encoding="utf-8")  # as DOT is
        print(picture.source)
    else:
        picture.save(out)
