"""How the worklist looks. Pictures are black in every light, as images are read."""

STYLE = """
:root { color-scheme: light dark; --page: #f3f5f7; --card: #fff; --line: #d0d7de; --text: #1b1f23; --soft: #57606a;
  --link: #0550ae; --high: #9a1b1b; --high-bg: #ffe9e6; --low: #1b5e34; --low-bg: #def5e5; --warn: #6e4400; --warn-bg: #fff1cc;
  --for: #d55e00; --against: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --page: #0f1318; --card: #181d24; --line: #39424d; --text: #e8ebef;
  --soft: #a8b1bb; --link: #8cc2ff; --high: #ffaca4; --high-bg: #48181a; --low: #8fe3ab; --low-bg: #143620; --warn: #ffd98a;
  --warn-bg: #3d300d; --for: #ee7f28; --against: #4aa3dc; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 20px 28px 56px; max-width: 1320px; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 22px 0 2px; font-size: 26px; line-height: 1.2; font-weight: 650; letter-spacing: -0.01em; }
h2 { margin: 36px 0 10px; font-size: 18px; line-height: 1.3; font-weight: 650; scroll-margin-top: 8px; }
h3 { margin: 0; font-size: 16px; line-height: 1.35; font-weight: 650; }
p { margin: 0; } a { color: var(--link); text-underline-offset: 2px; }
.soft, figcaption, caption { color: var(--soft); } bdi { unicode-bidi: isolate; }
.banner { padding: 9px 14px; background: var(--warn-bg); color: var(--warn); border: 1px solid currentColor;
  border-radius: 8px; }
.counts { display: flex; flex-wrap: wrap; gap: 12px; margin: 18px 0 0; }
.counts > div { display: flex; flex-direction: column-reverse; justify-content: flex-end; flex: 1 1 170px; padding: 12px 16px;
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.counts dt { color: var(--soft); } .counts dd { margin: 0; font-size: 28px; line-height: 1.2; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.says ul { margin: 0; padding-left: 20px; } .says li { margin: 0 0 5px; max-width: 96ch; }
.cards { margin: 0; padding: 0; list-style: none; display: grid; gap: 10px; }
.study { padding: 14px 18px; background: var(--card); border: 1px solid var(--line); border-left: 6px solid var(--line);
  border-radius: 10px; break-inside: avoid; content-visibility: auto; contain-intrinsic-size: auto 260px; }
.study.said { border-left-color: var(--high); }
.study.abstains { border-left: 6px dashed var(--warn); }
.study article { display: grid; gap: 8px 24px; grid-template-columns: 252px minmax(0, 1fr) minmax(250px, 320px);
  grid-template-areas: "name name name" "pictures answer adds"; align-items: start; }
.name { grid-area: name; display: flex; flex-wrap: wrap; gap: 2px 12px; align-items: baseline; }
.place { min-width: 26px; color: var(--soft); font-weight: 600; font-variant-numeric: tabular-nums; }
.pictures { grid-area: pictures; display: grid; grid-template-columns: 1fr 1fr; gap: 6px 8px; }
.pictures.one { grid-template-columns: 1fr; }
figure { margin: 0; min-width: 0; }
figure div { position: relative; aspect-ratio: 1; background: #000; display: grid; place-items: center; border-radius: 4px;
  overflow: hidden; }
figure img { display: block; width: 100%; height: 100%; object-fit: contain; }
figure.signal { grid-column: 1 / -1; } figure.signal div { aspect-ratio: auto; background: #fff; }
figure b { position: absolute; font-size: 12px; line-height: 1; font-weight: 650; color: #ffd24d;
  text-shadow: 0 0 3px #000, 0 0 3px #000; }
.left { left: 5px; } .right { right: 5px; } .top { top: 4px; } .bottom { bottom: 4px; }
figcaption { margin-top: 2px; font-size: 12px; line-height: 1.35; }
.none { grid-column: 1 / -1; align-self: start; padding: 10px 12px; font-size: 13px; color: var(--soft);
  border: 1px dashed var(--line); border-radius: 6px; }
.answer { grid-area: answer; min-width: 0; }
.big { font-size: 32px; line-height: 1.15; font-weight: 650; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; }
.abstains .big { font-size: 20px; font-weight: 500; color: var(--soft); letter-spacing: 0; }
.scale { display: block; width: 100%; max-width: 380px; height: 16px; margin: 4px 0 8px; }
.ground, .zero { fill: var(--line); } .full { fill: var(--soft); } .said .full { fill: var(--high); }
.cut { fill: var(--text); }
.abstains .full { fill: var(--soft); opacity: 0.55; }
.for { fill: var(--for); } .against { fill: var(--against); }
.tag { display: inline-block; padding: 1px 10px; border-radius: 12px; font-size: 13px; font-weight: 600; }
.high { color: var(--high); background: var(--high-bg); } .low { color: var(--low); background: var(--low-bg); }
.warn { color: var(--warn); background: var(--warn-bg); }
.others { margin: 8px 0 0; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 13.5px; }
.answer dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 2px 14px; margin: 10px 0 0;
  font-size: 13.5px; } .answer dt { color: var(--soft); } .answer dd { margin: 0; }
.adds { grid-area: adds; min-width: 0; }
table { border-collapse: collapse; font-size: 13.5px; line-height: 1.4; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-size: 13px; padding-bottom: 4px; }
.adds table { width: 100%; } .adds th, .adds td { padding: 3px 10px 3px 0; vertical-align: middle; font-weight: 400;
  text-align: left; } .adds td:nth-child(2) { width: 45%; min-width: 80px; }
td.number { text-align: right; white-space: nowrap; }
.bar { display: block; width: 100%; height: 13px; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 6px 16px; }
.rows { width: 100%; } .rows th, .rows td { padding: 5px 18px 5px 0; text-align: left; vertical-align: top; font-weight: 400;
  border-bottom: 1px solid var(--line); } .rows thead th { font-weight: 600; border-bottom: 1.5px solid var(--text); }
.rows tbody tr:last-child > * { border-bottom: 0; } .rows td { min-width: 7ch; }
.rows .id { display: inline-block; min-width: 11ch; }
.rows tr.abstains > * { color: var(--warn); }
.note { margin: 10px 0; max-width: 96ch; }
code { font: 13px/1.4 ui-monospace, "SF Mono", Menlo, Consolas, monospace; white-space: nowrap; }
footer { margin-top: 40px; padding-top: 14px; border-top: 1px solid var(--line); color: var(--soft); font-size: 13px; }
@media (max-width: 1000px) { .study article { grid-template-columns: 220px minmax(0, 1fr);
  grid-template-areas: "name name" "pictures answer" "pictures adds"; } }
@media (max-width: 620px) { body { padding: 14px 12px 40px; } .study { padding: 12px 14px; }
  .counts { gap: 8px; } .counts > div { flex-basis: 130px; padding: 8px 12px; } .counts dd { font-size: 22px; }
  .study article { grid-template-columns: minmax(0, 1fr); grid-template-areas: "name" "answer" "pictures" "adds"; }
  .pictures.one { max-width: 260px; } }
@media print { @page { size: A4; margin: 14mm; } :root { color-scheme: light; --page: #fff; --card: #fff; --line: #b8c0c8;
    --text: #000; --soft: #444c55; --link: #000; --high: #8a0b1f; --high-bg: #fff; --low: #0b4a1d; --low-bg: #fff;
    --warn: #5e3900; --warn-bg: #fff; --for: #d55e00; --against: #0072b2; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } body { max-width: none; padding: 0; font-size: 10pt; }
  .study { content-visibility: visible; } .tag { border: 1px solid currentColor; } .wide { overflow: visible; }
  .study article { grid-template-columns: 45mm minmax(0, 1fr) 55mm;
    grid-template-areas: "name name name" "pictures answer adds"; }
  thead { display: table-header-group; } tr { break-inside: avoid; } }
"""
