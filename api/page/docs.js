// Renders /openapi.json. All text goes into text nodes: nothing of the description is taken for HTML.
"use strict";

const methods = ["get", "put", "post", "patch", "delete"];

function el(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

function resolve(doc, schema) {
  while (schema && schema.$ref) {
    schema = schema.$ref.split("/").slice(1).reduce((at, key) => at && at[key], doc);
  }
  return schema || {};
}

function typeOf(schema) {
  const types = [].concat(schema.type || []);
  return types.find((t) => t !== "null") || (schema.properties ? "object" : "");
}

// sample makes an example of a schema, from its own examples where it has them.
function sample(doc, schema, depth) {
  schema = resolve(doc, schema);
  if (schema.examples && schema.examples.length) return schema.examples[0];
  if (schema.example !== undefined) return schema.example;
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  switch (typeOf(schema)) {
    case "object": {
      const made = {};
      if (depth < 6) for (const [k, v] of Object.entries(schema.properties || {})) made[k] = sample(doc, v, depth + 1);
      return made;
    }
    case "array": return depth < 6 ? [sample(doc, schema.items, depth + 1)] : [];
    case "integer": case "number": return schema.minimum || 0;
    case "boolean": return true;
    default: return { "date-time": "2026-05-01T07:25:00Z", uuid: "0198c0de-0000-7000-8000-000000000000" }[schema.format] || "text";
  }
}

function parameters(doc, list) {
  if (!list || !list.length) return null;
  const rows = list.map((p) => {
    const schema = resolve(doc, p.schema);
    const kind = [typeOf(schema), schema.format, schema.enum && schema.enum.join(" | ")].filter(Boolean).join(", ");
    return el("tr", {}, el("td", {}, el("code", {}, p.name)), el("td", {}, p.in + (p.required ? ", required" : "")),
      el("td", {}, kind), el("td", {}, p.description || schema.description || ""));
  });
  const head = el("tr", {}, ...["Name", "In", "Kind", "Meaning"].map((t) => el("th", { scope: "col" }, t)));
  return el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows));
}

function body(doc, title, content) {
  if (!content) return null;
  const [kind, media] = Object.entries(content)[0];
  if (!kind.includes("json")) return el("p", { class: "quiet" }, title + ": " + kind);
  const text = JSON.stringify(sample(doc, media.schema, 0), null, 2);
  return el("details", {}, el("summary", {}, title), el("pre", {}, el("code", {}, text)));
}

function responses(doc, all) {
  return Object.entries(all || {}).filter(([status]) => status.startsWith("2"))
    .map(([status, r]) => body(doc, "Answer " + status, r.content) || el("p", { class: "quiet" }, "Answer " + status + ", no body"));
}

function problems(all) {
  const list = Object.keys(all || {}).filter((s) => !s.startsWith("2") && s !== "default");
  return list.length ? el("p", { class: "quiet" }, "Problems: " + list.join(", ")) : null;
}

function operation(doc, path, method, o) {
  return el("article", { id: o.operationId },
    el("h3", {}, el("span", { class: "method" }, method.toUpperCase()), el("code", {}, path)),
    el("p", {}, o.summary || "", o.description ? " — " + o.description : ""),
    parameters(doc, o.parameters),
    o.requestBody ? body(doc, "Request", o.requestBody.content) : null,
    ...responses(doc, o.responses), problems(o.responses));
}

function show(doc) {
  document.getElementById("title").textContent = doc.info.title + " API, version " + doc.info.version;
  document.getElementById("about").textContent = doc.info.description || "";
  const main = document.getElementById("operations");
  const links = el("ul", {});
  main.replaceChildren();
  for (const tag of doc.tags || []) {
    main.append(el("h2", {}, tag.name), el("p", {}, tag.description || ""));
    for (const [path, item] of Object.entries(doc.paths)) {
      for (const method of methods) {
        const o = item[method];
        if (!o || !(o.tags || []).includes(tag.name)) continue;
        main.append(operation(doc, path, method, o));
        links.append(el("li", {}, el("a", { href: "#" + o.operationId }, o.summary)));
      }
    }
  }
  document.getElementById("contents").replaceChildren(links);
}

fetch("/openapi.json")
  .then((r) => { if (!r.ok) throw new Error("status " + r.status); return r.json(); })
  .then(show)
  .catch((e) => { document.getElementById("operations").textContent = "The description could not be read: " + e.message; });
