"""Whole models to PyTorch and back: the text of a module, and the state to load into it.

``write_torch`` says of each class which module it is in PyTorch: an expression that makes one of
the parts in ``assets/pytorch.py`` or of ``torch.nn``, and which entry of the state dict is which
Parameter. The text holds the parts that the expression needs, and nothing else.
"""

from __future__ import annotations

import ast
import functools
import re
import types
from collections.abc import Iterator
from importlib import resources
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..autograd import Parameter
from ..cells import (
    Bidirectional,
    Cell,
    InputDropout,
    Module,
    Stacked,
    Update,
    Wrapper,
    fill_from_torch,
    torch_entries,
    torch_layer,
)
from ..cells import to_torch as layer_to_torch
from ..checks import import_extra, wrong_type
from .networks.acceptor import Acceptor
from .networks.attention import (
    AdditiveAttention,
    Attention,
    BilinearAttention,
    DotAttention,
    ScaledDotAttention,
)
from .networks.embeddings import CharacterEncoder, FeatureEmbedding
from .networks.encoder_decoder import EncoderDecoder
from .networks.language_model import LanguageModel
from .networks.layers import Dense, Embedding, FeedForward
from .networks.transducer import SplitHead, Transducer
from .torch_cells import cell_text, entry_name

Array = NDArray[Any]
M = TypeVar("M", bound=Module)

WIDTH = 88  # characters of a line of the text, from which on arguments have lines of their own
# Activations of dense layers as modules of torch.nn, by their names here.
ACTIVATIONS = {
    "elu": "nn.ELU()",
    "gelu": "nn.GELU()",
    "hard_sigmoid": "nn.Hardsigmoid()",
    "hardtanh": "nn.Hardtanh()",
    "leaky_relu": "nn.LeakyReLU()",
    "log_sigmoid": "nn.LogSigmoid()",
    "log_softmax": "nn.LogSoftmax(-1)",
    "mish": "nn.Mish()",
    "relu": "nn.ReLU()",
    "selu": "nn.SELU()",
    "sigmoid": "nn.Sigmoid()",
    "silu": "nn.SiLU()",
    "softmax": "nn.Softmax(-1)",
    "softplus": "nn.Softplus()",
    "softsign": "nn.Softsign()",
    "tanh": "nn.Tanh()",
}


class TorchModule(NamedTuple):
    """A model as PyTorch has it.

    Attributes:
        source: The text of a ``.py`` that imports only torch; its ``make()`` returns the module.
        state: The entries of the module's ``state_dict``, as arrays.
    """

    source: str
    state: dict[str, Array]

    def load(self) -> Any:
        """The module itself, with its state, as an ``nn.Module``; needs PyTorch.

        In a program of PyTorch's own, without unspool, it is::

            from film import make     # the text, written to film.py

            module = make()
            module.load_state_dict({k: torch.from_numpy(v) for k, v in np.load("film.npz").items()})
        """
        torch = import_extra("TorchModule.load needs PyTorch", "peers", "torch")
        program = types.ModuleType("unspool_model")
        exec(compile(self.source, "<module text of to_torch>", "exec"), vars(program))
        module = program.make()
        module.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in self.state.items()})
        return module


def to_torch(model: Module) -> TorchModule:
    """A whole model as a PyTorch module: its text, and the state to load into it.

    Elman, LSTM and ResetAfterGRU become ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU``; any other cell,
    also one of your own, becomes its equations, read off its tape. Embeddings are ``nn.Embedding``,
    dense layers ``nn.Linear``. Names in the state are those of the parts here: ``cell`` of a
    LanguageModel, ``network.members.0.ahead`` of a BiLSTM's first layer.

    Args:
        model: A LanguageModel, Acceptor, Transducer or EncoderDecoder. A Transducer with a CRF
            gives what the CRF reads, and carries the CRF's parameters as ``crf``: Viterbi and the
            CRF's loss stay here.

    Returns:
        ``(source, state)``. The module reads ids (batch, time) and ``lengths`` (batch,), both
        tensors; dropout stands where it does here.

    Raises:
        TypeError: It is no such model; for cells there is ``unspool.cells.to_torch``.
        ValueError: A part has no counterpart; the message names a substitute.

    Example:
        >>> from unspool.models import LanguageModel, to_torch
        >>> source, state = to_torch(LanguageModel(10, 8, rng=0))
        >>> sorted(state)
        ['cell.bias_hh_l0', 'cell.bias_ih_l0', 'cell.weight_hh_l0', 'cell.weight_ih_l0', \
'embedding.weight', 'scores.weight']
        >>> print(source[source.index("def make"):])
        def make() -> nn.Module:
            \"\"\"The LanguageModel, before its state is loaded.\"\"\"
            module = LanguageModel(
                embedding=nn.Embedding(10, 8),
                cell=LSTMLayer(8, 8, batch_first=True),
                scores=nn.Linear(8, 10, bias=False),
                dropout=0.0,
            )
            module.scores.weight = module.embedding.weight
            return module
    """
    text = TorchText(f"to_torch({type(model).__name__})")
    made = write_torch(model, text, "")
    kinds = {parameter.dtype for parameter in model.parameters()}
    if len(kinds) > 1:
        raise ValueError(f"{text.who}: its parameters have the dtypes {sorted(map(str, kinds))}")
    return TorchModule(text.source(made, type(model).__name__, kinds), text.state())


