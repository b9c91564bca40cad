// Charts, tables that sort, and a button for dark and light.

for (const chart of document.querySelectorAll(".chart")) {
  const specification = JSON.parse(chart.nextElementSibling.textContent);
  vegaEmbed(chart, specification, { renderer: "svg", actions: false });
}

function sort(heading) {
  const table = heading.closest("table"), column = heading.cellIndex;
  const direction = heading.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", direction);
  const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const order = (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === "" || b === "") return (a === "") - (b === ""); // what is not known comes last, either way
    const difference = isNaN(a) || isNaN(b) ? -a.localeCompare(b) : a - b;
    return direction === "ascending" ? difference : -difference;
  };
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
}

for (const button of document.querySelectorAll("thead button"))
  button.addEventListener("click", () => sort(button.closest("th")));

const theme = document.getElementById("theme");
theme.addEventListener("click", () => {
  const root = document.documentElement.style;
  const dark = root.colorScheme ? root.colorScheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.colorScheme = dark ? "light" : "dark";
});
