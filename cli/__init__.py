"""The commands of ``unspool``: plain functions, whose signatures and docstrings are the options.

``signature`` makes the parser of them. ``options`` has what several commands share; ``train``,
``trained`` (evaluate, predict, generate), ``draw`` and ``demo`` have the commands; ``data``,
``networks``, ``folder`` and ``report`` what these read, train, keep and print.
"""

from .demo import run_demo
from .draw import draw_network
from .signature import Group, Parser, build_parser, call, parse
from .terminal import note, streams
from .train import TRAIN
from .trained import evaluate_model, generate, predict

__all__ = ["COMMANDS", "Parser", "build_parser", "call", "note", "parse", "streams"]

COMMANDS = Group(
    """Recurrent networks written as their equations: trained, and drawn unrolled.

    Example:
        unspool demo
        unspool train lm book.txt --out book --seconds 300
        unspool generate book --prompt "Once upon a" --temperature 0.8
        unspool train tagger train.tsv --out upos
        unspool predict upos words.txt
        unspool draw lstm --steps 3 --level op --out lstm.svg
        unspool draw book --words "Once upon a" --generate 4 --out generation.svg
    """,
    "COMMAND",
    {
        "demo": run_demo,
        "train": TRAIN,
        "evaluate": evaluate_model,
        "predict": predict,
        "generate": generate,
        "draw": draw_network,
    },
)
