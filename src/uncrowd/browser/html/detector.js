"use strict";
// Runs the detector with ONNX Runtime in a worker, so that the page stays usable while it detects.
// The folder may lie on a disk, from which a page can read scripts only; so each file comes as scripts of base64.

let takeBytes; // what the script that is being read calls with its base64

/** Reads a script of `data/`. Throws when it is missing or damaged. */
function readScript(path) {
  return new Promise((resolve, reject) => {
    takeBytes = (base64) => resolve(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)));
    const script = document.createElement("script");
    script.src = path;
    script.onerror = () => reject(new Error(`${path} is missing beside this page; copy the whole folder.`));
    script.onload = () => {
      script.remove();
      reject(new Error(`${path} is damaged; copy the whole folder again.`)); // unless it has called takeBytes
    };
    document.head.append(script);
  });
}

/** Returns the content of a file of ABOUT.files. told: is called with the number of bytes of each script. */
async function readFile({ bytes, scripts }, told) {
  const content = new Uint8Array(bytes);
  let end = 0;
  for (const path of scripts) {
    const part = await readScript(path);
    content.set(part, end);
    end += part.length;
    told(part.length);
  }
  return content;
}

/** The code of the worker, after ONNX Runtime's own script. */
function inWorker() {
  let session;
  const start = async ({ loader, wasm, model }) => {
    const url = URL.createObjectURL(new Blob([loader], { type: "text/javascript" }));
    Object.assign(ort.env.wasm, { numThreads: 1, wasmPaths: { mjs: url }, wasmBinary: wasm });
    session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  };
  const detect = async ({ pixels, height, width, proposals }) => {
    const whole = (...values) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [values.length]);
    const given = {
      images: new ort.Tensor("uint8", pixels, [1, 3, height, width]),
      sizes: whole(height, width).reshape([1, 2]),
    };
    if (proposals !== null) given.proposals = whole(proposals);
    const { boxes, scores, labels } = await session.run(given);
    return { boxes: boxes.data, scores: scores.data, labels: Array.from(labels.data, Number) };
  };
  onmessage = async ({ data: { id, task, given } }) => {
    try {
      const began = performance.now();
      const found = await { start, detect }[task](given);
      postMessage({ id, found, milliseconds: performance.now() - began });
    } catch (error) {
      postMessage({ id, error: String(error?.message ?? error) });
    }
  };
}

/** A detector, which it begins to read at once; `detect` waits until it is ready. */
class Detector {
  #asked = 0;
  #waiting = new Map();
  #worker;

  /** about: ABOUT. told: is called with the share of the files that is read, from 0 to 1. */
  constructor(about, told) {
    this.about = about;
    this.ready = this.#start(told); // a promise
  }

  async #start(told) {
    const { files } = this.about;
    const all = Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0);
    let read = 0;
    const content = {};
    for (const [name, file] of Object.entries(files)) {
      content[name] = await readFile(file, (bytes) => told((read += bytes) / all));
    }
    const code = [content.script, `\n(${inWorker})();`];
    this.#worker = new Worker(URL.createObjectURL(new Blob(code, { type: "text/javascript" })));
    this.#worker.onmessage = ({ data: { id, error, ...answer } }) => {
      const [resolve, reject] = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) resolve(answer);
      else reject(new Error(`ONNX Runtime says: ${error}`));
    };
    this.#worker.onerror = ({ message }) => {
      for (const [, reject] of this.#waiting.values()) reject(new Error(`The worker has stopped: ${message}`));
    };
    const { loader, wasm, model } = content;
    await this.#ask("start", { loader, wasm, model }, [wasm.buffer, model.buffer]);
  }

  #ask(task, given, transferred) {
    return new Promise((resolve, reject) => {
      const id = this.#asked++;
      this.#waiting.set(id, [resolve, reject]);
      this.#worker.postMessage({ id, task, given }, transferred);
    });
  }

  /** Returns what is in an image, {data, width, height} as of a canvas: boxes in its pixels, best first. */
  async detect(image) {
    const resized = resize(image, this.about.preprocessing);
    const { found, milliseconds } = await this.detectResized(resized);
    const { boxes, scores, labels } = found;
    if (![...boxes, ...scores].every(Number.isFinite)) {
      throw new Error("The detector's boxes or scores are not finite; its weights are damaged.");
    }
    const scale = [image.width / resized.width, image.height / resized.height];
    const most = [image.width, image.height];
    const detections = labels.map((label, index) => ({
      label,
      score: scores[index],
      box: [0, 1, 2, 3].map((side) => Math.min(Math.max(boxes[4 * index + side] * scale[side % 2], 0), most[side % 2])),
    }));
    return { detections: detections.filter(({ box: [x1, y1, x2, y2] }) => x2 > x1 && y2 > y1), milliseconds };
  }

  /** Returns boxes (4 numbers each, in network pixels), scores and labels for the pixels that the network gets. */
  async detectResized({ pixels, height, width }) {
    await this.ready;
    return this.#ask("detect", { pixels, height, width, proposals: this.about.proposals }, [pixels.buffer]);
  }
}
