# SPDX-License-Identifier: Apache-2.0
"""The style and the script of the page that `bbcodec compare --html` writes: no fonts, no libraries."""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE"]

STYLE = """
:root { color-scheme: light dark;
  --page: #f6f6f3; --card: #fff; --ink: #1d2126; --soft: #5c6470; --line: #dfe1e4; --stripe: #fafaf8;
  --ours: #c2410c; --rival: #47607f; --best: #fdeee3; --track: #eceef0; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171b; --card: #1c2026; --ink: #e8eaed; --soft: #a0a8b3; --line: #323842; --stripe: #20252c;
  --ours: #ff9a5c; --rival: #93b3d9; --best: #3a2a1f; --track: #2c323b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font-family: system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: clamp(1rem, 4vw, 2.5rem); }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.015em; }
h2 { font-size: 1.15rem; margin: 0 0 .2rem; }
p { margin: 0 0 .6rem; max-width: 46rem; }
.lead { font-size: 1.1rem; }
.soft, dt { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem;
  padding: clamp(.9rem, 3vw, 1.5rem); margin-top: 1.25rem; }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; min-width: 0; }
svg.chart { display: block; width: 100%; height: auto; font: 13px system-ui, "Segoe UI", Arial, sans-serif; }
.grid { stroke: var(--line); } .axis { fill: var(--soft); } .name { fill: var(--ink); }
.ours { fill: var(--ours); } .rival { fill: var(--rival); }
.key { white-space: nowrap; margin-right: .8em; }
.key::before { content: ""; display: inline-block; width: .7em; height: .7em; border-radius: 50%;
  margin-right: .35em; }
.key.ours::before { background: var(--ours); } .key.rival::before { background: var(--rival); }
.scroll { overflow-x: auto; margin: .6rem calc(-1 * clamp(.9rem, 3vw, 1.5rem)) 0;
  padding: 0 clamp(.9rem, 3vw, 1.5rem); }
.scroll:focus-visible, button:focus-visible { outline: 2px solid var(--ours); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { padding: .4rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
tbody tr:nth-child(even) { background: var(--stripe); }
thead th { vertical-align: bottom; font-weight: 600; color: var(--soft); border-bottom-width: 2px; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--card); z-index: 1; }
tbody tr:nth-child(even) th:first-child { background: var(--stripe); }
tbody th { font-weight: 600; }
tr.ours-row th:first-child { box-shadow: inset 3px 0 var(--ours); }
td.left { text-align: left; }
td.best { background: var(--best); font-weight: 650; }
td small, th small { display: block; color: var(--soft); font-weight: 400; font-size: .82em; }
td.none { color: var(--soft); white-space: normal; min-width: 11rem; }
.picture { display: flex; gap: .7rem; align-items: center; }
.picture span { width: 12rem; overflow-wrap: anywhere; white-space: normal; }
.picture img { width: 4rem; height: 4rem; object-fit: contain; flex: none; border-radius: .3rem;
  background: var(--track); }
img.tiny { image-rendering: pixelated; }
.bar { display: block; width: 7rem; height: .5rem; } .bar .track { fill: var(--track); }
button { all: unset; cursor: pointer; } button:hover { color: var(--ink); text-decoration: underline; }
button::after { content: " \\2195"; opacity: .4; }
[aria-sort=ascending] button::after { content: " \\2191"; opacity: 1; }
[aria-sort=descending] button::after { content: " \\2193"; opacity: 1; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: .6rem 0 0; }
dd { margin: 0; overflow-wrap: anywhere; }
code { font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; font-size: .9em; }
@media (max-width: 34rem) { .picture img { width: 2.6rem; height: 2.6rem; }
  .picture span { width: 6.5rem; } th, td { padding: .35rem .45rem; }
  dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
""".strip()

SCRIPT = """
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = row => row.cells[column]?.dataset.value;
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
        const order = head.dataset.kind === "text" ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
        return down ? -order : order;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    });
  });
}
document.documentElement.dataset.ready = "yes";
""".strip()
