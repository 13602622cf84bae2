// The chat page: goes from channel to channel, sends what people do, and follows the live stream.

import { compose } from "./composer.js";
import { tell } from "./clock.js";
import { toast } from "./toasts.js";

const page = document.body.dataset;
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const wide = matchMedia("(min-width: 861px)");
const hover = matchMedia("(hover: hover)");
const drafts = new Map();
const recent = []; // what the stream told lately: a page fetched meanwhile may lack it

const parse = (html) => {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
};

// -- what has been read: the number of the newest message seen, by channel -------------------------

const shelf = `watchbell:${page.origin}:${page.me}`;
const read = JSON.parse(localStorage.getItem(shelf) ?? "null") ?? {};
const firstVisit = !localStorage.getItem(shelf);

function markRead(channel, number) {
  if ((read[channel] ?? 0) >= number && channel in read) return;
  read[channel] = number;
  localStorage.setItem(shelf, JSON.stringify(read));
}

function paintChannels() {
  let unread = false;
  for (const link of $$("#channels [data-channel]")) {
    const { channel, last, mention } = link.dataset;
    const here = channel === page.channel;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (here && !document.hidden) markRead(channel, Number(last));
    const fresh = Number(last) > (read[channel] ?? 0);
    link.classList.toggle("unread", fresh);
    link.classList.toggle("mentioned", fresh && Number(mention) > (read[channel] ?? 0));
    link.setAttribute("aria-label", `${$(".name", link).textContent}${fresh ? ", unread" : ""}`);
    unread ||= fresh;
  }
  $(".tabs [data-pane=channels]").classList.toggle("unread", unread);
  $("#count").textContent = String($$("#rows .incident:not(.good)").length || "");
}

// -- going about -----------------------------------------------------------------------------------

function keepDrafts() {
  for (const form of $$("form.say")) drafts.set(draftKey(form), $("textarea", form).value);
}

const draftKey = (form) => `${form.elements.channel.value}/${form.elements.thread?.value ?? ""}`;

function settle() {
  for (const form of $$("form.say")) {
    const kept = drafts.get(draftKey(form));
    if (kept) $("textarea", form).value = kept;
    compose(form);
  }
  const edit = $(".edit textarea");
  if (edit) {
    edit.focus();
    edit.selectionStart = edit.value.length;
  } else if (wide.matches && hover.matches) {
    $("#answer, #say", $("#thread") ?? document)?.focus();
  }
  $("#chat .scroll").addEventListener("scroll", () => atBottom($("#chat .scroll")) && ($("#newer").hidden = true));
}

async function go(url, { push = true } = {}) {
  const answer = await fetch(url, { headers: { Accept: "text/html" } });
  if (!answer.ok) return location.assign(url);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  keepDrafts();
  for (const name of ["channel", "thread", "rev"]) page[name] = fresh.body.dataset[name] ?? "";
  $("#channels").replaceChildren(...$("#channels", fresh).childNodes);
  $("#chat").replaceWith($("#chat", fresh));
  $("#thread")?.remove();
  if ($("#thread", fresh)) $("#board").before($("#thread", fresh));
  $(".rooms").className = $(".rooms", fresh).className;
  for (const form of [$(".who"), $(".menu form"), $(".pace")]) form.elements.channel.value = page.channel;
  document.title = fresh.title;
  for (const told of recent) if (told.rev > Number(page.rev)) place(told.data);
  if (push) history.pushState({}, "", url);
  show("chat");
  settle();
  paintChannels();
}

function show(pane) {
  document.body.dataset.pane = pane;
  for (const tab of $$(".tabs a")) {
    if (tab.dataset.pane === pane) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  const menu = $(".menu[open]");
  if (menu && !menu.contains(event.target)) menu.open = false;
  if (event.target.closest("#newer")) return toBottom($("#chat .scroll"));
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  if (link.dataset.pane) {
    event.preventDefault();
    show(link.dataset.pane);
    if (link.dataset.pane === "chat" && page.thread) go(`/?as=${page.me}&channel=${page.channel}`);
  } else if ("nav" in link.dataset) {
    event.preventDefault();
    go(link.href);
  }
});
// Up in an empty message box goes to the messages, up and down goes through them, Escape back.
document.addEventListener("keydown", (event) => {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const at = event.target;
  if (at.matches(".say textarea") && step === -1 && !at.value) {
    $$(".msg", at.form.parentElement).at(-1)?.focus();
  } else if (at.matches(".msg") && step) {
    const all = $$(".msg", at.parentElement);
    const next = all[all.indexOf(at) + step];
    (next ?? (step > 0 ? $(".say textarea", at.closest(".pane")) : at))?.focus();
  } else if (at.closest(".msg") && event.key === "Escape" && !at.matches(".edit textarea")) {
    event.stopPropagation();
    $(".say textarea", at.closest(".pane"))?.focus();
    return;
  } else return;
  event.preventDefault();
});
addEventListener("popstate", () => go(location.href, { push: false }));
addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if ($(".menu[open]")) {
    $(".menu").open = false;
    $(".menu summary").focus();
  } else if (document.body.dataset.pane !== "chat") show("chat");
  else $(".edit .btn:not(.primary), #thread .where a")?.click();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target.matches(".edit textarea")) {
    event.preventDefault();
    event.target.form.requestSubmit();
  }
});
$(".who select").addEventListener("change", (event) => event.target.form.submit());
document.addEventListener("visibilitychange", paintChannels);

