"""The style sheet of cards in HTML."""

STYLE = """\
:root { color-scheme: light dark; --text: #1c2330; --soft: #5a6475; --back: #ffffff;
  --panel: #f4f6f9; --line: #d5dbe4; --accent: #b3400e; --other: #2563a8; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e3e8ef; --soft: #a3adbc; --back: #12161d; --panel: #1c222c; --line: #364050;
    --accent: #ff9a5c; --other: #7db4f0; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 56rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0.5rem 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.25rem 0 0.75rem; padding-bottom: 0.3rem;
  border-bottom: 1px solid var(--line); }
p, li { overflow-wrap: anywhere; }
ul { padding-left: 1.25rem; }
li + li { margin-top: 0.3rem; }
code { font: 0.88em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  background: var(--panel); border-radius: 4px; padding: 0.1em 0.3em; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: 0.8rem 1rem; overflow-x: auto; }
pre code { background: none; padding: 0; }
.wide { overflow-x: auto; margin: 0.75rem 0; }
.wide:focus-visible { outline: 2px solid var(--other); outline-offset: 2px; }
table { border-collapse: collapse; font-size: 0.92rem; min-width: 60%; }
th, td { padding: 0.35rem 0.75rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td:not(:last-child) { white-space: nowrap; }
td:last-child { min-width: 9rem; }
td { font-variant-numeric: tabular-nums; }
td code { overflow-wrap: anywhere; }
figure { margin: 0 0 1rem; }
.front { width: 100%; max-width: 40rem; height: auto; display: block; }
.front text { fill: var(--text); font-size: 14px; font-family: inherit; }
.front .tick { fill: var(--soft); font-size: 13px; }
.front .grid { stroke: var(--line); stroke-width: 1; }
.front .other { fill: var(--other); }
.front .this { fill: var(--accent); stroke: var(--back); stroke-width: 1.5; }
.front .mark { fill: var(--accent); font-weight: 600; }
@media (max-width: 30rem) {
  body { font-size: 15px; }
  h1 { font-size: 1.5rem; }
  td:last-child { min-width: 12rem; }
  .front text, .front .tick { font-size: 20px; }
}
@media print {
  :root { --text: #000000; --soft: #444444; --back: #ffffff; --panel: #f4f6f9; --line: #bbbbbb;
    --accent: #b3400e; --other: #2563a8; color-scheme: light; }
  main { max-width: none; padding: 0; }
  .wide { overflow: visible; }
  table { font-size: 9pt; }
  td:not(:last-child), td code { white-space: normal; overflow-wrap: anywhere; }
  pre { white-space: pre-wrap; }
  h2, tr, pre, figure { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""
