// The page: settings from its controls, the window that is moved, and what is drawn and said of it.
"use strict";

const Playground = (() => {
  const DATA = JSON.parse(document.getElementById("data").textContent);
  const DEFINITIONS = Object.fromEntries(DATA.operators.map((each) => [each.name, each]));
  const MOST_NUMBERS = 12;
  const MOST_CELLS_SHOWN = 144;
  const $ = (id) => document.getElementById(id);
  const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

  const picture = {
    rows: DATA.picture.rows,
    columns: DATA.picture.columns,
    values: Array.from(atob(DATA.picture.bytes), (each) => each.charCodeAt(0)),
  };
  let numbers = tableOf(DATA.numbers);
  let place = [0, 0]; // the output that is looked at
  let current = null; // what is shown: table, settings, axes, result, total
  let boards = {};

  function tableOf(rows) {
    return { rows: rows.length, columns: rows[0].length, values: rows.flat() };
  }

  // -----------------------------------------------------------------------------------------------------------------
  // Settings

  /** Settings whose fields have the defaults of the Python class where nothing is said. */
  function complete(settings) {
    const definition = DEFINITIONS[settings.operator];
    const defaults = Object.fromEntries(definition.fields.map((each) => [each.name, each.default]));
    return { ...settings, fields: { ...defaults, ...settings.fields }, needsElement: definition.needsElement };
  }

  function readSettings() {
    const number = (id) => Number($(id).value);
    const amount = $("amount").value;
    const fields = {};
    for (const control of $("fields").querySelectorAll("[data-field]")) {
      fields[control.dataset.field] =
        control.type === "checkbox" ? control.checked : control.type === "range" ? Number(control.value) : JSON.parse(control.value);
    }
    return complete({
      operator: $("operator").value,
      fields,
      size: number("size"),
      stride: number("stride"),
      dilation: number("dilation"),
      padding: amount === "explicit" ? number("padding") : amount,
      mode: $("mode").value,
      ceil: $("ceil").checked,
    });
  }

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  /** A control for a field of the operator: a slider, a box to tick or a choice. */
  function controlFor(field) {
    const id = `field-${field.name}`;
    const name = make("span", { textContent: field.name });
    let control, label;
    if ("low" in field) {
      control = make("input", { type: "range", id, min: field.low, max: field.high, step: field.step });
      control.value = field.default;
      label = make("label", { className: "slider" }, name, control, make("output"));
    } else if (typeof field.default === "boolean") {
      control = make("input", { type: "checkbox", id, checked: field.default });
      label = make("label", { className: "check" }, control, name);
    } else {
      const options = field.choices.map((each) => make("option", { value: JSON.stringify(each), textContent: each }));
      control = make("select", { id }, ...options);
      control.value = JSON.stringify(field.default);
      label = make("label", { className: "field" }, name, control);
    }
    control.dataset.field = field.name;
    return label;
  }

  function chooseOperator(name) {
    $("operator").value = name;
    const shown = DEFINITIONS[name].fields.filter((each) => "low" in each || "choices" in each);
    $("fields").replaceChildren(...shown.map(controlFor));
    $("formula").textContent = DEFINITIONS[name].formula;
  }

  function showSettings() {
    for (const slider of document.querySelectorAll(".slider input")) {
      slider.nextElementSibling.textContent = Drawing.text(Number(slider.value));
    }
    $("padding").disabled = $("ceil").disabled = $("amount").value !== "explicit";
    $("edit").hidden = chosen("data") !== "numbers";
  }

  /** The table in the text area; what is no table is said there. */
  function readNumbers() {
    const rows = $("table").value.trim().split(/\n+/).map((line) => line.trim().split(/[\s,;]+/).map((each) => Number(each.replace("−", "-"))));
    const widths = new Set(rows.map((row) => row.length));
    const fits = widths.size === 1 && rows.length <= MOST_NUMBERS && rows[0].length <= MOST_NUMBERS;
    const valid = fits && rows.flat().every(Number.isFinite);
    $("table").setCustomValidity(valid ? "" : `Rows of equally many numbers, at most ${MOST_NUMBERS}×${MOST_NUMBERS}`);
    $("table").setAttribute("aria-invalid", String(!valid));
    if (valid) numbers = tableOf(rows);
    else $("table").reportValidity();
    return valid;
  }

  // -----------------------------------------------------------------------------------------------------------------
  // Computing

  function update() {
    showSettings();
    const table = chosen("data") === "picture" ? picture : numbers;
    const settings = readSettings();
    try {
      const axes = Pooling.plan(table, settings);
      const result = Pooling.pool(table, settings);
      current = { table, settings, axes, result, total: null };
    } catch (error) {
      if (!(error instanceof Pooling.Refused)) throw error;
      $("refused").textContent = error.message;
      $("refused").hidden = false;
      document.body.classList.add("stale");
      return;
    }
    $("refused").hidden = true;
    document.body.classList.remove("stale");
    sayOnce();
    moveTo(...place);
  }

  function moveTo(i, j) {
    const clamp = (at, axis) => Math.max(0, Math.min(at, axis.outputs - 1));
    place = [clamp(i, current.axes[0]), clamp(j, current.axes[1])];
    current.window = Pooling.output(current.table, current.axes, current.settings, ...place);
    draw();
    sayOfWindow();
  }

  // -----------------------------------------------------------------------------------------------------------------
  // Drawing

  const isPicture = () => current.table === picture;
  const byte = (value) => Math.round(Math.max(0, Math.min(255, value)));

  /** What the input shows of a position in place of its value; null for the value. */
  function gradientShown() {
    const view = chosen("view");
    if (view === "values") return null;
    if (view === "all") return (current.total ??= Pooling.gradient(current.table, current.settings).values);
    const shares = current.table.values.map(() => 0);
    current.window.shares().forEach((share, k) => {
      const source = current.window.sources[k];
      if (source >= 0) shares[source] += share;
    });
    return shares;
  }

  function draw() {
    const { axes, table, settings } = current;
    const ends = axes.map((axis) => Math.max(axis.length + axis.after, (axis.outputs - 1) * axis.stride - axis.before + axis.span));
    const extent = { top: -axes[0].before, left: -axes[1].before, bottom: ends[0], right: ends[1] };
    boards.input = Drawing.board($("input"), extent);
    Drawing.stripes(boards.input, table.rows, table.columns);
    const gradient = gradientShown();
    (isPicture() ? drawPicture : drawNumbers)(boards.input, table, settings, gradient);
    drawWindow(boards.input);

    const result = current.result;
    boards.output = Drawing.board($("output"), { top: 0, left: 0, bottom: result.rows, right: result.columns });
    if (isPicture()) {
      const [least, span] = scaleOf(result.values);
      Drawing.pixels(boards.output, result.rows, result.columns, (row, column) => {
        const grey = byte((255 * (result.values[row * result.columns + column] - least)) / span);
        return [grey, grey, grey, 255];
      });
    } else {
      boards.output.longest = longestOf(result.values.map(Drawing.text));
      result.values.forEach((value, at) => {
        const here = [Math.floor(at / result.columns), at % result.columns];
        const looked = here[0] === place[0] && here[1] === place[1];
        Drawing.number(boards.output, ...here, Drawing.text(value), { fill: looked ? "tint" : "rail" });
      });
    }
    Drawing.frame(boards.output, ...place, 1, 1, { width: isPicture() && boards.output.cell < 12 ? 2 : 3 });
  }

  /** From black to white: bytes as they are, other values from their least to their greatest. */
  function scaleOf(values) {
    const finite = values.filter(Number.isFinite);
    const least = finite.reduce((a, b) => Math.min(a, b), Infinity);
    const greatest = finite.reduce((a, b) => Math.max(a, b), -Infinity);
    const bytes = least >= 0 && greatest <= 255 && greatest > 32;
    return bytes ? [0, 255] : [least, greatest - least || 1];
  }

  function everyCell(to, table, settings, each) {
    const [rows, columns] = current.axes.map((axis) => {
      const whole = { ...axis, size: axis.before + axis.length + axis.after, stride: 1, dilation: 1 };
      return Pooling.reads(whole, 0, settings.mode);
    });
    rows.forEach((row) => columns.forEach((column) => each(Pooling.cellAt(table, row, column, settings.mode))));
  }

  const longestOf = (texts) => texts.reduce((most, each) => Math.max(most, each.length), 1);

  function largest(gradient) {
    return gradient.reduce((most, each) => Math.max(most, Math.abs(each)), 0) || 1;
  }

  function drawPicture(to, table, settings, gradient) {
    const { rows, columns } = table;
    const painted = new Map();
    everyCell(to, table, settings, (cell) => cell.counts && painted.set(`${cell.row},${cell.column}`, cell));
    const most = gradient && largest(gradient);
    const [positive, negative] = [Drawing.rgb("back"), Drawing.rgb("against")];
    const [height, width] = current.axes.map((axis) => axis.before + axis.length + axis.after);
    const start = [-current.axes[0].before, -current.axes[1].before];
    const paint = (row, column) => {
      const cell = painted.get(`${row},${column}`);
      if (!cell) return null;
      const grey = byte(cell.value);
      return [grey, grey, grey, cell.kind === "element" ? (gradient ? 110 : 255) : gradient ? 60 : 150];
    };
    Drawing.pixels(to, height, width, paint, ...start);
    if (!gradient) return;
    Drawing.pixels(to, rows, columns, (row, column) => {
      const share = gradient[row * columns + column] / most;
      return share ? [...(share > 0 ? positive : negative), Math.round(60 + 195 * Math.abs(share))] : null;
    });
  }

  function drawNumbers(to, table, settings, gradient) {
    const read = new Set(current.window.read.flat().map((cell) => `${cell.row},${cell.column}`));
    const most = gradient && largest(gradient);
    to.longest = longestOf(gradient ? gradient.map(Drawing.share) : table.values.map(Drawing.text));
    everyCell(to, table, settings, (cell) => {
      if (!cell.counts) return;
      const inside = cell.kind === "element";
      const share = gradient && inside ? gradient[cell.source] : null;
      const reads = read.has(`${cell.row},${cell.column}`);
      const style = { fill: reads ? "tint" : inside ? "rail" : "card", faint: !inside };
      if (share) {
        const [ink, strength] = [Drawing.rgb(share > 0 ? "back" : "against"), Math.abs(share) / most];
        const under = Drawing.rgb("card");
        style.fill = `rgb(${ink.map((each, k) => Math.round(under[k] + (each - under[k]) * (0.2 + 0.6 * strength))).join(" ")})`;
        style.ink = strength > 0.5 ? "card" : "ink";
      }
      const said = gradient && inside ? Drawing.share(share) : Drawing.text(cell.value);
      Drawing.number(to, cell.row, cell.column, said, style);
    });
  }

  function drawWindow(to) {
    const [rows, columns] = current.axes;
    const start = [rows, columns].map((axis, number) => place[number] * axis.stride - axis.before);
    const apart = rows.dilation > 1 && rows.size > 1;
    if (apart) {
      const width = to.cell < 12 ? 1.5 : 2;
      for (const cell of current.window.read.flat()) {
        Drawing.frame(to, cell.row, cell.column, 1, 1, { width, halo: to.cell >= 6 });
      }
    }
    Drawing.frame(to, ...start, rows.span, columns.span, { dashed: apart, width: apart ? 1.5 : 3 });
  }

  // -----------------------------------------------------------------------------------------------------------------
  // Saying

  function sayOnce() {
    const { table, axes, settings, result } = current;
    $("input-size").textContent = `${table.rows} × ${table.columns}`;
    const [least, span] = scaleOf(result.values);
    $("output-size").textContent = `${result.rows} × ${result.columns}`;
    $("scale").textContent = isPicture() ? `, black ${Drawing.text(least)}, white ${Drawing.text(least + span)}` : "";
    $("size-formula").textContent = `outputs = ${Explain.sizeFormula(axes[0])}`;
    const alike = axes[0].length === axes[1].length;
    const names = alike ? [["Rows and columns", "row and the last column"]] : [["Rows", "row"], ["Columns", "column"]];
    $("sizes").replaceChildren(
      ...names.map(([title, one], number) =>
        make(
          "p",
          {},
          make("b", { textContent: `${title}, n = ${axes[number].length}: ` }),
          make("span", { className: "arithmetic", textContent: Explain.sizeArithmetic(axes[number]) }),
          Explain.sizeNotes(axes[number], one),
        ),
      ),
    );
    $("call").textContent = `import anypool as ap\n\n${Explain.call(settings, DEFINITIONS[settings.operator])}`;
  }

  function sayOfWindow() {
    const { window: seen, axes, settings } = current;
    $("result").replaceChildren(
      `${Explain.reading(seen, axes, settings, ...place)} `,
      make("span", { className: "arithmetic", textContent: Explain.arithmetic(seen, settings, DEFINITIONS[settings.operator]) }),
    );
    $("way-back").textContent = Explain.wayBack(seen);
    const many = seen.read.length * seen.read[0].length > MOST_CELLS_SHOWN;
    const shares = [...seen.shares()];
    const rows = seen.read.map((row) => make("tr", {}, ...row.map((cell) => elementCell(cell, cell.counts ? shares.shift() : null))));
    $("elements").replaceChildren(...(many ? [] : rows));
  }

  function elementCell(cell, share) {
    if (!cell.counts) {
      const name = cell.kind === "beyond" ? "past the end" : "padding";
      return make("td", { className: "none", title: name }, "–", make("small", { textContent: name }));
    }
    const takes = share !== 0 && cell.source >= 0;
    const name = `row ${cell.row}, column ${cell.column}: ${Drawing.text(cell.value)}, gradient ${Drawing.share(share)}`;
    const small = make("small", { textContent: cell.source < 0 ? "padding" : Drawing.share(share) });
    return make("td", { className: takes ? "reads takes" : "reads", title: name }, Drawing.text(cell.value), small);
  }

  // -----------------------------------------------------------------------------------------------------------------
  // Moving

  /** The output whose window has its middle nearest to a position. */
  function outputAt(at, axis) {
    return Math.round((at - axis.span / 2 + axis.before) / axis.stride);
  }

  function pointed(id, event) {
    const at = Drawing.positionAt(boards[id], event);
    if (id === "output") return moveTo(Math.floor(at.row), Math.floor(at.column));
    return moveTo(outputAt(at.row, current.axes[0]), outputAt(at.column, current.axes[1]));
  }

  const MOVES = {
    ArrowUp: ([i, j]) => [i - 1, j],
    ArrowDown: ([i, j]) => [i + 1, j],
    ArrowLeft: ([i, j]) => [i, j - 1],
    ArrowRight: ([i, j]) => [i, j + 1],
    Home: ([i]) => [i, 0],
    End: ([i]) => [i, Infinity],
    PageUp: ([, j]) => [0, j],
    PageDown: ([, j]) => [Infinity, j],
  };

  function listen() {
    for (const id of ["input", "output"]) {
      $(id).addEventListener("pointerdown", (event) => {
        $(id).setPointerCapture(event.pointerId);
        pointed(id, event);
      });
      $(id).addEventListener("pointermove", (event) => event.buttons && pointed(id, event));
      $(id).addEventListener("keydown", (event) => {
        const move = MOVES[event.key];
        if (!move || event.ctrlKey || event.altKey || event.metaKey) return;
        event.preventDefault();
        moveTo(...move(place));
      });
    }
    $("controls").addEventListener("submit", (event) => event.preventDefault());
    $("controls").addEventListener("input", (event) => {
      if (event.target.id === "operator") chooseOperator(event.target.value);
      if (event.target.id === "table" && !readNumbers()) return;
      update();
    });
    $("view").addEventListener("input", () => moveTo(...place));
    $("copy").addEventListener("click", copy);
    new ResizeObserver(() => current && draw()).observe($("input"));
    dark.addEventListener("change", () => showTheme());
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText($("call").textContent);
      $("copy").textContent = "Copied";
    } catch {
      getSelection().selectAllChildren($("call"));
      $("copy").textContent = "Selected";
    }
    setTimeout(() => ($("copy").textContent = "Copy"), 1500);
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  let theme = "auto";

  /** Light or dark, as the reader's system is or as the page around this one says. */
  function showTheme() {
    document.documentElement.dataset.theme = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
    if (current) draw();
  }

  /** Inside another page: without the title; that page is told the height, and may say {playgroundTheme: "dark"}. */
  function embed() {
    document.documentElement.classList.add("embedded");
    addEventListener("message", ({ data }) => {
      if (!["auto", "light", "dark"].includes(data?.playgroundTheme)) return;
      theme = data.playgroundTheme;
      showTheme();
    });
    const tell = () => parent.postMessage({ playgroundHeight: document.querySelector("main").offsetHeight }, "*");
    new ResizeObserver(tell).observe(document.querySelector("main"));
  }

  function start() {
    $("operator").append(...DATA.operators.map((each) => make("option", { value: each.name, textContent: each.class })));
    chooseOperator("max");
    Object.entries({ size: 2, stride: 2, dilation: 1, padding: 0 }).forEach(([id, value]) => ($(id).value = value));
    $("table").value = DATA.numbers.map((row) => row.join(" ")).join("\n");
    showTheme();
    listen();
    update();
    if (parent !== window) embed();
  }

  start();
  return { complete, call: (settings) => Explain.call(settings, DEFINITIONS[settings.operator]) };
})();
