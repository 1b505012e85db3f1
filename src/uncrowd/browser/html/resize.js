"use strict";
// Resizes an image to the input of the network, to the bit as torchvision does for uint8 on a processor with AVX2:
// bilinear with antialias, weights as 16-bit integers, first along rows and then along columns. A browser's own resizing
// has other filters, which would change scores and boxes.

/** Returns [height, width] of the network's input: see `resized_size` in uncrowd's data/transforms.py. */
function resizedSize(height, width, { short_side, max_size }) {
  const scale = short_side / Math.min(height, width);
  const [newHeight, newWidth] = height < width ? [short_side, scale * width] : [scale * height, short_side];
  const shrink = Math.min(1, max_size / Math.max(newHeight, newWidth));
  return [newHeight, newWidth].map((side) => Math.max(1, Math.floor(side * shrink + 0.5)));
}

/** Returns for each new pixel of a line where its source begins, and the weights of the source as integers / 2 ** bits. */
function resizeWeights(side, newSide) {
  const scale = side / newSide;
  const reach = Math.max(1, scale);
  const lines = Array.from({ length: newSide }, (_, index) => {
    const centre = scale * (index + 0.5);
    const begin = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(side, Math.trunc(centre + reach + 0.5));
    const raw = Array.from({ length: end - begin }, (_, at) =>
      Math.max(0, 1 - Math.abs((at + begin - centre + 0.5) / reach)));
    const total = raw.reduce((sum, weight) => sum + weight, 0);
    return { begin, weights: raw.map((weight) => weight / total) };
  });
  const largest = Math.max(...lines.map(({ weights }) => Math.max(...weights)));
  let bits = 0;
  while (bits < 22 && Math.trunc(0.5 + largest * 2 ** (bits + 1)) < 2 ** 15) bits++;
  for (const line of lines) line.weights = Int16Array.from(line.weights, (weight) => Math.trunc(0.5 + weight * 2 ** bits));
  return { lines, bits };
}

/**
 * Resizes one plane of bytes along its rows or columns.
 * The value at (line, place) of `from` is at line * from.line + place * from.place, plus from.offset; so in `to`.
 */
function resizeAlong(source, from, target, to, count, { lines, bits }) {
  const half = 1 << (bits - 1);
  for (let place = 0; place < lines.length; place++) {
    const { begin, weights } = lines[place];
    for (let line = 0; line < count; line++) {
      let sum = half;
      let at = from.offset + line * from.line + begin * from.place;
      for (let index = 0; index < weights.length; index++, at += from.place) sum += source[at] * weights[index];
      const value = sum >> bits;
      target[to.offset + line * to.line + place * to.place] = value > 255 ? 255 : value;
    }
  }
}

/**
 * Returns the pixels that the network gets, (3, height, width) RGB as bytes.
 * image: {data, width, height} as of a canvas: RGBA as bytes, row by row.
 */
function resize({ data, width, height }, preprocessing) {
  const [newHeight, newWidth] = resizedSize(height, width, preprocessing);
  const across = resizeWeights(width, newWidth);
  const down = resizeWeights(height, newHeight);
  const between = new Uint8Array(height * newWidth);
  const pixels = new Uint8Array(3 * newHeight * newWidth);
  for (let channel = 0; channel < 3; channel++) {
    const rgba = { offset: channel, line: 4 * width, place: 4 };
    resizeAlong(data, rgba, between, { offset: 0, line: newWidth, place: 1 }, height, across);
    const plane = { offset: channel * newHeight * newWidth, line: 1, place: newWidth };
    resizeAlong(between, { offset: 0, line: 1, place: newWidth }, pixels, plane, newWidth, down);
  }
  return { pixels, height: newHeight, width: newWidth };
}
