const NAMES = ["predictions", "biases", "ratings"];
const isColumn = (shape) => shape === "[B, 1]";
const isRow = (shape) => shape === "[B]" || shape === "[1, B]";
const minus = (n) => String(n).replace("-", "−");
const sumOf = (numbers) => numbers.reduce((sum, n) => sum + n, 0);

/** Give rows, columns and the shape in words of what torch makes of these shapes. */
function stretched(shapes, B) {
  const [m, n] = [shapes.some(isColumn) ? B : 1, shapes.some(isRow) ? B : 1];
  return { m, n, name: shapes.some((shape) => shape.includes(",")) ? `[${m}, ${n}]` : `[${n}]` };
}

/** Give what the loss compares: for each entry its place, the rows of its three numbers, the numbers and their difference. */
function compared(data, state) {
  const shapes = NAMES.map((name) => state[name]);
  const { m, n } = stretched(shapes, state.B);
  return Array.from({ length: m * n }, (_, i) => {
    const [row, column] = [Math.floor(i / n), i % n];
    const rows = shapes.map((shape) => (isColumn(shape) ? row : isRow(shape) ? column : 0));
    const values = rows.map((index, part) => data[NAMES[part]][index]);
    return { row, column, rows, values, difference: values[0] + values[1] - values[2], isOwn: new Set(rows).size === 1 };
  });
}

/** Give the whole story of a state. */
function story(data, state) {
  const pairs = compared(data, state);
  const rows = Array.from({ length: state.B }, (_, i) => i);
  const squares = sumOf(pairs.map((pair) => pair.difference ** 2));
  const right = sumOf(rows.map((i) => (data.predictions[i] + data.biases[i] - data.ratings[i]) ** 2));
  const shape = (...names) => stretched(names.map((name) => state[name]), state.B);
  return {
    pairs, rows, squares, right, own: pairs.filter((pair) => pair.isOwn).length,
    sum: shape("predictions", "biases"), compared: shape("ratings"), difference: shape(...NAMES),
  };
}

/** Say which ratings (or biases, or predictions) have a part in where a prediction (or a bias) is drawn. */
function kind(state, wishing, part) {
  const shapes = [state[wishing], state[part]];
  if (state.B === 1 || shapes.every(isColumn) || shapes.every(isRow)) return "its own";
  return state[part] === "[1]" ? "the first" : "the mean";
}

