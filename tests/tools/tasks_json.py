#!/usr/bin/env python3
"""tasks_json.py JSON TEXT - weft-dump -j of a stopped process says what -d 3 says."""
import json
import re
import sys

with open(sys.argv[1], encoding="utf-8") as f:
    doc = json.load(f)
with open(sys.argv[2], encoding="utf-8") as f:
    text = f.read()
assert doc["schema"] == "weft-tasks/1"
assert "missing" not in doc
head = re.search(r"^# processors: (\d+), threads: (\d+) \((\d+) spare, (\d+) .* at most (\d+)\)$", text, re.M)
names = ("processors", "threads", "threads_spare", "threads_without_processor", "threads_max")
assert [doc[name] for name in names] == [int(n) for n in head.groups()]
assert "# number of processors by: " + doc["processors_by"] + "\n" in text

blocks = {int(re.match(r"goroutine (\d+)", b).group(1)): b
          for b in re.split(r"\n\n", text) if b.startswith("goroutine ")}
assert sorted(blocks) == sorted(t["id"] for t in doc["tasks"])
for task in doc["tasks"]:
    first, *lines = blocks[task["id"]].splitlines()
    state = {"waiting": task.get("reason"), "in a call": "syscall"}.get(task["state"], task["state"])
    assert f"[{state}" in first, (task, first)
    assert ("waited_ns" in task) == any(line.startswith("# waited: ") for line in lines)
    if "waits_for" in task:
        held = f" held by goroutine {task['held_by']}" if "held_by" in task else ""
        assert f"# waits-for: {task['waits_for']}{held}" in lines
    if "name" in task:
        assert f"{{name: {task['name']}" in first
    for value in task.get("labels", {}).values():
        assert value in first
    functions = [f for call in doc["stacks"][str(task["stack"])] for f in doc["calls"][call]]
    shown = [line[: -len("(...)")] for line in lines if line.endswith("(...)")]
    assert [f["function"] for f in functions] == shown
    places = [line for line in lines if line.startswith("\t")]
    for f, place in zip(functions, places):
        offset = f" +{f['offset']:#x}" if f.get("offset", 0) > 1 else ""
        assert place == f"\t{f.get('file', '??')}:{f.get('line', 0)}{offset}", (f, place)
    if "created_by" in task:
        assert f" in goroutine {task['created_by']['task']}" in blocks[task["id"]]
        assert task["created_by"]["call"] in doc["calls"]
names = {t.get("name"): t for t in doc["tasks"]}
assert names["reader"]["labels"] == {"tenant": "acme corp"}
assert names["locker"]["held_by"] == names["holder"]["id"]
