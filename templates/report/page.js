"use strict";
(() => {
  const root = document.documentElement;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = root.dataset.theme || (dark ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });

  const samples = JSON.parse(document.getElementById("samples").textContent);
  if (!samples.answers.length) return;
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
  const distinct = (place) => [...new Set(samples.answers.map((answer) => answer[place]))].sort();

  option(field("task"), [...new Set(samples.questions.map((question) => question[0]))]);
  const arms = [...new Set(samples.arms)];
  option(field("arm"), arms);
  option(field("second"), arms);
  option(field("outcome"), distinct(OUTCOME), distinct(OUTCOME).map(words));
  option(field("rule"), distinct(RULE));
  /* The first run is shown next to the best one of another arm: what a study is about. */
  const right = samples.runs.map(() => 0);
  for (const answer of samples.answers) if (answer[OUTCOME] === "correct") right[answer[RUN]] += 1;
  const runsOf = (arm) => samples.runs.map((_, run) => run).filter((run) => samples.arms[run] === arm);
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

  const chip = (outcome) => element("span", { class: "chip " + outcome.replace(" ", "_") }, words(outcome));

  function card(answer) {
    const header = element("header", {}, element("strong", {}, samples.runs[answer[RUN]]), chip(answer[OUTCOME]));
    const read = [answer[ANSWER] && `extracted: ${answer[ANSWER]}`, answer[RULE] && `by ${answer[RULE]}`].filter(Boolean).join(" · ");
    const text = element("div", { class: "text", tabindex: "0", role: "group", "aria-label": "response of " + samples.runs[answer[RUN]] });
    MathText.render(text, answer[TEXT] || "(nothing)");
    return element("article", { class: "answer" }, header, element("p", { class: "read" }, read), text);
  }

  function show(number) {
    current = number;
    view.textContent = "";
    if (number === undefined) { view.append(element("p", { class: "count" }, "No question matches these filters.")); return; }
    const [task, text, gold] = samples.questions[number];
    const question = element("div", { class: "text" });
    MathText.render(question, text);
    const answer = element("p", {}, element("strong", {}, "Reference answer: "));
    const value = element("span");
    MathText.render(value, /\\/.test(gold) && !/\$/.test(gold) ? `$${gold}$` : gold);
    answer.append(value);
    const sides = element("div", { class: "sides" });
    const arms = [["arm", "left"], ["second", "right"]];
    for (const [arm, run] of arms) {
      const said = byQuestion[number].filter((answer) => side(run).includes(answer[RUN]));
      if (!side(run).length || (run === "right" && String(side(run)) === String(side("left")))) continue;
      const name = field(arm).value;
      const none = element("p", { class: "read" }, "This arm was not evaluated on this question.");
      sides.append(element("section", { class: "side", "aria-label": "arm " + name }, element("h3", {}, name), ...(said.length ? said.map(card) : [none])));
    }
    view.append(element("p", { class: "read" }, task), question, answer, sides);
    for (const button of list.querySelectorAll("button")) button.setAttribute("aria-current", String(Number(button.value) === number));
  }

  function refresh() {
    const fitting = samples.questions.map((_, number) => number).filter(fits);
    count.textContent = `${fitting.length} of ${samples.questions.length} questions on this page (${samples.asked.toLocaleString("en")} asked)`;
    list.textContent = "";
    for (const number of fitting) {
      const left = byQuestion[number].filter((answer) => side("left").includes(answer[RUN]));
      const button = element("button", { type: "button", value: String(number) });
      const plain = samples.questions[number][1].replace(/\\[()[\]]|\$/g, "");
      button.append(plain.slice(0, 90) || "(no text)", element("small", {}, left.map((one) => words(one[OUTCOME])).join(", ")));
      button.addEventListener("click", () => show(number));
      list.append(element("li", {}, button));
    }
    show(fitting.includes(current) ? current : fitting[0]);
  }

  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], turn = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const buttons = [...list.querySelectorAll("button")], place = buttons.indexOf(document.activeElement);
    if (step && buttons[place + step]) { buttons[place + step].focus(); buttons[place + step].click(); }
    else if (turn && arms.length > 1) {
      const choices = arms.filter((arm) => arm !== field("arm").value);
      const at = choices.indexOf(field("second").value);
      field("second").value = choices[at < 0 ? 0 : (at + turn + choices.length) % choices.length];
      choose("second");
      refresh();
      (list.querySelector("[aria-current=true]") || list.querySelector("button") || list).focus();
    } else if (event.key === "Enter" && place >= 0) { show(Number(buttons[place].value)); view.querySelector(".answer .text")?.focus(); }
    else return;
    event.preventDefault();
  });
  view.addEventListener("keydown", (event) => {
    if (event.key === "Escape") list.querySelector("[aria-current=true]")?.focus();
  });
  function choose(name) {
    if (name === "arm") fill(field("left"), field("arm").value, side("left")[0]);
    if (name === "second") fill(field("right"), field("second").value, side("left")[0]);
  }
  document.getElementById("filters").addEventListener("input", (event) => {
    choose(event.target.id.replace("by-", ""));
    refresh();
  });
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  refresh();
})();
