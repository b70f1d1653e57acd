"use strict";
// Corrections: what is written is compared with what was seen, so that two windows lose nothing.
(() => {
  const form = document.getElementById("correct");
  const marks = document.getElementById("mark");
  const conflict = document.getElementById("conflict");
  const saved = document.getElementById("saved");
  const rows = document.getElementById("cue-rows");
  const id = document.querySelector("article.clip").dataset.id;
  const by = form.elements.by;
  by.value = localStorage.getItem("reviewer") || "";
  by.addEventListener("change", () => localStorage.setItem("reviewer", by.value));

  const cues = () => [...rows.children].map((row) => Object.fromEntries(
    [...row.querySelectorAll("select, input")].map((field) => [field.name, field.value.trim()]),
  )).filter((cue) => cue.action !== "");
  const before = JSON.stringify(cues());
  const written = form.elements.description.value;
  let dirty = false;
  for (const each of [form, marks]) each.addEventListener("input", (event) => { if (event.target !== by) dirty = true; });
  window.addEventListener("beforeunload", (event) => { if (dirty) event.preventDefault(); });

  async function send(path, content) {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", "x-form-token": document.querySelector("meta[name=form-token]").content },
      body: JSON.stringify({ id, version: form.dataset.version, by: by.value, ...content }),
    }).catch(() => null);
    if (!answer) { complain("The page's server does not answer: nothing was written."); return; }
    const found = await answer.json().catch(() => ({ sentence: "Nothing was written: reload the page." }));
    if (answer.status === 409) { meet(found, path, content); return; }
    if (!answer.ok) { complain(found.sentence); return; }
    dirty = false;
    window.location.reload();
  }
  function complain(sentence) {
    conflict.hidden = false;
    conflict.replaceChildren(sentence);
  }
  // Somebody was first: both texts are shown, and the person decides.
  function meet(found, path, content) {
    const theirs = [found.said.description && `“${found.said.description}”`, found.said.mark && `${found.said.mark}: ${found.said.reason}`].filter(Boolean).join(" · ");
    const keep = Object.assign(document.createElement("button"), { type: "button", textContent: "Write mine over it" });
    keep.addEventListener("click", () => { form.dataset.version = found.version; conflict.hidden = true; send(path, content); });
    const take = Object.assign(document.createElement("button"), { type: "button", textContent: "Take theirs" });
    take.addEventListener("click", () => { dirty = false; window.location.reload(); });
    complain("");
    const line = Object.assign(document.createElement("span"), { className: "buttons" });
    line.append(take, keep);
    conflict.replaceChildren(`${found.sentence} ${found.by || "Somebody"} wrote: ${theirs || "(the generated text)"}.`, line);
    conflict.scrollIntoView({ block: "nearest" });
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const changes = { description: form.elements.description.value };
    if (JSON.stringify(cues()) !== before) changes.cues = cues();
    if (!changes.cues && changes.description === written) { saved.textContent = "Nothing is changed."; return; }
    send("/api/correct", { changes });
  });
  document.getElementById("withdraw")?.addEventListener("click", () => send("/api/correct", { changes: { description: "", cues: null } }));
  document.getElementById("undo").addEventListener("click", () => send("/api/undo", {}));
  marks.addEventListener("submit", (event) => {
    event.preventDefault();
    send("/api/correct", { changes: { mark: marks.elements.mark.value, reason: marks.elements.reason.value } });
  });
  form.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(); });
  document.getElementById("add-cue").addEventListener("click", () => {
    rows.append(document.getElementById("cue-template").content.cloneNode(true));
    rows.lastElementChild.querySelector("select").focus();
    dirty = true;
  });
  rows.addEventListener("click", (event) => { if (event.target.matches(".remove")) { event.target.parentElement.remove(); dirty = true; } });
})();
