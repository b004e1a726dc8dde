// Links to a result, results saved as files, and the history of a visit: all of it stays in the browser.
(() => {
  const { word, html, escape, download } = window.bigmodel;
  const LINK_LIMIT = 2000; // longer addresses are cut by mail programs and refused by proxies
  const HISTORY_LIMIT = 50;
  const HISTORY_CHARACTERS = 1e6; // the browser's storage has room for some megabytes, of all tabs together
  const SAVED = "bigmodel-saved"; // of the browser's storage: what ?saved=… opens

  // What a result was made of: the fields say it, and the result what it knows better.
  const inputsOf = (names, [result, ...values]) =>
    ({ ...Object.fromEntries(names.map((name, index) => [name, values[index]])), ...(result && result.link) });
  const query = (tab, inputs) => {
    const given = Object.entries(inputs).filter(([, value]) => value !== null && value !== undefined && value !== "");
    return `?${new URLSearchParams([["tab", tab], ...given, ["run", "1"]])}`;
  };
  const say = (tab, key, rest = "") => {
    const place = document.getElementById(`said-${tab}`);
    if (place) place.textContent = key ? `${word(key)} ${rest}`.trim() : "";
    return Boolean(place);
  };
  // Do what needs a part of the page once that part is there: a tab within another comes later.
  const soonOrLater = (attempt, tries = 50) => {
    if (!attempt() && tries) setTimeout(soonOrLater, 200, attempt, tries - 1);
  };

  // Whether a text came to the clipboard, whose own interface is there on https and on this machine alone.
  const toClipboard = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const focused = document.activeElement;
      const field = document.body.appendChild(document.createElement("textarea"));
      field.value = text;
      field.select();
      const copied = document.execCommand("copy");
      field.remove();
      focused.focus();
      return copied;
    }
  };

  const copyLink = async (tab, names, values) => {
    if (values[0] && !values[0].link) return say(tab, "link_to_nothing");
    const inputs = inputsOf(names, values);
    const link = location.origin + location.pathname + query(tab, inputs);
    if (link.length > LINK_LIMIT) {
      const content = JSON.stringify({ tab, inputs }, null, 2);
      download(new Blob([content], { type: "application/json" }), `bigmodel-${tab}.json`);
      return say(tab, "link_saved");
    }
    const stopped = values[0] && values[0].finished === false;
    if (await toClipboard(link)) say(tab, stopped ? "link_copied_unfinished" : "link_copied");
    else say(tab, "not_copied", link);
  };

  // What is too long for a link is named in it: a tab finds it in its own storage, a new one in that of all tabs.
  const nameOf = ({ tab, inputs }) =>
    Array.from(JSON.stringify([tab, inputs])).reduce((sum, character) => (sum * 31 + character.codePointAt(0)) | 0, 0);
  const keep = ({ tab, inputs }) => {
    const saved = JSON.stringify({ tab, inputs });
    for (const storage of ["sessionStorage", "localStorage"]) {
      try {
        window[storage].setItem(SAVED, saved);
      } catch {} // closed, or full: the other one will do
    }
  };
  const kept = (tab, name) => {
    for (const storage of ["sessionStorage", "localStorage"]) {
      try {
        const saved = JSON.parse(window[storage].getItem(SAVED) || "{}");
        if (saved.tab !== tab || String(nameOf(saved)) !== name) continue;
        sessionStorage.setItem(SAVED, JSON.stringify(saved));
        return saved.inputs;
      } catch {} // closed
    }
    const entry = entriesOf(tab).find((other) => String(nameOf(other)) === name);
    return entry ? entry.inputs : null;
  };
  // The history is read and written anew each time: another window may have changed it.
  const unstored = {}; // tab -> entries, of a browser whose storage is closed or full
  const entriesOf = (tab) => {
    try {
      return JSON.parse(localStorage.getItem(`bigmodel-${tab}`)) || unstored[tab] || [];
    } catch {
      return unstored[tab] || [];
    }
  };
  const store = (tab, entries) => {
    unstored[tab] = entries;
    try {
      localStorage.removeItem(`bigmodel-${tab}`);
      localStorage.setItem(`bigmodel-${tab}`, JSON.stringify(entries));
    } catch {} // closed, or full
  };
  const forget = (tab) => {
    store(tab, []);
    try {
      for (const storage of [sessionStorage, localStorage]) storage.removeItem(SAVED);
    } catch {} // closed
    return [[]];
  };
  const openSaved = (tab) => {
    const field = document.createElement("input");
    field.type = "file";
    field.accept = ".json";
    field.addEventListener("change", async () => {
      try {
        const saved = JSON.parse(await field.files[0].text());
        const known = document.getElementById(`said-${saved.tab}`) && saved.inputs && typeof saved.inputs === "object";
        if (!known) throw new TypeError("no saved result");
        keep(saved);
        location.search = query(saved.tab, { saved: nameOf(saved) });
      } catch {
        say(tab, "not_saved");
      }
    });
    field.click();
  };

  // What the page was opened with, for a tab: {name: value}.
  const incoming = (tab) => {
    const given = Object.fromEntries(new URLSearchParams(location.search));
    if ((given.tab || "text") !== tab) return {};
    if (!given.saved) return given;
    const inputs = kept(tab, given.saved);
    if (!inputs) soonOrLater(() => say(tab, "saved_lost"));
    return inputs || {};
  };
  // A link with run=1 presses the tab's button, once the fields show what it holds; not where they cannot.
  const runIncoming = (tab, button, names, values) => {
    const given = new URLSearchParams(location.search);
    const asked = incoming(tab);
    const shown = Object.fromEntries(names.map((name, index) => [name, values[index]]));
    if (asked.model && asked.model !== shown.model) return soonOrLater(() => say(tab, "model_elsewhere", asked.model));
    const plain = (value) => String(value ?? "").trim().replace(/\s+/g, " ");
    const same = (a, b) => a === b || (a !== "" && b !== "" && Number(a) === Number(b));
    const other = names.filter((name) => plain(asked[name]) && !same(plain(asked[name]), plain(shown[name])));
    if (other.length) return soonOrLater(() => say(tab, "settings_elsewhere", other.map(word).join(", ")));
    if (given.get("run") !== "1" || (given.get("tab") || "text") !== tab) return;
    if (given.get("saved") && !kept(tab, given.get("saved"))) return;
    const press = () => {
      const found = document.querySelector(button);
      if (found) found.click();
      return found;
    };
    setTimeout(soonOrLater, 300, press);
  };

  // Small pictures of a result that has some.
  const picturesOf = ([result]) =>
    ((result && result.pictures) || []).slice(0, 4).map(({ src }) => src).filter((src) => src.length < 20000);

  // entries: [{tab, inputs, label, sketch, pictures, typed}], the latest first. A text that is being typed, and a sketch
  // that is being drawn, replaces its beginning.
  const remember = (tab, names, values, typed) => {
    const entries = entriesOf(tab);
    if (values[0] && !values[0].link) return [entries]; // nothing was made
    say(tab); // that of an earlier result
    const inputs = inputsOf(names, values);
    if (names.includes("text") && !(inputs.text || "").trim()) return [entries];
    const texts = (entry) => JSON.stringify(entry.inputs);
    const [last, ...earlier] = entries;
    const goesOn = (value, before) =>
      value === before || (typeof value === "string" && before !== undefined && value.startsWith(before || ""));
    const grown = ({ inputs: before }) =>
      Object.keys({ ...before, ...inputs }).every((name) => goesOn(inputs[name], before[name]));
    const { label, sketch } = values[0] || {}; // of one pad until it is cleared
    const replaced = last && ((typed && last.typed && grown(last)) || (sketch && last.sketch === sketch));
    const older = replaced ? earlier : entries;
    const others = older.filter((entry) => texts(entry) !== JSON.stringify(inputs));
    const all = [{ tab, inputs, label, sketch, pictures: picturesOf(values), typed }, ...others].slice(0, HISTORY_LIMIT);
    while (all.length > 1 && JSON.stringify(all).length > HISTORY_CHARACTERS) {
      const seen = all.findLastIndex((entry) => entry.pictures && entry.pictures.length); // the oldest are lost first
      if (seen > 0) all[seen] = { ...all[seen], pictures: [] };
      else all.pop();
    }
    store(tab, all);
    return [all];
  };
  const history = (entries) => {
    if (!entries || !entries.length) return `<p class="empty">${escape(word("history_empty"))}</p>`;
    const items = entries.map(({ tab, inputs, label, pictures = [] }, index) => {
      const { seed } = inputs;
      const texts = Object.values(inputs).filter((value) => typeof value === "string" && value.length > 1);
      const drawn = texts.filter((text) => text.startsWith("data:image/"));
      const words = texts.filter((text) => !drawn.includes(text));
      const asked = Array.from(inputs.text || inputs.prompt || words.join(" · ") || "…").slice(0, 90).join("");
      const name = label ? html(label) : escape(asked);
      const own = query(tab, inputs);
      const href = own.length > LINK_LIMIT ? query(tab, { saved: nameOf({ tab, inputs }) }) : own;
      const note = seed === undefined ? "" : ` <small>${escape(word("seed_is"))} ${escape(seed)}</small>`;
      const images = [...pictures, ...drawn].map((src) => `<img class="pixelated" src="${escape(src)}" alt="">`).join("");
      const shown = images ? `<span class="pictures">${images}</span>` : "";
      return `<li>${shown}<a href="${escape(href)}" data-index="${index}">${name}</a>${note}</li>`;
    });
    return `<ol>${items.join("")}</ol>`;
  };
  const historyLinks = (element, props) => {
    const follow = (event) => {
      const link = event.target.closest("a[data-index]");
      if (link) keep(props.value[Number(link.dataset.index)]);
    };
    // of any button, since links are opened in new tabs, too; a click is Enter's
    for (const kind of ["pointerdown", "click"]) element.addEventListener(kind, follow);
  };

  Object.assign(window.bigmodel, {
    toClipboard, copyLink, openSaved, incoming, runIncoming, entriesOf, remember, forget, history, historyLinks,
  });
})();
