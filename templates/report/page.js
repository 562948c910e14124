"use strict";
(() => {
  const root = document.documentElement;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = root.dataset.theme || (dark ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });

  const held = JSON.parse(document.getElementById("samples").textContent);
  if (!held.answers.length) return;
  const [QUESTION, RUN, RESPONSE, OUTCOME, RULE, ANSWER, TEXT] = [0, 1, 2, 3, 4, 5, 6];
  const field = (name) => document.getElementById("by-" + name);
  const list = document.getElementById("list"), count = document.getElementById("count"), view = document.getElementById("view");
  const words = (outcome) => outcome.replace("_", " ");
  const element = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const option = (select, values, names = values) => values.forEach((value, n) => select.append(new Option(names[n], value)));
  const distinct = (place) => [...new Set(held.answers.map((answer) => answer[place]))].sort();

  option(field("task"), [...new Set(held.questions.map((question) => question[0]))]);
  option(field("left"), held.runs.map((_, n) => n), held.runs);
  option(field("right"), held.runs.map((_, n) => n), held.runs);
  option(field("outcome"), distinct(OUTCOME), distinct(OUTCOME).map(words));
  option(field("rule"), distinct(RULE));
  /* The first run stands beside the best one of another arm: what a study is about. */
  const right = held.runs.map(() => 0);
  for (const answer of held.answers) if (answer[OUTCOME] === "correct") right[answer[RUN]] += 1;
  const others = held.runs.map((_, n) => n).filter((n) => held.arms[n] !== held.arms[0]);
  const best = others.sort((one, two) => right[two] - right[one])[0];
  field("right").value = best !== undefined ? String(best) : held.runs.length > 1 ? "1" : "";

  const byQuestion = held.questions.map(() => []);
  for (const answer of held.answers) byQuestion[answer[QUESTION]].push(answer);
  let current = 0;

  const fits = (number) => {
    const [task, text] = held.questions[number];
    const needle = field("words").value.trim().toLowerCase();
    if (field("task").value && field("task").value !== task) return false;
    const left = byQuestion[number].filter((answer) => answer[RUN] === Number(field("left").value));
    if (!left.length) return false;
    if (needle && ![text, ...left.map((answer) => answer[TEXT])].some((part) => part.toLowerCase().includes(needle))) return false;
    if (field("differ").checked) {
      const right = byQuestion[number].filter((answer) => String(answer[RUN]) === field("right").value);
      const said = (answers) => answers.map((answer) => answer[OUTCOME] === "correct").join();
      if (!right.length || said(left) === said(right)) return false;
    }
    return left.some((answer) => (!field("outcome").value || answer[OUTCOME] === field("outcome").value) &&
      (!field("rule").value || answer[RULE] === field("rule").value));
  };

  const chip = (outcome) => element("span", { class: "chip " + outcome.replace(" ", "_") }, words(outcome));

  function card(answer) {
    const header = element("header", {}, element("strong", {}, held.runs[answer[RUN]]), chip(answer[OUTCOME]));
    const read = [answer[ANSWER] && `read: ${answer[ANSWER]}`, answer[RULE] && `by ${answer[RULE]}`].filter(Boolean).join(" · ");
    const text = element("div", { class: "text", tabindex: "0", role: "group", "aria-label": "response of " + held.runs[answer[RUN]] });
    MathText.render(text, answer[TEXT] || "(nothing)");
    return element("article", { class: "answer" }, header, element("p", { class: "read" }, read), text);
  }

  function show(number) {
    current = number;
    view.textContent = "";
    if (number === undefined) { view.append(element("p", { class: "count" }, "No question fits these filters.")); return; }
    const [task, text, gold] = held.questions[number];
    const question = element("div", { class: "text" });
    MathText.render(question, text);
    const answer = element("p", {}, element("strong", {}, "Gold: "));
    const value = element("span");
    MathText.render(value, /\\/.test(gold) && !/\$/.test(gold) ? `$${gold}$` : gold);
    answer.append(value);
    const sides = element("div", { class: "sides" });
    const chosen = [...new Set([field("left").value, field("right").value])].filter((run) => run !== "").map(Number);
    for (const run of chosen) byQuestion[number].filter((one) => one[RUN] === run).forEach((one) => sides.append(card(one)));
    view.append(element("p", { class: "read" }, task), question, answer, sides);
    for (const button of list.querySelectorAll("button")) button.setAttribute("aria-current", String(Number(button.value) === number));
  }

  function refresh() {
    const fitting = held.questions.map((_, number) => number).filter(fits);
    count.textContent = `${fitting.length} of ${held.questions.length} questions on this page (${held.held.toLocaleString("en")} asked)`;
    list.textContent = "";
    for (const number of fitting) {
      const left = byQuestion[number].filter((answer) => answer[RUN] === Number(field("left").value));
      const button = element("button", { type: "button", value: String(number) });
      const plain = held.questions[number][1].replace(/\\[()[\]]|\$/g, "");
      button.append(plain.slice(0, 90) || "(no text)", element("small", {}, left.map((one) => words(one[OUTCOME])).join(", ")));
      button.addEventListener("click", () => show(number));
      list.append(element("li", {}, button));
    }
    show(fitting.includes(current) ? current : fitting[0]);
  }

  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const buttons = [...list.querySelectorAll("button")];
    const next = buttons[buttons.indexOf(document.activeElement) + step];
    if (next) { next.focus(); next.click(); event.preventDefault(); }
  });
  document.getElementById("filters").addEventListener("input", refresh);
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  refresh();
})();