def load_torch(model: M, state: Any, *, prefix: str = "") -> M:
    """Fill a model with the state of the module that ``to_torch`` wrote, in place; returns it.

    Args:
        model: The model, or one put together in the same way.
        state: The module, its ``state_dict()``, a dict of arrays, or the path of a
            ``.safetensors`` or ``.npz`` file.
        prefix: Read only the entries whose names begin so: "module." of a DistributedDataParallel.

    Raises:
        ValueError: Entries are missing, unexpected or misshapen; all are named, and nothing is
            changed.
    """
    who = f"load_torch({type(model).__name__})"
    text = TorchText(who)
    write_torch(model, text, "")
    given = torch_entries(state, who, prefix)
    update = Update(who)
    for name, (parameter, across) in text.entries.items():
        shape = parameter.shape[::-1] if across else parameter.shape
        if name not in given:
            update.problems.append(f"missing {name} {shape}")
        elif update.fits(name, array := given.pop(name), shape):
            update.put(name, parameter, array.T if across else array)
    for path, cell in text.layers.items():
        fill_from_torch(cell, given, update, path)
    update.problems += [f"unexpected {name} {array.shape}" for name, array in given.items()]
    if update.problems and not prefix and any(name.startswith("module.") for name in given):
        update.problems.append('for a DistributedDataParallel write prefix="module."')
    update.finish()
    return model


# The text -----------------------------------------------------------------------------------------


