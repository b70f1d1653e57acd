"use strict";
// Keyboard and filters of the gallery. Without this script the page works by its links and the form.
(() => {
  const cards = [...document.querySelectorAll(".card > a")];
  const form = document.querySelector("form.filters");
  const search = form.elements.q;
  const keys = document.getElementById("keys");

  const columns = () => {
    const top = cards[0] ? cards[0].getBoundingClientRect().top : 0;
    return Math.max(1, cards.filter((card) => Math.abs(card.getBoundingClientRect().top - top) < 2).length);
  };
  const move = (step) => {
    const now = cards.indexOf(document.activeElement);
    const next = now < 0 ? 0 : Math.min(cards.length - 1, Math.max(0, now + step));
    if (cards[next]) { cards[next].focus(); cards[next].scrollIntoView({ block: "nearest" }); }
  };
  const follow = (selector) => { const link = document.querySelector(selector); if (link) link.click(); };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
    if (event.target.matches("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const actions = {
      j: () => move(1), ArrowRight: () => move(1), k: () => move(-1), ArrowLeft: () => move(-1),
      ArrowDown: () => move(columns()), ArrowUp: () => move(-columns()),
      n: () => follow("a[rel=next]"), p: () => follow("a[rel=prev]"),
      "/": () => { search.focus(); search.select(); }, x: () => follow("#clear"),
    };
    if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
  });

  const go = () => {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value !== "") query.append(name, value);
    const text = query.toString();
    window.location.assign(text ? `/?${text}` : "/");
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); go(); });
  if (window.matchMedia("(max-width: 760px)").matches) for (const group of form.querySelectorAll("details")) group.open = false;
})();
