"use strict";
/* A model's text becomes nodes, never HTML: plain text, formulas by Temml, the answer marked. */
const ResponseText = (() => {
  const LONGEST = 4000, DEEPEST = 60;
  const settings = (block) => ({ displayMode: block, throwOnError: true, trust: false, strict: false, maxExpand: 200, maxSize: [20, 100] });

  /* The end of a box whose braces nest, or -1. */
  function closing(text, open) {
    for (let place = open, depth = 0; place < text.length && place < open + LONGEST; place++) {
      depth += text[place] === "{" ? 1 : text[place] === "}" ? -1 : 0;
      if (depth === 0) return place;
    }
    return -1;
  }

  function isDeep(text) {
    let depth = 0;
    for (const sign of text) {
      depth += sign === "{" ? 1 : sign === "}" ? -1 : 0;
      if (depth > DEEPEST) return true;
    }
    return false;
  }

  function formula(source, block) {
    if (isDeep(source)) return null;
    const node = document.createElement("span");
    try { temml.render(source, node, settings(block)); } catch { return null; } // shown as it was written
    node.title = source;
    return node;
  }

  /* Pieces of a text: [from, to, formula node or null]. */
  function pieces(text) {
    const start = /\$\$|\\\[|\\\(|\$(?=[^\s$])|\\boxed\s*\{/g;
    const ends = { "$$": "$$", "\\[": "\\]", "\\(": "\\)", "$": "$" };
    const found = [];
    let done = 0, match;
    while ((match = start.exec(text))) {
      const boxed = match[0].startsWith("\\boxed");
      const inner = start.lastIndex;
      const end = boxed ? closing(text, inner - 1) : text.indexOf(ends[match[0]], inner);
      if (end < 0 || end - inner > LONGEST) continue;
      const source = boxed ? text.slice(match.index, end + 1) : text.slice(inner, end);
      if (match[0] === "$" && (/\n\n/.test(source) || /\s$/.test(source) || /^\d/.test(text[end + 1] || ""))) continue;
      const node = formula(source, match[0] === "$$" || match[0] === "\\[");
      if (!node) continue;
      if (match.index > done) found.push([done, match.index, null]);
      done = boxed ? end + 1 : end + ends[match[0]].length;
      found.push([match.index, done, node]);
      start.lastIndex = done;
    }
    if (done < text.length) found.push([done, text.length, null]);
    return found;
  }

  function marked(node) {
    const mark = document.createElement("mark");
    mark.append(node);
    return mark;
  }

  /* Append a part of a text that begins at `from`; `span` is where the answer stands in the whole. */
  function append(target, text, from, span) {
    for (const [start, end, node] of pieces(text)) {
      const low = Math.max(start, span[0] - from), high = Math.min(end, span[1] - from);
      if (node) target.append(low < high ? marked(node) : node);
      else if (low < high) target.append(text.slice(start, low), marked(text.slice(low, high)), text.slice(high, end));
      else target.append(text.slice(start, end));
    }
  }

  /* Reasoning between think tags: [from, to] of what is inside, or null. */
  function thought(text) {
    const open = text.indexOf("<think>"), close = text.indexOf("</think>");
    if (open < 0 && close < 0) return null;
    const from = open < 0 || (close >= 0 && close < open) ? 0 : open + 7;
    return [from, close < 0 ? text.length : close];
  }

  function render(target, text, span = [-1, -1]) {
    target.textContent = "";
    const inside = thought(text);
    if (!inside) { append(target, text, 0, span); return; }
    const [from, to] = inside;
    append(target, text.slice(0, Math.max(0, from - 7)), 0, span);
    const fold = document.createElement("details"), summary = document.createElement("summary"), body = document.createElement("div");
    fold.className = "think";
    fold.open = span[0] >= from && span[0] < to;
    const open = to === text.length ? ", not closed" : "";
    summary.append(`reasoning, ${(to - from).toLocaleString("en")} characters${open}`);
    append(body, text.slice(from, to), from, span);
    fold.append(summary, body);
    target.append(fold);
    if (to < text.length) append(target, text.slice(to + 8), to + 8, span);
  }
  return { render };
})();

(() => {
  const root = document.documentElement;
  const element = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  document.getElementById("theme").addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = root.dataset.theme || (dark ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });

  /* Downloads are made here, so that they work in a copy of this one file. */
  function save(name, kind, text) {
    const link = element("a", { download: name, href: URL.createObjectURL(new Blob([text], { type: kind })) });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  const button = (label, about, act) => {
    const made = element("button", { type: "button", "aria-label": about }, label);
    made.addEventListener("click", act);
    return made;
  };
  const cell = (text) => {
    const plain = /^\s*[=+@-]/.test(text) && Number.isNaN(Number(text)) ? "'" + text : text;
    return /[",\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  };
  const words = (node) => [...node.childNodes].map((child) => child.textContent.trim()).filter(Boolean).join(" ");
  for (const figure of document.querySelectorAll("figure[data-name]")) {
    const { name, csv } = figure.dataset;
    const drawing = () => save(name + ".svg", "image/svg+xml", new XMLSerializer().serializeToString(figure.querySelector("svg")));
    figure.append(element("div", { class: "save" }, button("SVG", `save ${name} as SVG`, drawing), button("CSV", `save the numbers of ${name} as CSV`, () => save(name + ".csv", "text/csv", csv))));
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    const name = table.dataset.name.replace(/[^A-Za-z0-9]+/g, "-");
    const text = () => [...table.rows].map((row) => [...row.cells].map((one) => cell(words(one))).join(",")).join("\n") + "\n";
    table.parentNode.after(element("div", { class: "save" }, button("CSV", `save the table ${table.dataset.name} as CSV`, () => save(name + ".csv", "text/csv", text()))));
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    const number = (row, place) => Number.parseFloat((row.cells[place]?.textContent ?? "").replaceAll(",", "").replace("<", ""));
    heads.forEach((head, place) => {
      const sorter = element("button", { type: "button", class: "sort" }, ...head.childNodes);
      sorter.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...body.rows];
        const numeric = rows.some((row) => !Number.isNaN(number(row, place)));
        const order = (one, two) => {
          if (!numeric) return one.cells[place].textContent.localeCompare(two.cells[place].textContent, "en");
          const [a, b] = [number(one, place), number(two, place)];
          return Number.isNaN(a) ? 1 : Number.isNaN(b) ? -1 : a - b;
        };
        rows.sort((one, two) => (up ? 1 : -1) * order(one, two));
        body.append(...rows);
      });
      head.append(sorter);
    });
  }
  document.getElementById("copy-methods").addEventListener("click", async () => {
    const text = document.getElementById("methods");
    const said = document.getElementById("copied");
    try { await navigator.clipboard.writeText(text.textContent); said.textContent = "copied"; } catch {
      getSelection().selectAllChildren(text); // no clipboard without a server: selected, for the reader to copy
      said.textContent = "selected: press Ctrl-C";
    }
  });
  const opened = () => document.querySelector(location.hash === "#runs" ? "#runs details" : "#none")?.setAttribute("open", "");
  addEventListener("hashchange", opened);
  opened();

  const samples = JSON.parse(document.getElementById("samples").textContent);
  if (!samples.answers.length) return;
  const [QUESTION, RUN, OUTCOME, RULE, ANSWER, TEXT, START, END, PROMPT] = [0, 1, 3, 4, 5, 6, 7, 8, 9];
  const KEY = 3;
  const field = (name) => document.getElementById("by-" + name);
  const list = document.getElementById("list"), count = document.getElementById("count"), view = document.getElementById("view");
  const spoken = (outcome) => ({ cut_off: "truncated" })[outcome] || outcome.replace("_", " ");
  const option = (select, values, names = values) => values.forEach((value, n) => select.append(new Option(names[n], value)));
  const distinct = (place) => [...new Set(samples.answers.map((answer) => answer[place]))].sort();

  option(field("task"), [...new Set(samples.questions.map((question) => question[0]))]);
  const arms = [...new Set(samples.arms)];
  option(field("student"), [...new Set(samples.students)]);
  option(field("arm"), arms);
  option(field("second"), arms);
  option(field("outcome"), distinct(OUTCOME), distinct(OUTCOME).map(spoken));
  option(field("rule"), distinct(RULE));
  /* The first run is shown next to the best one of another arm: what a study is about. */
  const right = samples.runs.map(() => 0);
  for (const answer of samples.answers) if (answer[OUTCOME] === "correct") right[answer[RUN]] += 1;
  const runsOf = (arm) => samples.runs.map((_, run) => run).filter((run) => samples.arms[run] === arm &&
    (!field("student").value || samples.students[run] === field("student").value));
  /* A new arm keeps the student, recipe and seed that were looked at, where it has them. */
  function fill(select, arm, like) {
    const runs = arm ? runsOf(arm) : [];
    select.textContent = "";
    option(select, runs, runs.map((run) => samples.runs[run]));
    if (runs.length > 1) select.append(new Option("all of this arm", "all"));
    select.disabled = !runs.length;
    if (runs.length) select.value = String(runs.find((run) => samples.settings[run] === samples.settings[like]) ?? runs[0]);
  }
  const side = (name) => {
    const value = field(name).value;
    if (value === "all") return runsOf(field(name === "left" ? "arm" : "second").value);
    return value === "" ? [] : [Number(value)];
  };
  const others = samples.runs.map((_, run) => run).filter((run) => samples.arms[run] !== samples.arms[0]);
  const best = others.sort((one, two) => right[two] - right[one])[0];
  field("arm").value = samples.arms[0];
  fill(field("left"), samples.arms[0], 0);
  field("second").value = best === undefined ? "" : samples.arms[best];
  fill(field("right"), field("second").value, 0);

  const byQuestion = samples.questions.map(() => []);
  for (const answer of samples.answers) byQuestion[answer[QUESTION]].push(answer);
  let current = 0;

  const fits = (number) => {
    const [task, text] = samples.questions[number];
    const needle = field("words").value.trim().toLowerCase();
    if (field("task").value && field("task").value !== task) return false;
    const left = byQuestion[number].filter((answer) => side("left").includes(answer[RUN]));
    if (!left.length) return false;
    if (needle && ![text, ...left.map((answer) => answer[TEXT])].some((part) => part.toLowerCase().includes(needle))) return false;
    if (field("differ").checked) {
      const right = byQuestion[number].filter((answer) => side("right").includes(answer[RUN]));
      const share = (answers) => answers.filter((answer) => answer[OUTCOME] === "correct").length / answers.length;
      if (!right.length || share(left) === share(right)) return false;
    }
    return left.some((answer) => (!field("outcome").value || answer[OUTCOME] === field("outcome").value) &&
      (!field("rule").value || answer[RULE] === field("rule").value));
  };

  const chip = (outcome) => element("span", { class: "chip " + outcome.replace(" ", "_") }, spoken(outcome));
  const folded = (label, ...children) => element("details", { class: "more" }, element("summary", {}, label), ...children);
  const text = (said, span) => {
    const node = element("div", { class: "text" });
    ResponseText.render(node, said, span);
    return node;
  };

  function card(answer) {
    const header = element("header", {}, element("strong", {}, samples.runs[answer[RUN]]), chip(answer[OUTCOME]));
    const read = [answer[ANSWER] && `extracted: ${answer[ANSWER]}`, answer[RULE] && `rule: ${answer[RULE]}`].filter(Boolean).join(" · ");
    const said = text(answer[TEXT] || "(nothing)", [answer[START], answer[END]]);
    for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", "response of " + samples.runs[answer[RUN]]]]) said.setAttribute(name, value);
    const made = element("article", { class: "answer" }, header, element("p", { class: "read" }, read), said);
    const prompt = samples.prompts[answer[PROMPT]];
    if (prompt !== undefined) made.append(folded("the prompt, as the model was shown it", element("div", { class: "text" }, prompt)));
    return made;
  }

  /* What the arm was trained on: rows that ask this question, else what its rows look like. */
  function trained(arm, number) {
    const rows = samples.rows[arm];
    if (!rows) return element("p", { class: "read" }, "Training rows: not in this run folder.");
    const asking = (samples.matches[arm] || {})[number] || [];
    const shown = (asking.length ? asking : rows.map((_, place) => place).slice(0, 3)).slice(0, 5);
    const label = asking.length ? `training rows that ask this question (${asking.length})` : "no training row asks this question; the first rows";
    const parts = shown.map((place) => element("div", { class: "row" }, element("p", { class: "read" }, rows[place][0]), text(rows[place][1])));
    return folded(label, ...parts);
  }

  const place = () => {
    const parts = { task: samples.questions[current][0], question: samples.questions[current][KEY] };
    for (const name of ["left", "right"]) {
      const runs = side(name);
      if (runs.length === 1) parts[name] = samples.runs[runs[0]];
    }
    return "#" + new URLSearchParams(parts);
  };

  function show(number, chosen = true) {
    current = number;
    view.textContent = "";
    if (number === undefined) { view.append(element("p", { class: "count" }, "No question matches these filters.")); return; }
    const [task, asked, gold] = samples.questions[number];
    const answer = element("p", {}, element("strong", {}, "Reference answer: "));
    const value = element("span");
    ResponseText.render(value, /\\/.test(gold) && !/\$/.test(gold) ? `$${gold}$` : gold);
    answer.append(value);
    const sides = element("div", { class: "sides" });
    for (const [arm, run] of [["arm", "left"], ["second", "right"]]) {
      const said = byQuestion[number].filter((one) => side(run).includes(one[RUN]));
      if (!side(run).length || (run === "right" && String(side(run)) === String(side("left")))) continue;
      const name = field(arm).value;
      const none = element("p", { class: "read" }, "This arm was not evaluated on this question.");
      sides.append(element("section", { class: "side", "aria-label": "arm " + name }, element("h3", {}, name), ...(said.length ? said.map(card) : [none]), trained(name, number)));
    }
    const link = element("a", { class: "permalink", href: place() }, "link to this question");
    view.append(element("p", { class: "read" }, task, " · ", link), text(asked), answer, sides);
    for (const one of list.querySelectorAll("button")) one.setAttribute("aria-current", String(Number(one.value) === number));
    if (chosen) try { history.replaceState(null, "", place()); } catch { /* some viewers forbid it; the link is there */ }
  }

  const preview = (said) => {
    const plain = said.replace(/\\[()[\]]|\$/g, "").replace(/\s+/g, " ").trim();
    return plain.length <= 90 ? plain : plain.slice(0, 90).replace(/\s+\S*$/, "") + " …";
  };
  const marks = (number, name) => byQuestion[number].filter((one) => side(name).includes(one[RUN]))
    .map((one) => element("small", { class: one[OUTCOME].replace(" ", "_") }, spoken(one[OUTCOME])));

  function refresh(chosen = false) {
    const fitting = samples.questions.map((_, number) => number).filter(fits);
    count.textContent = `${fitting.length} of ${samples.questions.length} questions on this page (${samples.asked.toLocaleString("en")} asked)`;
    list.textContent = "";
    for (const number of fitting) {
      const one = element("button", { type: "button", value: String(number) }, preview(samples.questions[number][1]) || "(no text)");
      const other = marks(number, "right");
      one.append(element("span", { class: "marks" }, ...marks(number, "left"), ...(other.length ? ["→", ...other] : [])));
      one.addEventListener("click", () => {
        show(number);
        if (matchMedia("(max-width: 60rem)").matches) view.scrollIntoView({ block: "start" });
      });
      list.append(element("li", {}, one));
    }
    show(fitting.includes(current) ? current : fitting[0], chosen);
  }

  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], turn = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const buttons = [...list.querySelectorAll("button")], at = buttons.indexOf(document.activeElement);
    if (step && buttons[at + step]) { buttons[at + step].focus(); show(Number(buttons[at + step].value)); }
    else if (turn && arms.length > 1) {
      const choices = arms.filter((arm) => arm !== field("arm").value);
      const now = choices.indexOf(field("second").value);
      field("second").value = choices[now < 0 ? 0 : (now + turn + choices.length) % choices.length];
      choose("second");
      refresh(true);
      (list.querySelector("[aria-current=true]") || list.querySelector("button") || list).focus();
    } else if (event.key === "Enter" && at >= 0) { show(Number(buttons[at].value)); view.querySelector(".answer .text")?.focus(); }
    else return;
    event.preventDefault();
  });
  view.addEventListener("keydown", (event) => {
    if (event.key === "Escape") list.querySelector("[aria-current=true]")?.focus();
  });
  function choose(name) {
    const like = side("left")[0];
    if (name === "arm" || name === "student") fill(field("left"), field("arm").value, like);
    if (name === "second" || name === "student") fill(field("right"), field("second").value, side("left")[0]);
  }
  document.getElementById("filters").addEventListener("input", (event) => {
    choose(event.target.id.replace("by-", ""));
    refresh(true);
  });
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());

  /* An address that ends in #task=...&question=... opens that question, with the runs it names. */
  function visit() {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (!asked.has("question")) return false;
    const number = samples.questions.findIndex((one) => one[0] === asked.get("task") && one[KEY] === asked.get("question"));
    if (number < 0) { count.textContent = "The question of this address is not on this page."; return false; }
    document.getElementById("filters").reset();
    for (const [arm, run] of [["arm", "left"], ["second", "right"]]) {
      const at = samples.runs.indexOf(asked.get(run));
      if (at < 0) { if (run === "right") { field(arm).value = ""; fill(field(run), "", 0); } continue; }
      field(arm).value = samples.arms[at];
      fill(field(run), samples.arms[at], at);
    }
    current = number;
    refresh();
    document.getElementById("samples-title").scrollIntoView();
    list.querySelector("[aria-current=true]")?.scrollIntoView({ block: "nearest" });
    return true;
  }
  addEventListener("hashchange", visit);
  if (!visit()) refresh();
})();
