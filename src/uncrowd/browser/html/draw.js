"use strict";
// Draws detections on an image, in the colours of uncrowd's visualize/draw.py.

// Okabe and Ito's hues, brightened: they stand out on photographs and stay distinct for the colour-blind.
const PALETTE = [
  "#ffb000", "#40c4ff", "#ff5278", "#39dc82", "#ffee46", "#be78ff",
  "#ff7828", "#00e1d7", "#f096dc", "#afeb3c", "#4678ff", "#d7af8c",
];
// Small images are enlarged to this long side, so that captions can be read; larger ones than the second are reduced.
const [READABLE, LARGEST] = [1280, 2560];

/** Returns the colour of a label; beyond the palette, hues are a golden angle apart. */
function labelColour(label) {
  return PALETTE[label] ?? `hsl(${((label * 0.618034) % 1) * 360} 80% 65%)`;
}

/** Draws the image and the detections, best first; a caption stands where it hides no other. names: of the classes. */
function draw(canvas, image, detections, names) {
  const longest = Math.max(image.width, image.height);
  const scale = Math.min(Math.max(1, READABLE / longest), LARGEST / longest);
  [canvas.width, canvas.height] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const onScreen = Math.max(canvas.width / canvas.clientWidth, canvas.height / canvas.clientHeight); // one of its pixels
  const line = Math.max(2, 1.5 * onScreen, Math.min(canvas.width, canvas.height) / 300);
  for (const { label, box } of [...detections].reverse()) {
    const [x1, y1, x2, y2] = box.map((side) => side * scale);
    for (const [width, colour] of [[line * 1.8, "rgb(0 0 0 / 55%)"], [line, labelColour(label)]]) {
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    }
  }
  const size = Math.max(12, 11 * onScreen, Math.min(canvas.width, canvas.height) / 48);
  drawCaptions(context, canvas, detections, scale, names, size);
}

function drawCaptions(context, canvas, detections, scale, names, size) {
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const taken = [];
  for (const { label, score, box } of detections) {
    const text = `${names[label]} ${score.toFixed(2)}`;
    const [width, height] = [context.measureText(text).width + size * 0.7, size * 1.45];
    const left = Math.min(Math.max(0, box[0] * scale), Math.max(0, canvas.width - width));
    const places = [box[1] * scale - height, box[1] * scale, box[3] * scale];
    const top = places.find((y) => y >= 0 && y + height <= canvas.height &&
      !taken.some((other) => Math.abs(other.top - y) < height && left < other.right && other.left < left + width));
    if (top === undefined) continue;
    taken.push({ top, left, right: left + width });
    context.fillStyle = labelColour(label);
    context.fillRect(left, top, width, height);
    context.fillStyle = "#111";
    context.fillText(text, left + size * 0.35, top + height / 2);
  }
}
