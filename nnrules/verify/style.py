"""How the pages of a build look, in light and dark."""

STYLE = """\
:root { color-scheme: light dark; --line: light-dark(#ddd, #3a3a3a); --faint: light-dark(#666, #9a9a9a);
        --good: light-dark(#176b2c, #6fd08c); --bad: light-dark(#b3261e, #ff8a80);
        --panel: light-dark(#f6f6f6, #1e1e1e); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.1rem; margin-top: 2.2rem; }
h3 { font-size: 1rem; margin-top: 1.6rem; }
.about { color: var(--faint); margin-top: .2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; color: var(--faint); white-space: normal; vertical-align: bottom; }
.name { white-space: normal; overflow-wrap: anywhere; min-width: 7rem; }
.dense { font-size: 13px; }
.n { text-align: right; }
.good { color: var(--good); }
.bad { color: var(--bad); font-weight: 600; }
pre { background: var(--panel); padding: .8rem 1rem; overflow-x: auto; border-radius: 6px; }
img { max-width: 100%; border-radius: 6px; background: #fff; }
svg { width: 100%; height: auto; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .5em; }
.side { display: grid; grid-template-columns: 1fr 1fr; gap: 0 2.5rem; align-items: start; }
@media (max-width: 50rem) { .side { grid-template-columns: 1fr; } }
"""
