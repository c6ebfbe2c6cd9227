// SPDX-License-Identifier: MIT
// flame.js - draws the flame graph of a profile (flame.c) on a canvas: the outermost functions on top, those that they
// call below. With a base (flame_base.js) it shows both, and what became more in red, less in blue. What is shown is
// kept in the fragment of the address, so that the browser's Back works:
//   #call=12&type=1&find=text&only=1&scale=1
// only: of two profiles only what changed; scale: as if both had the same total. Frames narrower than half a pixel are
// not drawn.
const data = JSON.parse(document.getElementById('data').textContent);
const $ = (id) => document.getElementById(id);
const canvas = $('graph'), tip = $('tip'), find = $('find'), types = $('types');
const HEIGHT = 19, LEAST = 0.5;

// The calls that are shown: this profile's, or both profiles' merged (flame_base.js). Each comes before those below it;
// the first is the root. end: of those below. self: the value without those below; net: with them; before, beforeNet:
// the same of the base; weight: what the width shows, without signs.
let shown, count, name, parent, depth, end, base = null, summed = null;
let type = data.shown, self, net, before, beforeNet, weight, drawn = [], at = 0, found = null;

function readCalls(profile) {
  const path = [0], stride = profile.stride;
  shown = profile;
  count = profile.calls.length / stride + 1;
  [name, parent, depth, end] = Array.from({ length: 4 }, () => new Int32Array(count));
  name[0] = -1;
  for (let i = 1; i < count; i++) {
    const from = (i - 1) * stride;
    depth[i] = profile.calls[from];
    name[i] = profile.calls[from + 1];
    parent[i] = path[depth[i] - 1];
    path[depth[i]] = i;
  }
  for (let i = count - 1; i >= 0; i--) {
    end[i] = Math.max(end[i], i + 1);
    if (i > 0) end[parent[i]] = Math.max(end[parent[i]], end[i]);
  }
}

function sumOf(values) {
  const sum = Float64Array.from(values);
  for (let i = count - 1; i > 0; i--) sum[parent[i]] += sum[i];
  return sum;
}

// Returns the values of all calls in one column of the shown profile.
function column(k) {
  const values = new Float64Array(count);
  for (let i = 1; i < count; i++) values[i] = shown.calls[(i - 1) * shown.stride + 2 + k];
  return values;
}

function sumUp(only, scale) {
  self = column(type);
  net = sumOf(self);
  before = base && base.has[type] ? column(data.types.length + type) : null;
  beforeNet = before && sumOf(before);
  if (before && scale && beforeNet[0]) {
    const factor = net[0] / beforeNet[0];
    before = before.map((v) => v * factor);
    beforeNet = beforeNet.map((v) => v * factor);
  }
  weight = sumOf(self.map((v, i) => !before ? Math.abs(v) : only ? Math.abs(v - before[i])
    : Math.max(Math.abs(v), Math.abs(before[i]))));
}

const nameOf = (i) => (i === 0 ? 'all' : shown.names[name[i]]);

function callsBelow(i) {
  const list = [];
  for (let c = i + 1; c < end[i]; c = end[c]) if (weight[c] > 0) list.push(c);
  return list.sort((a, b) => weight[b] - weight[a]);
}

// Text of values ------------------------------------------------------------------------------------------------------