class TorchText:
    """A module text in the making.

    Args:
        who: For messages.
    """

    def __init__(self, who: str) -> None:
        self.who = who
        self.entries: dict[str, tuple[Parameter, bool]] = {}  # by name; True: transposed there
        self.layers: dict[str, Cell] = {}  # layers of torch.nn, by the beginning of their names
        self.classes: dict[str, str] = {}  # the texts of cells, by the names of their classes

    def put(self, name: str, parameter: Any, *, across: bool = False) -> None:
        """An entry of the state, with ``across`` transposed."""
        self.entries[name] = parameter, across

    def own(self, path: str, module: Module) -> dict[str, Any]:
        """Entries for all Parameters of a module under their names; their shapes as arguments."""
        own = {entry_name(name): parameter for name, parameter in module.named_parameters()}
        for name, parameter in own.items():
            self.put(f"{path}{name}", parameter)
        return {name: parameter.shape for name, parameter in own.items()}

    def cell_class(self, cell: Cell) -> str:
        """The name of the class for a cell's equations."""
        name, n = type(cell).__name__, 1
        while True:
            text = cell_text(cell, name)
            if name not in parts() and self.classes.setdefault(name, text) == text:
                return name
            name, n = f"{type(cell).__name__}{n + 1}", n + 1

    def state(self) -> dict[str, Array]:
        """The entries as arrays of their own."""
        state = {
            name: np.array(parameter.data.T if across else parameter.data, order="C")
            for name, (parameter, across) in self.entries.items()
        }
        for path, cell in self.layers.items():
            state |= {f"{path}{name}": array for name, array in layer_to_torch(cell).items()}
        return state

    def shared(self) -> Iterator[tuple[str, str]]:
        """The entries that are one Parameter with an earlier one, and that one."""
        first: dict[Any, str] = {}
        for name, (parameter, _) in self.entries.items():
            if first.setdefault(parameter, name) != name:
                yield name, first[parameter]
        for path, cell in self.layers.items():
            if first.setdefault(cell, path) != path:
                for entry in layer_to_torch(cell):
                    yield f"{path}{entry}", f"{first[cell]}{entry}"

    def frozen(self) -> list[str]:
        """The entries that are not trained."""
        names = [name for name, (p, _) in self.entries.items() if not p.requires_grad]
        for path, cell in self.layers.items():
            if not any(p.requires_grad for p in cell.parameters()):
                names += [f"{path}{entry}" for entry in layer_to_torch(cell)]
        return names

    def source(self, made: str, name: str, kinds: set[Any]) -> str:
        """The whole text.

        Args:
            made: The expression that makes the module.
            name: The model's class.
            kinds: The dtype of its parameters.
        """
        (dtype,) = kinds or {np.dtype(np.float32)}
        kind = "" if dtype == np.float32 else f".to(torch.{dtype})"
        after = [
            *(f"    {attribute(a)} = {attribute(b)}" for a, b in self.shared()),
            *(f"    {attribute(name)}.requires_grad_(False)" for name in self.frozen()),
        ]
        lines = [
            "def make() -> nn.Module:",
            f'    """The {name}, before its state is loaded."""',
            f"    {'module =' if after else 'return'} {indented(made)}{kind}",
            *([*after, "    return module"] if after else []),
        ]
        own = "\n\n".join([*self.classes.values(), "\n".join(lines) + "\n"])
        needed = list(reachable(own))
        head = [text for name, text in imports().items() if names_in([*needed, own]) & {name}]
        return "\n".join(
            [
                f'"""{name} of unspool for PyTorch: make() returns the module, and load_state_dict',
                'fills it. Written by unspool.models.to_torch."""',
                "",
                "from __future__ import annotations",
                "",
                "\n".join(dict.fromkeys(["import torch", *head])),
                "\n\n" + "\n\n\n".join(part.strip("\n") for part in [*needed, own]) + "\n",
            ]
        )


@functools.cache
def parsed() -> tuple[str, ast.Module]:
    """The file of the parts, and its syntax tree."""
    file = resources.files(__package__).joinpath("assets", "pytorch.py")
    text = file.read_text(encoding="utf-8")
    return text, ast.parse(text)


@functools.cache
def parts() -> dict[str, str]:
    """The texts of the parts by their names, in their order."""
    text, tree = parsed()
    return {
        node.name: ast.get_source_segment(text, node) or ""
        for node in tree.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    }


@functools.cache
def imports() -> dict[str, str]:
    """The import lines of the parts, by the names that they bring."""
    text, tree = parsed()
    return {
        alias.asname or alias.name: ast.get_source_segment(text, node) or ""
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
        if getattr(node, "module", None) != "__future__"
    }


def names_in(texts: list[str]) -> set[str]:
    """The names that some texts read."""
    return {
        node.id
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Name)
    }


def reachable(text: str) -> Iterator[str]:
    """The parts that a text needs, in their order, and those that these need."""
    found: set[str] = set()
    new = names_in([text])
    while new := (new & set(parts())) - found:
        found |= new
        new = names_in([parts()[name] for name in new])
    return (part for name, part in parts().items() if name in found)


def attribute(name: str) -> str:
    """The entry of a state as an attribute of ``module``: numbers in its path are indices."""
    return "module" + re.sub(r"\.(\d+)(?=\.)", r"[\1]", f".{name}")


def call(name: str, *arguments: str, **named: Any) -> str:
    """A call as text, on several lines where it is long."""
    arguments = (*arguments, *(f"{key}={value}" for key, value in named.items() if value != ""))
    line = f"{name}({', '.join(arguments)})"
    if len(line) <= WIDTH - 20 and "\n" not in line:
        return line
    inside = "".join(f"    {indented(argument)},\n" for argument in arguments)
    return f"{name}(\n{inside})"


def indented(text: str) -> str:
    """A text of several lines, all but the first four columns to the right."""
    return text.replace("\n", "\n    ")


# The parts of a model ---------------------------------------------------------------------------


