"use strict";
const root = document.documentElement;
const chosen = (query) => [...document.querySelectorAll(query)].map((one) => one.id);
const reading = () => String(getSelection()).length > 0;

async function refresh() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error("HTTP " + answer.status);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (next.documentElement.dataset.worker !== root.dataset.worker) return location.reload();
    const open = chosen("main details[open]");
    const focused = document.activeElement.id;
    document.querySelector("main").replaceWith(next.querySelector("main"));
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    document.title = next.title;
    root.removeAttribute("data-lost");
  } catch (error) {
    root.dataset.lost = error.message;
    document.getElementById("lost-reason").textContent = error.message;
  }
}

(async function again() {
  await new Promise((done) => setTimeout(done, {{ milliseconds }}));
  if (!document.hidden && !reading()) await refresh();
  again();
})();
