extension Report {
  /// One column, system fonts, one accent; the colours of both schemes pass 4.5:1 on their backgrounds.
  static let styleSheet = """
    :root { color-scheme: light dark; --page: #faf8f5; --card: #fff; --ink: #23201d; --soft: #6b645c;
      --line: #e6e0d8; --accent: #b3430c; --second: #1d6a8c; --good: #20713a; --bad: #b02a2a; }
    @media (prefers-color-scheme: dark) { :root { --page: #171513; --card: #201d1a; --ink: #efe9e2;
      --soft: #a79e93; --line: #38332d; --accent: #ff9457; --second: #6bbde0; --good: #6fce8b; --bad: #ff8f86; } }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--page); color: var(--ink);
      font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
    main { max-width: 54rem; margin: 0 auto; padding: 2.5rem 1.25rem 1rem; }
    h1 { font-size: clamp(1.7rem, 5vw, 2.4rem); line-height: 1.15; letter-spacing: -.02em; margin: 0;
      overflow-wrap: anywhere; }
    h2 { font-size: 1.15rem; margin: 0 0 1rem; }
    h3 { font-size: 1rem; margin: 0 0 .75rem; white-space: pre-wrap; overflow-wrap: anywhere; }
    h4 { font-size: .8rem; font-weight: 600; color: var(--soft); margin: 0 0 .35rem; display: flex;
      justify-content: space-between; gap: 1rem; }
    .lead { color: var(--soft); margin: .5rem 0 0; max-width: 42rem; }
    .facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 1rem; margin: 1.75rem 0 0; }
    .facts dt { color: var(--soft); font-size: .8rem; }
    .facts dd { margin: 0; font-size: 1.35rem; font-weight: 600; letter-spacing: -.01em; font-variant-numeric: tabular-nums; }
    section { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
      padding: 1.4rem 1.5rem; margin: 1.75rem 0 0; }
    table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
    th, td { padding: .6rem .5rem; border-top: 1px solid var(--line); vertical-align: baseline; }
    th:first-child { padding-left: 0; } td:last-child, th:last-child { padding-right: 0; }
    thead th { border-top: 0; padding-top: 0; color: var(--soft); font-size: .8rem; font-weight: 600; }
    th { text-align: left; font-weight: 500; }
    .comparison td, .comparison thead th:not(:first-child) { text-align: right; white-space: nowrap; }
    small { display: block; color: var(--soft); font-size: .78rem; font-weight: 400; }
    .strong { font-weight: 650; }
    .better { color: var(--good); } .worse { color: var(--bad); }
    .caption { color: var(--soft); font-size: .82rem; margin: .9rem 0 0; }
    figure { margin: 0; }
    svg { display: block; width: 100%; height: auto; }
    svg text { fill: var(--soft); font-size: 12px; }
    svg .grid { stroke: var(--line); }
    svg polyline { fill: none; stroke-linejoin: round; stroke-linecap: round; stroke-width: 2.25;
      vector-effect: non-scaling-stroke; }
    svg .raw { stroke: var(--accent); stroke-width: 1; opacity: .35; }
    svg .training { stroke: var(--accent); }
    svg .validation { stroke: var(--second); }
    svg .dot { fill: var(--second); stroke: var(--card); stroke-width: 1.5; }
    svg .chosen { fill: var(--good); }
    svg .best { stroke: var(--good); stroke-dasharray: 3 4; }
    .legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .5rem 0 0; font-size: .82rem; color: var(--soft); }
    .legend span::before { content: ""; display: inline-block; width: .7em; height: .7em; border-radius: 50%;
      margin-right: .45em; background: var(--accent); }
    .legend .validation::before { background: var(--second); } .legend .chosen::before { background: var(--good); }
    article { border-top: 1px solid var(--line); padding: 1.1rem 0; }
    h2 + article { border-top: 0; padding-top: 0; }
    article:last-child { padding-bottom: 0; }
    .answers { display: grid; grid-template-columns: 1fr 1fr; gap: .75rem; }
    .answers.alone { grid-template-columns: 1fr; }
    .answer { background: var(--page); border-radius: 10px; padding: .75rem .9rem; min-width: 0; }
    .answer.tuned { border-left: 3px solid var(--accent); border-radius: 3px 10px 10px 3px; }
    .answer p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .93rem; }
    .reference { color: var(--soft); font-size: .85rem; margin: .6rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
    .reference span { font-weight: 600; }
    .recipe tr:first-child > * { border-top: 0; padding-top: 0; }
    .recipe th { width: 40%; color: var(--soft); font-weight: 400; }
    .recipe td { overflow-wrap: anywhere; }
    ul { margin: 0; padding-left: 1.2rem; } li { overflow-wrap: anywhere; }
    footer { max-width: 54rem; margin: 0 auto; padding: 1.25rem 1.25rem 2.5rem; color: var(--soft); font-size: .8rem; }
    @media (max-width: 38rem) {
      main { padding-top: 1.5rem; } section { padding: 1.1rem 1rem; margin-top: 1.1rem; }
      .answers { grid-template-columns: 1fr; } svg text { font-size: 19px; }
      .comparison thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
      .comparison tr { display: grid; grid-template-columns: repeat(3, 1fr); border-top: 1px solid var(--line); padding: .6rem 0; }
      .comparison tr:first-child { border-top: 0; padding-top: 0; }
      .comparison th { grid-column: 1 / -1; } .comparison th, .comparison td { border: 0; padding: .15rem 0; }
      .comparison td { text-align: left; } .comparison td::before { content: attr(data-label); display: block;
        color: var(--soft); font-size: .75rem; font-weight: 400; }
    }
    @media print { body { background: #fff; } section { break-inside: avoid; } }
    """
}
