const forms = [...document.querySelectorAll("form:not([data-plain])")];
const result = byId("result");
const token = byId("token");

const typed = (one) => one.type !== "hidden" && one.matches("input, select");
const touched = (one) =>
  one.matches("select") ? [...one.options].some((o) => o.selected !== o.defaultSelected)
  : one.type === "checkbox" ? one.checked !== one.defaultChecked
  : one.value !== one.defaultValue;
const begun = (form) => [...form.elements].some((one) => typed(one) && touched(one));

function renew(form) {
  form.elements.expected_epoch.value = now.epoch;
  form.querySelector(".moved")?.setAttribute("hidden", "");
  if (form.dataset.send !== "changed") return;
  for (const one of form.elements) {
    if (!typed(one)) continue;
    const value = now.fields[one.name];
    for (const option of one.options ?? []) option.defaultSelected = option.value === value;
    if (!one.options) one.defaultValue = value;
    if (touched(one)) one.value = value;
  }
}

function renewAll() {
  for (const form of forms) {
    if (!begun(form)) renew(form);
    else if (Number(form.elements.expected_epoch.value) !== now.epoch) form.querySelector(".moved")?.removeAttribute("hidden");
  }
  for (const [place, offer] of now.offers.entries()) {
    const button = byId(`offer-${place}`);
    button.form.action = `rollout/${offer.command}`;
    button.textContent = offer.label;
    button.title = offer.refusal ?? "";
    button.toggleAttribute("aria-disabled", false);
    if (offer.refusal) button.setAttribute("aria-disabled", "true");
  }
  const versions = now.versions.map((one) => new Option(one, one));
  byId("version-names").replaceChildren(...versions);
}

function valueOf(one) {
  if (one.type === "checkbox") return one.checked;
  if ("json" in one.dataset) return JSON.parse(one.value);
  if ("numbers" in one.dataset) return one.value.split(/[\s,]+/).filter(Boolean).map(Number);
  if ("environments" in one.dataset) return [now.environment, ...one.value.split(/[\s,]+/).filter(Boolean)];
  if (one.type !== "number") return one.value;
  if (one.value === "") return null;
  return "perCent" in one.dataset ? Number(one.value) / 100 : Number(one.value);
}

function commandOf(form) {
  const command = { expected_epoch: Number(form.elements.expected_epoch.value) };
  for (const one of form.elements) {
    if (!typed(one) || !one.name || one.matches(":disabled")) continue;
    const left = form.dataset.send === "changed" ? !touched(one) : one.value === "" && !("off" in one.dataset);
    if (left) continue;
    const path = one.name.split(".");
    const last = path.pop();
    path.reduce((at, key) => (at[key] ??= {}), command)[last] = valueOf(one);
  }
  if (byId("reason").value.trim()) command.reason = byId("reason").value.trim();
  return command;
}

function say(words, tone = "") {
  result.className = tone;
  result.textContent = words;
}

async function send(form, button) {
  const name = button.textContent;
  if (form.getAttribute("aria-busy")) return;
  if (button.getAttribute("aria-disabled")) return say(`Not possible now. ${button.title}.`, "bad");
  form.setAttribute("aria-busy", "true");
  say(`${name}: sent, waiting for the result…`);
  try {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify(commandOf(form));
    const answer = await fetch(form.action, { method: "POST", headers, body, signal: AbortSignal.timeout(20000) });
    heed(form, name, answer, await answer.json().catch(() => ({})));
  } catch (error) {
    say(`${name}: no answer (${error.message}). It may have been taken all the same: see the last commands.`, "bad");
  } finally {
    form.removeAttribute("aria-busy");
  }
}

function heed(form, name, answer, words) {
  if (answer.status === 202) return say(`${name}: sent as ${words.command_id}; its result is still to come, see the last commands.`);
  if (!answer.ok) {
    say(`${name}: refused. ${answer.status === 401 ? "Log in with the token for commands first." : words.detail ?? answer.statusText}`, "bad");
    if (answer.status === 401) token?.focus();
    return;
  }
  say(`${name}: ${words.status}${words.epoch == null ? "" : `, epoch ${words.epoch}`}.`, "good");
  if (words.epoch != null) now.epoch = words.epoch;
  byId("reason").value = "";
  form.reset();
  const panel = form.closest("details");
  if (panel) panel.open = false;
  panel?.querySelector("summary").focus();
  renewAll();
}

for (const form of forms) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, event.submitter);
  });
  form.addEventListener("reset", () => setTimeout(() => {
    for (const one of form.querySelectorAll("[data-opens]")) byId(one.dataset.opens).disabled = !one.checked;
    renew(form);
  }));
}
for (const one of document.querySelectorAll("[data-opens]")) {
  one.addEventListener("change", () => { byId(one.dataset.opens).disabled = !one.checked; });
}
for (const one of document.querySelectorAll("[data-scripted]")) one.hidden = false;
