// SPDX-License-Identifier: MIT
// flame_base.js - an earlier profile, the base, with which the page's profile is compared. It comes from
//   the page itself: the server put a profile there that it had kept (keep=1, base=3);
//   a file of the reader's: a page that was saved, or folded stacks. It is chosen or dropped onto the page.
// flame.js stands behind this file in one script; it has the state, and draws.

// Merging -------------------------------------------------------------------------------------------------------------

function callBelow(node, text, columns) {
  if (!node.below) node.below = new Map();
  if (!node.below.has(text)) node.below.set(text, { values: new Array(columns).fill(0), below: null });
  return node.below.get(text);
}

// Adds the calls of a profile to a tree. into: of each of its values the column, or -1.
function plant(root, profile, into, columns) {
  const stride = profile.types.length + 2, path = [root], calls = profile.calls;
  for (let i = 0; i < calls.length; i += stride) {
    const node = callBelow(path[calls[i] - 1], profile.names[calls[i + 1]], columns);
    path[calls[i]] = node;
    into.forEach((to, k) => to >= 0 && (node.values[to] += calls[i + 2 + k]));
  }
}

// Returns a profile with the values of both: those of the first, then the same ones of the second.
function merge(now, was) {
  const n = now.types.length, root = { values: [], below: null }, index = new Map();
  const merged = { names: [], calls: [], stride: 2 * n + 2 };
  const add = (node, depth) => {
    for (const [text, call] of node.below || []) {
      if (!index.has(text)) index.set(text, merged.names.push(text) - 1);
      merged.calls.push(depth, index.get(text), ...call.values);
      add(call, depth + 1);
    }
  };
  plant(root, now, now.types.map((_, k) => k), 2 * n);
  plant(root, was, was.types.map((t) => typeIndex(now, t)).map((k) => (k < 0 ? k : n + k)), 2 * n);
  add(root, 1);
  return merged;
}

const typeIndex = (profile, [text, unit]) => profile.types.findIndex(([t, u]) => t === text && u === unit);

// Reading -------------------------------------------------------------------------------------------------------------

// Reads folded stacks, whose values are of the type that readers show first.
function readFolded(text) {
  const profile = { name: '', types: [data.types[data.shown]], names: [], calls: [] }, index = new Map();
  for (const line of text.split('\n')) {
    const parts = /^(.+) (-?\d+)\r?$/.exec(line);
    if (!parts && line.trim()) return null;
    const path = parts ? parts[1].split(';') : [];
    path.forEach((name, i) => {
      if (!index.has(name)) index.set(name, profile.names.push(name) - 1);
      profile.calls.push(i + 1, index.get(name), i + 1 < path.length ? 0 : Number(parts[2]));
    });
  }
  return profile.calls.length ? profile : null;
}

// Reads a file's text: a page that was saved, its data alone, or folded stacks. Returns null if it is none of them.
function readBase(text) {
  const page = /<script[^>]*\bid="data"[^>]*>([^<]*)<\/script>/.exec(text);
  try {
    return page || text.startsWith('{') ? JSON.parse(page ? page[1] : text) : readFolded(text);
  } catch {
    return null;
  }
}

// Choosing ------------------------------------------------------------------------------------------------------------

const timeText = (ns) => new Date(ns / 1e6).toLocaleTimeString();
const say = (text) => ($('note').textContent = text);

// Compares with a profile; null: with none.
function compareWith(profile, from) {
  base = profile && { from, has: data.types.map((t) => typeIndex(profile, t) >= 0), time: profile.time };
  summed = null;
  readCalls(profile ? merge(data, profile) : Object.assign(data, { stride: data.types.length + 2 }));
}

// Puts the base into the page, so that it is saved with it; null: takes it out.
function putIntoPage(profile) {
  const element = $('base') || document.createElement('script');
  element.remove();
  if (!profile) return;
  element.type = 'application/json';
  element.id = 'base';
  element.textContent = JSON.stringify(profile).replaceAll('<', '\\u003c');
  $('data').after(element);
}

// Reads a file and compares with it. The calls have other numbers then, so all of them are shown.
async function compareWithFile(file) {
  const profile = file && readBase(await file.text());
  if (file && !profile) say(`${file.name} is neither a saved page of this kind nor folded stacks.`);
  else if (profile && !profile.types.some((t) => typeIndex(data, t) >= 0)) {
    say(`${file.name} is a profile of ${profile.types.map(([t]) => t).join(', ')}, which cannot be compared with this.`);
  } else if (profile) {
    compareWith(profile, file.name);
    putIntoPage(profile);
    say('');
    go('call', 0);
  }
  showChoice();
}

// Asks the server for the page again, with another base, or with a request to keep the profile.
function askFor(key, value) {
  const query = new URLSearchParams(location.search);
  query.delete('base');
  if (key) query.set(key, value);
  location.search = query;
}

function showChoice() {
  $('bases').value = base ? (base.id ? String(base.id) : 'file') : '';
}

function choose() {
  const value = $('bases').value;
  if (value === 'file') $('file').click();
  else if (value) askFor('base', value);
  else if (base && base.id) askFor();
  else {
    compareWith(null);
    putIntoPage(null);
    go('call', 0);
  }
  showChoice();
}

// Shows the controls' state: s is the page's (flame.js).
function showBase(s) {
  $('compared').hidden = !base;
  $('only').checked = s.get('only') === '1';
  $('scale').checked = s.get('scale') === '1';
  $('from').textContent = !base ? '' : !base.has[type] ? `${base.from} has no ${data.types[type][0]}`
    : `red: more than in ${base.from}` + (base.time ? ` of ${timeText(base.time)}` : '') + '; blue: less';
}

function save() {
  const link = document.createElement('a'), page = document.documentElement.cloneNode(true);
  page.querySelector('#server')?.remove();
  link.href = URL.createObjectURL(new Blob(['<!DOCTYPE html>\n', page.outerHTML]));
  link.download = `${data.name}-${new Date(data.time / 1e6).toISOString().slice(0, 19).replaceAll(':', '')}.html`;
  link.click();
  URL.revokeObjectURL(link.href);
}

// Begins with the base in the page, if there is one. server: the bases that the server keeps, and the number of this
// profile's if it was just kept; null in a file.
function beginBase() {
  const was = $('base') && JSON.parse($('base').textContent);
  const server = $('server') && location.protocol !== 'file:' ? JSON.parse($('server').textContent) : null;
  const kept = server ? server.bases : [], query = new URLSearchParams(location.search);
  compareWith(was, 'the base');
  if (was && server) base.id = server.base;
  $('bases').replaceChildren(new Option('compare with ...', ''),
    ...kept.map(([id, time]) => new Option(`kept at ${timeText(time)} (base=${id})`, String(id))),
    new Option('a saved file ...', 'file'));
  $('keep').hidden = !server;
  if (server && query.has('keep')) {
    query.delete('keep');
    history.replaceState(history.state, '', '?' + query + location.hash);
    say(server.kept ? `Kept as base=${server.kept}. Choose it later, to see what changed since.`
      : 'Too large to be kept: save it, and choose the file later.');
  }
  $('bases').onchange = choose;
  $('keep').onclick = () => askFor('keep', 1);
  $('save').onclick = save;
  $('file').onchange = () => compareWithFile($('file').files[0]);
  $('only').onchange = () => go('only', $('only').checked ? 1 : 0);
  $('scale').onchange = () => go('scale', $('scale').checked ? 1 : 0);
  window.ondragover = (event) => event.preventDefault();
  window.ondrop = (event) => {
    event.preventDefault();
    compareWithFile(event.dataTransfer.files[0]);
  };
  showChoice();
}
