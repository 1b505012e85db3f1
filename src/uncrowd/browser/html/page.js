"use strict";
// The page: takes an image, has it detected in, and shows what was found.

const at = (id) => document.getElementById(id);
// image: {name, bitmap, detections, milliseconds} of what is shown. turn: counts the images that were given.
const state = { image: null, turn: 0 };

const detector = new Detector(ABOUT, (share) => say(`The detector is being read: ${Math.round(100 * share)} %.`));
detector.ready.then(
  () => { if (state.turn === 0) say("The detector is ready."); },
  (error) => complain(error.message),
);

function say(sentence) {
  at("status").textContent = sentence;
}

function complain(sentence) {
  at("problem").textContent = sentence;
  at("problem").hidden = sentence === "";
}

/** Returns the pixels of an image as a canvas has them: RGBA, turned as EXIF says. */
function pixelsOf(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

/** Detects in a file and shows it. A later file takes the place of an earlier one that is still being detected in. */
async function take(file) {
  const turn = ++state.turn;
  complain("");
  say(`Detecting in ${file.name}.`);
  try {
    const { bitmap, pixels } = await readImage(file);
    const { detections, milliseconds } = await detector.detect(pixels);
    if (turn !== state.turn) return;
    state.image = { name: file.name, bitmap, detections, milliseconds };
    say(`${file.name}, ${bitmap.width} x ${bitmap.height} pixels, took ${(milliseconds / 1000).toFixed(1)} seconds.`);
    show();
  } catch (error) {
    if (turn !== state.turn) return;
    say("");
    complain(error.message);
  }
}

async function readImage(file) {
  try {
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    return { bitmap, pixels: pixelsOf(bitmap) };
  } catch {
    throw new Error(`${file.name} is no image that this browser can read, or is too large; give a PNG, JPEG or WebP.`);
  }
}

/** Returns the least score of each class. */
function thresholds() {
  const same = ABOUT.names.map(() => Number(at("threshold").value));
  return at("of-each-class").checked ? ABOUT.thresholds : same;
}

function shown() {
  const least = thresholds();
  return state.image.detections.filter(({ label, score }) => score >= least[label]);
}

function show() {
  const ofEachClass = at("of-each-class").checked;
  at("least").textContent = ofEachClass ? "by class" : Number(at("threshold").value).toFixed(2);
  if (state.image === null) return;
  const detections = shown();
  const counts = ABOUT.names.map((_, label) => detections.filter((one) => one.label === label).length);
  at("result").hidden = false;
  at("summary").textContent = detections.length === 1 ? "1 object" : `${detections.length} objects`;
  at("best").textContent = detections.length > 0 ? "" : bestScore();
  at("counts").replaceChildren(...counts.map((count, label) => row(named(label), count)));
  at("rows").replaceChildren(...detections.map(({ label, score, box }) =>
    row(named(label), score.toFixed(2), box.map((side) => Math.round(side)).join(", "))));
  draw(at("drawing"), state.image.bitmap, detections, ABOUT.names);
}

function bestScore() {
  const [best] = state.image.detections;
  return best === undefined ? "" : `The highest score is ${best.score.toFixed(2)} (${ABOUT.names[best.label]}).`;
}

/** Returns the name of a class beside a dot of its colour. */
function named(label) {
  const dot = document.createElement("span");
  dot.className = "dot";
  dot.style.background = labelColour(label);
  return [dot, ABOUT.names[label]];
}

function row(head, ...cells) {
  const made = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.append(...head);
  made.append(name, ...cells.map((content) => {
    const cell = document.createElement("td");
    cell.textContent = content;
    return cell;
  }));
  return made;
}

/** Takes the first image of what was dropped or pasted; says so when there is none. */
function takeFrom(transfer, done) {
  const files = [...(transfer?.files ?? [])];
  if (files.length === 0) complain(`What was ${done} is no file; give an image file, or copy an image.`);
  else take(files.find(({ type }) => type.startsWith("image/")) ?? files[0]);
}

function saveAs(ending, type, write) {
  const { name } = state.image;
  save(`${name.replace(/\.[^.]*$/, "")}.${ending}`, write(name, shown(), ABOUT), type);
}

document.title = `Find ${ABOUT.names.slice(0, 3).join(", ")}${ABOUT.names.length > 3 ? " and more" : ""}`;
at("title").textContent = document.title;
at("threshold").value = ABOUT.threshold;
at("own").hidden = ABOUT.thresholds === null;
at("of-each-class").checked = ABOUT.thresholds !== null;
at("of-each-class").addEventListener("change", show);
at("threshold").addEventListener("input", () => {
  at("of-each-class").checked = false;
  show();
});
at("file").addEventListener("change", ({ target }) => {
  if (target.files.length > 0) take(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
at("json").addEventListener("click", () => saveAs("json", "application/json", toJson));
at("csv").addEventListener("click", () => saveAs("csv", "text/csv", toCsv));
addEventListener("resize", show); // captions can be read at any width
document.addEventListener("paste", ({ clipboardData }) => takeFrom(clipboardData, "pasted"));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  at("choose").classList.add("over");
});
document.addEventListener("dragleave", () => at("choose").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("choose").classList.remove("over");
  takeFrom(event.dataTransfer, "dropped");
});
show();
