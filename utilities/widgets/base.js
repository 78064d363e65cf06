// What all widgets share. A widget's own module defines `spec`:
//   title                     what the widget is called, for a screen reader
//   controls(data)            a list of controls, see CONTROLS
//   text(data, state)         what the widget says, the same as Python's `text`
//   draw(picture, data, state, set)   draws into an empty <svg>; `set({key: value})` changes the state
//   more(element, data, state, set)   HTML below the text, if there is any; `height` is the picture's (its width is 480)
// What is dragged in the picture is made by `handle`. A spec is mounted by `mount(spec, model, element)`; the model is anywidget's,
// or on a page without a kernel `storedModel(…)`.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: tag, attributes (functions become listeners), children (nodes or text). */
function make(tag, attributes = {}, ...children) {
  const isDrawn = ["svg", "g", "line", "rect", "circle", "path", "text", "polyline", "title"].includes(tag);
  const node = isDrawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

/** Give a number with so many digits behind the point and commas between thousands, as Python's `fixed` does. */
function fixed(value, digits = 0) {
  const [whole, rest] = Math.abs(value).toFixed(digits).split(".");
  const text = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",") + (rest ? "." + rest : "");
  return value < 0 && /[1-9]/.test(text) ? "−" + text : text;
}

/** Give a number as `fixed` does, with a plus unless it has a minus. */
const signed = (value, digits) => (fixed(value, digits).startsWith("−") ? "" : "+") + fixed(value, digits);

/** Give a number with as many digits as it has, but no float's dust. */
const plain = (value) => String(Number(value.toFixed(6))).replace("-", "−");

/** Give an error with three digits behind the point, or fewer if it is large, as Python's `error` does. */
const error = (value) => fixed(value, value < 10 ? 3 : value < 100 ? 2 : 1);

/** Give the round numbers between two, at most so many steps apart. */
function marks(from, to, most) {
  const power = 10 ** Math.floor(Math.log10((to - from) / most));
  const step = power * [1, 2, 5, 10].find((times) => times * power * most >= (to - from) * (1 - 1e-9));
  const [first, last] = [Math.ceil(from / step - 1e-9), Math.floor(to / step + 1e-9)];
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toFixed(6)));
}

/** Cut a title, its year first, where letters are wide sooner. */
function short(title, letters) {
  const length = /[\u2e80-\uffef]/.test(title) ? Math.floor(letters / 1.8) : letters;
  const name = title.length > length ? title.replace(/ \(\d{4}\)$/, "") : title;
  return name.length > length ? `${name.slice(0, length - 1).trimEnd()}…` : name;
}

/** Map numbers from one range to another, linearly. */
function scale([from, to], [start, end]) {
  return (value) => start + ((value - from) / (to - from)) * (end - start);
}

/** Make a thing that a pointer drags and arrow keys move (with Shift farther): `move(x, y)` gets a place in the picture's units. */
function handle(picture, { name, label, text, at: [x, y], step, move }, ...shapes) {
  const pressed = (event) => {
    const [right, down] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key] ?? [0, 0];
    if (!right && !down) return;
    event.preventDefault();
    const far = step * (event.shiftKey ? 5 : 1);
    move(x + far * right, y + far * down);
  };
  const dragged = (start) => {
    start.preventDefault();
    start.currentTarget.focus({ preventScroll: true });
    picture.setPointerCapture(start.pointerId); // each move draws the handle anew, the picture stays
    const moved = (event) => {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
      move(place.x, place.y);
    };
    picture.onpointermove = moved;
    picture.onpointerup = picture.onpointercancel = () => (picture.onpointermove = null);
  };
  const attributes = { tabindex: 0, role: "slider", "aria-label": label, "aria-valuenow": Math.round(x), "aria-valuetext": text };
  return make("g", { class: "handle", "data-handle": name, "data-lm-suppress-shortcuts": true, keydown: pressed, pointerdown: dragged, ...attributes }, ...shapes);
}

