// Pooling of a table of numbers: where windows are, what operators keep, and the gradient's way back. Knows no page.
// `table` is {rows, columns, values}, row after row. `settings` is {operator, fields, size, stride, padding, mode,
// dilation, ceil}: fields under the names of the Python class, padding a number, "same" or "same_lower".
"use strict";

const Pooling = (() => {
  class Refused extends Error {}

  const sum = (x) => x.reduce((total, each) => total + each, 0);
  const oneAt = (x, place, share = 1) => x.map((_, i) => (i === place ? share : 0));
  const firstOf = (x, beats) => x.reduce((best, each, i) => (beats(each, x[best]) ? i : best), 0);
  const greatest = (x) => firstOf(x, (a, b) => a > b);
  const least = (x) => firstOf(x, (a, b) => a < b);

  // -----------------------------------------------------------------------------------------------------------------
  // Where

  /** The windows along an axis of `length` elements. `room` / stride is what is rounded. */
  function planAxis(length, { size, stride, padding, dilation, ceil }, axis = 0) {
    const span = dilation * (size - 1) + 1;
    if (typeof padding === "string") {
      const outputs = Math.ceil(length / stride);
      const total = Math.max((outputs - 1) * stride + span - length, 0);
      const before = Math.floor((total + (padding === "same_lower" ? 1 : 0)) / 2);
      return { length, size, stride, dilation, span, outputs, before, after: total - before, same: true };
    }
    const room = length + 2 * padding - span;
    if (room < 0 && !(ceil && room > -stride)) {
      throw new Refused(
        `A window of size ${size} with dilation ${dilation} spans ${span} positions, but axis ${axis} has ` +
          `${length} and padding of ${padding} at both ends: a window must fit.`,
      );
    }
    const rounded = (ceil ? Math.ceil : Math.floor)(room / stride) + 1;
    const dropped = (rounded - 1) * stride >= length + padding;
    const shared = { length, size, stride, dilation, span, before: padding, after: padding, room, ceil, dropped };
    return { ...shared, rounded, outputs: dropped ? rounded - 1 : rounded };
  }

  /** The two axes of a table. */
  function plan(table, settings) {
    const axes = [planAxis(table.rows, settings, 0), planAxis(table.columns, settings, 1)];
    axes.forEach((axis, number) => {
      const most = { reflect: axis.length - 1, circular: axis.length }[settings.mode];
      if (Math.max(axis.before, axis.after) > most) {
        throw new Refused(`Padding mode ${settings.mode} has at most ${most} positions to show beyond axis ${number}.`);
      }
    });
    return axes;
  }

  /** Where padding takes its number from, as a position in the array; −1 where from none. */
  const SOURCES = {
    exclude: () => -1,
    zeros: () => -1,
    reflect: (at, n) => (at < 0 ? -at : 2 * (n - 1) - at),
    replicate: (at, n) => (at < 0 ? 0 : n - 1),
    circular: (at, n) => ((at % n) + n) % n,
  };

  /** What output `i` of an axis reads: positions, and where each takes its number from. */
  function reads(axis, i, mode) {
    return Array.from({ length: axis.size }, (_, j) => {
      const at = i * axis.stride - axis.before + j * axis.dilation;
      if (at >= 0 && at < axis.length) return { at, kind: "element", source: at };
      if (at >= axis.length + axis.after) return { at, kind: "beyond", source: -1 };
      return { at, kind: "padding", source: SOURCES[mode](at, axis.length) };
    });
  }

  /** A position of the window: what it is, its number, and whose number that is (−1: nobody's). */
  function cellAt(table, row, column, mode) {
    const kinds = [row.kind, column.kind];
    const kind = ["beyond", "padding"].find((each) => kinds.includes(each)) ?? "element";
    const known = kind !== "beyond" && row.source >= 0 && column.source >= 0;
    const source = known ? row.source * table.columns + column.source : -1;
    const counts = known || (kind === "padding" && mode === "zeros");
    return { row: row.at, column: column.at, kind, source, counts, value: known ? table.values[source] : 0 };
  }

  /** All positions that output (i, j) reads, row after row. */
  function cells(table, axes, mode, i, j) {
    const across = reads(axes[1], j, mode);
    return reads(axes[0], i, mode).map((row) => across.map((column) => cellAt(table, row, column, mode)));
  }

  // -----------------------------------------------------------------------------------------------------------------
  // What: of the elements x of a window, its value y and the derivative of y by each. `s` holds the operator's fields,
  // `counted`, how many elements a divisor counts, and `size`, how many a whole window has.

  const sorted = (x) => [...x.keys()].sort((a, b) => x[a] - x[b] || a - b);
  const meanOf = (x) => sum(x) / x.length;

  /** Element j + t of the sorted window, and that place alone where t is 0 or its neighbours are equal. */
  function between(x, place) {
    const order = sorted(x);
    const low = Math.floor(place);
    const high = Math.min(low + 1, x.length - 1);
    const t = x[order[low]] === x[order[high]] ? 0 : place - low;
    return { y: (1 - t) * x[order[low]] + t * x[order[high]], shares: [[order[low], 1 - t], [order[high], t]] };
  }
  const sharesOf = (x, shares) => shares.reduce((all, [place, t]) => ((all[place] += t), all), x.map(() => 0));
  const interpolated = (place) => ({
    value: (x, s) => between(x, place(x.length, s)).y,
    gradient: (x, y, s) => sharesOf(x, between(x, place(x.length, s)).shares),
  });

  /** The mean of some of the sorted elements. */
  const meanOfSome = (some) => ({
    value: (x, s) => meanOf(sorted(x).slice(...some(x.length, s)).map((place) => x[place])),
    gradient(x, y, s) {
      const kept = sorted(x).slice(...some(x.length, s));
      return sharesOf(x, kept.map((place) => [place, 1 / kept.length]));
    },
  });

  const powerMean = (power) => ({
    value(x, s) {
      const p = power(s);
      if (x.some((each) => each < 0)) return NaN;
      if (p <= 0 && x.includes(0)) return 0;
      return p === 0 ? Math.exp(meanOf(x.map(Math.log))) : meanOf(x.map((each) => each ** p)) ** (1 / p);
    },
    gradient: (x, y, s) => x.map((each) => (each === 0 ? 0 : (each / y) ** (power(s) - 1) / x.length)),
  });

  function softmax(x) {
    const top = Math.max(...x);
    const powers = x.map((each) => Math.exp(each - top));
    const total = sum(powers);
    return powers.map((each) => each / total);
  }

  const mixture = (part) => ({
    value: (x, s) => part(s) * x[greatest(x)] + (1 - part(s)) * meanOf(x),
    gradient: (x, y, s) => oneAt(x, greatest(x), part(s)).map((each) => each + (1 - part(s)) / x.length),
  });

  const deviations = (x) => x.map((each) => each - meanOf(x));
  const variance = (x, s) => (x.length > s.ddof ? sum(deviations(x).map((d) => d * d)) / (x.length - s.ddof) : NaN);

  function rankPlace(n, { k }) {
    if (n < Math.abs(k)) throw new Refused(`k must be at most ${n}, the elements of the emptiest window, and is ${k}.`);
    return k > 0 ? k - 1 : n + k;
  }

  function greatestPlaces(n, { k, size }) {
    if (k > size) throw new Refused(`k must be at most ${size}, the elements of a window, and is ${k}.`);
    return [Math.max(n - k, 0), n];
  }

  const OPERATORS = {
    max: { value: (x) => x[greatest(x)], gradient: (x) => oneAt(x, greatest(x)) },
    min: { value: (x) => x[least(x)], gradient: (x) => oneAt(x, least(x)) },
    average: { value: (x, s) => sum(x) / s.counted, gradient: (x, y, s) => x.map(() => 1 / s.counted) },
    sum: { value: sum, gradient: (x) => x.map(() => 1) },
    lp: {
      value: (x, { p }) => sum(x.map((each) => Math.abs(each) ** p)) ** (1 / p),
      gradient: (x, y, { p }) => x.map((each) => (each === 0 ? 0 : Math.sign(each) * (Math.abs(each) / y) ** (p - 1))),
    },
    gem: {
      value: (x, { p, eps }) => meanOf(x.map((each) => Math.max(each, eps) ** p)) ** (1 / p),
      gradient: (x, y, { p, eps }) => x.map((each) => (each > eps ? (each / y) ** (p - 1) / x.length : 0)),
    },
    median: interpolated((n, { mid }) => (mid === "mean" ? (n - 1) / 2 : Math.floor((n - 1) / 2))),
    quantile: interpolated((n, { q }) => (n - 1) * q),
    rank: interpolated(rankPlace),
    trimmed_mean: meanOfSome((n, { proportion }) => [Math.floor(proportion * n), n - Math.floor(proportion * n)]),
    topk_mean: meanOfSome(greatestPlaces),
    power_mean: powerMean(({ p }) => p),
    geometric_mean: powerMean(() => 0),
    harmonic_mean: powerMean(() => -1),
    logsumexp: {
      value(x, { r }) {
        const top = Math.max(...x.map((each) => r * each));
        return r === 0 ? meanOf(x) : (top + Math.log(meanOf(x.map((each) => Math.exp(r * each - top))))) / r;
      },
      gradient: (x, y, { r }) => softmax(x.map((each) => r * each)),
    },
    soft: {
      value: (x, { beta }) => sum(softmax(x.map((each) => beta * each)).map((weight, i) => weight * x[i])),
      gradient: (x, y, { beta }) =>
        softmax(x.map((each) => beta * each)).map((weight, i) => weight * (1 + beta * (x[i] - y))),
    },
    mixed: mixture(({ a }) => a),
    avgmax: mixture(() => 0.5),
    variance: { value: variance, gradient: (x, y, s) => deviations(x).map((d) => (2 * d) / (x.length - s.ddof)) },
    std: {
      value: (x, s) => Math.sqrt(variance(x, s)),
      gradient: (x, y, s) => deviations(x).map((d) => (y === 0 ? 0 : d / ((x.length - s.ddof) * y))),
    },
    range: {
      value: (x) => x[greatest(x)] - x[least(x)],
      gradient: (x) => oneAt(x, greatest(x)).map((each, i) => each - (i === least(x) ? 1 : 0)),
    },
    count: { value: (x) => x.length, gradient: (x) => x.map(() => 0) },
  };

  /** The elements of a window, whose they are, and how many there are with what counts in the divisor. */
  function gather(read, settings) {
    const window = { x: [], sources: [], counted: 0 };
    for (const row of read) {
      for (const cell of row) {
        if (cell.counts) window.x.push(cell.value), window.sources.push(cell.source);
        if (cell.counts || (settings.fields.count_include_pad && cell.kind === "padding")) window.counted += 1;
      }
    }
    return window;
  }

  /** Output (i, j): its cells, elements x and value y; `shares` of x and where they are in the table (`sources`). */
  function output(table, axes, settings, i, j) {
    const read = cells(table, axes, settings.mode, i, j);
    const { x, sources, counted } = gather(read, settings);
    if (x.length === 0 && settings.needsElement && !settings.fields.count_include_pad) {
      throw new Refused(`Output (${i}, ${j}) reads nothing but padding, of which there is no ${settings.operator}.`);
    }
    const { value, gradient } = OPERATORS[settings.operator];
    const s = { ...settings.fields, counted, size: settings.size ** 2 };
    const y = value(x, s);
    return { read, x, sources, counted, y, shares: () => gradient(x, y, s) };
  }

  /** All outputs: {rows, columns, values}. */
  function pool(table, settings) {
    const axes = plan(table, settings);
    const [rows, columns] = axes.map((axis) => axis.outputs);
    const values = Array.from({ length: rows * columns }, (_, place) =>
      output(table, axes, settings, Math.floor(place / columns), place % columns).y,
    );
    return { rows, columns, values };
  }

  /** The gradient by the table of Σ weight·output; without weights of the sum of all outputs. */
  function gradient(table, settings, weights = null) {
    const axes = plan(table, settings);
    const columns = axes[1].outputs;
    const values = table.values.map(() => 0);
    for (let place = 0; place < axes[0].outputs * columns; place += 1) {
      const weight = weights ? weights[place] : 1;
      if (weight === 0) continue;
      const { sources, shares } = output(table, axes, settings, Math.floor(place / columns), place % columns);
      shares().forEach((share, k) => sources[k] >= 0 && (values[sources[k]] += weight * share));
    }
    return { rows: table.rows, columns: table.columns, values };
  }

  return { Refused, OPERATORS, plan, output, pool, gradient, reads, cellAt };
})();
