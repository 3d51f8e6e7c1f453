// The images that show what went wrong: by kind of mistake, class and confidence, or those behind a cell of the
// confusion matrix; and one of them at a time, its truths beside what was found.

const PAGE_OF_IMAGES = 24;
const shown = { images: [], count: PAGE_OF_IMAGES, cell: null, looking: null };

function confidenceOfGallery() {
  return Number(document.getElementById("gallery-slider").value);
}

function concerns(image, kind, number, confidence) {
  if (kind !== "all" && kind !== "none") {
    const found = foundFrom(image, confidence);
    const truthOf = (each) => (each[ABOUT] < 0 ? null : image.classes[each[ABOUT]]);
    if (kind === "missed") return missedTruths(image, confidence).some((truth) => image.classes[truth] === number);
    return found.some((each) => each[KIND] === kind && (each[CLASS] === number || truthOf(each) === number));
  }
  return image.classes.includes(number) || foundFrom(image, confidence).some((each) => each[CLASS] === number);
}

// The matrix matches whatever the classes are, and is made at the gallery's own confidence.
function isBehind(image, { found, truth }) {
  const background = data.names.length;
  const kept = foundFrom(image, data.gallery.confidence);
  if (found === background) {
    const taken = new Set(kept.map((each) => each[TAKEN_FOR]));
    return image.classes.some((number, place) => number === truth && !taken.has(place));
  }
  return kept.some((each) => each[CLASS] === found
    && (each[TAKEN_FOR] < 0 ? truth === background : image.classes[each[TAKEN_FOR]] === truth));
}

function chosenImages() {
  const confidence = confidenceOfGallery();
  if (shown.cell) return data.gallery.images.filter((image) => isBehind(image, shown.cell));
  const kind = document.getElementById("gallery-kind").value;
  const which = document.getElementById("gallery-class").value;
  const counted = data.gallery.images.map((image) => {
    const counts = mistakesOf(image, confidence);
    const all = KINDS.reduce((sum, name) => sum + counts[name], 0);
    return [image, kind === "all" ? all : kind === "none" ? (all ? 0 : 1) : counts[kind]];
  });
  return counted
    .filter(([, count]) => kind === "all" || count > 0)
    .filter(([image]) => which === "all" || concerns(image, kind, Number(which), confidence))
    .sort((a, b) => b[1] - a[1])
    .map(([image]) => image);
}

function mistakesInWords(image, confidence) {
  const counts = mistakesOf(image, confidence);
  const parts = KINDS.filter((kind) => counts[kind]).map((kind) => `${say(`kind.${kind}`)}: ${counts[kind]}`);
  return parts.length ? parts.join(" · ") : say("images.right");
}

function drawGallery() {
  if (!data.gallery) return;
  const confidence = confidenceOfGallery();
  const wishes = {
    truths: document.getElementById("gallery-truths").checked, found: document.getElementById("gallery-found").checked,
  };
  document.getElementById("gallery-confidence").textContent = confidence.toFixed(3);
  shown.images = chosenImages();
  const cards = shown.images.slice(0, shown.count).map((image, place) => {
    const button = make("button", { type: "button", "aria-label": `${say("look.open")} ${image.file}` });
    button.append(pictureOf(image, confidence, wishes));
    button.addEventListener("click", () => look(place));
    const caption = make("figcaption", {}, image.file, make("br"), mistakesInWords(image, confidence));
    return make("figure", {}, button, caption);
  });
  document.getElementById("gallery").replaceChildren(...cards);
  const says = { shown: cards.length, found: shown.images.length };
  document.getElementById("gallery-count").textContent = say("images.count", says);
  document.getElementById("gallery-more").hidden = shown.images.length <= shown.count;
  const { cell } = shown;
  document.getElementById("gallery-cell").hidden = !cell;
  if (cell) document.getElementById("gallery-cell-says").textContent = cellSays(cell.found, cell.truth, cell.count);
  if (shown.looking !== null) drawLook();
}

function showCell(found, truth, count) {
  if (!data.gallery) return;
  Object.assign(shown, { cell: { found, truth, count }, count: PAGE_OF_IMAGES });
  document.getElementById("gallery-slider").value = data.gallery.confidence;
  drawGallery();
  const place = document.getElementById("gallery-cell");
  place.scrollIntoView();
  document.getElementById("gallery-cell-off").focus({ preventScroll: true });
}

// --- one image ---

function look(place) {
  shown.looking = place;
  document.getElementById("look-slider").value = confidenceOfGallery();
  drawLook();
  const dialog = document.getElementById("look");
  if (!dialog.open) dialog.showModal();
}

function lookBy(step) {
  const images = shown.images.length;
  shown.looking = (shown.looking + step + images) % images;
  drawLook();
}