const CONTROLS = {
  /** {kind: "slider", key, label, values, format}: one of a list of values, in its order. */
  slider({ key, label, values, format = String }, id, set) {
    const input = make("input", {
      id, type: "range", min: 0, max: values.length - 1, step: 1, "data-lm-suppress-shortcuts": true,
      input: () => set({ [key]: values[Number(input.value)] }),
    });
    const shown = make("output", { for: id });
    const update = (state) => {
      const at = values.indexOf(state[key]); // what is no number has only this
      const nearest = at >= 0 ? at : values.reduce((best, v, i) => (Math.abs(v - state[key]) < Math.abs(values[best] - state[key]) ? i : best), 0);
      input.value = nearest;
      shown.textContent = format(state[key]);
      input.setAttribute("aria-valuetext", format(state[key]));
    };
    return [make("label", { for: id }, label), input, shown, update];
  },
  /** {kind: "choice", key, label, options}: one of a few words. */
  choice({ key, label, options }, id, set) {
    const input = make(
      "select", { id, "data-lm-suppress-shortcuts": true, change: () => set({ [key]: options[input.selectedIndex] }) },
      ...options.map((option) => make("option", {}, option)),
    );
    return [make("label", { for: id }, label), input, "", (state) => (input.selectedIndex = options.indexOf(state[key]))];
  },
  /** {kind: "switch", key, label}: on or off. */
  switch({ key, label }, id, set) {
    const input = make("input", { id, type: "checkbox", change: () => set({ [key]: input.checked }) });
    return [make("label", { for: id }, label), input, "", (state) => (input.checked = Boolean(state[key]))];
  },
  /**
   * {kind: "search", key, label, options, pick}: type a part of a title; `pick(title, state)` gives what it changes. A whole title
   * is taken at once, unless another begins with it; Enter takes the first that matches, and says so if none does.
   */
  search({ label, options, pick }, id, set, current) {
    const matches = () => {
      const typed = input.value.trim().toLowerCase();
      const [exact, begins, holds] = [[], [], []];
      for (const option of typed ? options : []) {
        const place = option.toLowerCase().indexOf(typed);
        if (place >= 0) (place ? holds : option.length === typed.length ? exact : begins).push(option);
      }
      return { exact, begins, all: [...exact, ...begins, ...holds] };
    };
    const take = (title) => {
      input.value = ""; // before the change, which may move the focus
      set(pick(title, current()));
    };
    const input = make("input", {
      id, type: "text", list: `${id}-list`, autocomplete: "off", placeholder: "type a part of a title",
      "data-lm-suppress-shortcuts": true,
      input: (event) => {
        input.setCustomValidity("");
        const { exact, begins } = matches();
        const isChosen = !event.inputType || event.inputType === "insertReplacementText"; // from the list
        if (exact.length && (isChosen || !begins.length)) take(exact[0]);
      },
      change: () => {
        const { exact, all } = matches();
        if (exact.length || all.length === 1) take(all[0]);
      },
      keyup: (event) => {
        if (event.key !== "Enter" || event.isComposing || !input.value.trim()) return;
        const [first] = matches().all;
        if (first !== undefined) return take(first);
        input.setCustomValidity("no such title");
        input.reportValidity();
      },
    });
    const list = make("datalist", { id: `${id}-list` }, ...options.map((option) => make("option", { value: option })));
    return [make("label", { for: id }, label), make("span", {}, input, list), "", () => {}];
  },
  /** {kind: "button", label, press}: `press(state)` gives what it changes. */
  button({ label, press }, id, set, current) {
    return ["", make("button", { id, type: "button", click: () => set(press(current())) }, label), "", () => {}];
  },
};

/** Show a widget in an element and keep it in step with its model; gives what takes it away again. */
function mount(spec, model, element) {
  const data = model.get("data");
  const current = () => model.get("state");
  const set = (change) => {
    model.set("state", { ...current(), ...change });
    model.save_changes();
  };
  const picture = make("svg", { viewBox: `0 0 480 ${spec.height ?? 260}`, class: "mlw-picture" });
  const said = make("p", { class: "mlw-text", role: "status" });
  const fields = make("div", { class: "mlw-controls" });
  const name = `mlw-${Math.random().toString(36).slice(2)}`; // another widget on the page has loaded this file anew
  const updates = spec.controls(data).map((control, i) => {
    const [label, input, shown, update] = CONTROLS[control.kind](control, `${name}-${i}`, set, current);
    fields.append(make("div", { class: `mlw-control mlw-${control.kind}` }, label, input, shown));
    return update;
  });
  const more = spec.more ? make("div", { class: "mlw-more" }) : null;
  const root = make("section", { class: "mlw", "aria-label": spec.title }, fields, picture, said, ...(more ? [more] : []));
  element.append(root);

  const show = () => {
    const state = current();
    updates.forEach((update) => update(state));
    const text = spec.text(data, state);
    if (said.textContent !== text) said.textContent = text;
    const focused = picture.contains(document.activeElement) ? document.activeElement.dataset.handle : null;
    picture.replaceChildren();
    picture.setAttribute("aria-label", text);
    spec.draw(picture, data, state, set);
    picture.setAttribute("role", picture.querySelector("[data-handle]") ? "group" : "img");
    if (focused) picture.querySelector(`[data-handle="${focused}"]`)?.focus();
    if (more) spec.more(more, data, state, set);
  };
  model.on("change:state", show);
  show();
  return () => {
    model.off("change:state", show);
    root.remove();
  };
}

/** Stand in for a kernel's model on a page: stored numbers, and a state that lives as long as the page. */
function storedModel(values) {
  const listeners = new Set();
  return {
    get: (name) => values[name],
    set: (name, value) => (values[name] = value),
    save_changes: () => listeners.forEach((listener) => listener()),
    on: (_, listener) => listeners.add(listener),
    off: (_, listener) => listeners.delete(listener),
  };
}