// -- doing: every form of the page is sent in the background ----------------------------------------

document.addEventListener("submit", async (event) => {
  const form = event.target, button = event.submitter;
  if (form.method !== "post") return;
  event.preventDefault();
  if (button?.dataset.draft) { // it takes words: they are typed where one types
    const say = $(form.closest("#thread") ? "#thread .say textarea" : "#chat .say textarea") ?? $(".say textarea");
    say.value = button.dataset.draft;
    say.focus();
    return;
  }
  const body = new URLSearchParams(new FormData(form, button));
  const action = button?.getAttribute("formaction") ?? form.getAttribute("action");
  const box = form.matches(".say") && $("textarea", form);
  if (box) {
    if (!box.value.trim()) return;
    box.value = "";
    form.dispatchEvent(new Event("sent"));
    toBottom($(".scroll", form.parentElement));
  }
  button?.setAttribute("aria-busy", "true");
  const error = await send(action, body);
  button?.removeAttribute("aria-busy");
  if (error) {
    toast("error", "Not done", error);
    if (box && !box.value) box.value = body.get("text");
  } else if (action === "/chat/edit") {
    go(`/?as=${page.me}&channel=${page.channel}${body.get("open") ? `&thread=${body.get("open")}` : ""}`);
  } else if (action === "/chat/alert") {
    const key = body.get("fire") ?? body.get("resolve");
    $(`.menu [name=resolve][value="${key}"]`).hidden = !body.has("fire");
    $(".menu").open = false;
  }
});

async function send(action, body) {
  try {
    const answer = await fetch(action, { method: "POST", body, headers: { Accept: "application/json" } });
    const text = await answer.text();
    if (answer.ok) return null;
    try {
      return JSON.parse(text).error;
    } catch {
      return text;
    }
  } catch {
    return "Watchbell does not answer at the moment.";
  }
}

// -- messages --------------------------------------------------------------------------------------

const atBottom = (scroll) => Math.abs(scroll.scrollTop) < 60;
const toBottom = (scroll) => {
  scroll.scrollTop = 0;
  $("#newer").hidden = true;
};

function place(told) {
  if (told.channel !== page.channel) return;
  if (!told.thread) put($("#messages"), told);
  if (page.thread && (told.id === page.thread || told.thread === page.thread)) put($("#answers"), told);
}

function put(list, told) {
  const made = parse(told.html).firstElementChild;
  const old = $(`[data-id="${told.id}"]`, list);
  if (list.id === "answers") $(".day", made)?.remove();
  if (old) {
    if ($(".edit", old)) return;
    const inside = old.contains(document.activeElement) ? document.activeElement : null;
    old.replaceWith(made);
    if (inside) refocus(made, inside);
    return;
  }
  const next = $$(".msg", list).find((other) => Number(other.dataset.number) > told.number);
  if (next && next === $(".msg", list) && list.id === "messages") return; // older than what is shown
  $("li.quiet", list)?.remove();
  made.classList.add("fresh");
  list.insertBefore(made, next ?? null);
  if (list.id === "messages" && !atBottom(list.parentElement) && !told.mine) $("#newer").hidden = false;
}

function refocus(made, was) {
  const same = was.name ? $(`[name="${was.name}"][value="${CSS.escape(was.value)}"]`, made) : null;
  (same ?? made).focus({ preventScroll: true });
}

function noticeChannel(told) {
  const link = $(`#channels [data-channel="${told.channel}"]`);
  if (!link || told.mine) return;
  link.dataset.last = Math.max(link.dataset.last, told.number);
  if (told.mention) link.dataset.mention = Math.max(link.dataset.mention, told.number);
}

// -- the stream ------------------------------------------------------------------------------------

let seen = Number(page.rev);

function follow() {
  const stream = new EventSource(`/chat/events?as=${encodeURIComponent(page.me)}&since=${seen}`);
  const on = (name, take) =>
    stream.addEventListener(name, (event) => {
      seen = Math.max(seen, Number(event.lastEventId));
      take(JSON.parse(event.data), event);
    });
  on("message", (told, { lastEventId }) => {
    recent.push({ rev: Number(lastEventId), data: told });
    if (recent.length > 300) recent.shift();
    place(told);
    noticeChannel(told);
    paintChannels();
  });
  on("channels", ({ html }) => {
    $("#channels").replaceChildren(parse(html));
    paintChannels();
  });
  on("board", ({ html }) => {
    const rows = $("#rows");
    const inside = rows.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    rows.replaceChildren(parse(html));
    if (inside) $(`a[href="${CSS.escape(inside)}"]`, rows)?.focus();
    paintChannels();
  });
  on("page", (told) => {
    $("#contacted").replaceChildren(parse(told.html));
    if (told.mine) toast("page", told.method, told.text);
  });
  on("clock", (told) => {
    tell(told.now, told.speed);
    for (const button of $$(".segments button")) button.setAttribute("aria-pressed", String(Number(button.value) === told.speed));
  });
  on("reload", () => location.reload());
  stream.addEventListener("error", () => {
    // A browser gives up for good after some errors (a server that is starting again answers none).
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 1500);
  });
}

if (firstVisit) for (const link of $$("#channels [data-channel]")) markRead(link.dataset.channel, Number(link.dataset.last));
document.documentElement.classList.add("live");
show("chat");
settle();
paintChannels();
follow();
