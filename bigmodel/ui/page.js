// Draws a passage and its next-token bars from plain data, and escapes every text that it is given.
(() => {
  const TEXTS = /* texts */ {};
  // Server-made HTML names its words as ⟦key⟧; Gradio itself translates one key a string.
  const word = (key) => {
    const chinese = (document.documentElement.lang || navigator.language).startsWith("zh");
    return (TEXTS[chinese ? "zh-CN" : "en"] || {})[key] || key;
  };
  const html = (value) => String(value || "").replace(/⟦(\w+)⟧/g, (_, key) => escape(word(key)));

  const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  const escape = (text) => String(text).replace(/[&<>"']/g, (character) => ENTITIES[character]);

  // Verse of five or seven characters a line breaks at every pause, other verse at the ends of its sentences.
  const lineEnds = (text) => {
    const clauses = (text.match(/[^，。！？；、\s]+[，。！？；、]/g) || []).slice(0, 2);
    const even = clauses.every((clause) => [6, 8].includes(clause.length) && clause.length === clauses[0].length);
    return even ? /[，。！？；]$/ : /[。！？]$/;
  };

  const token = (text, index, selected) =>
    index === null
      ? `<span class="given">${escape(text)}</span>`
      : `<span class="token${index === selected ? " picked" : ""}" data-index="${index}">${escape(text)}</span>`;

  const verse = (units, selected, caret) => {
    const ends = lineEnds(units.map(([text]) => text).join(""));
    const lines = [[]];
    for (const [text, index] of units) {
      const line = lines[lines.length - 1];
      if (!line.length && !text.trim()) continue;
      line.push(token(text, index, selected));
      if (ends.test(text) || text.endsWith("\n")) lines.push([]);
    }
    if (lines.length > 1 && !lines[lines.length - 1].length) lines.pop();
    lines[lines.length - 1].push(caret);
    return lines.map((line) => `<span class="line">${line.join("")}</span>`).join("");
  };

  const written = (value, caret) => {
    const { format, title, author, prompt = "", pieces = [], selected = null } = value;
    const poem = format === "poetry";
    const given = (poem ? Array.from(prompt) : [prompt]).filter(Boolean).map((text) => [text, null]);
    const units = given.concat(pieces.map((piece, index) => [piece, index]));
    if (!poem) return `<div class="body">${units.map((unit) => token(...unit, selected)).join("")}${caret}</div>`;
    const line = (name, text) => (text ? `<p class="${name}">${escape(text)}</p>` : "");
    const header = title || author ? `<header>${line("title", title)}${line("author", author)}</header>` : "";
    return `${header}<div class="body">${verse(units, selected, caret)}</div>`;
  };

  // value: {format, title, author, prompt, pieces, busy, selected}
  const passage = (value) => {
    const { format = "plain", prompt, pieces = [], busy = false } = value || {};
    const caret = busy ? '<span class="caret" aria-hidden="true"></span>' : "";
    const empty = !prompt && !pieces.length && !busy;
    const body = empty ? `<p class="placeholder">${escape(word("placeholder"))}</p>` : written(value, caret);
    return `<div class="passage" data-format="${escape(empty ? "none" : format)}" role="log" tabindex="0"` +
      ` aria-live="polite" aria-busy="${Boolean(busy)}" aria-label="${escape(word("result"))}">${body}</div>`;
  };

  const visible = (text) =>
    escape(text).replace(/^ +/, (spaces) => `<i>${"·".repeat(spaces.length)}</i>`).replace(/\n/g, "<i>↵</i>") || "<i>∅</i>";
  const percent = (probability) =>
    probability >= 0.1 ? `${Math.round(probability * 100)}%` : probability >= 0.001 ? `${(probability * 100).toFixed(1)}%` : "<0.1%";

  // value: {rows: [[token, probability, is_end]], instead}
  const alternatives = (value) => {
    const rows = (value && value.rows) || [];
    if (!rows.length) return "";
    const peak = rows[0][1] || 1;
    const items = rows.map(([text, probability, end]) => {
      const label = end ? word("end") : text.trim() || JSON.stringify(text);
      const share = percent(probability);
      return `<li><button type="button" data-token="${escape(text)}"${end ? " disabled" : ""}` +
        ` aria-label="${escape(`${label}, ${share}`)}" style="--share:${(probability / peak).toFixed(4)}">` +
        `<span class="name">${end ? `<em>${escape(word("end"))}</em>` : visible(text)}</span>` +
        `<span class="track"><span class="fill"></span></span><span class="share">${escape(share)}</span></button></li>`;
    });
    const title = value.instead ? `${word("instead")} <q>${escape(value.instead.trim() || "␣")}</q>` : word("next");
    return `<section aria-label="${escape(word("next"))}"><h3>${title}</h3><p>${escape(word("alternatives_hint"))}</p><ol>${items.join("")}</ol></section>`;
  };

  // A click on a token, or the arrow keys, choose the place whose alternatives are shown.
  const choosable = (element, props, trigger) => {
    element.addEventListener("click", (event) => {
      const chosen = event.target.closest("[data-index]");
      if (chosen) trigger("select", { index: Number(chosen.dataset.index) });
    });
    element.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const { pieces = [], selected = null, busy } = props.value || {};
      if (!step || busy || !pieces.length) return;
      const index = (selected === null ? pieces.length : selected) + step;
      if (index >= 0 && index < pieces.length) trigger("select", { index });
      event.preventDefault();
    });
  };

  const pressable = (element, trigger) =>
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-token]");
      if (button) trigger("select", { token: button.dataset.token });
    });

  // Ctrl+Enter in a text that is to be translated does at once what a pause would do.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !event.target.closest("#source-text")) return;
    event.preventDefault();
    document.querySelector("#translate-button").click();
  });

  window.bigmodel = { html, word, passage, alternatives, choosable, pressable };
})();