const spec = {
  title: "A column, a row and the loss",
  height: 376,
  controls: (data) => [
    { kind: "slider", key: "B", label: "batch B", values: data.ratings.map((_, i) => i + 1) },
    ...NAMES.map((key) => ({ kind: "choice", key, label: key, options: ["[B]", "[B, 1]", "[1, B]", "[1]"] })),
  ],
  text(data, state) {
    const { pairs, own, squares, right, sum, compared, difference } = story(data, state);
    const wants = [["predictions", "ratings"], ["predictions", "biases"], ["biases", "ratings"], ["biases", "predictions"]];
    const [a, b, c, d] = wants.map((names) => kind(state, ...names));
    return (
      `The sum is ${sum.name}, the difference ${difference.name}: a mean of ${pairs.length}, ${own} of which compare${own === 1 ? "s" : ""} one row with itself. ` +
      `Loss ${fixed(squares / pairs.length, 2)}; row by row it is ${fixed(right / state.B, 2)}. ` +
      `A prediction is drawn to ${a} rating less ${b} bias, a bias to ${c} rating less ${d} prediction. ` +
      (sum.name === compared.name ? "Torch does not warn." : "Torch warns: sum and ratings differ in shape.")
    );
  },
  draw(picture, data, state, set) {
    const { pairs, own, squares, right, sum, difference } = story(data, state);
    const size = Math.min(30, 132 / state.B);
    const row = Math.min(state.row, difference.m) - 1;
    const column = Math.min(state.column, difference.n) - 1;
    const picked = pairs[row * difference.n + column];
    const write = (x, y, text, options = {}) => picture.append(make("text", { x, y, ...options }, text));

    /** Draw a grid; `at` gives the number of a place and whether it is marked: a square of its own, or a pair of one row. */
    const grid = (left, top, { m, n }, label, at) => {
      write(left, top - 8, label);
      const middle = (i, start) => start + (i + 0.5) * size;
      const [y, x] = [Math.min(row, m - 1), Math.min(column, n - 1)];
      const places = Array.from({ length: m * n }, (_, i) => [Math.floor(i / n), i % n]).map(([r, c]) => ({ r, c, ...at(r, c) }));
      for (const { r, c, isMarked } of places) {
        const style = isMarked ? "fill: var(--mlw-fill); stroke: var(--mlw-ink); stroke-width: 2" : "fill: none; stroke: var(--mlw-line); stroke-dasharray: 2 3";
        picture.append(make("rect", { x: left + c * size + 1.5, y: top + r * size + 1.5, width: size - 3, height: size - 3, style }));
      }
      const ring = { cx: middle(x, left), cy: middle(y, top), r: size / 2 - 1, style: "fill: none; stroke: var(--mlw-b); stroke-width: 2.5" };
      picture.append(make("circle", ring));
      for (const { r, c, text, isMarked } of places)
        write(middle(c, left), middle(r, top) + 4.5, text, { "text-anchor": "middle", class: isMarked ? "" : "soft" });
      return ring;
    };
    const operand = (name) => (r, c) => {
      const [inRows, inColumns] = [isColumn(state[name]), isRow(state[name])];
      return { text: minus(data[name][inRows ? r : inColumns ? c : 0]), isMarked: (inRows || r === 0) && (inColumns || c === 0) };
    };
    const pairAt = (r, c) => pairs[Math.min(r, difference.m - 1) * difference.n + Math.min(c, difference.n - 1)];
    const title = (name) => `${name} ${stretched([state[name]], state.B).name}`;
    const [lefts, tops] = [[8, 172, 336], [26, 206]];
    grid(lefts[0], tops[0], sum, title("predictions"), operand("predictions"));
    grid(lefts[1], tops[0], sum, title("biases"), operand("biases"));
    grid(lefts[2], tops[0], sum, `sum ${sum.name}`, (r, c) => {
      const of = ["predictions", "biases"].map((name) => (isColumn(state[name]) ? r : isRow(state[name]) ? c : 0));
      return { text: minus(data.predictions[of[0]] + data.biases[of[1]]), isMarked: of[0] === of[1] };
    });
    grid(lefts[1], tops[1], difference, title("ratings"), operand("ratings"));
    const ring = grid(lefts[2], tops[1], difference, `difference ${difference.name}`, (r, c) => ({ text: minus(pairAt(r, c).difference), isMarked: pairAt(r, c).isOwn }));
    for (const [left, top, sign, rows] of [[164, tops[0], "+", sum.m], [328, tops[0], "=", sum.m], [164, tops[1], "sum  −", difference.m], [328, tops[1], "=", difference.m]])
      write(left, top + (rows * size) / 2 + 5, sign, { "text-anchor": "end" });
    const lines = [`loss = ${squares} / ${pairs.length}`, `= ${fixed(squares / pairs.length, 2)}`, `row by row ${right} / ${state.B}`, `= ${fixed(right / state.B, 2)}`, `${own} of ${pairs.length} compare${own === 1 ? "s" : ""}`, "one row with itself"];
    lines.forEach((line, i) => write(8, tops[1] + 12 + 20 * i, line));

    const [f, b, r] = picked.values.map(minus);
    const of = picked.rows.map((index) => index + 1);
    const said = `prediction of row ${of[0]}, bias of row ${of[1]}, rating of row ${of[2]}: ${f} + ${picked.values[1] < 0 ? `(${b})` : b} − ${r} = ${minus(picked.difference)}`;
    write(8, 364, said);
    const pick = (x, y) => {
      const [m, n] = [Math.floor((y - tops[1]) / size) + 1, Math.floor((x - lefts[2]) / size) + 1];
      set({ row: Math.max(1, Math.min(m, difference.m)), column: Math.max(1, Math.min(n, difference.n)) });
    };
    const shape = make("circle", { cx: ring.cx, cy: ring.cy, r: size / 2, style: "fill: transparent" });
    const options = { name: "pair", label: "an entry of the difference", text: said, at: [ring.cx, ring.cy], step: size, move: pick };
    picture.append(handle(picture, options, shape));
    picture.onclick = (event) => {
      const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
      if (x > lefts[2] && y > tops[1] && x < lefts[2] + difference.n * size && y < tops[1] + difference.m * size) pick(x, y);
    };
  },
  more(element, data, state) {
    const { pairs, rows } = story(data, state);
    const mean = (part, i, value) => {
      const own = pairs.filter((pair) => pair.rows[part] === (state[NAMES[part]] === "[1]" ? 0 : i)).map((pair) => value(pair.values));
      return fixed(sumOf(own) / own.length, 2);
    };
    const head = ["row", "its rating less its bias", "prediction drawn to", "its rating less its prediction", "bias drawn to"];
    const body = rows.map((i) => [
      i + 1, minus(data.ratings[i] - data.biases[i]), mean(0, i, ([, b, r]) => r - b),
      minus(data.ratings[i] - data.predictions[i]), mean(1, i, ([f, , r]) => r - f),
    ]);
    element.replaceChildren(make("table", {},
      make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...body.map(([first, ...cells]) => make("tr", {}, make("th", { scope: "row" }, first), ...cells.map((cell) => make("td", {}, cell))))),
    ));
  },
};