function drawLook() {
  const image = shown.images[shown.looking];
  if (!image) return document.getElementById("look").close();
  const confidence = Number(document.getElementById("look-slider").value);
  document.getElementById("look-title").textContent = image.file;
  document.getElementById("look-confidence").textContent = confidence.toFixed(3);
  const [truths, found] = ["look-truths", "look-found"].map((id) => document.getElementById(id));
  truths.replaceChildren(pictureOf(image, confidence, { truths: true, named: true }));
  found.replaceChildren(pictureOf(image, confidence, { found: true, named: true }));
  const size = `${image.width_px} × ${image.height_px} px`;
  const weaker = image.left_out ? ` · ${say("look.left_out", { count: image.left_out })}` : "";
  document.getElementById("look-says").textContent = `${mistakesInWords(image, confidence)} · ${size}${weaker}`;
  return undefined;
}

// --- the set in numbers ---

function drawBreakdown() {
  if (!data.gallery) return;
  const { costs, counts } = data.gallery;
  const most = Math.max(1e-9, ...KINDS.map((kind) => costs[kind] ?? 0));
  const head = make("tr");
  for (const key of ["breakdown.kind", "breakdown.cost", "breakdown.count", "meaning"]) {
    head.append(make("th", { scope: "col", class: key === "meaning" ? "says" : null }, told(key)));
  }
  const body = make("tbody");
  for (const kind of [...KINDS].sort((a, b) => (costs[b] ?? 0) - (costs[a] ?? 0))) {
    const meter = make("span", { class: "meter" }, make("i"));
    meter.firstChild.style.width = `${(100 * (costs[kind] ?? 0)) / most}%`;
    const points = costs[kind] === null ? "–" : (100 * costs[kind]).toFixed(2);
    const button = make("button", { type: "button" }, make("i", { class: `key ${kind}` }), told(`kind.${kind}`));
    button.addEventListener("click", () => showKind(kind));
    body.append(make("tr", {},
      make("td", {}, button),
      make("td", { "data-value": points }, make("span", {}, points), meter),
      make("td", {}, counts[kind].toLocaleString()),
      make("td", { class: "says" }, told(`kind.${kind}.means`))));
  }
  const table = make("table", {}, make("thead", {}, head), body);
  document.getElementById("breakdown").replaceChildren(make("div", { class: "wide sorts", tabindex: "0" }, table));
  makeTablesSort();
}

function showKind(kind) {
  document.getElementById("gallery-kind").value = kind;
  Object.assign(shown, { cell: null, count: PAGE_OF_IMAGES });
  drawGallery();
  document.getElementById("gallery-kind").scrollIntoView();
  document.getElementById("gallery-kind").focus({ preventScroll: true });
}

function drawLegend() {
  if (!data.gallery) return;
  const entries = [["truth dashed", "truths.found"], ["missed dashed", "kind.missed"], ["right", "kind.right"]];
  entries.push(...KINDS.slice(1).map((kind) => [kind, `kind.${kind}`]));
  document.getElementById("gallery-legend").replaceChildren(
    ...entries.map(([looks, key]) => make("span", {}, make("i", { class: looks }), told(key))));
}

function startGallery() {
  if (!data.gallery) return;
  const kinds = document.getElementById("gallery-kind");
  kinds.append(wordedOption("all", "images.any"));
  KINDS.forEach((kind) => kinds.append(wordedOption(kind, `kind.${kind}`)));
  kinds.append(wordedOption("none", "images.right"));
  const classes = document.getElementById("gallery-class");
  classes.append(wordedOption("all", "all_classes"));
  data.names.forEach((name, number) => classes.append(option(number, name)));
  const slider = document.getElementById("gallery-slider");
  // The steps of the slider begin at its least value: the run's own confidence has to be one of them.
  slider.min = Math.min(0.01, data.gallery.confidence);
  slider.step = 0.001;
  slider.value = data.gallery.confidence;
  const lookSlider = document.getElementById("look-slider");
  Object.assign(lookSlider, { min: slider.min, step: slider.step });
  let isDue = false;
  const soon = () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => { isDue = false; drawGallery(); });
  };
  slider.addEventListener("input", soon);
  lookSlider.addEventListener("input", drawLook);
  for (const chooser of [kinds, classes]) {
    chooser.addEventListener("change", () => {
      Object.assign(shown, { cell: null, count: PAGE_OF_IMAGES });
      drawGallery();
    });
  }
  for (const id of ["gallery-truths", "gallery-found"]) document.getElementById(id).addEventListener("change", soon);
  document.getElementById("gallery-more").addEventListener("click", () => {
    shown.count += PAGE_OF_IMAGES;
    drawGallery();
  });
  document.getElementById("gallery-cell-off").addEventListener("click", () => { shown.cell = null; drawGallery(); });
  startLook();
}

function startLook() {
  const dialog = document.getElementById("look");
  document.getElementById("look-before").addEventListener("click", () => lookBy(-1));
  document.getElementById("look-after").addEventListener("click", () => lookBy(1));
  document.getElementById("look-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => { shown.looking = null; });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.target.matches("input")) return;
    if (event.key === "ArrowLeft") lookBy(-1);
    if (event.key === "ArrowRight") lookBy(1);
  });
}
