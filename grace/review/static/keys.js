"use strict";
// What every page does with keys: "?" lists them, and a choice that is made with keys waits for Enter.
// A list says "change" at every arrow key: whoever goes through it must not land on another page at each value (WCAG 3.2.2).
(() => {
  const keys = document.getElementById("keys");
  document.addEventListener("keydown", (event) => {
    if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
    if (event.target.matches("textarea, select, input:not([type=range], [type=checkbox], [type=radio])")) return;
    event.preventDefault();
    keys.showModal();
  });

  let byKey = null; // the field that keys change
  let waiting = null; // the list whose choice is not shown yet
  const say = (form, sentence) => { const status = form.querySelector("[role=status]"); if (status) status.textContent = sentence; };
  for (const form of document.querySelectorAll("form.choices")) {
    form.addEventListener("pointerdown", () => { byKey = null; });
    form.addEventListener("keydown", (event) => {
      const field = event.target.matches("select, [list]") ? event.target : null;
      if (event.key !== "Tab") byKey = field;
      if (event.key !== "Enter" || !field || field !== waiting) return;
      event.preventDefault();
      form.requestSubmit();
    });
    form.addEventListener("change", (event) => {
      if (!event.target.matches("select")) return;
      if (byKey !== event.target) { form.requestSubmit(); return; }
      waiting = event.target;
      say(form, "Enter shows it.");
    });
    form.addEventListener("input", (event) => { // one of the suggestions was taken
      if (event.target.matches("[list]") && event.inputType === "insertReplacementText") form.requestSubmit();
    });
    form.addEventListener("submit", () => { if (byKey) sessionStorage.setItem("focus", `${location.pathname} ${byKey.name}`); });
  }

  // After Enter in a field the page is another; the field is where the person still is.
  const [path, name] = (sessionStorage.getItem("focus") || "").split(" ");
  sessionStorage.removeItem("focus");
  if (name && path === location.pathname) document.querySelector(`form.choices [name="${CSS.escape(name)}"]`)?.focus();
})();
