"use strict";
/* LaTeX in a response becomes MathML, node by node: no text of a model is ever read as HTML. */
const MathText = (() => {
  const NS = "http://www.w3.org/1998/Math/MathML";
  const DEEPEST = 40, LONGEST = 4000;
  const SIGNS = {
    alpha: "α", beta: "β", gamma: "γ", delta: "δ", epsilon: "ϵ", varepsilon: "ε", zeta: "ζ", eta: "η", theta: "θ",
    iota: "ι", kappa: "κ", lambda: "λ", mu: "μ", nu: "ν", xi: "ξ", pi: "π", rho: "ρ", sigma: "σ", tau: "τ", phi: "ϕ",
    varphi: "φ", chi: "χ", psi: "ψ", omega: "ω", Gamma: "Γ", Delta: "Δ", Theta: "Θ", Lambda: "Λ", Pi: "Π", Sigma: "Σ",
    Phi: "Φ", Psi: "Ψ", Omega: "Ω", infty: "∞", partial: "∂", nabla: "∇", ell: "ℓ", emptyset: "∅", varnothing: "∅",
    angle: "∠", triangle: "△", degree: "°", prime: "′", ldots: "…", cdots: "⋯", dots: "…", vdots: "⋮",
  };
  const OPERATORS = {
    times: "×", cdot: "⋅", div: "÷", pm: "±", mp: "∓", le: "≤", leq: "≤", ge: "≥", geq: "≥", ne: "≠", neq: "≠",
    approx: "≈", equiv: "≡", sim: "∼", cong: "≅", propto: "∝", to: "→", rightarrow: "→", leftarrow: "←", implies: "⟹",
    Rightarrow: "⇒", Leftrightarrow: "⇔", iff: "⟺", in: "∈", notin: "∉", subset: "⊂", subseteq: "⊆", cup: "∪", cap: "∩",
    sum: "∑", prod: "∏", int: "∫", lfloor: "⌊", rfloor: "⌋", lceil: "⌈", rceil: "⌉", langle: "⟨", rangle: "⟩",
    mid: "∣", parallel: "∥", perp: "⊥", setminus: "∖", circ: "∘", ast: "∗", star: "⋆", forall: "∀", exists: "∃",
    lt: "<", gt: ">", land: "∧", lor: "∨", neg: "¬", because: "∵", therefore: "∴", quad: " ", qquad: " ",
  };
  const NAMES = new Set("sin cos tan cot sec csc log ln exp lim max min gcd lcm det mod arcsin arccos arctan sinh cosh".split(" "));
  const LARGE = new Set(["sum", "prod", "lim", "max", "min"]);
  const FONTS = new Set(["text", "mathrm", "mathbf", "mathbb", "mathcal", "operatorname", "textbf", "textit", "mbox", "mathit", "textrm"]);
  const SKIPPED = new Set(["left", "right", "big", "Big", "bigg", "Bigg", "displaystyle", "textstyle", "limits", "nolimits"]);
  const DOUBLE = { R: "ℝ", N: "ℕ", Z: "ℤ", Q: "ℚ", C: "ℂ" };

  const make = (name, ...children) => {
    const node = document.createElementNS(NS, name);
    for (const child of children) node.append(child);
    return node;
  };
  const tokens = (text) => text.match(/\\[a-zA-Z]+|\\[^a-zA-Z]|\d+(?:[.,]\d+)*|\s+|[^]/gu) || [];

  class Reader {
    constructor(text) { this.tokens = tokens(text).filter((t) => t.trim()); this.raw = tokens(text); this.place = 0; this.depth = 0; }
    get next() { return this.tokens[this.place]; }
    take() { return this.tokens[this.place++]; }
    row(ends) {
      const row = make("mrow");
      if (++this.depth > DEEPEST) throw new RangeError("nested too deeply");
      while (this.next !== undefined && !ends.includes(this.next)) {
        const node = this.scripted();
        if (node) row.append(node);
      }
      this.depth--;
      return row;
    }
    group() {
      if (this.next === "{") {
        this.take();
        const row = this.row(["}"]);
        this.take();
        return row;
      }
      return this.atom() || make("mrow");
    }
    scripted() {
      const large = this.next && LARGE.has(this.next.slice(1));
      let base = this.atom();
      if (!base) return null;
      let below = null, above = null;
      while (this.next === "^" || this.next === "_" || this.next === "'") {
        const sign = this.take();
        if (sign === "'") above = make("mo", "′");
        else if (sign === "^") above = this.group();
        else below = this.group();
      }
      if (below && above) base = make(large ? "munderover" : "msubsup", base, below, above);
      else if (below) base = make(large ? "munder" : "msub", base, below);
      else if (above) base = make(large ? "mover" : "msup", base, above);
      return base;
    }
    words() { /* an argument whose letters are words, not variables */
      if (this.take() !== "{") return this.tokens[this.place - 1] || "";
      let depth = 1, text = "";
      while (this.next !== undefined) {
        const token = this.take();
        depth += token === "{" ? 1 : token === "}" ? -1 : 0;
        if (!depth) break;
        text += (text && /^\w/.test(token) && /\w$/.test(text) ? "\u00a0" : "") + token.replace(/^\\/, "");
      }
      return text;
    }
    atom() {
      const token = this.take();
      if (token === "{") { this.place--; return this.group(); }
      if (token === "}" || token === "&") return null;
      if (/^\d/.test(token)) return make("mn", token);
      if (/^[a-zA-Z\u0370-\u03ff]$/u.test(token)) return make("mi", token);
      if (!token.startsWith("\\")) return make("mo", token === "-" ? "−" : token === "*" ? "∗" : token);
      return this.command(token.slice(1));
    }
    command(name) {
      if (["frac", "dfrac", "tfrac", "cfrac"].includes(name)) return make("mfrac", this.group(), this.group());
      if (["binom", "dbinom", "tbinom"].includes(name)) {
        const inner = make("mfrac", this.group(), this.group());
        inner.setAttribute("linethickness", "0");
        return make("mrow", make("mo", "("), inner, make("mo", ")"));
      }
      if (name === "sqrt") {
        if (this.next !== "[") return make("msqrt", this.group());
        this.take();
        const degree = this.row(["]"]);
        this.take();
        return make("mroot", this.group(), degree);
      }
      if (name === "boxed" || name === "fbox") {
        const box = make("mrow", this.group());
        box.setAttribute("style", "border:1px solid currentColor;border-radius:3px;padding:.15em .35em");
        return box;
      }
      if (["overline", "bar", "hat", "vec", "tilde", "dot"].includes(name)) {
        const over = { overline: "‾", bar: "‾", hat: "^", vec: "→", tilde: "~", dot: "˙" }[name];
        return make("mover", this.group(), make("mo", over));
      }
      if (name === "begin") return this.environment(this.words());
      if (name === "pmod") return make("mrow", make("mtext", " (mod "), this.group(), make("mtext", ")"));
      if (FONTS.has(name)) {
        const words = this.words();
        return make(words.length > 1 || name !== "mathbb" ? "mtext" : "mi", name === "mathbb" ? DOUBLE[words] || words : words);
      }
      if (SKIPPED.has(name)) { if (this.next === ".") this.take(); return null; }
      if (NAMES.has(name)) return make("mi", name);
      if (name in SIGNS) return make("mi", SIGNS[name]);
      if (name in OPERATORS) return make("mo", OPERATORS[name]);
      if ([",", ";", ":", "!", " "].includes(name)) return null;
      if (["{", "}", "%", "$", "#", "&", "_", "|"].includes(name)) return make("mo", name === "|" ? "‖" : name);
      if (name === "\\") return make("mo", " ");
      return make("mtext", "\\" + name);
    }
    environment(kind) {
      if (kind === "array" && this.next === "{") this.words();
      const table = make("mtable");
      let line = make("mtr"), cell = make("mtd");
      while (this.next !== undefined && this.next !== "\\end") {
        cell.append(this.row(["&", "\\\\", "\\end"]));
        if (this.next === "&") { this.take(); line.append(cell); cell = make("mtd"); }
        else if (this.next === "\\\\") { this.take(); line.append(cell); table.append(line); line = make("mtr"); cell = make("mtd"); }
      }
      line.append(cell); table.append(line);
      if (this.next === "\\end") { this.take(); this.words(); }
      const fences = { pmatrix: "()", bmatrix: "[]", vmatrix: "||", cases: "{" }[kind.replace("*", "")] || "";
      return make("mrow", ...(fences[0] ? [make("mo", fences[0])] : []), table, ...(fences[1] ? [make("mo", fences[1])] : []));
    }
  }

  function formula(text, block) {
    const math = make("math");
    if (block) math.setAttribute("display", "block");
    math.setAttribute("aria-label", text);
    const reader = new Reader(text);
    while (reader.next !== undefined) { math.append(reader.row(["}", "&"])); reader.take(); }
    return math;
  }

  /* The end of a box whose braces nest, or -1. */
  function closing(text, open) {
    for (let place = open, depth = 0; place < text.length && place < open + LONGEST; place++) {
      depth += text[place] === "{" ? 1 : text[place] === "}" ? -1 : 0;
      if (depth === 0) return place;
    }
    return -1;
  }

  function render(target, text) {
    target.textContent = "";
    const start = /\$\$|\\\[|\\\(|\$(?=[^\s$])|\\boxed\s*\{/g;
    const ends = { "$$": "$$", "\\[": "\\]", "\\(": "\\)", "$": "$" };
    let done = 0, found;
    while ((found = start.exec(text))) {
      const boxed = found[0].startsWith("\\boxed");
      const inner = start.lastIndex;
      const end = boxed ? closing(text, inner - 1) : text.indexOf(ends[found[0]], inner);
      if (end < 0 || end - inner > LONGEST) continue;
      const source = boxed ? text.slice(found.index, end + 1) : text.slice(inner, end);
      if (found[0] === "$" && (/\n\n/.test(source) || /\s$/.test(source) || /^\d/.test(text[end + 1] || ""))) continue;
      let node;
      try { node = formula(source, found[0] === "$$" || found[0] === "\\["); } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        continue;
      }
      target.append(text.slice(done, found.index), node);
      done = boxed ? end + 1 : end + ends[found[0]].length;
      start.lastIndex = done;
    }
    target.append(text.slice(done));
  }
  return { render, formula };
})();
