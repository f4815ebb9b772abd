"""A cell's step as PyTorch code, read off its tape: the text of ``step`` and ``last``.

The tape of one step is a list of ops on x, the state and the parameters. A result that is used once
stands where it is used; one that is used more often, or leaves its scope, has a line and a name.
"""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import Record, Tape, Tensor, recording
from ..cells import Cell
from .networks.layers import evaluating

# Expressions with the strength by which they hold together, weakest first.
SUM, PRODUCT, NEGATION, ATOM = range(4)
Expression = tuple[str, int]

OPERATORS = {
    "add": ("+", SUM),
    "subtract": ("-", SUM),
    "multiply": ("*", PRODUCT),
    "divide": ("/", PRODUCT),
    "matmul": ("@", PRODUCT),
}
# Functions of their operands alone, and those with metadata, whose values stand in braces.
FUNCTIONS = {
    **{name: f"torch.{name}" for name in ("abs", "erf", "exp", "expm1", "log", "log1p", "sqrt")},
    **{name: f"torch.{name}" for name in ("sin", "cos", "square", "sigmoid", "tanh", "relu")},
    "where": "torch.where",
    "silu": "F.silu",
    "softplus": "F.softplus",
    "softsign": "F.softsign",
    "log_sigmoid": "F.logsigmoid",
    "power": "torch.pow",
}
FORMS = {
    "elu": "F.elu({0}, {alpha})",
    "leaky_relu": "F.leaky_relu({0}, {slope})",
    "hardtanh": "F.hardtanh({0}, {low}, {high})",
    "hard_sigmoid": "F.hardsigmoid({0})",
    "softmax": "torch.softmax({0}, {axis})",
    "log_softmax": "torch.log_softmax({0}, {axis})",
    "logsumexp": "torch.logsumexp({0}, {axis}, {keepdims})",
    "sum": "torch.sum({0}, {axis}, {keepdims})",
    "mean": "torch.mean({0}, {axis}, {keepdims})",
    "layer_norm": "F.layer_norm({0}, ({width},), eps={eps})",
    "einsum": "torch.einsum({subscripts!r}, {all})",
    "concatenate": "torch.cat([{all}], {axis})",
    "stack": "torch.stack([{all}], {axis})",
    "clip": "torch.clip({all})",
}

# What an nn.Module and Steps have as attributes already; and names that begin with register_.
TAKEN = [
    "T_destination", "add_module", "apply", "bfloat16", "buffers", "call_super_init", "children",
    "compile", "cpu", "cuda", "double", "dump_patches", "eval", "extra_repr", "float", "forward",
    "get_buffer", "get_extra_state", "get_parameter", "get_submodule", "half", "ipu",
    "load_state_dict", "modules", "mtia", "named_buffers", "named_children", "named_modules",
    "named_parameters", "parameters", "requires_grad_", "set_extra_state", "set_submodule",
    "share_memory", "state_dict", "to", "to_empty", "train", "training", "type", "xpu",
    "zero_grad", "d_h", "last", "states", "step",
]  # fmt: skip


def cell_text(cell: Cell, name: str) -> str:
    """The text of a class with this name, a subclass of ``Steps``, with the cell's equations.

    Raises:
        ValueError: Its steps differ from each other, or it uses an op without a counterpart in the
            tables above.
    """
    who = f"to_torch({type(cell).__name__})"
    first, second = traced(cell, who, 1), traced(cell, who, -1)
    if first != second:
        raise ValueError(
            f"{who}: its steps differ with the numbers that it reads, and a module text has the "
            "ops of one step: write its forward without if, random numbers and masks made of "
            "values, with np.where or np.maximum on Tensors"
        )
    lines = [
        f"class {name}(Steps):",
        f'    """The cell {type(cell).__name__}, its equations read off the tape of a step."""',
        "",
        f"    states = {len(cell.states)}",
        *first,
    ]
    return "\n".join(lines) + "\n"


def traced(cell: Cell, who: str, sign: int) -> list[str]:
    """The lines of the methods, from the tape of one step over random numbers of this sign."""
    rng = np.random.default_rng(0)
    before = cell.initial_state(2)
    dtype = before[0].dtype
    shapes = [(2, cell.d_in), *(s.shape for s in before)]
    given = [(sign * rng.standard_normal(shape)).astype(dtype) for shape in shapes]
    x, *state = (Tensor(array) for array in given)
    names = {x: "x", **dict(zip(state, cell.states))}
    with evaluating(cell), recording():
        after = cell.next_state(x, tuple(state))
        fresh = tuple(Tensor(s.data) for s in after)
        output = cell.output(fresh)
    unpack = f"        {tuple_text(cell.states)} = state"
    writer = Writer(cell, who, names)
    body, texts = writer.lines({s: f"new_{n}" for s, n in zip(after, cell.states)})
    lines = [
        *("", "    def step(self, x, state):", '        """The new state."""', unpack, *body),
        f"        return {tuple_text(texts)}",
    ]
    if output is not fresh[0]:
        writer = Writer(cell, who, dict(zip(fresh, cell.states)))
        body, texts = writer.lines({output: "y"})
        lines += ["", "    def last(self, state):", '        """The output of a state."""', unpack]
        lines += [*body, f"        return {texts[0]}"]
    return lines


