"use strict";
// The gallery of an export shows the clips that its address names, such as index.html#00001,00007; all without any.
(() => {
  const cards = [...document.querySelectorAll(".card")];
  const count = document.getElementById("count");
  const whole = [...count.childNodes];
  const show = () => {
    const wanted = new Set(location.hash.slice(1).split(",").filter((name) => /^\d+$/.test(name)));
    let shown = 0;
    for (const card of cards) {
      const name = card.querySelector("a").getAttribute("href").match(/(\d+)\.html$/)[1];
      card.hidden = wanted.size > 0 && !wanted.has(name);
      if (!card.hidden) shown += 1;
    }
    if (!wanted.size) { count.replaceChildren(...whole); return; }
    const all = Object.assign(document.createElement("a"), { href: "#", textContent: "Show all" });
    count.replaceChildren(Object.assign(document.createElement("b"), { className: "num", textContent: shown }), ` of ${cards.length} exported clips. `, all);
  };
  window.addEventListener("hashchange", show);
  show();
})();
