// Renders with npm handlebars what the tests render with coderun.handlebars: one JSON request a line in, one JSON answer a line out.
"use strict";

const readline = require("node:readline");
const Handlebars = require("handlebars");

const escapeExpression = Handlebars.Utils.escapeExpression;

// Not `noEscape`: with it 4.7 adds adjacent numbers instead of printing them.
const identity = (value) => (value === null || value === undefined ? "" : String(value));

const text = (value) => (value === null || value === undefined ? "" : String(value));
const truthy = (value) => !Handlebars.Utils.isEmpty(value) && Boolean(value);
const missing = (value) => value === null || value === undefined;
const plain = (implementation) =>
  function (...all) {
    return implementation(...all.slice(0, -1));
  };

const helpers = {
  eq: plain((a, b) => (missing(a) ? missing(b) : a === b)),
  ne: plain((a, b) => !(missing(a) ? missing(b) : a === b)),
  lt: plain((a, b) => a < b),
  gt: plain((a, b) => a > b),
  and: plain((...all) => all.every(truthy)),
  or: plain((...all) => all.some(truthy)),
  not: plain((a) => !truthy(a)),
  len: plain((a) => (a && typeof a === "object" && !Array.isArray(a) ? Object.keys(a).length : a.length)),
  uppercase: plain((a) => text(a).toUpperCase()),
  lowercase: plain((a) => text(a).toLowerCase()),
  default: plain((...all) => all.find((value) => !missing(value) && value !== "") ?? all[all.length - 1]),
  json: plain((a) => JSON.stringify(a ?? null)),
  contains: plain((a, b) => a.includes(b)),
  join: plain((a, separator) => a.join(separator ?? ",")),
  concat: plain((...all) => all.map(text).join("")),
  raw(options) {
    return options.fn(this);
  },
  bold(options) {
    return `<b>${options.fn(this)}</b>`;
  },
  pick(value, options) {
    return value ? options.fn(value) : options.inverse(this);
  },
  twice(options) {
    return options.fn(this) + options.fn({ inner: true });
  },
  show(...all) {
    const options = all.pop();
    const hash = Object.keys(options.hash).sort().map((key) => `${key}=${text(options.hash[key])}`);
    return `(${[...all.map(text), ...hash].join(" ")})`;
  },
  frame(options) {
    return options.fn(this, { data: Object.assign(Handlebars.createFrame(options.data), { extra: "E" }), blockParams: ["P", "Q"] });
  },
  safe: plain((value) => new Handlebars.SafeString(`<i>${text(value)}</i>`)),
  unsafe: plain((value) => `<i>${text(value)}</i>`),
};

function answer(request) {
  // Compiled templates take the escape function from the module all environments share.
  Handlebars.Utils.escapeExpression = request.escape ? escapeExpression : identity;
  const environment = Handlebars.create();
  environment.log = () => {};
  environment.registerHelper(helpers);
  for (const name of request.hooks ?? []) {
    environment.registerHelper(name, (...all) => `[${name} ${all[all.length - 1].name} ${all.length}]`);
  }
  environment.registerPartial(request.partials ?? {});
  try {
    const template = environment.compile(request.template, { strict: Boolean(request.strict) });
    return { text: template(request.context, { data: request.data ?? undefined }) };
  } catch (error) {
    return { error: String(error && error.message ? error.message : error) };
  }
}

if (process.argv.includes("--version")) {
  console.log(Handlebars.VERSION);
} else {
  readline.createInterface({ input: process.stdin }).on("line", (line) => {
    process.stdout.write(`${JSON.stringify(answer(JSON.parse(line)))}\n`);
  });
}
