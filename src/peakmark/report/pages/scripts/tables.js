// Tables of the class `sorts` sort by the column whose head is clicked; a second click turns the order around.

function sortable(wrapper) {
  const table = wrapper.querySelector("table");
  const heads = [...table.querySelectorAll("thead th")];
  heads.forEach((head, column) => {
    if (head.querySelector("button")) return;
    const button = make("button", { type: "button" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const isNumber = column > 0;
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : isNumber;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      const key = (row) => {
        const cell = row.cells[column];
        if (!isNumber) return cell.textContent;
        const number = parseFloat(cell.dataset.value ?? cell.textContent);
        return Number.isNaN(number) ? null : number;
      };
      rows.sort((first, second) => {
        const [a, b] = [key(first), key(second)];
        // What has no number comes last either way.
        if (a === null || b === null) return (a === null) - (b === null);
        const order = isNumber ? a - b : a.localeCompare(b, language);
        return down ? -order : order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}

function makeTablesSort() {
  document.querySelectorAll(".sorts").forEach(sortable);
}
