// The page of a drawing. Its script is one function; this part takes the data and sets text. All text
// is set as text, never as markup.

const { page: data, scenes: painted } = globalThis.unspool;
const { tensors, records, scenes } = data;
const $ = (id) => document.getElementById(id);
const picture = $("picture");
const world = $("world");

// Elements of a language: maker(...)(kind, attributes, ...children).
const maker = (language) => (kind, attributes = {}, ...children) => {
  const out = document.createElementNS(language, kind);
  for (const [name, value] of Object.entries(attributes)) out.setAttribute(name, value);
  out.append(...children);
  return out;
};

const element = maker("http://www.w3.org/1999/xhtml");
const svg = maker("http://www.w3.org/2000/svg");
const mathml = maker("http://www.w3.org/1998/Math/MathML");
const note = (...parts) => element("p", { class: "note" }, ...parts);

const NAME = /([\p{L}\p{N}\p{M}]+)_(\{[^{}]*\}|[\p{L}\p{N}−]{1,5})(?![\p{L}\p{N}_])/gu;

// A text in parts: plain ones, and names with their subscripts.
function* parts(text) {
  let end = 0;
  for (const found of text.matchAll(NAME)) {
    if (found.index > end) yield [text.slice(end, found.index), ""];
    yield [data.greek[found[1]] ?? found[1], found[2].replace(/^\{|\}$/g, "")];
    end = found.index + found[0].length;
  }
  if (end < text.length) yield [text.slice(end), ""];
}

// A name in a line of words.
function mathematics(text) {
  const out = document.createDocumentFragment();
  for (const [base, low] of parts(text)) {
    // What follows ^ in parentheses says where a value of this name is from.
    base.split(/\^\(([^()]*)\)/).forEach((piece, k) => out.append(k % 2 ? element("sup", {}, `(${piece})`) : piece));
    if (low) out.append(element("sub", {}, low));
  }
  return out;
}

// Equations as MathML, which screen readers read and browsers set -------------------------------------

const math = (kind, ...children) => mathml(kind, {}, ...children);

const PIECE = new RegExp(
  [
    "(∂L)/(∂)(?=\\p{L})", // a derivative, whose name follows
    "(?<name>[\\p{L}\\p{N}]*\\p{L}[\\p{L}\\p{N}\\p{M}]*)(?:_(?<low>\\{[^{}]*\\}|[\\p{L}\\p{N}−]{1,5}(?![\\p{L}\\p{N}_])))?",
    "(?<number>\\d[\\d.,]*(?:e[−+-]?\\d+)?)",
    "\\^\\((?<high>[^()]*)\\)",
    "\\^(?<power>\\w+)",
    "(?<space>\\s+)",
    "(?<sign>.)",
  ].join("|"),
  "gu",
);

// An equation as MathML; a long one in parts, between which a line may break.
function equationOf(text, words = "") {
  const line = element("p", { class: "equation", "data-text": text + words });
  for (const part of text.length > 36 ? summands(text) : [text]) line.append(partOf(part), " ");
  if (words) line.append(element("span", { class: "shape" }, words));
  return line;
}

// A text, cut before each + and − outside of brackets.
function summands(text) {
  const out = [""];
  let depth = 0;
  for (const [k, letter] of [...text].entries()) {
    if ("([{".includes(letter)) depth += 1;
    if (")]}".includes(letter)) depth -= 1;
    if (depth === 0 && "+-−".includes(letter) && k > 0 && text[k - 1] === " ") out.push("");
    out[out.length - 1] += letter;
  }
  return out.map((part) => part.trim());
}

// A text as MathML: names with subscripts, what stands high, numbers and signs.
function partOf(text) {
  const out = math("mrow");
  let derivative = false;
  const put = (node) => {
    if (derivative) {
      derivative = false;
      node = math("mfrac", math("mrow", math("mo", "∂"), math("mi", "L")), math("mrow", math("mo", "∂"), node));
    }
    out.append(node);
  };
  const raise = (node) => { const base = out.lastChild; if (base) out.append(math("msup", base, node)); else put(node); };
  for (const found of text.replaceAll("ᵀ", "⊤").matchAll(PIECE)) { // ᵀ would count as a letter
    const { name, low, number: digits, high, power, space, sign } = found.groups;
    if (space !== undefined) continue;
    if (found[1]) derivative = true;
    else if (name !== undefined) {
      const word = name.replace(/\p{M}/gu, "").length > 1;
      const letters = mathml("mi", word ? { mathvariant: "normal" } : {}, data.greek[name] ?? name);
      put(low === undefined ? letters : math("msub", letters, math("mtext", low.replace(/^\{|\}$/g, ""))));
    } else if (digits !== undefined) put(math("mn", digits));
    else if (high !== undefined) raise(math("mtext", `(${high})`));
    else if (power !== undefined) raise(math("mn", power));
    else if (sign === "⊤") raise(math("mo", sign));
    else if (sign === "²") raise(math("mn", "2"));
    else put(math("mo", sign));
  }
  return mathml("math", { displaystyle: "true", alttext: text }, out);
}

// Numbers --------------------------------------------------------------------------------------------

function number(value) {
  const small = typeof value === "number" && value !== 0 && Math.abs(value) < 1e-3;
  return (small ? value.toExponential() : String(value)).replaceAll("-", "−");
}

const DIGITS = 4;

function rounded(v) {
  if (Number.isFinite(v)) return Number(v.toPrecision(DIGITS));
  return Number.isNaN(v) ? "NaN" : v > 0 ? "∞" : "−∞";
}

const pen = document.createElement("canvas").getContext("2d");
pen.font = '100px Helvetica, Arial, "DejaVu Sans", sans-serif';
const widths = new Map();

// How wide a text is, in bold rather than not.
function width(text, size) {
  if (!widths.has(text)) widths.set(text, pen.measureText(text).width * 1.08);
  return (widths.get(text) * size) / 100;
}
