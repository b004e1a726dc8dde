// Shows pictures while they are drawn, and what can be done with each; every text is escaped.
(() => {
  const { word, escape, download } = window.bigmodel;
  const LARGE = 512; // pixels of the longer side of an enlarged file, at least

  const scale = ([width, height]) => Math.ceil(LARGE / Math.max(width, height));
  const columns = (count) => (count < 4 ? Math.max(count, 1) : count === 4 ? 2 : Math.ceil(count / 2));
  const tools = ({ src, name }, index, { size, finished }) => {
    const [width, height] = size, times = scale(size);
    const button = (action, text) => `<button type="button" data-action="${action}" data-index="${index}">${text}</button>`;
    const files = finished
      ? `<a download="${escape(name)}" href="${escape(src)}">PNG ${width} × ${height}</a>` +
        button("enlarge", `PNG ${width * times} × ${height * times}`)
      : "";
    return `<div class="tools">${button("again", escape(word("again")))}${button("variations", escape(word("variations")))}${files}</div>`;
  };

  // value: {busy, step, steps, count, size, prompt, pictures: [{src, seed, name}], finished, link}
  const drawing = (value) => {
    const { busy = false, step = 0, steps = 1, count = 0, prompt = "", pictures = [], finished = false, link = {} } = value || {};
    if (!busy && !pictures.length) return `<p class="placeholder">${escape(word("drawings_placeholder"))}</p>`;
    const of = link.variation_of === null || link.variation_of === undefined ? "" : ` · ${escape(word("variation_from"))} ${escape(link.variation_of)}`;
    const shown = pictures.map((picture, index) => {
      const seed = `${escape(word("seed_is"))} ${escape(picture.seed)}`;
      const alt = `${escape(prompt || word("unasked"))} · ${seed}`;
      return `<figure><img class="pixelated" src="${escape(picture.src)}" alt="${alt}">` +
        `<figcaption>${seed}${of}</figcaption>${busy ? "" : tools(picture, index, value)}</figure>`;
    });
    const waiting = Array(Math.max(0, count - pictures.length)).fill('<figure class="waiting" aria-hidden="true"><span></span></figure>');
    // hidden, not gone: what comes after an element that goes is made anew, and a picture would blink
    const bar =
      `<div class="bar"${finished ? " hidden" : ""}><progress max="${Number(steps)}" value="${Number(step)}"` +
      ` aria-label="${escape(word("drawing"))}"></progress><span aria-hidden="true">${Number(step)} / ${Number(steps)}</span></div>`;
    const style = `--columns:${columns(busy ? Number(count) : pictures.length)}`;
    return `<section tabindex="-1" aria-busy="${Boolean(busy)}">${bar}<div class="drawings" style="${style}">${shown.join("")}${busy ? waiting.join("") : ""}</div></section>`;
  };

  // The text chunks of a PNG file: they go as they are into the enlarged one.
  const textChunks = (bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset), chunks = [];
    for (let at = 8; at + 12 <= bytes.length; ) {
      const length = view.getUint32(at), kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
      if (kind === "iTXt" || kind === "tEXt") chunks.push(bytes.slice(at, at + 12 + length));
      at += 12 + length;
    }
    return chunks;
  };
  const enlarge = async ({ src, name }, size) => {
    const picture = new Image();
    picture.src = src;
    await picture.decode();
    const times = scale(size);
    const canvas = Object.assign(document.createElement("canvas"), { width: size[0] * times, height: size[1] * times });
    const brush = canvas.getContext("2d");
    brush.imageSmoothingEnabled = false;
    brush.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    const large = new Uint8Array(await blob.arrayBuffer());
    const small = Uint8Array.from(atob(src.split(",")[1]), (character) => character.charCodeAt(0));
    const head = 33; // signature and IHDR, which come first
    const file = new Blob([large.slice(0, head), ...textChunks(small), large.slice(head)], { type: "image/png" });
    download(file, name.replace(/\.png$/, `-${times}x.png`));
  };

  const usable = (element, props, trigger) =>
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-action]");
      if (!button) return;
      const { pictures, link, size } = props.value, picture = pictures[Number(button.dataset.index)];
      if (button.dataset.action === "enlarge") enlarge(picture, size);
      else {
        element.querySelector("section").focus(); // the button goes while it is drawn
        trigger("select", { action: button.dataset.action, picture: { ...link, seed: picture.seed } });
      }
    });

  // A file that is dropped beside its place is meant for it; the browser would leave the page for the file.
  const within = (event) => event.target instanceof Element && event.dataTransfer.types.includes("Files") && event.target.closest("#generate");
  document.addEventListener("dragover", (event) => within(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    const bench = within(event);
    if (!bench || event.target.closest("#drop-drawing")) return;
    event.preventDefault();
    const field = bench.querySelector("#drop-drawing input[type=file]");
    field.files = event.dataTransfer.files;
    field.dispatchEvent(new Event("change", { bubbles: true }));
  });

  Object.assign(window.bigmodel, { drawing, usable });
})();
