"""What the site adds to Sphinx: MathML, words for pictures, plainer signatures and fields."""

from __future__ import annotations

import functools
import html
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.util import logging

import reference

logger = logging.getLogger(__name__)

# Mathematics: every browser reads MathML, so that the pages work offline.
PLAINER = (  # what docutils does not read, by what it does; delimiters grow by themselves
    (r"\\dots(?![a-zA-Z])", r"\\ldots"),
    (r"\\[Bb]igg?[lr]?(?![a-zA-Z])", ""),
    (r"\\math(?:rel|bin)\{(.)\}", r"\1"),
)


def mathml(node: nodes.Element, block: bool) -> str:
    """A formula as MathML; a warning, and its TeX as it stands, where that cannot be."""
    tex = node.astext()
    for pattern, plain in PLAINER:
        tex = re.sub(pattern, plain, tex)
    try:
        return tex2mathml(tex, as_block=block)
    except MathError as error:
        logger.warning("%s in %s", error, node.astext(), location=node)
        return f"<code>{html.escape(node.astext())}</code>"


def inline_math(self: Any, node: nodes.math) -> None:
    """Write ``$...$`` as MathML."""
    self.body.append(mathml(node, block=False))
    raise nodes.SkipNode


def block_math(self: Any, node: nodes.math_block) -> None:
    """Write ``$$...$$`` as MathML, in a box that scrolls by itself."""
    self.body.append(f'<div class="math">{mathml(node, block=True)}</div>\n')
    raise nodes.SkipNode


# Pictures: their own words for whoever does not see them, and a box that scrolls on a phone.
def describe_pictures(app: Sphinx, doctree: nodes.document) -> None:
    """Give a picture without alt text its title, and one outside a paragraph a box."""
    for image in doctree.findall(nodes.image):
        path = Path(app.srcdir, image["uri"])
        if not image.get("alt") and path.suffix == ".svg" and path.exists():
            words = re.findall(r"<(?:title|desc)[^>]*>([^<]*)<", path.read_text(encoding="utf-8"))
            image["alt"] = html.unescape(". ".join(words[:2]))
        image["loading"] = "lazy"
        parent = image.parent
        if isinstance(parent, nodes.section):
            parent.replace(image, nodes.container("", image, classes=["picture"]))


# Names in docstrings and on pages: ``LSTM`` and ``cells.LSTM`` lead to their description.
def link_names(app: Sphinx, doctree: nodes.document) -> None:
    """Turn a literal that is a class's name, or a name with its folder, into a reference."""
    names = linked_names()
    for literal in list(doctree.findall(nodes.literal)):
        target = names.get(literal.astext().removesuffix("()"))
        inside = literal.parent
        if target is None or isinstance(inside, (nodes.reference, addnodes.pending_xref)):
            continue
        reference_to = addnodes.pending_xref(
            "",
            literal.deepcopy(),
            refdomain="py",
            reftype="obj",
            reftarget=target,
            refexplicit=True,
        )
        inside.replace(literal, reference_to)


@functools.cache
def linked_names() -> dict[str, str]:
    """What is written in a text, and the full name that it stands for."""
    found: dict[str, str] = {}
    for full in reference.homes().values():
        name = full.rpartition(".")[2]
        if ".keras" not in full:
            found[full.removeprefix("unspool.")] = found[full] = full
            if name[0].isupper():
                found.setdefault(name, full)
    return found


def exists(target: str) -> bool:
    """Whether a dotted name leads to something of the package, public or not."""
    parts = target.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        try:
            for part in parts[cut:]:
                found = getattr(found, part)
        except AttributeError:
            return False
        return True
    return False


def excuse(app: Sphinx, domain: Any, node: nodes.Node) -> bool | None:
    """Let names of other packages and internal types in signatures stand without a link."""
    target = node.get("reftarget", "")
    if domain is None or domain.name != "py":
        return None
    if node.get("refexplicit") or node.get("py:module") is None:  # written by hand on a page
        return None
    return True if not target.startswith("unspool.") or exists(target) else None


def skip_fields(app: Sphinx, what: str, name: str, obj: Any, skip: bool, *_: Any) -> bool | None:
    """Leave out a NamedTuple's fields: the class's docstring has them."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def class_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, args: str, result: str
) -> tuple[str, str] | None:
    """What a class is called with: a base's ``__new__`` takes anything and says nothing."""
    if what != "class":
        return None
    try:
        signature = inspect.signature(obj)
    except (TypeError, ValueError):
        return None
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", str(inspect.Signature(plain))), ""


ANY = ("Any", "typing.Any", "~typing.Any")


def tidy(app: Sphinx, domain: str, what: str, content: nodes.Element) -> None:
    """Leave out what says nothing: a return type Any, an argument of type Any without a text."""
    fields = {field[0].astext(): field for field in content.findall(nodes.field)}
    for name, field in fields.items():
        kind, _, argument = name.partition(" ")
        text = field[1].astext().strip()
        given = fields.get(f"type {argument}")
        any_type = given is None or given[1].astext().strip() in ANY
        if kind == "rtype" and text in ANY:
            field.parent.remove(field)
        elif kind == "param" and not text and any_type:
            field.parent.remove(field)
            if given is not None:
                given.parent.remove(given)


def one_home(app: Sphinx, env: Any) -> None:
    """Let a short name in a signature lead to the module where it is described."""
    objects = env.domains.python_domain.objects
    home = set(reference.homes().values())
    for name, found in objects.items():
        if found.docname == "api/unspool" and name not in home:
            objects[name] = found._replace(aliased=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register all of it."""
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    app.connect("doctree-read", describe_pictures)
    app.connect("doctree-read", link_names)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("autodoc-process-signature", class_signature)
    app.connect("object-description-transform", tidy, priority=900)
    app.connect("env-updated", one_home)
    app.connect("warn-missing-reference", excuse)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
