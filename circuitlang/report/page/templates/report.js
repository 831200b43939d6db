"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const notes = new Map(Object.entries(data.notes));
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const canvas = byId("canvas");
  const panel = byId("panel");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const state = { figure: 0, claim: "", place: "", ports: new Set(), walked: -1 };
  const OFFSETS = { q: "-30% 50%", k: "0% 50%", v: "30% 50%" };
  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  let cy = null;

  const figure = () => data.figures[state.figure];
  const make = (tag, text, parent, kind) => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (kind) made.className = kind;
    if (parent) parent.append(made);
    return made;
  };

  // ---------------------------------------------------------------- the figure

  function elements(of) {
    const nodes = of.nodes.map((n, i) => ({
      data: { ...n, id: "n" + i, name: n.id, known: notes.has(n.id) },
      position: { x: n.x, y: n.y },
      classes: n.shape + (n.group ? " grouped" : "") + (n.id === "input" || n.id === "logits" ? " end" : ""),
    }));
    const rows = of.rows.map(([label, y], i) => ({
      data: { id: "r" + i, name: label }, position: { x: of.box[0] + 34, y }, classes: "row", selectable: false,
    }));
    const edges = of.edges.map(([name, from, to, port, weights, distances, places], i) => ({
      data: { id: "e" + i, index: i, source: "n" + from, target: "n" + to, name, port, weights, distances, places, known: notes.has(name) },
    }));
    return [...nodes, ...rows, ...edges];
  }

  function style(of) {
    const many = of.edges.length;
    const ink = colour("ink");
    const page = colour("page");
    const base = [
      { selector: "node", style: {
        label: "data(name)", width: "data(w)", height: data.height, shape: "round-rectangle", "corner-radius": 6, "font-size": 12,
        "font-family": "system-ui, Helvetica, Arial, sans-serif", "text-valign": "center", "text-halign": "center",
        "background-color": colour("node"), color: ink, "border-width": 1.2, "border-color": colour("node-line"),
      } },
      { selector: "node.grouped", style: { "background-color": "data(fill)", color: "data(text)" } },
      { selector: "node.end", style: { "background-color": ink, color: page } },
      { selector: "node.pill", style: { "corner-radius": data.height / 2 } },
      { selector: "node.row", style: { "background-opacity": 0, "border-width": 0, color: colour("soft"), "font-size": 11, width: 60, events: "no" } },
      { selector: "edge", style: {
        width: many < 80 ? 1.8 : 1.1, "line-opacity": many < 80 ? 0.9 : many < 300 ? 0.6 : 0.4, "line-color": colour("soft"),
        "curve-style": "unbundled-bezier", "edge-distances": "endpoints", "control-point-weights": "data(weights)",
        "control-point-distances": "data(distances)", "source-endpoint": "0% -50%", "target-endpoint": "0% 50%",
      } },
      ...of.nodes.filter((n) => n.corners.length).map((n) => ({
        selector: `node.${n.shape}`, style: { shape: "polygon", "shape-polygon-points": n.corners.join(" ") },
      })),
      ...Object.keys(data.ports).map((port) => ({
        selector: `edge[port = "${port}"]`,
        style: { "line-color": colour("port-" + port), "target-endpoint": OFFSETS[port] || "0% 50%" },
      })),
      { selector: ".out", style: { display: "none" } },
      { selector: "edge.dim", style: { "line-opacity": 0.05, events: "no" } },
      { selector: "node.dim", style: { opacity: 0.35 } },
      { selector: "edge.hit", style: { "line-opacity": 1, width: many < 80 ? 2.6 : 1.8 } },
      { selector: "node.read", style: { "border-width": 4, "border-color": colour("hit") } },
      { selector: "edge.over", style: { "line-opacity": 1, width: 4, "line-color": colour("hit"), "z-index": 9 } },
      { selector: "node.over", style: { "border-width": 4, "border-color": colour("hit") } },
    ];
    return base;
  }

  function draw() {
    if (cy) cy.destroy();
    const of = figure();
    cy = cytoscape({
      container: canvas, elements: elements(of), style: style(of), layout: { name: "preset", fit: false },
      minZoom: 0.08, maxZoom: 4, autoungrabify: true, autounselectify: true, boxSelectionEnabled: false,
      textureOnViewport: of.edges.length > 1200, pixelRatio: of.edges.length > 600 ? 1 : "auto",
    });
    cy.on("mouseover", "node[w], edge", (event) => point(event.target));
    cy.on("mouseout", "node[w], edge", () => point(null));
    cy.on("tap", (event) => { if (event.target === cy) escape(); else point(event.target); });
    cy.on("zoom", () => { canvas.dataset.zoom = cy.zoom().toFixed(3); });
    cy.on("pan", () => { canvas.dataset.pan = `${Math.round(cy.pan().x)},${Math.round(cy.pan().y)}`; });
    canvas.setAttribute("aria-label", `Circuit ${of.name}, ${of.size} edges`);
    fit();
    choices(of);
    filter();
    document.querySelectorAll(".legend").forEach((l) => l.classList.toggle("current", Number(l.dataset.figure) === state.figure));
  }

  function fit() {
    cy.fit(cy.elements(":visible"), 18);
    if (cy.zoom() > 1.6) { cy.zoom(1.6); cy.center(); }
  }

  // ---------------------------------------------------------------- filters

  function choices(of) {
    const places = byId("pick-place");
    places.replaceChildren(new Option("all", ""), ...of.places.map((p, i) => new Option(p, String(i))));
    places.closest("label").hidden = of.places.length === 0;
    state.place = "";
    const ports = byId("pick-ports");
    ports.querySelectorAll("label").forEach((l) => l.remove());
    state.ports = new Set(of.ports);
    for (const port of of.ports) {
      const label = make("label", "", ports);
      const box = make("input", "", label);
      box.type = "checkbox";
      box.checked = true;
      box.value = port;
      const key = make("span", "", label, "key");
      key.style.background = `var(--port-${port})`;
      label.append(" " + port);
      box.addEventListener("change", () => {
        if (box.checked) state.ports.add(port); else state.ports.delete(port);
        filter();
      });
    }
  }

  function filter() {
    const of = figure();
    const claim = state.claim === "" ? null : data.claims[Number(state.claim)];
    const [edges, nodes] = claim ? claim.about[of.name] : [[], []];
    const told = new Set(edges);
    const read = new Set(nodes);
    const place = state.place === "" ? null : Number(state.place);
    let shown = 0;
    let hit = 0;
    cy.batch(() => {
      cy.elements().removeClass("out dim hit read");
      cy.edges().forEach((edge) => {
        const at = edge.data("places");
        const wanted = state.ports.has(edge.data("port"));
        if (!wanted || (place !== null && at.length && !at.includes(place))) { edge.addClass("out"); return; }
        shown += 1;
        if (!claim) return;
        if (told.has(edge.data("index"))) { edge.addClass("hit"); hit += 1; } else edge.addClass("dim");
      });
      if (claim) {
        const touched = cy.edges(".hit").connectedNodes();
        cy.nodes("[w]").forEach((node) => {
          if (read.has(node.data("name"))) node.addClass("read");
          else if (!touched.contains(node)) node.addClass("dim");
        });
      }
    });
    Object.assign(canvas.dataset, { shown, hit, claim: claim ? claim.name : "" });
    byId("pick-claim").value = state.claim;
    document.querySelectorAll("[data-claim-row]").forEach((row) => row.classList.toggle("picked", !!claim && row.dataset.claimRow === claim.name));
    document.querySelectorAll("button[data-claim]").forEach((b) => b.setAttribute("aria-pressed", String(!!claim && b.dataset.claim === claim.name)));
    rest();
  }

  // ---------------------------------------------------------------- the panel

  function rest() {
    panel.replaceChildren();
    if (state.claim === "") { make("p", "Point at a node or an edge to see what the spec measured of it, or choose a claim to see the edges that its runs treat unlike the rest.", panel); return; }
    const claim = data.claims[Number(state.claim)];
    const of = figure();
    const [edges, nodes] = claim.about[of.name];
    make("h3", claim.name, panel);
    if (claim.sentence) make("p", claim.sentence, panel);
    make("code", claim.written, make("p", "", panel));
    make("p", claim.said, panel);
    const about = edges.length ? `Its runs treat ${edges.length} of the ${of.edges.length} edges shown unlike the rest.` : nodes.length
      ? "It reads the marked nodes in the whole model." : "Its runs tell none of these edges apart.";
    make("p", about, panel);
    const link = make("a", "Details", make("p", "", panel));
    link.href = "#claim-" + claim.name;
  }

  function point(target) {
    cy.elements(".over").removeClass("over");
    canvas.dataset.over = "";
    if (!target) { rest(); return; }
    target.addClass("over");
    canvas.dataset.over = target.data("name");
    panel.replaceChildren();
    const of = figure();
    make("h3", target.data("name"), panel);
    const names = [target.data("name")];
    if (target.isNode()) {
      const group = target.data("group");
      if (group) { make("p", "group " + group, panel); names.push(group); }
      const stands = target.data("stands");
      if (stands.length) make("p", "stands for " + stands.join(", "), panel);
      make("p", `${target.incomers("edge").length} edges in, ${target.outgoers("edge").length} out`, panel);
    } else {
      const at = target.data("places").map((i) => of.places[i]);
      make("p", at.length ? "at " + at.join(", ") : "at every position", panel);
    }
    const known = names.flatMap((name) => (notes.get(name) || []).map((note) => [name, ...note]));
    if (!known.length) { make("p", "Nothing in the spec measures this alone.", panel); return; }
    const list = make("ul", "", panel);
    for (const [name, by, written, at, value, interval, against] of known) {
      const item = make("li", "", list);
      make("strong", by, item);
      item.append(` ${name === target.data("name") ? "" : "of " + name + " "}${at ? "@ " + at + " " : ""}${value} ${interval}${against ? ", " + against : ""} `);
      make("code", written, item);
    }
  }

  function walk(step) {
    const parts = cy.nodes("[w]").union(cy.edges()).filter((e) => e.visible() && !e.hasClass("dim"));
    if (!parts.length) return;
    state.walked = (state.walked + step + parts.length) % parts.length;
    point(parts[state.walked]);
  }

  // ---------------------------------------------------------------- what a reader does

  function pick(index, scroll) {
    state.claim = state.claim === index && scroll ? "" : index;
    state.walked = -1;
    filter();
    if (scroll && state.claim !== "") {
      byId("circuit").scrollIntoView({ block: "start", behavior: still.matches ? "auto" : "smooth" });
    }
  }

  function escape() {
    state.claim = "";
    state.walked = -1;
    point(null);
    filter();
    fit();
  }

  function zoom(factor) {
    cy.zoom({ level: cy.zoom() * factor, renderedPosition: { x: canvas.clientWidth / 2, y: canvas.clientHeight / 2 } });
  }

  const KEYS = {
    ArrowUp: () => cy.panBy({ x: 0, y: 60 }), ArrowDown: () => cy.panBy({ x: 0, y: -60 }),
    ArrowLeft: () => cy.panBy({ x: 60, y: 0 }), ArrowRight: () => cy.panBy({ x: -60, y: 0 }),
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), Escape: escape,
    n: () => walk(1), p: () => walk(-1),
  };

  function start() {
    root.classList.add("js");
    document.querySelector(".live").hidden = false;
    const index = new Map(data.claims.map((c, i) => [c.name, String(i)]));
    document.querySelectorAll("a[data-claim]").forEach((link) => {
      const button = make("button", link.textContent);
      button.type = "button";
      button.dataset.claim = link.dataset.claim;
      link.replaceWith(button);
    });
    document.querySelectorAll("tr[data-claim-row]").forEach((row) => row.addEventListener("click", () => pick(index.get(row.dataset.claimRow), true)));
    byId("pick-claim").addEventListener("change", (e) => pick(e.target.value, false));
    byId("pick-place").addEventListener("change", (e) => { state.place = e.target.value; filter(); });
    byId("pick-figure").addEventListener("change", (e) => { state.figure = Number(e.target.value); draw(); });
    byId("zoom-in").addEventListener("click", () => zoom(1.25));
    byId("zoom-out").addEventListener("click", () => zoom(0.8));
    byId("zoom-reset").addEventListener("click", escape);
    canvas.addEventListener("mouseleave", () => point(null));
    canvas.addEventListener("keydown", (event) => {
      const act = event.ctrlKey || event.metaKey || event.altKey ? null : KEYS[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
    document.addEventListener("keydown", (event) => { if (event.key === "Escape" && state.claim !== "") escape(); });
    dark.addEventListener("change", () => cy.style(style(figure())));
    addEventListener("resize", () => { cy.resize(); fit(); });
    draw();
  }

  start();
})();
