// Draws a passage and its next-token bars from plain data, and escapes every text that it is given.
(() => {
  const TEXTS = /* texts */ {};
  const language = navigator.language.startsWith("zh") ? "zh-CN" : "en";
  document.documentElement.lang = language;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-language]");
    if (!button) return;
    // in a frame of another site, as on a Space's page, a cookie needs more
    const site = location.protocol === "https:" ? "None; Secure; Partitioned" : "Lax";
    document.cookie = `bigmodel-language=${button.dataset.language}; max-age=31536000; path=/; SameSite=${site}`;
    location.reload();
  });

  // Server-made HTML names its words as ⟦key⟧; Gradio itself translates one key a string.
  const word = (key) => (TEXTS[language] || {})[key] || key;
  const html = (value) => String(value || "").replace(/⟦([^⟧<&]+)⟧/g, (_, key) => escape(word(key)));

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
    const { format, language, title, author, prompt = "", pieces = [], selected = null } = value;
    const lang = language ? ` lang="${escape(language)}"` : "";
    const poem = format === "poetry";
    const given = (poem ? Array.from(prompt) : [prompt]).filter(Boolean).map((text) => [text, null]);
    const units = given.concat(pieces.map((piece, index) => [piece, index]));
    if (!poem) return `<div class="body"${lang}>${units.map((unit) => token(...unit, selected)).join("")}${caret}</div>`;
    const line = (name, text) => (text ? `<p class="${name}">${escape(text)}</p>` : "");
    const header = title || author ? `<header${lang}>${line("title", title)}${line("author", author)}</header>` : "";
    return `${header}<div class="body"${lang}>${verse(units, selected, caret)}</div>`;
  };

  // value: {format, language, title, author, prompt, pieces, busy, selected}
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

  // A pad to draw on, light on dark; what is on it is sent as a picture whenever a stroke ends.
  const pad = () =>
    `<canvas width="280" height="280" role="img" aria-label="${escape(word("sketch"))}"></canvas>
     <button type="button">${escape(word("clear"))}</button>`;
  const drawable = (element, trigger) => {
    let last = null, finger = null, sketch = Date.now();
    const at = (event) => {
      const box = event.target.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * 280, ((event.clientY - box.top) / box.height) * 280];
    };
    element.addEventListener("pointerdown", (event) => {
      if (event.target.tagName !== "CANVAS" || last) return;
      event.target.setPointerCapture(event.pointerId);
      [last, finger] = [at(event), event.pointerId];
      draw(event); // a tap is a dot
      event.preventDefault();
    });
    const draw = (event) => {
      const brush = event.target.getContext("2d"), next = at(event);
      Object.assign(brush, { lineWidth: 26, lineCap: "round", strokeStyle: "#d8d8d8" });
      brush.beginPath();
      brush.moveTo(...last);
      brush.lineTo(next[0] + 0.01, next[1]); // nothing is drawn from a point to itself
      brush.stroke();
      last = next;
    };
    element.addEventListener("pointermove", (event) => {
      if (last && event.pointerId === finger && event.target.tagName === "CANVAS") draw(event);
    });
    const lifted = (event) => {
      if (!last || event.pointerId !== finger) return;
      last = null;
      const ground = Object.assign(document.createElement("canvas"), { width: 280, height: 280 }), brush = ground.getContext("2d");
      brush.fillRect(0, 0, 280, 280);
      brush.drawImage(event.target, 0, 0);
      trigger("select", { picture: ground.toDataURL("image/png"), sketch });
    };
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, lifted);
    element.addEventListener("click", (event) => {
      const canvas = element.querySelector("canvas");
      if (event.target.tagName !== "BUTTON") return;
      canvas.getContext("2d").clearRect(0, 0, 280, 280);
      sketch = Date.now();
      trigger("select", { picture: null });
    });
  };

  // The address names the tab that a visitor chose, so that reloading opens it again.
  document.addEventListener("click", (event) => {
    const tab = event.isTrusted && event.target.closest("[role=tab][data-tab-id]");
    if (!tab) return;
    setTimeout(() => { // a tab that has tabs shows the one that was chosen last
      const inner = Array.from(document.querySelectorAll("[role=tabpanel] [role=tab][data-tab-id][aria-selected=true]"));
      const { tabId } = (inner.find((other) => other.offsetParent) || tab).dataset;
      const theme = new URLSearchParams(location.search).get("__theme");
      history.replaceState(history.state, "", `?${new URLSearchParams({ tab: tabId, ...(theme && { __theme: theme }) })}`);
    });
  });

  // Ctrl+Enter in a text that is to be translated does at once what a pause would do.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !event.target.closest("#source-text")) return;
    event.preventDefault();
    document.querySelector("#translate-button").click();
  });

  // What Gradio itself says in English alone: in labels, some on an element that may have no name, and in messages.
  const patterns = (texts) => Object.entries(texts).map(([pattern, key]) => [new RegExp(`^\\s*${pattern}`), key]);
  const LABELS = patterns({ "number input for ": "number_input", "range slider for ": "slider", "Empty value": "empty_value",
    "Gradio footer navigation": "footer", "Click to upload or drop files": "upload", "(Upload file|File upload)": "from_file",
    "Capture from camera": "from_camera", "Paste from clipboard": "from_clipboard", "Remove Image": "remove_picture",
    "Remove this file": "remove_file", "More tabs": "more_tabs", "Stop Recording": "stop", "Close$": "close",
    "[Cc]opy$": "copy_code", "[Cc]opied.?$": "code_copied" });
  const MESSAGES = patterns({ Error: "error", Warning: "warning", processing: "processing", "queue:": "queue",
    "Uploading (\\d+)\\s+files?...": "uploading", "This application is currently busy. Please try again.": "busy",
    "Connection errored out.": "cut_off", "Connection Lost": "connection_lost",
    "Connection to the server was lost. Attempting reconnection...": "reconnecting",
    "File\\(s\\) exceed the maximum allowed size of ": "file_too_large",
    "Invalid file types?: (.*)\\. Only (.*) allowed.": "wrong_type" });
  const SAID_IN = ".toast-title, [data-testid='toast-text'], .progress-text, .uploading";
  const own = (texts, said) => {
    const [pattern, key] = texts.find(([pattern]) => pattern.test(said)) || [];
    return key ? said.replace(pattern, word(key)) : said;
  };
  const relabel = () => {
    for (const element of document.querySelectorAll("[aria-label], [title]")) {
      if (element.ariaLabel === "Empty value" && !element.role) element.role = "img";
      for (const name of ["aria-label", "title"]) {
        const said = element.getAttribute(name) || "", ours = own(LABELS, said);
        if (ours !== said) element.setAttribute(name, ours);
      }
    }
    // a button around another is none to a screen reader
    for (const element of document.querySelectorAll(".icon-button:has(button, input)")) element.role = "group";
    for (const element of document.querySelectorAll(SAID_IN)) {
      for (const node of element.childNodes) {
        const ours = node.nodeType === Node.TEXT_NODE ? own(MESSAGES, node.data) : node.data;
        if (ours !== node.data) node.data = ours;
      }
    }
  };
  const seen = { childList: true, subtree: true, characterData: true };
  new MutationObserver(relabel).observe(document.documentElement, seen);

  // Hands a visitor a Blob as a file; some browsers read it later than the click.
  const download = (blob, name) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  // Presses a button once, however often it is asked for in one moment.
  const waiting = {};
  const soon = (button) => {
    clearTimeout(waiting[button]);
    waiting[button] = setTimeout(() => document.querySelector(button).click(), 50);
  };

  window.bigmodel = { soon, html, word, escape, download, passage, alternatives, choosable, pressable, pad, drawable };
})();