class Writer:
    """Writes the records behind some results as assignments and a ``return``.

    Args:
        cell: The cell, for the names of its parameters.
        who: For messages.
        names: Of the Tensors that the code begins with.
    """

    def __init__(self, cell: Cell, who: str, names: Mapping[Tensor, str]) -> None:
        self.who = who
        self.known: dict[Tensor, Expression] = {t: (name, ATOM) for t, name in names.items()}
        for name, parameter in cell.named_parameters():
            self.known[parameter] = (f"self.{entry_name(name)}", ATOM)
        self.taken = set(names.values()) | {"x", "state", "self", *cell.states}

    def lines(self, results: Mapping[Tensor, str]) -> tuple[list[str], list[str]]:
        """The assignments of a method's body, and the texts of its results.

        Args:
            results: The results, each with a name for where it needs one.
        """
        made = [record for record in Tape(*results) if record.output not in self.known]
        uses = Counter(operand for record in made for operand in record.inputs)
        uses.update(results.keys())
        ends = {record.scope: record.output for record in made if record.scope}
        written = []
        for record in made:
            output, (text, strength) = record.output, self.expression(record)
            leaves = ends.get(record.scope) is output
            if uses[output] > 1 or (leaves and output not in results):
                named = results.get(output) or output.name
                name = self.free(named or (record.scope[-1] if leaves else "v1"))
                written.append(f"        {name} = {text}")
                text, strength = name, ATOM
            self.known[output] = text, strength
        return written, [self.operand(result)[0] for result in results]

    def free(self, wanted: str) -> str:
        """A name that is not taken, as near to the wanted one as can be."""
        if not wanted.isidentifier() or keyword.iskeyword(wanted):
            wanted = "v1"
        stem, n = wanted.rstrip("0123456789"), 1
        while wanted in self.taken:
            wanted, n = f"{stem}{n + 1}", n + 1
        self.taken.add(wanted)
        return wanted

    def operand(self, tensor: Tensor) -> Expression:
        """What is known of a Tensor, or a constant of equal numbers."""
        if tensor in self.known:
            return self.known[tensor]
        array = tensor.data
        if array.size and (array == array.flat[0]).all():
            number = array.flat[0].item()
            return repr(number), ATOM if number >= 0 else NEGATION
        raise ValueError(
            f"{self.who}: its step reads a constant array {array.shape}; make it a Parameter, and "
            "freeze it"
        )

    def expression(self, record: Record) -> Expression:
        """A record as an expression of its operands' expressions."""
        op = str(record.op)
        operands = [self.operand(x) for x in record.inputs]
        if op in OPERATORS:
            sign, strength = OPERATORS[op]
            # Parentheses around (r * h) @ U, which needs none, for its readers.
            left, right = (ATOM, ATOM) if op == "matmul" else (strength, strength + 1)
            a, b = within(operands[0], left), within(operands[1], right)
            return f"{a} {sign} {b}", strength
        if op == "transpose" and record.inputs[0].ndim == 2:
            return f"{within(operands[0], ATOM)}.T", ATOM
        if op == "negative":
            return f"-{within(operands[0], NEGATION)}", NEGATION
        texts = [text for text, _ in operands]
        if op == "getitem":
            return f"{within(operands[0], ATOM)}[{index_text(record.params['index'])}]", ATOM
        if op in ("maximum", "minimum"):
            tensors = [as_tensor(text, x) for text, x in zip(texts, record.inputs)]
            return f"torch.{op}({', '.join(tensors)})", ATOM
        if op in FUNCTIONS and not record.params:
            return f"{FUNCTIONS[op]}({', '.join(texts)})", ATOM
        if op in FORMS and (op != "layer_norm" or record.params["axis"] in (-1, (-1,))):
            width = record.output.shape[-1] if record.output.ndim else 1
            params = {"keepdims": False, "width": width, **record.params}
            return FORMS[op].format(*texts, all=", ".join(texts), **params), ATOM
        raise ValueError(
            f"{self.who}: the op {op} of its step has no counterpart in the module text; write the "
            f"step with {', '.join([*OPERATORS, *FUNCTIONS, *FORMS])}, or write the cell in "
            "PyTorch and fill it with the arrays of state_dict()"
        )


def entry_name(name: str) -> str:
    """The name of a Parameter as an attribute of an ``nn.Module``."""
    name = name.replace(".", "_")
    return f"{name}_" if name in TAKEN or name.startswith("register_") else name


def tuple_text(texts: Sequence[str]) -> str:
    """A tuple as it is written."""
    return f"({texts[0]},)" if len(texts) == 1 else ", ".join(texts)


def within(expression: Expression, strength: int) -> str:
    """An expression inside of one that holds together by this strength."""
    text, own = expression
    return text if own >= strength else f"({text})"


def as_tensor(text: str, operand: Tensor) -> str:
    """A constant as the tensor that some of torch's functions want."""
    return text if operand.ndim or text.isidentifier() else f"torch.tensor({text})"


def index_text(index: Any) -> str:
    """An index of slices, integers and an ellipsis as it is written between brackets."""
    parts = index if isinstance(index, tuple) else (index,)
    texts = []
    for part in parts:
        if isinstance(part, slice):
            ends = ["" if end is None else str(end) for end in (part.start, part.stop, part.step)]
            texts.append(":".join(ends[: 2 + bool(ends[2])]))
        elif part is Ellipsis or part is None or isinstance(part, (int, np.integer)):
            texts.append("..." if part is Ellipsis else str(part))
        else:
            raise ValueError("to_torch: a step's index must be of slices and integers")
    return ", ".join(texts)
