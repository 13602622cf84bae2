// The message box: grows with its text, sends on Enter, completes commands and their arguments.

let known = null; // {commands, kinds}, asked for once

async function load() {
  known ??= fetch("/chat/commands").then((answer) => answer.json());
  return known;
}

// What the caret stands in: the text up to it, and the word being typed.
function standing(box) {
  const before = box.value.slice(0, box.selectionStart);
  const word = before.match(/\S*$/)[0];
  return { before, word, start: before.length - word.length };
}

function findCommand(words, commands) {
  for (const count of [2, 1]) {
    const name = words.slice(0, count).join(" ").toLowerCase();
    const found = words.length >= count && commands.find((c) => c.name === name || c.aliases.includes(name));
    if (found) return { command: found, count };
  }
  return null;
}

// The offers for a line: [{text, label, note, effect, start}] and the command whose help is shown.
function offersFor(box, data) {
  const { before, word, start } = standing(box);
  const typed = before.match(/^\s*([/!]|@watchbell\s+)(.*)$/s);
  if (!typed) {
    const people = word.match(/^@\w*$/) ? data.kinds.person : [];
    return { offers: people.filter((p) => p.startsWith(word)).map((p) => ({ text: `${p} `, label: p, start })) };
  }
  if (before.includes("\n")) return { offers: [] };
  const [, sign, rest] = typed;
  const words = rest.split(/\s+/);
  const found = findCommand(words.slice(0, -1), data.commands);
  const partial = rest.toLowerCase().replace(/\s+/g, " ");
  const names = data.commands
    .filter((c) => [c.name, ...c.aliases].some((n) => n.startsWith(partial)) || (partial.length > 2 && c.name.includes(partial)))
    .sort((a, b) => b.name.startsWith(partial) - a.name.startsWith(partial))
    .map((c) => ({ text: `${sign}${c.name} `, label: sign + c.name, note: c.summary, effect: c.effect, start: 0 }));
  if (!found) return { offers: names };
  const { command, count } = found, done = words.slice(count, -1);
  return { offers: [...names, ...argumentsFor(command, done, word, start, data)], command, at: position(command, done) };
}

const positional = (command) => command.arguments.filter((a) => !a.keyword);

function position(command, done) {
  const free = done.filter((w) => !w.includes("=") && !w.startsWith("--")).length;
  const wanted = positional(command);
  return wanted[Math.min(free, wanted.length - 1)]?.rest ? wanted.length - 1 : free;
}

