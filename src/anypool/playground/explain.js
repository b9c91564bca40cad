// What is said of a window, of the size of the output and of the gradient, and the same call in Python: text alone.
"use strict";

const Explain = (() => {
  const MOST_LISTED = 12;
  const { text, share } = Drawing;

  const plural = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;
  const plurals = (one) => ({ row: "rows", column: "columns" })[one] ?? "rows and columns";
  const inSum = (x) => x.map((each, i) => (i && each < 0 ? `(${text(each)})` : text(each)));

  function joined(parts, by) {
    return parts.length <= MOST_LISTED ? parts.join(by) : [...parts.slice(0, 4), "…", ...parts.slice(-2)].join(by);
  }

  /** "rows 0 to 2", or "rows 0, 2 and 4" where elements are apart. */
  function positions(name, axis, i) {
    const start = i * axis.stride - axis.before;
    const all = Array.from({ length: axis.size }, (_, j) => text(start + j * axis.dilation));
    if (all.length === 1) return `${name} ${all[0]}`;
    if (axis.dilation === 1) return `${name}s ${all[0]} to ${all.at(-1)}`;
    return `${name}s ${all.slice(0, -1).join(", ")} and ${all.at(-1)}`;
  }

  const MODES = {
    exclude: "which is no data",
    zeros: "which counts as zeros",
    reflect: "which mirrors the inside",
    replicate: "which repeats the border",
    circular: "which goes on at the other end",
  };

  /** Which positions an output reads. */
  function reading(window, axes, settings, i, j) {
    const kinds = window.read.flat().map((cell) => cell.kind);
    const [inside, padding, beyond] = ["element", "padding", "beyond"].map(
      (kind) => kinds.filter((each) => each === kind).length,
    );
    let mode = MODES[settings.mode];
    if (settings.mode === "exclude" && settings.fields.count_include_pad) mode = "counted in the divisor";
    return (
      `Output (${i}, ${j}) reads ${positions("row", axes[0], i)} and ${positions("column", axes[1], j)}: ` +
      plural(inside, "element") +
      (padding ? `, ${plural(padding, "position")} of padding, ${mode}` : "") +
      (beyond ? `, and reaches ${plural(beyond, "position")} past the end` : "") +
      "."
    );
  }

  /** How the value comes about. */
  function arithmetic(window, settings, definition) {
    const { x, y, counted } = window;
    const list = joined(x.map(text), ", ");
    const total = joined(inSum(x), " + ");
    const ordered = joined([...x].sort((a, b) => a - b).map(text), " ≤ ");
    const said = {
      max: `max(${list})`,
      min: `min(${list})`,
      average: `(${total}) / ${counted}`,
      sum: total,
      median: `the middle of ${ordered}`,
      range: x.length ? `${text(Math.max(...x))} − ${inSum([0, Math.min(...x)])[1]}` : "",
      count: "n",
    }[settings.operator];
    const fields = definition.fields.map(({ name }) => [name, settings.fields[name]]);
    const numbers = fields.filter(([, value]) => typeof value === "number").map(([name, value]) => `${name} = ${text(value)}`);
    const given = [...numbers, `n = ${x.length}`].join(", ");
    return said ? `y = ${said} = ${text(y)}` : `y = ${definition.formula} = ${text(y)}, with ${given}`;
  }

  /** Where the gradient of one output goes. */
  function wayBack(window) {
    const shares = window.shares();
    const kept = shares.filter((each, k) => each !== 0 && window.sources[k] >= 0);
    const lost = shares.filter((each, k) => each !== 0 && window.sources[k] < 0);
    if (kept.length === 0) return "Its gradient flows to no element of the input.";
    if (kept.some(Number.isNaN)) return "It has no gradient here.";
    const alike = kept.every((each) => Math.abs(each - kept[0]) < 1e-12);
    const amount = alike ? kept.length > 1 ? `${share(kept[0])} to each` : kept[0] === 1 ? "all of it" : `times ${share(kept[0])}` : "in the shares shown";
    return (
      `Its gradient flows back to ${kept.length} of ${plural(shares.length, "element")}, ${amount}.` +
      (lost.length ? ` What flows to ${plural(lost.length, "position")} of padding is lost.` : "")
    );
  }

  // -----------------------------------------------------------------------------------------------------------------
  // The size of the output

  function sizeFormula({ same, ceil }) {
    if (same) return "⌈n / s⌉";
    return ceil ? "⌈(n + p₀ + p₁ − d·(k − 1) − 1) / s⌉ + 1" : "⌊(n + p₀ + p₁ − d·(k − 1) − 1) / s⌋ + 1";
  }

  /** The formula of an axis with its numbers. */
  function sizeArithmetic(axis) {
    const { length, size, stride, dilation, before, after, room, rounded, ceil } = axis;
    if (axis.same) return `⌈${length} / ${stride}⌉ = ${axis.outputs}`;
    const [open, close] = ceil ? "⌈⌉" : "⌊⌋";
    const long = `${open}(${length} + ${before} + ${after} − ${dilation}·(${size} − 1) − 1) / ${stride}${close} + 1`;
    return `${long} = ${open}${text(room)} / ${stride}${close} + 1 = ${text(rounded - 1)} + 1 = ${rounded}`;
  }

  /** What rounding does to an axis, in sentences. */
  function sizeNotes(axis, one) {
    const { length, stride, dilation, size, before, after, outputs, room, ceil } = axis;
    const notes = [];
    if (axis.same) {
      notes.push(`Padding is ${before} before and ${after} after.`);
    } else if (room % stride !== 0) {
      const by = ceil ? "Rounded up, a last window reaches past the end." : "It is rounded down.";
      notes.push(`${text(room)} / ${stride} = ${text(room / stride)} is no integer. ${by}`);
    }
    if (axis.dropped) {
      const start = outputs * stride - before;
      notes.push(`That window would start at position ${start}, where only padding follows, and is dropped: ${outputs}.`);
    }
    const unread = length - 1 - ((outputs - 1) * stride - before + dilation * (size - 1));
    if (unread > 0) notes.push(`No window reads the last ${unread === 1 ? "" : `${unread} `}${unread === 1 ? one : plurals(one)}.`);
    return notes.join(" ");
  }

  // -----------------------------------------------------------------------------------------------------------------
  // Python

  function literal(value) {
    if (typeof value === "boolean") return value ? "True" : "False";
    return typeof value === "string" ? `"${value}"` : `${value}`;
  }

  /** The call of anypool that gives these outputs. */
  function call(settings, definition) {
    const changed = definition.fields.filter((each) => settings.fields[each.name] !== each.default);
    const fields = changed.map((each) => `${each.name}=${literal(settings.fields[each.name])}`).join(", ");
    const options = [`${settings.size}`, `stride=${settings.stride}`];
    if (settings.padding !== 0) options.push(`padding=${literal(settings.padding)}`);
    if (settings.dilation !== 1) options.push(`dilation=${settings.dilation}`);
    if (settings.ceil) options.push("ceil_mode=True");
    if (settings.mode !== "exclude") options.push(`padding_mode="${settings.mode}"`);
    return `ap.pool(x, ap.${definition.class}(${fields}), ap.Sliding(${options.join(", ")}))`;
  }

  return { reading, arithmetic, wayBack, sizeFormula, sizeArithmetic, sizeNotes, call };
})();
