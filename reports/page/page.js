// SPDX-License-Identifier: Apache-2.0
"use strict";
// Makes the headings of tables into buttons: ascending, descending, as it was. Without this script
// the tables are whole, in the order of the graph.
const status = document.getElementById("status");
const words = { ascending: "ascending", descending: "descending", none: "in the order of the graph" };

function compare(left, right, column, sign) {
  const a = left.cells[column].dataset.value;
  const b = right.cells[column].dataset.value;
  if (a === undefined || b === undefined) {
    // What has no value stands last, whichever way.
    return (a === undefined ? 1 : 0) - (b === undefined ? 1 : 0);
  }
  const numbers = [Number(a), Number(b)];
  const order = numbers.some(Number.isNaN)
    ? a.localeCompare(b, "en", { numeric: true })
    : numbers[0] - numbers[1];
  return sign * order;
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = Array.from(body.rows);
  const headings = Array.from(table.tHead.rows[0].cells);
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[
        heading.getAttribute("aria-sort")
      ];
      headings.forEach((other) => other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const rows = Array.from(original);
      if (next !== "none") {
        rows.sort((left, right) => compare(left, right, column, sign));
      }
      body.append(...rows);
      status.textContent = `${button.textContent}: ${words[next]}`;
    });
  });
}
