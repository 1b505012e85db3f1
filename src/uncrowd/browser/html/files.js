"use strict";
// Detections as files, with the content that `uncrowd predict` writes.

/** Returns detections.json. image: the name of the file. about: ABOUT. */
function toJson(image, detections, { names, ids }) {
  const rounded = (value, digits) => Number(value.toFixed(digits));
  const rows = detections.map(({ label, score, box }) => ({
    class: names[label],
    category_id: ids[label],
    score: rounded(score, 4),
    box_xyxy: box.map((side) => rounded(side, 2)),
  }));
  return `${JSON.stringify([{ image, detections: rows }], null, 1)}\n`;
}

/** Returns detections.csv, a row for each detection. */
function toCsv(image, detections, { names, ids }) {
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = detections.map(({ label, score, box }) =>
    [quoted(image), quoted(names[label]), ids[label], score.toFixed(4), ...box.map((side) => side.toFixed(2))]);
  return [["image", "class", "category_id", "score", "x1", "y1", "x2", "y2"], ...rows].map((row) => `${row}\n`).join("");
}

/** Lets the browser save a text as a file. */
function save(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