const scales = {
  nanoseconds: [[60e9, 'min'], [1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']],
  bytes: [[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [1024, 'KiB'], [1, 'B']],
};

function valueText(v) {
  const unit = data.types[type][1], scale = scales[unit] || [[1, unit === 'count' ? '' : unit]];
  const [size, text] = scale.find(([least]) => Math.abs(v) >= least) || scale[scale.length - 1];
  return ((v / size).toLocaleString('en', { maximumFractionDigits: 2 }) + ' ' + text).trim();
}

// Returns the text of a value, and of its change from the base's.
function valuesText(now, was) {
  if (!before) return valueText(now);
  const more = now - was, sign = more > 0 ? '+' : '';
  return `${valueText(now)}, before ${valueText(was)}: ${sign}${valueText(more)}` +
    (was && more ? ` (${sign}${shareText(more, Math.abs(was))})` : '');
}

const shareText = (part, all) => (all ? ((100 * part) / all).toFixed(2) : '0.00') + ' %';

// Drawing -------------------------------------------------------------------------------------------------------------

function colour(i) {
  const text = nameOf(i);
  let hash = 0;
  if (found && found[name[i]]) return '#d16bd8';
  if (before) return changeColour(net[i], beforeNet[i]);
  for (let k = 0; k < text.length; k++) hash = (hash * 31 + text.charCodeAt(k)) >>> 0;
  if (net[i] < 0) return `hsl(${190 + (hash % 40)} 60% ${66 + (hash % 7)}%)`;
  if (found) return `hsl(40 12% ${76 + (hash % 7)}%)`;
  return `hsl(${18 + (hash % 36)} 82% ${62 + (hash % 9)}%)`;
}

// The more of its greater value a frame has gained or lost, the stronger is its colour.
function changeColour(now, was) {
  const part = (now - was) / (Math.max(Math.abs(now), Math.abs(was)) || 1);
  const hue = part > 0 ? 8 : 214, strength = Math.min(Math.abs(part), 1);
  return strength < 0.005 ? '#dcdad6' : `hsl(${hue} ${45 + 45 * strength}% ${86 - 24 * strength}%)`;
}

// Finds the frames to draw, as {i, x, y, w}: the callers of `at` and, below it, all that are wide enough.
function layOut(width) {
  const list = [], todo = [];
  for (let i = parent[at]; at > 0; i = parent[i]) {
    list.push({ i, x: 0, y: depth[i], w: width });
    if (i === 0) break;
  }
  todo.push({ i: at, x: 0, y: depth[at], w: width });
  while (todo.length) {
    const f = todo.pop();
    list.push(f);
    let x = f.x;
    for (const c of callsBelow(f.i)) {
      const w = (f.w * weight[c]) / weight[f.i];
      if (w < LEAST) break; // they are in the order of their widths
      todo.push({ i: c, x, y: f.y + 1, w });
      x += w;
    }
  }
  return list;
}

function drawFrame(pen, f) {
  const gap = f.w > 3 ? 1 : 0;
  pen.globalAlpha = f.y < depth[at] ? 0.55 : 1;
  pen.fillStyle = colour(f.i);
  pen.fillRect(f.x, f.y * HEIGHT, f.w - gap, HEIGHT - 1);
  if (f.w < 24) return;
  const room = Math.floor((f.w - 8) / 6.7), text = nameOf(f.i);
  pen.fillStyle = '#1a1206';
  pen.fillText(text.length <= room ? text : text.slice(0, room - 1) + '…', f.x + 4, f.y * HEIGHT + 13);
}

function draw() {
  const width = canvas.parentNode.clientWidth, scale = window.devicePixelRatio || 1, pen = canvas.getContext('2d');
  drawn = layOut(width);
  const height = (drawn.reduce((most, f) => Math.max(most, f.y), 0) + 1) * HEIGHT;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = width + 'px';
  canvas.style.height = height + 'px';
  pen.scale(scale, scale);
  pen.font = '11px ui-monospace,monospace';
  for (const f of drawn) drawFrame(pen, f);
  $('where').textContent = nameOf(at);
  $('value').textContent = valuesText(net[at], before && beforeNet[at]) +
    (at && !before ? ', ' + shareText(weight[at], weight[0]) + ' of all' : '');
  $('out').disabled = at === 0;
  $('back').disabled = steps() === 0;
}

// Finding -------------------------------------------------------------------------------------------------------------

// Marks the names that have the text, and sums up the calls of them, each only once.
function look(text) {
  const wanted = text.toLowerCase();
  let sum = 0, was = 0;
  found = wanted ? shown.names.map((n) => n.toLowerCase().includes(wanted)) : null;
  for (let i = 1; found && i < count; ) {
    const is = found[name[i]];
    if (is) sum += before ? net[i] : weight[i];
    if (is && before) was += beforeNet[i];
    i = is ? end[i] : i + 1;
  }
  $('found').textContent = !found ? '' : before ? valuesText(sum, was)
    : valueText(sum) + ', ' + shareText(sum, weight[0]) + ' found';
}

// The fragment --------------------------------------------------------------------------------------------------------

const state = () => new URLSearchParams(location.hash.slice(1));
const steps = () => history.state || 0;

// Shows another state. The browser's entry counts the steps from the page's first state.
function go(key, value) {
  const s = state();
  s.set(key, value);
  history.pushState(steps() + 1, '', '#' + s);
  show();
}

function show() {
  const s = state(), inside = (text, most) => Math.min(Math.max(parseInt(text, 10) || 0, 0), most);
  const wanted = [s.get('type'), s.get('only'), s.get('scale')].join();
  type = s.has('type') ? inside(s.get('type'), data.types.length - 1) : data.shown;
  if (wanted !== summed) sumUp(s.get('only') === '1', s.get('scale') === '1');
  summed = wanted;
  showBase(s);
  at = inside(s.get('call'), count - 1);
  types.value = String(type);
  if (document.activeElement !== find) find.value = s.get('find') || '';
  look(s.get('find') || '');
  tip.hidden = true;
  draw();
}

// The mouse and the keys ----------------------------------------------------------------------------------------------

function frameAt(event) {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left;
  const y = Math.floor((event.clientY - box.top) / HEIGHT);
  return drawn.find((f) => f.y === y && x >= f.x && x < f.x + f.w);
}

function tell(event) {
  const f = frameAt(event);
  tip.hidden = !f;
  canvas.style.cursor = f ? 'pointer' : '';
  if (!f) return;
  $('tip-name').textContent = nameOf(f.i);
  $('tip-value').textContent = before ? valuesText(net[f.i], beforeNet[f.i])
    : valueText(net[f.i]) + ', ' + shareText(weight[f.i], weight[0]) + ' of all' +
      (at ? ', ' + shareText(weight[f.i], weight[at]) + ' of ' + nameOf(at) : '');
  $('tip-self').textContent = 'itself: ' + valuesText(self[f.i], before && before[f.i]);
  const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
  const under = event.clientY + 18 + tip.offsetHeight < window.innerHeight;
  tip.style.left = Math.max(left, 4) + 'px';
  tip.style.top = event.clientY + (under ? 18 : -10 - tip.offsetHeight) + 'px';
}

function begin() {
  const seconds = data.duration / 1e9;
  document.title = data.name + ' - flame graph';
  $('name').textContent = data.name;
  $('when').textContent = new Date(data.time / 1e6).toLocaleString() +
    (seconds ? ', ' + seconds.toLocaleString('en', { maximumFractionDigits: 2 }) + ' s' : '') +
    (data.cut ? '; too large: ' + data.cut.toLocaleString('en') + ' samples lack their inner calls' : '');
  types.replaceChildren(...data.types.map(([text], k) => new Option(text, String(k))));
  types.hidden = data.types.length < 2;
  types.onchange = () => go('type', types.value);
  find.oninput = () => {
    const s = state();
    s.set('find', find.value);
    history.replaceState(history.state, '', '#' + s);
    show();
  };
  $('back').onclick = () => history.back();
  $('out').onclick = () => go('call', 0);
  canvas.onmousemove = tell;
  canvas.onmouseleave = () => (tip.hidden = true);
  canvas.onclick = (event) => {
    const f = frameAt(event);
    if (f && f.i !== at) go('call', f.i);
  };
  window.onkeydown = (event) => {
    if (event.key === 'Escape' && at) go('call', 0);
    if (event.key === '/' && document.activeElement !== find) {
      event.preventDefault();
      find.focus();
    }
  };
  window.onpopstate = show; // also when the reader edits the fragment
  window.onresize = draw;
  beginBase();
  show();
}

begin();
