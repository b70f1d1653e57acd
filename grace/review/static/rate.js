"use strict";
// A rating, then the next clip.
(() => {
  const rating = document.querySelector(".rating");
  const who = document.querySelector("#who [name=rater]");
  if (!who.value) who.value = localStorage.getItem("reviewer") || "";
  document.getElementById("who").addEventListener("submit", () => localStorage.setItem("reviewer", who.value));
  const keys = document.getElementById("keys");
  const buttons = rating ? [...rating.querySelectorAll("button[value]")] : [];
  async function rate(value) {
    for (const button of buttons) button.disabled = true;
    const answer = await fetch("/api/rate", {
      method: "POST",
      headers: { "content-type": "application/json", "x-form-token": document.querySelector("meta[name=form-token]").content },
      body: JSON.stringify({ id: rating.dataset.id, kind: rating.dataset.kind, rater: rating.dataset.rater, value }),
    }).catch(() => null);
    if (answer && answer.ok) { window.location.reload(); return; }
    const problem = document.getElementById("problem");
    problem.hidden = false;
    problem.textContent = answer ? (await answer.json()).sentence : "The page's server does not answer: nothing was written.";
    for (const button of buttons) button.disabled = false;
  }
  for (const button of buttons) button.addEventListener("click", () => rate(button.value));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select") || keys.open) return;
    if (buttons[Number(event.key) - 1]) buttons[Number(event.key) - 1].click();
  });
})();
