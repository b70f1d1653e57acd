"use strict";
// What clip.js draws with: arrays from base64, colours of overlays, and SVG elements.
const Timeline = (() => {
  // Inferno (van der Walt & Smith), 9 stops: lightness rises evenly, also for colour-blind people.
  const STOPS = [[0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85], [227, 89, 51], [249, 140, 10], [249, 201, 50], [252, 255, 164]];
  const colour = (share) => {
    const at = Math.min(0.9999, Math.max(0, share)) * (STOPS.length - 1);
    const low = Math.floor(at);
    return STOPS[low].map((value, channel) => Math.round(value + (STOPS[low + 1][channel] - value) * (at - low)));
  };
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  // A map of grid × grid levels as a small picture; where there is little, the crop stays visible.
  const heat = (levels, grid, strength) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = grid;
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(grid, grid);
    for (let index = 0; index < grid * grid; index++) {
      const share = levels[index] / 255;
      const [red, green, blue] = colour(share);
      pixels.data.set([red, green, blue, Math.round(255 * strength * (0.25 + 0.75 * share))], 4 * index);
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  };
  const legend = (canvas) => {
    const context = canvas.getContext("2d");
    for (let x = 0; x < canvas.width; x++) {
      context.fillStyle = `rgb(${colour(x / canvas.width).join(" ")})`;
      context.fillRect(x, 0, 1, canvas.height);
    }
  };
  const svg = (name, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const data = (id) => {
    const element = document.getElementById(id);
    return element ? JSON.parse(element.textContent) : null;
  };
  const image = (address) => new Promise((resolve) => {
    const picture = new Image();
    picture.onload = () => resolve(picture);
    picture.onerror = () => resolve(null);
    picture.src = address;
  });
  return { bytes, heat, legend, svg, data, image };
})();
