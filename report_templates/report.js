"use strict";

/* What the page can do beyond being read: switch its colours, sort and filter its tables, copy its commands. */

const THEMES = ["auto", "light", "dark"];
const LONG_TABLE = 5;

function remembered() {
  try { return localStorage.getItem("vaebench-theme"); } catch { return null; }
}

function remember(theme) {
  try { localStorage.setItem("vaebench-theme", theme); } catch { /* a page from the file system may not be allowed to */ }
}

function show(theme) {
  if (theme === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = theme;
}

function made(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function addThemeSwitch() {
  let theme = THEMES.includes(remembered()) ? remembered() : "auto";
  const button = made("button", { type: "button", className: "theme" });
  const label = () => { button.textContent = `Colours: ${theme}`; };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    remember(theme);
    show(theme);
    label();
  });
  label();
  document.querySelector("header.page").append(button);
}

/* Sorting: within each body of a table, so that what stands below stays below; what has no number comes last. */

function compare(first, second) {
  if (typeof first === "number" && typeof second === "number") return first - second;
  return String(first).localeCompare(String(second), "en", { numeric: true });
}

function keyOf(row, column, numeric) {
  const key = row.cells[column].dataset.key;
  return key === undefined ? null : numeric ? Number(key) : key;
}

function sorted(rows, column, numeric, direction) {
  const keyed = rows.map((row) => [keyOf(row, column, numeric), row]);
  keyed.sort(([first], [second]) => {
    if (first === null || second === null) return (first === null) - (second === null);
    return direction * compare(first, second);
  });
  return keyed.map(([, row]) => row);
}

function makeSortable(table) {
  const bodies = [...table.tBodies].map((body) => [body, [...body.rows]]);
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = made("button", { type: "button", className: "sort" });
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")];
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      const numeric = head.classList.contains("number");
      for (const [body, rows] of bodies) {
        const direction = next === "ascending" ? 1 : -1;
        body.append(...(next === "none" ? rows : sorted(rows, column, numeric, direction)));
      }
    });
  });
}

function makeFilterable(table) {
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
  if (rows.length < LONG_TABLE) return;
  const count = made("span", {});
  count.setAttribute("role", "status");
  const field = made("input", { type: "search", placeholder: "Filter rows", autocomplete: "off" });
  field.setAttribute("aria-label", `Filter rows of: ${table.caption.textContent}`);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
  const holder = table.closest(".table");
  holder.prepend(made("div", { className: "controls" }, field, count));
}

function makeCopyable(block) {
  if (!navigator.clipboard) return;
  const button = made("button", { type: "button", className: "copy", textContent: "Copy" });
  const text = block.textContent;
  button.setAttribute("aria-label", `Copy: ${text}`);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  });
  block.append(button);
}

/* A picture that stands above already: the page has its bytes once. */
function showAgain(link) {
  const first = document.getElementById(decodeURIComponent(link.hash.slice(1)));
  link.replaceWith(made("img", { src: first.src, alt: link.dataset.words }));
}

/* A picture opens as wide as the window, or as it was drawn where that is wider. */
function makeZoomable(image, viewer) {
  const button = made("button", { type: "button", className: "zoom" });
  button.setAttribute("aria-label", `Enlarge: ${image.alt}`);
  image.replaceWith(button);
  button.append(image);
  button.addEventListener("click", () => {
    viewer.querySelector("img")?.remove();
    viewer.append(made("img", { src: image.src, alt: image.alt }));
    viewer.showModal();
  });
}

function addViewer() {
  const close = made("button", { type: "button", className: "close", textContent: "Close" });
  const viewer = made("dialog", {}, close);
  viewer.setAttribute("aria-label", "Enlarged picture");
  close.addEventListener("click", () => viewer.close());
  document.body.append(viewer);
  return viewer;
}

/* A link to something that is folded up unfolds it. */
function unfold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let place = target; place; place = place.parentElement) if (place.matches("details")) place.open = true;
  if (target) target.scrollIntoView();
}

show(THEMES.includes(remembered()) ? remembered() : "auto");
document.addEventListener("DOMContentLoaded", () => {
  addThemeSwitch();
  for (const table of document.querySelectorAll(".table table")) {
    makeSortable(table);
    makeFilterable(table);
  }
  document.querySelectorAll("pre.command").forEach(makeCopyable);
  document.querySelectorAll("a.again").forEach(showAgain);
  const viewer = addViewer();
  document.querySelectorAll("figure img").forEach((image) => makeZoomable(image, viewer));
  unfold();
});
window.addEventListener("hashchange", unfold);
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((details) => { details.open = true; });
});
