"use strict";
// Sort a table by a column: numbers by data-order, empty cells always last.
function compare(a, b, isNumber) {
  if (a === "" || b === "") return null;
  return isNumber ? Number(a.replace("inf", "Infinity")) - Number(b.replace("inf", "Infinity")) : a.localeCompare(b);
}
document.querySelectorAll("table.sortable th").forEach((head) => {
  head.querySelector("button").addEventListener("click", () => {
    const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
    const isNumber = head.classList.contains("num");
    const before = head.getAttribute("aria-sort");
    const down = before ? before === "ascending" : isNumber;
    table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.cells[column].dataset.order;
    [...body.rows]
      .sort((x, y) => {
        const order = compare(key(x), key(y), isNumber);
        if (order === null) return (key(x) === "") - (key(y) === "");
        return down ? -order : order;
      })
      .forEach((row) => body.append(row));
  });
});
document.querySelectorAll("button.save").forEach((button) => {
  button.addEventListener("click", () => {
    const text = document.getElementById("summary-json").textContent;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "recfunnel-summary.json";
    link.click();
    URL.revokeObjectURL(link.href);
  });
});
