/* Draws the charts of a report from the data of the page, and shows the trial that is chosen. */
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const trials = data.trials;
  const COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C"];
  // Of the two blues the one that is seen better comes first.
  if (matchMedia("(prefers-color-scheme: dark)").matches) {
    [COLORS[0], COLORS[5]] = [COLORS[5], COLORS[0]];
  }
  const SHAPES = ["circle", "diamond", "square", "triangle-up", "x", "cross", "star"];
  const PATTERNS = ["", "/", "x", "-", "|", "+", "."];
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid"];
  // Positive values so many times apart stand on a logarithmic axis.
  const FAR = 30;
  // Of more points the marks are smaller, and those that are not of the front come last of all.
  const MANY = 1000;
  // Points so near to each other, in pixels, are one to a finger.
  const FINGER = 12;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const precise = matchMedia("(pointer: fine)").matches;
  const CONFIG = { displayModeBar: false, responsive: true, showTips: false };
  // What the page shows at first: the best, which is the first of all.
  let chosen = 0;

  const byId = (key) => document.getElementById(key);
  const escaped = (text) =>
    String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const shown = (value) =>
    value === null || value === undefined ? "-"
      : Number.isInteger(value) ? value.toLocaleString("en-US")
        : Math.abs(value) >= 1e4 ? String(+value.toPrecision(4)) : value.toPrecision(4);
  const range = (n) => Array.from({ length: n }, (_, index) => index);

  function decisionsOf(index) {
    return Object.entries(trials.decisions)
      .filter(([, decision]) => decision.at[index] >= 0)
      .map(([name, decision]) => [name, decision.choices[decision.at[index]]]);
  }

  function metricsOf(index) {
    return Object.entries(trials.metrics)
      .map(([name, values]) => [name, values[index]])
      .filter(([, value]) => value !== null);
  }

  function described(index) {
    const goals = trials.objectives.map(([name]) => `${name} ${shown(trials.metrics[name][index])}`);
    const choices = decisionsOf(index).map(([name, choice]) => escaped(`${name}=${choice}`));
    return [`<b>trial ${trials.number[index]}</b>`, ...goals.map(escaped), ...choices].join("<br>");
  }

  function layout(more) {
    const axis = { automargin: true, zeroline: false, linecolor: "#8C8C8C", gridcolor: "#d5dbe4" };
    const { xaxis, yaxis, ...rest } = more;
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 10, r: 10, t: 30, b: 10 },
      font: { family: "system-ui, sans-serif", size: 13 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      hovermode: "closest", dragmode: precise ? "zoom" : false, hoverlabel: { align: "left" },
      xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
    };
  }

  const titled = (text) => ({ title: { text: escaped(text) } });

  /* An axis for values, whether or not all of them are drawn yet. */
  function axisOf(name) {
    const known = trials.metrics[name].filter((value) => value !== null);
    let low = known.reduce((a, b) => Math.min(a, b)), high = known.reduce((a, b) => Math.max(a, b));
    const type = low > 0 && high / low >= FAR ? "log" : "linear";
    if (type === "log") [low, high] = [Math.log10(low), Math.log10(high)];
    const room = 0.05 * (high - low) || 0.05 * Math.abs(high) || 1;
    return { ...titled(name), type, range: [low - room, high + room] };
  }

  /* The front: all trials as points, the front as diamonds, the chosen one in a ring. */
  function front(chart) {
    const box = byId(chart.key), acrossBox = byId("front-x"), upBox = byId("front-y");
    for (const [select, first] of [[acrossBox, chart.x], [upBox, chart.y]]) {
      for (const name of chart.metrics) select.append(new Option(name, name, false, name === first));
      select.addEventListener("change", () => draw());
    }
    document.querySelector(".axes").hidden = false;
    const every = range(trials.number.length);
    const groups = [
      ["other trials", every.filter((i) => trials.rank[i] > 0 && !trials.random[i]), 0],
      ["drawn at random", every.filter((i) => trials.rank[i] > 0 && trials.random[i]), 2],
      ["front", every.filter((i) => trials.rank[i] === 0), 1],
    ];
    const walk = [...groups[2][1]];
    const texts = [];
    let whole = every.length <= MANY;

    function draw() {
      const x = trials.metrics[acrossBox.value], y = trials.metrics[upBox.value];
      const now = groups.filter(
        ([name, members]) => members.length && (whole || name !== "other trials"));
      const traces = now.map(([name, members, look]) => ({
        type: "scatter", mode: "markers", name,
        x: members.map((i) => x[i]), y: members.map((i) => y[i]), customdata: members,
        hovertext: members.map((i) => (texts[i] ??= described(i))), hoverinfo: "text",
        marker: {
          color: COLORS[look], symbol: SHAPES[look],
          size: name === "front" ? 11 : name !== "other trials" || every.length <= MANY ? 8 : 5,
          opacity: name === "other trials" ? 0.6 : 1,
          line: { width: name === "front" ? 1 : 0, color: "#ffffff" },
        },
      }));
      traces.push({
        type: "scatter", mode: "markers", name: "chosen", hoverinfo: "skip",
        x: [x[chosen]], y: [y[chosen]],
        marker: { color: COLORS[4], symbol: "circle-open", size: 20, line: { width: 3 } },
      });
      walk.sort((a, b) => x[a] - x[b] || y[a] - y[b]);
      const axes = { xaxis: axisOf(acrossBox.value), yaxis: axisOf(upBox.value) };
      return Plotly.react(box, traces, layout(axes), CONFIG);
    }

    function step(key) {
      if (key === "PageUp" || key === "PageDown") {
        const place = chosen + (key === "PageDown" ? 1 : -1);
        return Math.max(0, Math.min(every.length - 1, place));
      }
      const place = walk.indexOf(chosen), last = walk.length - 1;
      const next = { ArrowRight: Math.min(last, place + 1), Home: 0, End: last };
      next.ArrowLeft = place < 0 ? last : Math.max(0, place - 1);
      return key in next ? walk[next[key]] : undefined;
    }

    /* What is pointed at; where that is done again, the next of the points around it. */
    function meant(index) {
      const again = index === pointed;
      pointed = index;
      if (!again) return index;
      const x = trials.metrics[acrossBox.value], y = trials.metrics[upBox.value];
      const { xaxis, yaxis } = box._fullLayout;
      const apart = (i) =>
        Math.hypot(xaxis.d2p(x[i]) - xaxis.d2p(x[index]), yaxis.d2p(y[i]) - yaxis.d2p(y[index]));
      const near = every.filter((i) => apart(i) <= FINGER);
      return near[(near.indexOf(chosen) + 1) % near.length];
    }
    let pointed = -1;

    box.addEventListener("keydown", (event) => {
      const index = step(event.key);
      if (index === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      choose(index);
    });
    redraw = draw;
    complete = () => {
      if (whole) return Promise.resolve();
      whole = true;
      return draw();
    };
    return draw().then(() => {
      box.on("plotly_click", (event) => {
        if (event.points[0].customdata === undefined) return;
        const index = meant(event.points[0].customdata);
        const curveNumber = box.data.findIndex(({ customdata }) => customdata?.includes(index));
        const pointNumber = box.data[curveNumber].customdata.indexOf(index);
        // Where points lie on each other the words beside them are of the one that was chosen.
        choose(index).then(() => Plotly.Fx.hover(box, [{ curveNumber, pointNumber }]));
      });
      // A mouse's events, which a browser makes of a tap, would point again, at a place rounded.
      box.addEventListener("touchend", (event) => {
        if (event.cancelable) event.preventDefault();
      });
    });
  }
  let redraw = () => Promise.resolve(), complete = redraw;

  function choose(index) {
    chosen = index;
    const number = trials.number[index];
    const standing = index === 0 ? ", the best" : trials.rank[index] === 0 ? ", on the front" : "";
    byId("chosen-title").textContent = `Trial ${number}${standing}`;
    fill(byId("chosen-metrics"), metricsOf(index).map(([name, value]) => [name, shown(value)]), true);
    fill(byId("chosen-decisions"), decisionsOf(index), false);
    const drawing = data.drawings[trials.drawing[number]];
    const figure = byId("chosen-drawing");
    if (drawing) {
      const parsed = new DOMParser().parseFromString(drawing, "text/html");
      figure.replaceChildren(parsed.body.firstElementChild);
    } else {
      figure.textContent = "Networks of the front and of the best 100 trials are drawn.";
    }
    return redraw();
  }

  function fill(table, rows, numbers) {
    table.tBodies[0].replaceChildren(...rows.map(([name, value]) => {
      const row = document.createElement("tr"), head = document.createElement("th");
      const cell = document.createElement("td");
      head.scope = "row";
      head.textContent = name;
      cell.textContent = value;
      if (numbers) cell.className = "number";
      row.append(head, cell);
      return row;
    }));
  }

  /* Parallel coordinates from plain lines: plotly's own need WebGL, which not every phone has. */
  function parallel(chart) {
    const names = chart.names, n = trials.number.length, goal = trials.metrics[chart.metric];
    const order = range(n);  // they are best first
    const tenth = Math.max(1, Math.ceil(n / 10)), half = Math.max(tenth, Math.ceil(n / 2));
    const low = goal.reduce((a, b) => Math.min(a, b));
    const span = goal.reduce((a, b) => Math.max(a, b)) - low || 1;
    // The best always, the others evenly.
    const best = order.slice(0, Math.min(tenth, chart.best));
    const others = order.slice(tenth), room = chart.lines - best.length;
    const apart = Math.max(1, others.length / room);
    const kept = range(Math.min(others.length, room)).map((i) => Math.floor(i * apart));
    const rest = kept.map((place) => [others[place], place + tenth < half]);
    const groups = [
      ["the other half", rest.filter(([, good]) => !good).map(([i]) => i), 6, "solid", 0.8, 0.4],
      ["the next four tenths", rest.filter(([, good]) => good).map(([i]) => i), 5, "dot", 1, 0.6],
      ["the best", best, 1, "solid", 2, 0.85],
    ];
    const height = (name, index) => {
      const decision = trials.decisions[name], last = decision.choices.length - 1;
      const at = decision.at[index];
      // Lines of one choice lie side by side, always at the same place for the same trial.
      const beside = (((index * 7919) % 101) / 100 - 0.5) * (0.5 / (last + 1));
      return at < 0 ? -0.16 + beside * 0.3 : at / last + beside;
    };
    const traces = groups.filter(([, members]) => members.length).map(
      ([name, members, color, dash, width, opacity]) => {
        const x = [], y = [], text = [];
        for (const i of members) {
          names.forEach((decision, place) => {
            x.push(place);
            y.push(height(decision, i));
            text.push(`trial ${trials.number[i]}: ${escaped(chart.metric)} ${shown(goal[i])}`);
          });
          x.push(names.length, null);
          y.push((goal[i] - low) / span, null);
          text.push(text[text.length - 1], "");
        }
        return {
          type: "scatter", mode: "lines", name: `${name} (${members.length})`, x, y, text,
          hoverinfo: "text", opacity, line: { color: COLORS[color], dash, width },
        };
      });
    const notes = names.flatMap((name, place) => {
      const choices = trials.decisions[name].choices;
      return choices.map((choice, at) => note(place, at / (choices.length - 1), choice));
    });
    notes.push(note(names.length, 0, shown(low)), note(names.length, 1, shown(low + span)));
    const ticks = [...names, chart.metric];
    const axes = {
      annotations: notes, dragmode: false,
      xaxis: {
        tickvals: range(ticks.length), ticktext: ticks.map(escaped), tickangle: -35,
        range: [-0.45, names.length + 0.45], showgrid: true,
      },
      yaxis: { showticklabels: false, showgrid: false, range: [-0.25, 1.12] },
    };
    return Plotly.newPlot(chart.key, traces, layout(axes), CONFIG);
  }

  const note = (x, y, text) => ({
    x, y, text: escaped(text), showarrow: false, font: { size: 11 }, bgcolor: "#ffffff", borderpad: 0,
    xanchor: "left", xshift: 3, captureevents: false,
  });

  function lines(chart) {
    const traces = chart.series.map((series, i) => ({
      type: "scatter", mode: "lines+markers", name: escaped(series.name), x: series.x, y: series.y,
      line: { color: COLORS[i % 7], dash: DASHES[i % 7], shape: chart.shape, width: 2 },
      marker: { color: COLORS[i % 7], symbol: SHAPES[i % 7], size: 8 },
      error_y: errors(series),
    }));
    return Plotly.newPlot(
      chart.key, traces, layout({
        showlegend: true, xaxis: titled(chart.x), yaxis: titled(chart.y) }), CONFIG);
  }

  function bars(chart) {
    const traces = chart.series.map((series, i) => ({
      type: "bar", name: escaped(series.name), x: series.x.map(escaped), y: series.y,
      marker: {
        color: COLORS[i % 7],
        pattern: { shape: PATTERNS[(i + Math.floor(i / 7)) % 7], fgcolor: "#ffffff", bgcolor: COLORS[i % 7], solidity: 0.2 },
      },
    }));
    const axes = {
      barmode: chart.mode, showlegend: traces.length > 1, dragmode: false,
      bargap: Math.max(0.2, 1 - chart.series[0].x.length / 6),
      xaxis: { ...titled(chart.x), type: "category" },
      yaxis: { ...titled(chart.y), rangemode: "tozero" },
    };
    return Plotly.newPlot(chart.key, traces, layout(axes), CONFIG);
  }

  function points(chart) {
    const traces = chart.series.map((series, i) => ({
      type: "scatter", mode: "markers", name: escaped(series.name), y: series.y,
      x: chart.places ? series.x.map((x) => beside(chart, x, i)) : series.x,
      text: (series.text || []).map(escaped), error_y: errors(series),
      marker: { color: COLORS[i % 7], symbol: SHAPES[i % 7], size: 10 },
    }));
    const shapes = [];
    if (chart.diagonal) {
      const all = chart.series.flatMap((series) => [...series.x, ...series.y]);
      const [low, high] = [Math.min(...all), Math.max(...all)];
      shapes.push({
        type: "line", x0: low, y0: low, x1: high, y1: high,
        line: { dash: "dash", color: COLORS[6], width: 2 },
      });
    }
    const axes = { shapes, xaxis: titled(chart.x), yaxis: titled(chart.y) };
    if (chart.places) {
      Object.assign(axes.xaxis, {
        tickvals: range(chart.places.length), ticktext: chart.places.map(escaped),
        range: [-0.5, chart.places.length - 0.5],
      });
    }
    return Plotly.newPlot(chart.key, traces, layout(axes), CONFIG);
  }

  /* Series at one place stand side by side. */
  const beside = (chart, place, i) =>
    chart.places.indexOf(place) + (i - (chart.series.length - 1) / 2) * (0.5 / chart.series.length);

  /* From the low end of each interval to the high one. */
  const errors = ({ y, low, high }) => low && {
    type: "data", symmetric: false, visible: true, thickness: 2,
    array: y.map((at, i) => high[i] === null ? null : high[i] - at),
    arrayminus: y.map((at, i) => low[i] === null ? null : at - low[i]),
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-trial]");
    const index = button ? trials.number.indexOf(Number(button.dataset.trial)) : -1;
    if (index < 0) return;
    choose(index);
    byId("chosen").focus({ preventScroll: true });
    byId("chosen").scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
  });

  /* A drawing that knows its own size can be printed in another. */
  function scaled(box) {
    for (const svg of box.querySelectorAll(".main-svg")) {
      const [width, height] = [svg.getAttribute("width"), svg.getAttribute("height")];
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.parentElement.style.aspectRatio = `${width} / ${height}`;
    }
  }

  /* On paper a chart has a size of its own, whatever the window was: the width of A4 in pixels, and
     where axes stand side by side so much more that each has room for its name. */
  const PAPER = 688, AXIS = 56;
  const HEIGHTS = { front: 400, parallel: 420, lines: 380, bars: 300, points: 320 };
  function onPaper({ key, kind, names }) {
    const width = kind === "parallel" ? Math.max(PAPER, AXIS * names.length) : PAPER;
    return Plotly.relayout(byId(key), { width, height: HEIGHTS[kind] * width / PAPER });
  }
  const drawn = () => data.charts.filter(({ key }) => byId(key).data);
  addEventListener("beforeprint", () => drawn().forEach(onPaper));
  addEventListener("afterprint", () => drawn().forEach(({ key }) =>
    Plotly.relayout(byId(key), { width: null, height: null, autosize: true })));

  /* One after the other, with a breath between them: the page answers while charts are drawn. */
  async function draw() {
    const kinds = { front, parallel, lines, bars, points };
    const root = document.documentElement;
    for (const chart of data.charts) {
      await new Promise((go) => setTimeout(go));
      try {
        await kinds[chart.kind](chart);
      } catch (error) {
        const box = byId(chart.key);
        box.hidden = true;
        box.closest("section").querySelector(".undrawn").hidden = false;
        console.error(error);
      }
      const box = byId(chart.key);
      if (box.on) box.on("plotly_afterplot", () => scaled(box));
      scaled(box);
      if (chart.kind === "front") root.dataset.interactive = String(performance.now());
    }
    await complete();
    root.dataset.drawn = String(performance.now());
  }
  draw();
})();
