const SEEDS = ["one seed", "another seed"];
const LISTS = [...SEEDS, "same raters"];
const OWN = "fill: none; stroke: var(--mlw-a); stroke-width: 3"; // hollow, so that it covers no neighbour

/** The nearest of a movie in a list, the nearest first; a list is one text, to lie in a notebook on one line. */
const nearest = (data, list, movie, n = 5) => data.nearest[list].split(";")[movie].split(" ").slice(0, n).map(Number);

/** Which of a movie's n nearest under one seed are among its 5 nearest in another list. */
function survivors(data, movie, n, list) {
  const others = nearest(data, list, movie);
  return nearest(data, SEEDS[0], movie, n).filter((other) => others.includes(other));
}

const spec = {
  title: "A map of movies, and whose neighbours survive another seed",
  height: 300,
  controls: (data) => [
    { kind: "search", label: "movie", options: data.titles, pick: (title) => ({ movie: data.titles.indexOf(title) }) },
    { kind: "button", label: "another movie", press: ({ movie }) => ({ movie: (movie + (data.titles.length % 37 ? 37 : 1)) % data.titles.length }) },
    { kind: "slider", key: "n", label: "its nearest", values: [1, 2, 3, 4, 5] },
  ],
  text(data, { movie, n }) {
    const [same, rated] = LISTS.slice(1).map((list) => survivors(data, movie, n, list));
    const titles = same.length ? ` (${same.map((other) => data.titles[other]).join("; ")})` : "";
    const all = data.titles.reduce((sum, _, i) => sum + survivors(data, i, n, SEEDS[1]).length, 0) / (n * data.titles.length);
    const [survive, are] = [same.length === 1 ? "survives" : "survive", rated.length === 1 ? "is" : "are"];
    return `${data.titles[movie]}: ${same.length} of its ${n} nearest ${survive} another seed${titles}; ${rated.length} of ${n} ${are} found by the same raters. Over all ${data.titles.length} movies, ${fixed(100 * all)}% survive.`;
  },
  draw(picture, data, { movie, n }, set) {
    const put = (tag, attributes, ...children) => picture.append(make(tag, attributes, ...children));
    const diamond = ([left, top], size) => `M${left},${top - size}l${size},${size}l${-size},${size}l${-size},${-size}z`;
    const same = survivors(data, movie, n, SEEDS[1]);
    const panels = SEEDS.map((seed, i) => {
      const [x, y] = [scale([0, 999], [12 + 240 * i, 228 + 240 * i]), scale([0, 999], [238, 28])];
      const places = data.xy[seed].split(";").map((place) => place.split(" ").map(Number)).map(([px, py]) => [x(px), y(py)]);
      put("rect", { x: 4 + 240 * i, y: 20, width: 232, height: 226, style: "fill: var(--mlw-fill)" });
      put("text", { x: 4 + 240 * i, y: 14 }, seed);
      put("path", { d: places.map((place) => diamond(place, 1.5)).join(""), style: "fill: var(--mlw-line)" });
      const listed = nearest(data, seed, movie, i ? 5 : n);
      const [left, top] = places[movie];
      put("rect", { x: left - 7, y: top - 7, width: 14, height: 14, style: OWN });
      for (const other of listed) put("line", { x1: places[movie][0], y1: places[movie][1], x2: places[other][0], y2: places[other][1], class: "axis" });
      listed.forEach((other, rank) => {
        const [left, top] = places[other];
        const isSame = same.includes(other);
        if (isSame) put("path", { d: diamond(places[other], 7), style: "fill: var(--mlw-c)" });
        else put("circle", { cx: left, cy: top, r: 5, style: "stroke: var(--mlw-b); stroke-width: 2; fill: var(--mlw-ground)" });
        put("text", { x: left + (left > 220 + 240 * i ? -9 : 9), y: top + 5, "text-anchor": left > 220 + 240 * i ? "end" : "start" }, rank + 1);
      });
      return places;
    });
    put("rect", { x: 4, y: 282, width: 14, height: 14, style: OWN });
    put("text", { x: 22, y: 294 }, "the movie");
    put("path", { d: diamond([112, 289], 7), style: "fill: var(--mlw-c)" });
    put("text", { x: 124, y: 294 }, "in both lists");
    put("circle", { cx: 286, cy: 289, r: 5, style: "stroke: var(--mlw-b); stroke-width: 2; fill: none" });
    put("text", { x: 297, y: 294 }, "in this list only");
    const rings = SEEDS.map(() => make("circle", { r: 8, cx: -20, cy: -20, style: "stroke: var(--mlw-ink); stroke-width: 2; fill: none" }));
    const said = make("text", { class: "soft", x: 4, y: 265 }, "point at a movie for its title, click to choose it");
    picture.append(...rings, said);
    const under = (event) => {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
      const far = (i) => Math.hypot(...panels[place.x < 240 ? 0 : 1][i].map((value, axis) => value - [place.x, place.y][axis]));
      const closest = data.titles.reduce((best, _, i) => (far(i) < far(best) ? i : best), 0);
      return far(closest) < 14 ? closest : null;
    };
    picture.onpointermove = (event) => {
      const found = under(event);
      if (found === null) return;
      rings.forEach((ring, i) => ["cx", "cy"].forEach((name, axis) => ring.setAttribute(name, panels[i][found][axis])));
      said.textContent = short(data.titles[found], 60);
    };
    picture.onclick = (event) => {
      const found = under(event);
      if (found !== null) set({ movie: found });
    };
  },
  more(element, data, { movie, n }) {
    const lists = LISTS.map((list, i) => nearest(data, list, movie, i ? 5 : n));
    const cell = (column, rank) => {
      const other = lists[column][rank];
      if (other === undefined) return make("td", {});
      const isMarked = lists[column ? 0 : 1].includes(other);
      return make("td", {}, isMarked ? make("strong", {}, `◆ ${data.titles[other]}`) : data.titles[other]);
    };
    const head = make("tr", {}, ...["", ...LISTS].map((name) => (name ? make("th", { scope: "col" }, name) : make("td", {}))));
    const rows = [...Array(5).keys()].map((rank) => make("tr", {}, make("th", { scope: "row" }, rank + 1), ...LISTS.map((_, column) => cell(column, rank))));
    const table = make("table", { "aria-label": `nearest of ${data.titles[movie]}` }, make("thead", {}, head), make("tbody", {}, ...rows));
    element.replaceChildren(table, make("p", {}, `◆ in “${LISTS[0]}”: also in “${LISTS[1]}”. ◆ in the others: also in “${LISTS[0]}”.`));
  },
};
