// Which class is taken for which: a row for each predicted class, a column for each true one, the last ones for what was
// missed and for background. A cell shows the images behind it.

const TOP_CONFUSIONS = 10;

function cellNames(found, true_) {
  const background = data.names.length;
  return {
    found: found === background ? say("nothing") : data.names[found],
    truth: true_ === background ? say("background") : data.names[true_],
  };
}

function cellSays(found, true_, count) {
  return say("confusion.cell", { ...cellNames(found, true_), count });
}

function topConfusions(matrix) {
  const cells = [];
  matrix.forEach((row, found) => row.forEach((count, true_) => {
    if (found !== true_ && count) cells.push([count, found, true_]);
  }));
  cells.sort((a, b) => b[0] - a[0]);
  const list = make("ol");
  for (const [count, found, true_] of cells.slice(0, TOP_CONFUSIONS)) {
    const button = make("button", { type: "button" }, cellSays(found, true_, count));
    button.addEventListener("click", () => showCell(found, true_, count));
    list.append(make("li", {}, button));
  }
  return list;
}

function drawConfusion() {
  const matrix = data.at?.confusion;
  if (!matrix) return;
  const shares = document.getElementById("confusion-shares").checked;
  const onlyWrong = document.getElementById("confusion-wrong").checked;
  document.getElementById("confusion-top").replaceChildren(topConfusions(matrix));
  const last = matrix.length - 1;
  const columns = matrix.map((_, true_) => matrix.reduce((sum, row) => sum + row[true_], 0));
  // Colours are shares of each true class; of background, of the largest number there.
  const most = Math.max(1, ...matrix.map((row) => row[last]));
  const head = make("tr", {}, make("th", { scope: "col" }, say("confusion.corner")));
  matrix.forEach((_, true_) => {
    const name = true_ === last ? say("background") : data.names[true_];
    head.append(make("th", { scope: "col", title: name }, make("span", {}, name)));
  });
  const body = make("tbody");
  matrix.forEach((row, found) => {
    const name = found === last ? say("nothing") : data.names[found];
    const cells = make("tr", {}, make("th", { scope: "row", title: name }, name));
    row.forEach((count, true_) => {
      const cell = make("td");
      if (count && !(onlyWrong && found === true_)) {
        const share = true_ === last ? count / most : count / columns[true_];
        const said = cellSays(found, true_, count);
        const text = shares && true_ !== last ? share.toFixed(2) : String(count);
        const button = make("button", { type: "button", title: said, "aria-label": said }, text);
        button.style.setProperty("--share", share);
        button.style.setProperty("--tone", found === true_ ? "var(--right)" : "var(--background)");
        button.addEventListener("click", () => showCell(found, true_, count));
        cell.append(button);
      }
      cells.append(cell);
    });
    body.append(cells);
  });
  document.getElementById("confusion-matrix").replaceChildren(make("table", {}, make("thead", {}, head), body));
}

function startConfusion() {
  if (!data.at?.confusion) return;
  for (const id of ["confusion-shares", "confusion-wrong"]) {
    document.getElementById(id).addEventListener("change", drawConfusion);
  }
}
