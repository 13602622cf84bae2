// The bot's clock as this page sees it, and everything on the page that counts towards a moment.

let base = Date.parse(document.body.dataset.now);
let speed = Number(document.body.dataset.speed) || 1;
let told = performance.now();

export const now = () => base + (performance.now() - told) * speed;

export function tell(time, pace) {
  base = Date.parse(time);
  speed = pace;
  told = performance.now();
  tick();
}

export function span(seconds) {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60), hours = Math.floor(seconds / 3600), days = Math.floor(seconds / 86400);
  if (minutes < 60) return `${minutes} min`;
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
}

export function until(at) {
  const seconds = Math.round((at - now()) / 1000);
  if (seconds === 0) return "now";
  return seconds > 0 ? `in ${span(seconds)}` : `${span(-seconds)} ago`;
}

const zone = (() => {
  try {
    new Intl.DateTimeFormat("en", { timeZone: document.body.dataset.zone });
    return document.body.dataset.zone;
  } catch {
    return "UTC";
  }
})();
const face = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit" });

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function tick() {
  const clock = document.getElementById("clock");
  if (clock) put(clock, face.format(now()));
  for (const due of document.querySelectorAll("[data-due]")) {
    const at = Date.parse(due.dataset.due);
    put(due.querySelector("time"), until(at));
    due.classList.toggle("soon", at - now() < 120_000);
  }
}

tick();
setInterval(tick, 250);