function argumentsFor(command, done, word, start, data) {
  const [key, value] = word.includes("=") ? word.split(/=(.*)/s) : [null, null];
  const values = (argument) => (argument.choices.length ? argument.choices : data.kinds[argument.kind] ?? []);
  const offer = (text, note) => ({ text, label: text.trim(), note, start });
  const optional = (text, note) => ({ ...offer(text, note), quiet: true }); // never taken by a mere Enter
  if (key !== null) {
    const argument = command.arguments.find((a) => a.keyword && a.name === key);
    return argument ? values(argument).filter((v) => v.startsWith(value)).map((v) => offer(`${key}=${v} `)) : [];
  }
  const offers = [];
  const next = positional(command)[position(command, done)];
  if (next) offers.push(...values(next).filter((v) => v.startsWith(word)).map((v) => offer(`${v} `, next.name)));
  for (const a of command.arguments) {
    const used = done.some((w) => w.startsWith(`${a.name}=`));
    const text = a.flag ? `--${a.name} ` : `${a.name}=`;
    const starts = word && (text.startsWith(word) || a.name.startsWith(word));
    if (a.keyword && !used && starts && !done.includes(text.trim())) offers.push(optional(text, a.hint || a.kind));
  }
  const dry = ["change", "danger"].includes(command.effect) && word.startsWith("-") && "--dry-run".startsWith(word);
  return dry ? [...offers, optional("--dry-run ", "show the plan alone")] : offers;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function helpOf(command, at) {
  const help = element("li", "help");
  help.setAttribute("role", "presentation");
  const usage = element("b");
  usage.append(command.name);
  for (const argument of command.arguments) {
    const index = positional(command).indexOf(argument);
    const name = argument.flag ? `--${argument.name}` : argument.keyword ? `${argument.name}=…` : argument.choices.length ? argument.choices.join("|") : argument.name.toUpperCase();
    const word = element(index === at && index >= 0 ? "mark" : "span", "", argument.required ? name : `[${name}]`);
    if (argument.hint) word.title = argument.hint;
    usage.append(" ", word);
  }
  help.append(usage, element("pre", "", command.help));
  return help;
}

export function compose(form) {
  const box = form.querySelector("textarea");
  const list = form.querySelector(".completion");
  let offers = [], active = -1;
  box.setAttribute("role", "combobox");
  box.setAttribute("aria-autocomplete", "list");
  box.setAttribute("aria-controls", list.id);
  box.setAttribute("aria-expanded", "false");

  const grow = () => {
    box.style.height = "auto";
    box.style.height = `${box.scrollHeight + 2}px`;
  };
  const hide = () => {
    list.hidden = true;
    offers = [];
    active = -1;
    box.setAttribute("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  };
  const mark = (index) => {
    active = index;
    [...list.querySelectorAll("[role=option]")].forEach((option, at) => {
      option.setAttribute("aria-selected", String(at === index));
      if (at === index) option.scrollIntoView({ block: "nearest" });
    });
    if (index >= 0) box.setAttribute("aria-activedescendant", `${list.id}-${index}`);
    else box.removeAttribute("aria-activedescendant");
  };
  const accept = (index) => {
    const { text, start } = offers[index];
    const rest = box.value.slice(box.selectionStart);
    box.value = box.value.slice(0, start) + text + rest.trimStart();
    box.selectionStart = box.selectionEnd = start + text.length;
    suggest();
  };
  const suggest = async () => {
    grow();
    if (!/^\s*[/!]|^\s*@watchbell\s|@\w*$/.test(box.value.slice(0, box.selectionStart))) return hide();
    const data = await load();
    const found = offersFor(box, data);
    offers = found.offers.slice(0, 60);
    if (!offers.length && !found.command) return hide();
    list.replaceChildren(...(found.command ? [helpOf(found.command, found.at)] : []), ...offers.map(option));
    list.hidden = false;
    list.scrollTop = 0;
    box.setAttribute("aria-expanded", "true");
    const { word } = standing(box);
    // What stands there whole already is sent by Enter, not completed: `/redis info` is two words of one name.
    const typed = box.value.slice(0, box.selectionStart).trimEnd();
    const whole = offers.some((offer) => (box.value.slice(0, offer.start) + offer.text).trimEnd() === typed);
    mark(offers.length && word && !whole && !offers[0].quiet ? 0 : -1);
  };
  const option = (offer, index) => {
    const row = element("li");
    row.id = `${list.id}-${index}`;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", "false");
    row.append(element("b", "", offer.label), element("span", "", offer.note ?? ""));
    if (["change", "danger"].includes(offer.effect)) {
      row.append(element("span", `effect ${offer.effect}`, offer.effect === "danger" ? "two approvals" : "needs approval"));
    }
    row.addEventListener("mousedown", (event) => {
      event.preventDefault();
      accept(index);
    });
    return row;
  };

  box.addEventListener("input", suggest);
  box.addEventListener("click", suggest);
  box.addEventListener("blur", hide);
  box.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const open = !list.hidden && offers.length > 0;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (open && step) {
      event.preventDefault();
      mark((active + step + offers.length + (active < 0 && step < 0 ? 1 : 0)) % offers.length);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      event.stopPropagation();
      hide();
    } else if (open && (event.key === "Tab" || event.key === "Enter") && !event.shiftKey && (active >= 0 || event.key === "Tab")) {
      event.preventDefault();
      accept(Math.max(active, 0));
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      if (box.value.trim()) form.requestSubmit();
    }
  });
  form.addEventListener("sent", () => {
    hide();
    grow();
  });
  grow();
}
