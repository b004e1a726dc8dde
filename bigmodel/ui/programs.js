// The page's endpoints as commands: for a POSIX shell, and for Python; with what stands in the fields.
(() => {
  const { word, escape } = window.bigmodel;

  // Between single quotes a shell reads every character as it is, but the quote itself.
  const inner = (text) => text.replace(/'/g, `'\\''`);
  const quoted = (text) => (/^[\w.:/-]+$/.test(text) ? text : `'${inner(text)}'`);
  const body = (inputs) =>
    inputs.map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`).join(", ");

  const curl = (address, name, inputs, file) => {
    const call = quoted(`${address}/gradio_api/call/v2/${name}`);
    const lines = [];
    let data = `'{${inner(body(inputs))}}'`;
    if (file) {
      // curl takes commas and semicolons in a file's name between quotes alone
      const path = file.name.replace(/["\\]/g, "\\$&");
      lines.push(`path=$(curl -s ${quoted(`${address}/gradio_api/upload`)} -F ${quoted(`files=@"${path}"`)} | cut -d '"' -f 2)`);
      const rest = inputs.length ? `, ${inner(body(inputs))}` : "";
      data = `'{"${file.argument}": {"path": "'"$path"'", "meta": {"_type": "gradio.FileData"}}${rest}}'`;
    }
    lines.push(`event=$(curl -s ${call} -H 'Content-Type: application/json' \\\n  -d ${data} | cut -d '"' -f 4)`);
    lines.push(`curl -sN ${call}/$event`);
    return lines.join("\n");
  };

  // JSON's texts and numbers are Python's, too.
  const NAMES = new Map([[true, "True"], [false, "False"], [null, "None"]]);
  const literal = (value) => NAMES.get(value) ?? JSON.stringify(value);
  const python = (address, name, inputs, file) => {
    const given = inputs.map(([argument, value]) => `${argument}=${literal(value)}`);
    if (file) given.unshift(`${file.argument}=handle_file(${literal(file.name)})`);
    const imported = file ? "Client, handle_file" : "Client";
    const call = [...given, `api_name="/${name}"`].join(", ");
    return `from gradio_client import ${imported}\n\nprint(Client(${literal(`${address}/`)}).predict(${call}))`;
  };

  // endpoints: {name: [[argument, index of its value, "file", "number" or ""]]}; gives [{name, curl, python}]
  const calls = (endpoints, values) => {
    const address = (location.origin + location.pathname).replace(/\/+$/, "");
    return Object.entries(endpoints).map(([name, parts]) => {
      const inputs = [];
      let file = null;
      parts.forEach(([argument, index, kind], place) => {
        const value = values[index], given = [value].flat()[0];
        const empty = value === null || value === undefined || String(value).trim() === "";
        if (kind === "file") {
          file = { argument, name: (given && given.orig_name) || (argument === "image" ? "picture.png" : "text.txt") };
        } else if (!empty || !place) {
          const number = kind === "number" && Number.isFinite(Number(value));
          inputs.push([argument, number ? Number(value) : value === undefined ? null : value]);
        }
      });
      return { name, curl: curl(address, name, inputs, file), python: python(address, name, inputs, file) };
    });
  };

  // value: see calls
  const programs = (value) =>
    (value || []).map((call) => {
      const block = ([kind, title]) =>
        `<figure><figcaption><span lang="en">${title}</span><button type="button" aria-label="${escape(word("copy_code"))} ${title} /${call.name}">` +
        `${escape(word("copy_code"))}</button></figcaption><pre lang="en" translate="no"><code>${escape(call[kind])}</code></pre></figure>`;
      return `<section><h3 lang="en"><code>/${escape(call.name)}</code></h3>` +
        [["curl", "curl"], ["python", "Python"]].map(block).join("") + "</section>";
    }).join("");

  const copyable = (element) =>
    element.addEventListener("click", async (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const copied = await window.bigmodel.toClipboard(button.closest("figure").querySelector("code").textContent);
      element.closest(".programs").querySelector("[role=status]").textContent = word(copied ? "code_copied" : "code_not_copied");
    });

  Object.assign(window.bigmodel, { calls, programs, copyable });
})();
