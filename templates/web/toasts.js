// What pops up: pages as a phone would show them, and what could not be done.

const $ = (selector, root = document) => root.querySelector(selector);
const BELL = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 3.2a1.6 1.6 0 0 0-1.6 1.6v.5A6.2 6.2 0 0 0 5.8 11.3c0 3.6-.9 5-1.9 6-.5.5-.2 1.4.6 1.4h15c.8 0 1.1-.9.6-1.4-1-1-1.9-2.4-1.9-6a6.2 6.2 0 0 0-4.6-6v-.5A1.6 1.6 0 0 0 12 3.2Z"/><path d="M9.6 20a2.5 2.5 0 0 0 4.8 0Z"/></svg>';

export function toast(kind, head, text) {
  const same = [...document.querySelectorAll(`.toast.${kind}`)].find((other) => $("p", other).textContent === text);
  if (same) {
    const heads = $(".head span", same);
    if (!heads.textContent.includes(head)) heads.textContent += ` · ${head}`;
    return;
  }
  const template = document.createElement("template");
  template.innerHTML = `<div class="toast ${kind}" role="alert"><span class="head">${BELL}<span></span></span><button type="button">Close</button><p></p></div>`;
  const made = template.content.firstElementChild;
  $(".head span", made).textContent = head;
  $("p", made).textContent = text;
  $("button", made).addEventListener("click", () => made.remove());
  const toasts = $("#toasts");
  toasts.prepend(made);
  while (toasts.children.length > 3) toasts.lastElementChild.remove();
  let timer;
  const wait = () => (timer = setTimeout(() => made.remove(), kind === "page" ? 12_000 : 7_000));
  made.addEventListener("mouseenter", () => clearTimeout(timer));
  made.addEventListener("mouseleave", wait);
  wait();
}
