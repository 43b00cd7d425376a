"""Commands of tune-jobs inside shell text, wherever that text is written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from tune_jobs.engine.names import nearest

# The commands of tune-jobs; of each its options, and whether they take a value.
KnownOptions = Mapping[str, Mapping[str, bool]]

SCRIPT = "ray.sbatch"  # takes a job, a name and options, and adds --resume
MENTION = re.compile(rf"tune-jobs|\btune_jobs\b|\b{re.escape(SCRIPT)}")
OPERATORS = re.compile(r"[;&|()<>\n]+")
# Known only when the command starts: templates of GitHub and Airflow, and what a shell computes.
COMPUTED = "{{}}"
TEMPLATE = re.compile(r"\$?\{\{.*?\}\}|\$\((?![^()]*tune.jobs)[^()]*\)|`[^`]*`")
# Docker's list of words.
WORD_LIST = re.compile(r'\[(".*")\]')


def find_commands(text: str) -> list[list[str]]:
    """Return the words after ``tune-jobs`` of each command in shell text.

    What is known only when the command starts is replaced by ``COMPUTED``.

    Raises:
        ValueError: for a quotation that does not end.
    """
    text = WORD_LIST.sub(lambda found: found[1].replace('",', '"'), TEMPLATE.sub(COMPUTED, text))
    return [ours for words in split_commands(text) for ours in _find_in(words)]


def split_commands(text: str) -> list[list[str]]:
    """Return the words of each command in shell text, without the operators between them.

    Raises:
        ValueError: for a quotation that does not end.
    """
    lexer = shlex.shlex(text.replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    commands: list[list[str]] = [[]]
    for word in lexer:
        if OPERATORS.fullmatch(word):
            commands.append([])
        else:
            commands[-1].append(word)
    return [command for command in commands if command]


def parse_options(words: Sequence[str], known: Mapping[str, bool]) -> dict[str, str]:
    """Return the options of a command with their values; a flag's value is empty."""
    found: dict[str, str] = {}
    rest = list(words[1:])
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name.startswith("--"):
            takes = known.get(name, bool(rest) and not rest[0].startswith("--"))
            found[name] = rest.pop(0) if takes and rest and not equals else value
    return found


def unknown_words(words: Sequence[str], known: KnownOptions) -> Iterator[str]:
    """Yield what tune-jobs would refuse: a misspelled command, and options that it does not have.

    A word that resembles no command may not be one: a folder may be called tune-jobs too.
    """
    name = words[0]
    if name not in known:
        if "mean" in (hint := nearest(name, known)):
            yield f"tune-jobs has no command {name!r}{hint}"
        return
    for option in parse_options(words, known[name]):
        if option not in known[name]:
            yield f"`tune-jobs {name}` has no option {option!r}{nearest(option, known[name])}"


def _find_in(words: Sequence[str]) -> Iterator[list[str]]:
    for at, word in enumerate(words):
        rest = list(words[at + 1 :])
        if at and re.fullmatch(r"-\w*c", words[at - 1]) and MENTION.search(word):
            yield from find_commands(word)
        program = re.split(r"[/=]", word)[-1]
        if program == SCRIPT and len(rest) > 1:
            yield ["run", rest[0], "--name", rest[1], "--resume", *rest[2:]]
            return
        is_module = word == "tune_jobs" and at > 0 and words[at - 1] == "-m"
        if (program == "tune-jobs" or is_module) and rest and not rest[0].startswith("-"):
            yield rest
            return
