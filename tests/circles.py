#!/usr/bin/env python3
"""circles.py [ROOT] - the circles of calls among the files of runtime/, profiles/ and http/.

A file is x.c with its x.h and x.S. Its functions, macros and initialisers call every function and
macro of another file that they name: the file that takes a function's address counts as its caller,
since the function may be called from then on. An inline function of include/weft stands for the
functions that it names itself.

A call through a pointer that a higher file stores at run time counts for nothing: an event sink that
was added (runtime/sched/sinks.h), or the reporter (observe.h). The lower file names nothing of the
higher one and works without it: test_alone links runtime/ without profiles/ and runs tasks. The
file that stores the pointer does name both sides, and is a caller of the lower one.

Reads the text, not a build: #if is ignored, so all branches count. Fails if a file calls upward, from
a layer to a higher one, or if more files of a folder form a circle than the table below allows. -v
prints each call upward with the shortest way back, the shortest circle first, and each circle within
a folder with the calls that form it.
"""
import collections
import pathlib
import re
import sys

# How many files of a folder may form a circle: in runtime/sched the nucleus, elsewhere none.
INSIDE = {
    "runtime/sched": [8],
}

TOKEN = re.compile(r"[A-Za-z_]\w*|->|[^\w\s]")
NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|("(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')', re.S)
DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(\w+)((?:\\\n|[^\n])*)", re.M)
WORD = re.compile(r"[A-Za-z_]\w*$")


class Reader:
    """The functions that one source defines, and the names that each of them mentions."""

    def __init__(self, path):
        self.defines = set()
        self.mentions = collections.defaultdict(set)  # name -> the functions it is mentioned in
        text = NOISE.sub(lambda m: '""' if m[1] else " ", path.read_text())
        if path.suffix == ".S":
            self.read_assembly(text)
            return
        self.read(TOKEN.findall(DIRECTIVE.sub(self.read_directive, text)), path)

    def read_assembly(self, text):
        self.defines.update(re.findall(r"^(\w+):", text, re.M))
        for name in re.findall(r"\b(?:call|jmp|lea)\w*\s+\$?(\w+)", text):
            self.mentions[name].add("assembly")

    def read_directive(self, m):
        if m[1] == "define":
            name, *body = TOKEN.findall(m[2])
            if re.match(r"\s*\w+\(", m[2]):
                self.defines.add(name)
            self.read_body(body, name)
        return " "

    def read(self, tokens, path):
        start = i = 0  # of the declaration
        while i < len(tokens):
            if tokens[i] == "{":
                head, end = tokens[start:i], closing(tokens, i, path)
                if head == ["extern", '"', '"']:  # that of extern "C" is no block
                    del tokens[end]
                    start = i = i + 1
                    continue
                name = function_name(head)
                if name:
                    self.defines.add(name)
                    self.read_body(tokens[i:end], name)
                    start = end + 1
                i = end
            elif tokens[i] == ";":
                self.read_variable(tokens[start:i])
                start = i + 1
            i += 1

    def read_variable(self, tokens):
        if "=" not in tokens:
            return
        at = tokens.index("=")
        name = next((t for t in reversed(tokens[:at]) if WORD.match(t)), "")
        self.read_body(tokens[at:], name)

    def read_body(self, tokens, where):
        before = ""
        for t in tokens:
            if t.lower().startswith("weft_") and before not in (".", "->", "struct", "enum"):
                self.mentions[t].add(where)
            before = t


def closing(tokens, i, path):
    depth = 0
    for at in range(i, len(tokens)):
        depth += (tokens[at] == "{") - (tokens[at] == "}")
        if depth == 0:
            return at
    sys.exit(f"{path}:1: circles.py finds no end of a block")


def function_name(head):
    """The name before the last parentheses of what stands before a block, if it is a function."""
    if not head or head[-1] != ")" or "=" in head:
        return None
    depth = 0
    for at in range(len(head) - 1, 0, -1):
        depth += (head[at] == ")") - (head[at] == "(")
        if depth == 0:
            return head[at - 1]
    return None


class Tree:
    """Files, and for each pair of them the calls from the one to the other."""

    def __init__(self, root):
        readers = collections.defaultdict(list)
        for top in ("include", "runtime", "profiles", "http"):
            for path in sorted((root / top).rglob("*.[chS]")):
                readers[file_of(path.relative_to(root))].append(Reader(path))
        self.homes = collections.defaultdict(set)
        self.inlines = collections.defaultdict(set)
        for name, rs in readers.items():
            for r in rs:
                if name.startswith("include/"):
                    for called, callers in r.mentions.items():
                        for caller in callers & r.defines:
                            self.inlines[caller].add(called)
                    continue
                for defined in r.defines:
                    self.homes[defined].add(name)
        self.calls = collections.defaultdict(set)
        self.files = sorted(n for n in readers if not n.startswith("include/"))
        for name in self.files:
            for r in readers[name]:
                for called, callers in r.mentions.items():
                    self.add(name, callers, called, set())
        self.next = collections.defaultdict(list)
        for a, b in sorted(self.calls):
            self.next[a].append(b)

    def add(self, name, callers, called, seen):
        if name in self.homes[called] or called in seen:
            return
        seen.add(called)
        for home in self.homes[called]:
            self.calls[name, home].update((c, called) for c in callers)
        if not self.homes[called]:
            for inner in self.inlines[called]:
                self.add(name, callers, inner, seen)

    def way(self, a, b):
        """The shortest list of files by which a reaches b; None if it does not."""
        came = {a: None}
        queue = collections.deque([a])
        while queue:
            at = queue.popleft()
            if at == b:
                way = []
                while at:
                    way.append(at)
                    at = came[at]
                return way[::-1]
            for n in self.next[at]:
                if n not in came:
                    came[n] = at
                    queue.append(n)
        return None

    def circles(self, files):
        """The sets of at least two of these files that reach each other through them."""
        reached = {}
        for f in files:
            seen, stack = set(), [f]
            while stack:
                for n in self.next[stack.pop()]:
                    if n in files and n not in seen:
                        seen.add(n)
                        stack.append(n)
            reached[f] = seen
        found = {frozenset(g for g in reached[f] if f in reached[g]) for f in files}
        return sorted((sorted(c) for c in found if len(c) > 1), key=lambda c: (-len(c), c))


def file_of(path):
    return str(path.with_name(re.sub(r"_x86_64$", "", path.stem)))


def folder_of(name):
    return name.rpartition("/")[0]


def layers():
    """Those of lint.sh, the lowest first."""
    text = pathlib.Path(__file__).with_name("lint.sh").read_text()
    return re.search(r"^layers=\((.*?)\)", text, re.M | re.S)[1].split()


def show_call(tree, a, b):
    calls = sorted(tree.calls[a, b])
    more = f" and {len(calls) - 3} more" if len(calls) > 3 else ""
    return ", ".join(f"{c} -> {called}" for c, called in calls[:3]) + more


def upward(tree, verbose):
    """Counts, for each two folders, the pairs of files that call from the lower to the higher."""
    order = {folder: i for i, folder in enumerate(layers())}
    rank = lambda f: order.get(folder_of(f), len(order))
    ups = [(tree.way(b, a), a, b) for a, b in sorted(tree.calls) if rank(a) < rank(b)]
    for way, a, b in sorted(ups, key=lambda u: (u[0] is None, len(u[0] or ()), u[1:])) if verbose else ():
        back = " -> ".join(way) if way else "no way back"
        print(f"up: {a} -> {b}: {show_call(tree, a, b)}\n    back: {back}")
    return collections.Counter(folder_of(a) + " > " + folder_of(b) for _, a, b in ups)


def inside(tree, verbose):
    """The sizes of the circles in each folder."""
    sizes = {}
    for folder in sorted({folder_of(f) for f in tree.files}):
        for circle in tree.circles({f for f in tree.files if folder_of(f) == folder}):
            sizes.setdefault(folder, []).append(len(circle))
            if verbose:
                print(f"within {folder}/, {len(circle)} files:")
                for a in circle:
                    for b in tree.next[a]:
                        if b in circle:
                            print(f"    {a} -> {b}: {show_call(tree, a, b)}")
    return sizes


def main(argv):
    verbose = "-v" in argv
    root = pathlib.Path(next((a for a in argv if a != "-v"), pathlib.Path(__file__).parent.parent))
    tree = Tree(root)
    ups, sizes = upward(tree, verbose), inside(tree, verbose)
    failed = bool(ups)
    for folders, n in sorted(ups.items()):
        print(f"circles: {n} pairs of files call upward, {folders}")
    for folder, has in sizes.items():
        may = INSIDE.get(folder, [])
        if len(has) > len(may) or any(a > b for a, b in zip(has, may)):
            failed = True
            print(f"circles: {folder} has them of {has} files")
    if verbose:
        whole = [len(c) for c in tree.circles(set(tree.files))]
        print(f"{sum(ups.values())} pairs of files call upward; the whole tree has circles of {whole} "
              f"files; within folders: {sizes}")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
