"use strict";
// One clip: video, crops, overlays, words and probabilities on one time axis.
(() => {
  const article = document.querySelector("article.clip");
  const get = (id) => document.getElementById(id);
  const data = Timeline.data("data");
  const times = data.times;
  const state = { at: 0, motion: data.motion ? Timeline.bytes(data.motion) : null, look: null, word: null, pinned: null, patch: null, hint: "", mark: null };
  let crops = null;

  // The keyboard works whether or not there are faces.
  const follow = (selector) => { const link = document.querySelector(selector); if (link) link.click(); };
  const keys = get("keys");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (keys && keys.open)) return;
    if (event.target.matches("textarea, select, input:not([type=range], [type=checkbox])")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === " " && event.target.matches("button, summary, input")) return;
    const actions = {
      j: () => follow("a[rel=next]"), k: () => follow("a[rel=prev]"),
      ArrowRight: () => seek(state.at + 1), ArrowLeft: () => seek(state.at - 1), " ": play,
      m: () => get("motion-on")?.click(), e: () => document.querySelector("#correct textarea")?.focus(),
      g: () => { if (article.dataset.gallery) window.location.assign(article.dataset.gallery); },
      u: () => mark("unusable"), d: () => mark("doubtful"),
    };
    if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
  });
  const mark = (kind) => {
    const choice = document.querySelector(`#mark input[value=${kind}]`);
    if (choice) { choice.checked = true; document.querySelector("#mark [name=reason]").focus(); }
  };

  const play = () => {
    if (get("play")) get("play").click();
    else if (video) { if (video.paused) video.play().catch(() => {}); else video.pause(); }
  };

  const video = get("video");
  const strip = get("strip");
  const crop = get("crop");

  function seek(at, fromVideo = false) {
    if (!times.length) return;
    state.at = Math.min(times.length - 1, Math.max(0, at));
    get("instant").value = state.at;
    get("instant").setAttribute("aria-valuetext", `${times[state.at].toFixed(2)} seconds`);
    if (video && !fromVideo) video.currentTime = times[state.at];
    draw();
  }

  function overlay() {
    const word = state.word || state.pinned;
    if (word) return { levels: word.levels, grid: state.look.grid, name: `“${word.text}”, beside the average word` };
    if (state.motion && get("motion-on").checked) return { levels: state.motion, grid: data.grid, name: "" };
    return null;
  }

  function tile(context, at, x, size, shown) {
    if (crops) {
      const side = crops.height;
      context.filter = shown ? "grayscale(0.7)" : "none";
      context.drawImage(crops, at * side, 0, side, side, x, 0, size, size);
      context.filter = "none";
    }
    if (!shown) return;
    const area = shown.grid * shown.grid;
    const levels = shown.levels.subarray(at * area, (at + 1) * area);
    context.imageSmoothingEnabled = true;
    context.drawImage(Timeline.heat(levels, shown.grid, get("opacity").value / 100), x, 0, size, size);
  }

  function draw() {
    const shown = overlay();
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(strip.clientWidth * ratio));
    const step = width / times.length;
    const every = Math.max(1, Math.ceil(44 * ratio / step)); // on a narrow screen every second crop or so
    const size = step * every;
    strip.width = width;
    strip.height = Math.max(1, Math.round(size));
    const context = strip.getContext("2d");
    for (let at = 0; at < times.length; at += every) tile(context, at, at * step, size, shown);
    context.lineWidth = 3 * ratio;
    context.strokeStyle = "#ffd24a";
    context.strokeRect(state.at * step + 1.5 * ratio, 1.5 * ratio, step - 3 * ratio, strip.height - 3 * ratio);
    const large = crop.getContext("2d");
    large.clearRect(0, 0, crop.width, crop.height);
    tile(large, state.at, 0, crop.width, shown);
    if (state.patch !== null) {
      const side = crop.width / state.look.grid;
      large.lineWidth = 4;
      large.strokeStyle = "#ffd24a";
      large.strokeRect(state.patch % state.look.grid * side + 2, Math.floor(state.patch / state.look.grid) * side + 2, side - 4, side - 4);
    }
    get("when").textContent = `${times[state.at].toFixed(2)} s`;
    get("found").textContent = data.found[state.at] ? "" : "no face found here: the nearest box, or the centre";
    get("overlay-name").textContent = shown ? shown.name : "";
    get("legend-low").textContent = state.word || state.pinned ? "least" : "still";
    get("legend-high").textContent = state.word || state.pinned ? "most mass" : "most motion";
    axis();
    box();
    probabilities();
    if (state.mark) state.mark();
  }

  function axis() {
    const element = get("axis");
    const width = element.clientWidth;
    const step = width / times.length;
    const word = state.word || state.pinned;
    const parts = [];
    const energy = word ? word.moments : means();
    const most = Math.max(...energy, 1e-9);
    energy.forEach((value, at) => {
      const height = 30 * value / most;
      parts.push(Timeline.svg("rect", { class: "mass", x: at * step + 1, y: 32 - height, width: Math.max(1, step - 2), height }));
    });
    const every = Math.max(1, Math.ceil(52 / step));
    times.forEach((time, at) => {
      const x = (at + 0.5) * step;
      parts.push(Timeline.svg("line", { class: "tick", x1: x, x2: x, y1: 34, y2: at % every ? 36 : 39 }));
      if (at % every === 0) parts.push(Timeline.svg("text", { x, y: 52, "text-anchor": "middle" }, `${time.toFixed(2)} s`));
    });
    parts.push(Timeline.svg("line", { class: "head-line", x1: (state.at + 0.5) * step, x2: (state.at + 0.5) * step, y1: 0, y2: 36 }));
    element.replaceChildren(...parts);
  }

  function means() {
    if (!state.motion) return times.map(() => 0);
    const area = data.grid * data.grid;
    return times.map((_, at) => state.motion.subarray(at * area, (at + 1) * area).reduce((sum, level) => sum + level, 0) / area);
  }

  function box() {
    const element = get("boxes");
    element.setAttribute("viewBox", `0 0 ${data.size[0]} ${data.size[1]}`);
    const [x0, y0, x1, y1] = data.boxes[state.at];
    const turn = data.roll.length ? `rotate(${data.roll[state.at]} ${(x0 + x1) / 2} ${(y0 + y1) / 2})` : "";
    element.replaceChildren(Timeline.svg("rect", {
      x: x0, y: y0, width: Math.max(0, x1 - x0), height: Math.max(0, y1 - y0), transform: turn, class: data.found[state.at] ? "" : "absent",
    }));
  }

  function probabilities() {
    if (!state.look) return;
    const shares = state.look.unfolding[state.at];
    get("now-note").textContent = `${times[state.at].toFixed(2)} s`;
    for (const item of get("probabilities").querySelectorAll("li[data-label]")) {
      const share = shares[state.look.labels.indexOf(item.dataset.label)] || 0;
      item.querySelector(".at").setAttribute("x", (99 * share).toFixed(1));
    }
    get("unfolding").querySelector(".head-line")?.setAttribute("transform", `translate(${200 * state.at / Math.max(1, times.length - 1)} 0)`);
  }

  function unfolding() {
    const { labels, unfolding: rows } = state.look;
    const chart = get("unfolding").querySelector("svg");
    const peaks = labels.map((label, index) => [Math.max(...rows.map((row) => row[index])), index]).sort((a, b) => b[0] - a[0]);
    const x = (at) => 200 * at / Math.max(1, rows.length - 1);
    const parts = [];
    [...peaks].reverse().forEach(([, index]) => {
      const rank = peaks.findIndex((peak) => peak[1] === index);
      const points = rows.map((row, at) => `${x(at).toFixed(1)},${(90 - 86 * row[index]).toFixed(1)}`).join(" ");
      parts.push(Timeline.svg("polyline", { class: `curve ${rank < 4 ? `s${rank}` : "other"}`, points }));
    });
    let lowest = -20;
    peaks.slice(0, 3).map(([, index], rank) => ({ index, rank, y: 90 - 86 * rows[rows.length - 1][index] })).sort((a, b) => a.y - b.y).forEach((mark) => {
      lowest = Math.max(mark.y + 4, lowest + 13);
      parts.push(Timeline.svg("text", { class: `s${mark.rank}`, x: 206, y: lowest }, labels[mark.index]));
    });
    parts.push(Timeline.svg("line", { class: "head-line", x1: 0, x2: 0, y1: 0, y2: 90 }));
    chart.setAttribute("viewBox", "0 0 300 94");
    chart.replaceChildren(...parts);
    get("unfolding").hidden = false;
  }

  // Bars of a clip that the run was not tested on: its own model's, and said to be so.
  function bars() {
    const list = get("probabilities");
    for (const known of list.querySelectorAll("svg.bar")) known.append(Timeline.svg("rect", { class: "at", x: -9, width: 1, height: 4 }));
    if (list.querySelector("li[data-label]")) return;
    const order = state.look.labels.map((label, index) => [state.look.probabilities[index], label]).sort((a, b) => b[0] - a[0]);
    list.replaceChildren(...order.map(([share, label]) => {
      const item = document.createElement("li");
      item.dataset.label = label;
      const name = Object.assign(document.createElement("span"), { className: "name", textContent: label });
      const bar = Timeline.svg("svg", { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" });
      bar.append(Timeline.svg("rect", { class: "track", width: 100, height: 4 }), Timeline.svg("rect", { class: "fill", width: 100 * share, height: 4 }));
      bar.append(Timeline.svg("rect", { class: "at", x: -9, width: 1, height: 4 }));
      item.append(name, bar, Object.assign(document.createElement("span"), { className: "num", textContent: (100 * share).toFixed(0) }));
      return item;
    }));
  }

  function words() {
    const known = new Map(state.look.words.map((word) => [word.text.toLowerCase(), { ...word, levels: Timeline.bytes(word.lift) }]));
    const element = get("description");
    const buttons = [];
    const parts = element.textContent.split(/(\p{L}+)/u).map((piece) => {
      const word = known.get(piece.toLowerCase());
      if (!word) return piece;
      const button = Object.assign(document.createElement("button"), { type: "button", className: "word", textContent: piece });
      button.setAttribute("aria-pressed", "false");
      button.title = "Show where its mass goes; click to keep it";
      const show = () => { state.word = word; draw(); };
      const leave = () => { state.word = null; draw(); };
      button.addEventListener("mouseenter", show);
      button.addEventListener("focus", show);
      button.addEventListener("mouseleave", leave);
      button.addEventListener("blur", leave);
      button.addEventListener("click", () => {
        state.pinned = state.pinned === word ? null : word;
        for (const [other, of] of buttons) {
          other.classList.toggle("pinned", of === state.pinned);
          other.setAttribute("aria-pressed", String(of === state.pinned));
        }
        if (!state.pinned) state.word = null;
        draw();
      });
      buttons.push([button, word]);
      return button;
    });
    element.replaceChildren(...parts);
    patches(buttons);
  }

  // The words of a patch: under the mouse, under a finger, or where arrow keys went.
  const HINT = "A word shows where its mass goes, a patch of the crop its words: point, tap, or go there with Tab and arrow keys.";

  function patches(buttons) {
    const { grid } = state.look;
    const at = (event) => {
      const place = crop.getBoundingClientRect();
      const part = (share) => Math.min(grid - 1, Math.max(0, Math.floor(grid * share)));
      return part((event.clientY - place.top) / place.height) * grid + part((event.clientX - place.left) / place.width);
    };
    const choose = (patch) => { if (patch !== state.patch) { state.patch = patch; draw(); } };
    state.mark = () => {
      const level = (word) => state.patch === null ? 0 : word.levels[state.at * grid * grid + state.patch] / 255;
      for (const [button, word] of buttons) {
        button.classList.remove("h1", "h2", "h3");
        if (level(word) > 0.25) button.classList.add(level(word) > 0.7 ? "h3" : level(word) > 0.45 ? "h2" : "h1");
      }
      if (state.patch === null) { get("words-note").textContent = state.hint; return; }
      const most = [...new Set(buttons.map(([, word]) => word))].filter((word) => level(word) > 0.25).sort((a, b) => level(b) - level(a));
      const place = `Row ${Math.floor(state.patch / grid) + 1}, column ${state.patch % grid + 1} of ${grid}`;
      get("words-note").textContent = `${place}: ${most.slice(0, 5).map((word) => word.text).join(", ") || "no word points here"}.`;
    };
    crop.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") choose(at(event)); });
    crop.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") choose(null); });
    crop.addEventListener("click", (event) => { if (event.pointerType !== "mouse") choose(at(event) === state.patch ? null : at(event)); });
    crop.addEventListener("blur", () => choose(null));
    crop.addEventListener("focus", () => { if (crop.matches(":focus-visible")) choose(state.patch ?? 0); });
    crop.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { choose(null); return; }
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      const [row, column] = [Math.floor((state.patch ?? 0) / grid) + step[0], (state.patch ?? 0) % grid + step[1]];
      if (row >= 0 && row < grid && column >= 0 && column < grid) choose(row * grid + column);
    });
    crop.tabIndex = 0;
    crop.setAttribute("role", "application");
    crop.setAttribute("aria-roledescription", "grid of patches");
    crop.setAttribute("aria-label", "Face crop at the chosen instant, with its overlay; arrow keys go from patch to patch");
    crop.setAttribute("aria-describedby", "words-note");
    state.hint = HINT;
  }

  async function look() {
    let found = Timeline.data("look");
    if (!found && article.dataset.look) {
      const answer = await fetch(article.dataset.look);
      found = await answer.json();
      if (!answer.ok) { get("words-note").textContent = found.sentence; return; }
    }
    if (!found) { get("words-note").textContent = ""; return; }
    state.look = found;
    bars();
    if (!times.length) { get("words-note").textContent = ""; return; }
    unfolding();
    if (found.words.length) words();
    else state.hint = `The run ${found.run} aligns no words with patches.`;
    if (found.tested === false) state.hint += ` Fold ${found.fold}'s model; the clip is not in its test part.`;
    get("words-note").textContent = state.hint;
    draw();
  }

  async function neighbours() {
    const list = get("neighbours");
    const answer = article.dataset.neighbours ? await fetch(article.dataset.neighbours) : null;
    const found = answer ? await answer.json() : Timeline.data("near");
    if (!found.clips?.length) {
      list.replaceChildren(Object.assign(document.createElement("li"), { className: "quiet", textContent: found.sentence || (answer ? "No tokens yet." : "None.") }));
      return;
    }
    list.replaceChildren(...found.clips.map((clip) => {
      const item = document.createElement("li");
      const link = Object.assign(document.createElement("a"), { href: clip.href });
      const picture = Object.assign(document.createElement("img"), { src: clip.strip, className: "strip", alt: "", width: 576, height: 96, loading: "lazy" });
      const words = document.createElement("span");
      words.append(Object.assign(document.createElement("b"), { textContent: clip.label || "no label" }), ` ${clip.likeness.toFixed(3)}`,
        Object.assign(document.createElement("span"), { className: "id", textContent: clip.id }));
      link.append(picture, words);
      item.append(link);
      return item;
    }));
  }

  function start() {
    Timeline.legend(get("legend"));
    get("instant").addEventListener("input", (event) => seek(Number(event.target.value)));
    get("motion-on").addEventListener("change", draw);
    get("opacity").addEventListener("input", draw);
    strip.addEventListener("click", (event) => seek(Math.floor(times.length * event.offsetX / strip.clientWidth)));
    window.addEventListener("resize", draw);
    Timeline.image(crop.dataset.crops).then((picture) => { crops = picture; draw(); crop.dataset.drawn = Math.round(performance.now()); });
    const button = get("play");
    const playing = (now) => { button.textContent = now ? "❚❚ Pause" : "▶ Play"; button.setAttribute("aria-pressed", String(now)); };
    let timer = null;
    const nearest = (time) => times.reduce((best, value, at) => Math.abs(value - time) < Math.abs(times[best] - time) ? at : best, 0);
    const tick = () => { if (!video.paused) { const at = nearest(video.currentTime); if (at !== state.at) seek(at, true); requestAnimationFrame(tick); } };
    button.addEventListener("click", () => {
      if (video) {
        if (video.paused) video.play().then(() => requestAnimationFrame(tick)).catch(() => playing(false)); else video.pause();
        return;
      }
      if (timer) { clearInterval(timer); timer = null; playing(false); return; }
      playing(true);
      timer = setInterval(() => seek((state.at + 1) % times.length), Math.max(60, 1000 * data.duration / times.length));
    });
    if (video) {
      for (const name of ["play", "pause", "ended"]) video.addEventListener(name, () => playing(!video.paused && !video.ended));
    }
    seek(0);
  }

  if (video) {
    const failed = () => { get("video-note").textContent = "The source cannot be played."; };
    video.addEventListener("error", failed);
    if (video.error) failed();
  }
  if (times.length) start();
  look();
  neighbours();
})();