@functools.singledispatch
def write_torch(module: Any, text: TorchText, path: str) -> str:
    """The expression that makes a module in PyTorch; its entries begin with ``path``."""
    if isinstance(module, (Cell, Bidirectional, Stacked)):
        name = text.who.partition("(")[0]
        cure = f"the weights of a cell or composite: unspool.cells.{name}"
    else:
        cure = "export its cells by unspool.cells.to_torch, and fill the rest from state_dict()"
    expected = f"{text.who}: expected a LanguageModel, Acceptor, Transducer or EncoderDecoder"
    raise wrong_type(expected, module, cure)


@write_torch.register
def write_language_model(model: LanguageModel, text: TorchText, path: str) -> str:
    """A LanguageModel."""
    read = embedding(model.embedding, text, f"{path}embedding.")
    text.put(f"{path}scores.weight", model.V)
    return call(
        "LanguageModel",
        embedding=read,
        cell=layer(model.cell, text, f"{path}cell."),
        scores=f"nn.Linear({model.V.shape[1]}, {model.V.shape[0]}, bias=False)",
        dropout=model.dropout.p,
    )


@write_torch.register
def write_acceptor(model: Acceptor, text: TorchText, path: str) -> str:
    """An Acceptor."""
    return call(
        "Acceptor",
        embedding=embedding(model.embedding, text, f"{path}embedding."),
        network=layer(model.network, text, f"{path}network."),
        head=feed_forward(model.head, text, f"{path}head."),
        pooling=f'"{model.pooling}"',
        dropout=model.dropout.p,
    )


@write_torch.register
def write_transducer(model: Transducer, text: TorchText, path: str) -> str:
    """A Transducer, with the parameters of its CRF."""
    head = model.head
    if isinstance(head, SplitHead):
        text.own(f"{path}head.", head)
        made = f"SplitHead({len(head.V_f)}, {len(head.V_b)}, {head.V_f.shape[1]})"
    else:
        made = "nn.Identity()" if head is None else feed_forward(head, text, f"{path}head.")
    crf = ""
    if model.crf is not None:
        shapes = text.own(f"{path}crf.", model.crf)
        entries = ", ".join(f'"{name}": torch.zeros({shape})' for name, shape in shapes.items())
        crf = f"nn.ParameterDict({{{entries}}})"
    return call(
        "Transducer",
        embedding=embedding(model.embedding, text, f"{path}embedding."),
        network=layer(model.network, text, f"{path}network."),
        head=made,
        crf=crf,
        dropout=model.dropout.p,
    )


@write_torch.register
def write_encoder_decoder(model: EncoderDecoder, text: TorchText, path: str) -> str:
    """An EncoderDecoder."""
    scores = f"nn.Linear({model.V.shape[1]}, {model.V.shape[0]}, bias=False)"
    text.put(f"{path}scores.weight", model.V)
    bridges = [dense(b, text, f"{path}bridges.{i}.")[0] for i, b in enumerate(model.bridges)]
    attention = combine = ""
    if model.attention is not None:
        attention = attention_text(model.attention, text, f"{path}attention.")
        combine = sequential(dense(model.combine, text, f"{path}combine.0."))
    return call(
        "EncoderDecoder",
        source_embedding=embedding(model.source_embedding, text, f"{path}source_embedding."),
        encoder=layer(model.encoder, text, f"{path}encoder."),
        target_embedding=embedding(model.target_embedding, text, f"{path}target_embedding."),
        decoder=layer(model.decoder, text, f"{path}decoder."),
        scores=scores,
        bridges=f"[{', '.join(bridges)}]" if bridges else "",
        attention=attention,
        combine=combine,
        dropout=model.dropout.p,
        start=model.start,
        end=model.end,
    )


def embedding(module: Any, text: TorchText, path: str) -> str:
    """What a model reads: ids, rows of ids, or vectors."""
    if module is None:
        return "nn.Identity()"
    if isinstance(module, Embedding):
        text.put(f"{path}weight", module.E)
        padding = "" if module.padding_idx is None else module.padding_idx
        return call("nn.Embedding", str(module.n), str(module.d), padding_idx=padding)
    if not isinstance(module, FeatureEmbedding):
        raise ValueError(
            f"{text.who}: its embedding must be an Embedding, a FeatureEmbedding or None; make the "
            "model with embedding=None, and feed it vectors"
        )
    columns = [
        embedding(column, text, f"{path}columns.{i}.") for i, column in enumerate(module.columns)
    ]
    letters: Any = ""
    if (encoder := module.letters) is not None:
        letters = character_encoder(encoder, text, f"{path}letters.")
    dropped = module.word_dropout or ""
    return call("FeatureEmbedding", *columns, letters=letters, word_dropout=dropped)


