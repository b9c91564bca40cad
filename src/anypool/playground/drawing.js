// Tables of numbers on canvases: as grey pixels or as numbers, with the padding around them, a window, and shares of
// gradients.
"use strict";

const Drawing = (() => {
  const SMALLEST_WITH_TEXT = 22; // pixels of a cell

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  /** A number as people write it: integers whole, others with four significant digits. */
  function text(number) {
    if (!Number.isFinite(number)) return Number.isNaN(number) ? "NaN" : number > 0 ? "∞" : "−∞";
    const size = Math.abs(number);
    const said =
      Number.isInteger(number) && size < 1e6
        ? String(number)
        : size < 1e-4 && size > 0
          ? number.toExponential(1)
          : String(Number(number.toPrecision(4)));
    return said.replace("-", "−");
  }

  /** A share of a gradient: 1/9 where it is one, else a number. */
  function share(number) {
    const parts = Math.round(1 / Math.abs(number));
    const isPart = parts > 1 && parts < 200 && Math.abs(Math.abs(number) * parts - 1) < 1e-9;
    return isPart ? `${number < 0 ? "−" : ""}1/${parts}` : text(number);
  }

  /** A canvas of `side` pixels at most that shows positions [top, bottom) × [left, right). */
  function board(element, { top, bottom, left, right }) {
    const canvas = element.querySelector("canvas");
    const side = Math.max(40, element.clientWidth);
    const cell = side / Math.max(bottom - top, right - left);
    const [width, height] = [cell * (right - left), cell * (bottom - top)];
    const density = window.devicePixelRatio || 1;
    Object.assign(canvas, { width: Math.round(width * density), height: Math.round(height * density) });
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    const pen = canvas.getContext("2d");
    pen.scale(density, density);
    pen.imageSmoothingEnabled = false;
    const x = (column) => (column - left) * cell;
    const y = (row) => (row - top) * cell;
    return { canvas, pen, cell, x, y, top, bottom, left, right, longest: 1 };
  }

  /** Which position is under a pointer. */
  function positionAt(to, event) {
    const box = to.canvas.getBoundingClientRect();
    return {
      row: to.top + ((event.clientY - box.top) / box.height) * (to.bottom - to.top),
      column: to.left + ((event.clientX - box.left) / box.width) * (to.right - to.left),
    };
  }

  /** Stripes, where nothing is: around rows × columns of cells. */
  function stripes(to, rows, columns) {
    const { pen, canvas, cell } = to;
    const [width, height] = [parseFloat(canvas.style.width), parseFloat(canvas.style.height)];
    pen.fillStyle = colour("rail");
    pen.fillRect(0, 0, width, height);
    pen.strokeStyle = colour("line");
    pen.lineWidth = 1;
    pen.beginPath();
    for (let at = -height; at < width; at += 7) pen.moveTo(at, height), pen.lineTo(at + height, 0);
    pen.stroke();
    pen.fillStyle = colour("card");
    pen.fillRect(to.x(0), to.y(0), columns * cell, rows * cell);
  }

  /** Pixels from `paint(row, column)`, which gives [red, green, blue, opacity] or null, each as large as a cell. */
  function pixels(to, rows, columns, paint, row = 0, column = 0) {
    const image = new ImageData(columns, rows);
    for (let place = 0; place < rows * columns; place += 1) {
      const painted = paint(row + Math.floor(place / columns), column + (place % columns));
      if (painted) image.data.set(painted, 4 * place);
    }
    const sheet = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
    sheet.getContext("2d").putImageData(image, 0, 0);
    to.pen.drawImage(sheet, to.x(column), to.y(row), columns * to.cell, rows * to.cell);
  }

  /** One cell as a card with a number, no larger than the longest of the board (`longest` characters) allows. */
  function number(to, row, column, said, { fill = "card", ink = "ink", faint = false } = {}) {
    const { pen, cell } = to;
    const gap = Math.min(1.5, cell / 20);
    pen.globalAlpha = faint ? 0.55 : 1;
    pen.fillStyle = fill.startsWith("rgb") ? fill : colour(fill);
    pen.beginPath();
    pen.roundRect(to.x(column) + gap, to.y(row) + gap, cell - 2 * gap, cell - 2 * gap, cell / 10);
    pen.fill();
    pen.fillStyle = colour(ink);
    const size = Math.min(44, cell * 0.4, (cell * 1.45) / Math.max(said.length, to.longest, 1));
    if (cell >= SMALLEST_WITH_TEXT) {
      pen.font = `600 ${size}px system-ui, sans-serif`;
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.fillText(said, to.x(column + 0.5), to.y(row + 0.52), cell * 0.92);
    }
    pen.globalAlpha = 1;
  }

  /** A frame that can be seen on any picture. */
  function frame(to, row, column, rows, columns, { name = "window", width = 3, dashed = false, halo = true } = {}) {
    const { pen, cell } = to;
    const place = [to.x(column), to.y(row), columns * cell, rows * cell];
    const inset = (by) => [place[0] + by, place[1] + by, Math.max(place[2] - 2 * by, 1), Math.max(place[3] - 2 * by, 1)];
    pen.setLineDash(dashed ? [5, 4] : []);
    const lines = halo && !dashed ? [["card", width + 2], [name, width]] : [[name, width]];
    for (const [ink, line] of lines) {
      pen.strokeStyle = colour(ink);
      pen.lineWidth = line;
      pen.strokeRect(...inset(Math.min(width / 2, cell / 4)));
    }
    pen.setLineDash([]);
  }

  /** Red, green and blue of a style's colour. */
  function rgb(name) {
    const digits = colour(name).slice(1);
    return [0, 2, 4].map((at) => parseInt(digits.slice(at, at + 2), 16));
  }

  return { text, share, board, positionAt, stripes, pixels, number, frame, rgb, colour, SMALLEST_WITH_TEXT };
})();
