let source = null;
let heard = performance.now();

function show(html) {
  heard = performance.now();
  document.documentElement.removeAttribute("data-lost");
  if (String(getSelection())) return;
  const open = [...main.querySelectorAll("details[open]")].map((one) => one.id);
  const focused = main.contains(document.activeElement) && document.activeElement.id;
  main.innerHTML = html;
  for (const id of open) byId(id)?.setAttribute("open", "");
  if (focused) byId(focused)?.focus({ preventScroll: true });
  follow(told());
}

function follow(next) {
  if (next.mark !== document.documentElement.dataset.worker && !forms.some(begun)) return location.reload();
  if (next.mark === now.mark && next.epoch < now.epoch) return; // drawn before a command of ours
  document.title = next.title;
  if (next.headline !== now.headline) byId("announcement").textContent = next.headline;
  now = next;
  renewAll();
}

function lose(reason) {
  document.documentElement.dataset.lost = reason;
  byId("lost-reason").textContent = reason;
}

function listen() {
  source = new EventSource("events");
  source.addEventListener("status", (event) => show(event.data));
  source.onerror = () => {
    lose("the connection broke");
    if (source?.readyState === EventSource.CLOSED) source = null;
  };
}

async function poll() {
  try {
    const answer = await fetch("./", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (answer.status === 401 && !forms.some(begun)) return location.reload(); // logged out
    if (!answer.ok) throw new Error("HTTP " + answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    show(page.querySelector("main").innerHTML);
  } catch (error) {
    lose(error.message);
  }
}

(async function again() {
  await new Promise((done) => setTimeout(done, {{ poll_seconds * 1000 }}));
  const silent = performance.now() - heard > {{ silent_seconds * 1000 }};
  if (!document.hidden && source && silent) lose("no word from it");
  if (!document.hidden && !source) await poll();
  again();
})();

document.addEventListener("visibilitychange", () => {
  source?.close();
  source = null;
  heard = performance.now();
  if (!document.hidden) listen();
});
listen();
