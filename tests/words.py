#!/usr/bin/env python3
"""words.py [ROOT] - prints FILE:LINE: TEXT for each riddle in comments and in README.md files.

A riddle is a sentence whose subject is a bare "who", "whoever" or "what", unless it is a question,
or one of the phrases that a reader with English as a second language has to read twice.
"""
import re
import sys
from pathlib import Path

FOLDERS = ("runtime", "http", "profiles", "include", "tests", "bench", "examples", "tools")
SUFFIXES = (".c", ".h", ".S", ".md", ".py", ".sh", ".cmake")
NOT_OURS = ("words.py", "lint_selftest.sh")  # which quote riddles
SUBJECT = re.compile(r"(?:^|[.;:(]\s+|\(|\s- )\s*(?:who|what)(?:ever)?\b[^.;?]*(\?)?", re.I)
PHRASE = re.compile(r"\b(whoever|as above|so below|in vain|told of|to be had|had by|amid|anew"
                    r"|for good|but for|goes? with|hangs? on)\b", re.I)
QUOTE = r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
COMMENT = {  # of a file's suffix: each match is a comment, unless it begins with a quote
    "c": re.compile(rf"{QUOTE}|//[^\n]*|/\*.*?\*/", re.S),
    "md": re.compile(r"```.*?```|[^\n|]+(?:\n(?![-#|\n]|\d+\. )[^\n|]+)*", re.S),
    "py": re.compile(r'""".*?"""|(?:^[ \t]*#[^\n]*\n)+', re.S | re.M),
    "sh": re.compile(r"(?:^[ \t]*#[^\n]*\n)+", re.M),
}
KIND = {".c": "c", ".h": "c", ".S": "c", ".md": "md", ".py": "py"}


def blank(match):
    return re.sub(r"[^\n]", " ", match[0])


def comments(path):
    """Yields the offset and the words of each comment; its marks are blanks of the same length."""
    kind = KIND.get(path.suffix, "sh")
    text = path.read_text(errors="replace")
    for match in COMMENT[kind].finditer(text):
        words = match[0]
        if kind == "c" and words[0] != "/" or words.startswith("```"):
            continue
        words = re.sub(r"`[^`\n]*`", blank, words) if kind == "md" else words
        yield text, match.start(), re.sub(r"^[ \t]*(?:/\*+|\*+/?|//|#+|-|\d+\.|\"\"\")|\*/|\"\"\"",
                                          blank, words, flags=re.M)


def riddles(path):
    """Yields the line and the text of each riddle of a file."""
    for text, start, words in comments(path):
        for found in [*SUBJECT.finditer(words), *PHRASE.finditer(re.sub(r"\s", " ", words))]:
            if found.re is SUBJECT and found[1]:
                continue
            at = start + found.end() - len(found[0].lstrip(" \n\t.;:(-"))
            yield text.count("\n", 0, at) + 1, " ".join(words[at - start:at - start + 60].split())


root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
paths = [p for folder in FOLDERS for p in sorted((root / folder).rglob("*"))]
for path in [*paths, root / "README.md"]:
    if path.suffix in SUFFIXES and path.is_file() and path.name not in NOT_OURS:
        for line, text in riddles(path):
            print(f"{path.relative_to(root)}:{line}: words that stop a reader: {text}")