def character_encoder(module: CharacterEncoder, text: TorchText, path: str) -> str:
    """A word's vector from its letters."""
    letters = embedding(module.embedding, text, f"{path}embedding.")
    return call("CharacterEncoder", letters, layer(module.network, text, f"{path}network."))


def layer(module: Any, text: TorchText, path: str) -> str:
    """A cell or a composite over time."""
    if isinstance(module, Stacked):
        members = [layer(m, text, f"{path}members.{i}.") for i, m in enumerate(module.members)]
        residual = module.residual or ""
        return call("Stacked", *members, dropout=module.dropout or "", residual=residual)
    if isinstance(module, Bidirectional):
        ahead = layer(module.forward, text, f"{path}ahead.")
        back = layer(module.backward, text, f"{path}back.")
        merge = "" if module.merge == "concat" else f'"{module.merge}"'
        return call("Bidirectional", ahead, back, merge=merge)
    if isinstance(module, InputDropout):
        return call("InputDropout", layer(module.cell, text, f"{path}cell."), str(module.p))
    if isinstance(module, Wrapper):
        raise ValueError(
            f"{text.who}: {type(module).__name__} has no counterpart in PyTorch, and without it "
            "training would go on differently; make the model with the cell that it wraps, fill it "
            "by load_state_dict, and export that one"
        )
    if type(module).initial_state is not Cell.initial_state:
        raise ValueError(
            f"{text.who}: {type(module).__name__}'s initial state is not 0, and the layers of the "
            "module text begin with zeros; write it in PyTorch, and fill it from state_dict()"
        )
    if (name := torch_layer(module)) is None:
        shapes = text.own(path, module)
        return call(text.cell_class(module), str(module.d_h), **shapes)
    text.layers[path] = module
    activation = getattr(module, "activation", "tanh")
    return call(
        f"{name}Layer",
        str(module.d_in),
        str(module.d_h),
        batch_first=True,
        bias="" if any(n[0] == "b" for n, _ in module.named_parameters()) else False,
        nonlinearity="" if activation == "tanh" else f'"{activation}"',
    )


def feed_forward(module: FeedForward, text: TorchText, path: str) -> str:
    """Dense layers in a row."""
    made: list[str] = []
    for i, each in enumerate(module.layers):
        if i and module.dropout.p:
            made.append(f"nn.Dropout({module.dropout.p})")
        made += dense(each, text, f"{path}{len(made)}.")
    return sequential(made)


def dense(module: Dense, text: TorchText, path: str) -> list[str]:
    """nn.Linear, and the module of its activation."""
    text.put(f"{path}weight", module.W, across=True)
    if hasattr(module, "b"):
        text.put(f"{path}bias", module.b)
    bias = "" if hasattr(module, "b") else False
    made = [call("nn.Linear", str(module.d_in), str(module.d_out), bias=bias)]
    g: Any = module.activation or "identity"
    if g == "identity":
        return made
    if g not in ACTIVATIONS:
        raise ValueError(
            f"{text.who}: Dense's activation must be one of {', '.join(ACTIVATIONS)}, got "
            f"{g if isinstance(g, str) else getattr(g, '__name__', g)!r}"
        )
    return [*made, ACTIVATIONS[g]]


def sequential(modules: list[str]) -> str:
    """Modules in a row."""
    return call("nn.Sequential", *modules)


def attention_text(module: Attention, text: TorchText, path: str) -> str:
    """One of the kinds of attention."""
    scale: Any = None if module.scale == "learned" else module.scale
    shapes = text.own(path, module)
    if type(module) is ScaledDotAttention:
        if scale is None:
            raise ValueError(f"{text.who}: ScaledDotAttention with scale='learned' is DotAttention")
        return call("DotAttention", str(scale * (1 / module.d_key**0.5)))
    if type(module) not in (DotAttention, BilinearAttention, AdditiveAttention):
        raise ValueError(
            f"{text.who}: {type(module).__name__} has no counterpart in the module text; use "
            "DotAttention, ScaledDotAttention, BilinearAttention or AdditiveAttention"
        )
    shapes.pop("g", None)
    return call(type(module).__name__, str(scale), **shapes)
