#!/bin/sh
# flame_base.sh - runs the part of the flame graph's script that reads a base and merges it with the
# page's profile, without a browser. Exit status 77: there is no node.
set -eu
command -v node >/dev/null || exit 77
cd "$(dirname "$0")/../.."
cat profiles/render/flame_base.js - <<'END' | node --input-type=module -

// What flame.js has in a page.
const data = { types: [['objects', 'count'], ['space', 'bytes']], shown: 1, names: ['main', 'a<b>', 'old', 'b'],
  calls: [1, 0, 0, 0, 2, 1, 1, 100, 2, 3, 2, 50] };
let failed = 0;

function check(name, is, wanted) {
  const good = JSON.stringify(is) === JSON.stringify(wanted);
  console.log(good ? `ok - ${name}` : `not ok - ${name}: ${JSON.stringify(is)}, not ${JSON.stringify(wanted)}`);
  failed += !good;
}

// The merged calls as {'main;b': [values]}.
function paths(merged) {
  const path = [], all = {};
  for (let i = 0; i < merged.calls.length; i += merged.stride) {
    path.length = merged.calls[i] - 1;
    path.push(merged.names[merged.calls[i + 1]]);
    all[path.join(';')] = merged.calls.slice(i + 2, i + merged.stride);
  }
  return all;
}

const page = (profile) => `<html><script type="application/json" id="data">\n${JSON.stringify(profile)
  .replaceAll('<', '\\u003c')}\n</script><script type="application/json" id="base">\n{}</script>`;
const swapped = { types: [['space', 'bytes'], ['objects', 'count']], shown: 0, names: ['old', 'main', 'a<b>'],
  calls: [1, 1, 0, 0, 2, 0, 7, 3, 2, 2, 40, 1] };

check('folded stacks have the type that is shown first',
  paths(merge(data, readBase('main;a<b> 60\nmain;old;x y 9\nmain -4\n'))),
  { main: [0, 0, 0, -4], 'main;a<b>': [1, 100, 0, 60], 'main;b': [2, 50, 0, 0], 'main;old': [0, 0, 0, 0],
    'main;old;x y': [0, 0, 0, 9] });
check('values are matched by their types', paths(merge(data, readBase(page(swapped)))),
  { main: [0, 0, 0, 0], 'main;a<b>': [1, 100, 1, 40], 'main;b': [2, 50, 0, 0], 'main;old': [0, 0, 3, 7] });
check('data alone is a base', readBase(JSON.stringify(swapped)), swapped);
check('equal names become one call', paths(merge({ types: [['n', 'count']], names: ['a', 'a'], calls: [1, 0, 1, 1, 1, 2] },
  { types: [], names: [], calls: [] })), { a: [3, 0] });
check('a profile merges with itself', paths(merge(data, data))['main;b'], [2, 50, 2, 50]);
for (const text of ['', '\u001f\u008b', '{"a":', 'hello', '<html></html>', 'main 1\nmain'])
  check(`${JSON.stringify(text)} is no base`, readBase(text), null);
process.exit(failed ? 1 : 0);
END
