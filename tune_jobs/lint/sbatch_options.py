"""The options of sbatch, and what #SBATCH lines say."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

# Those of Slurm 22.05 to 25.05, with the letter of those that have one; ``=`` marks a value that is
# needed, ``?`` one that may be left out.
OPTIONS = """
account=A acctg-freq= array=a batch= bb= bbf= begin=b chdir=D cluster-constraint= clusters=M
comment= constraint=C consolidate-segments container= container-id= contiguous core-spec=S
cores-per-socket= cpu-freq= cpus-per-gpu= cpus-per-task=c deadline= delay-boot= dependency=d
distribution=m error=e exclude=x exclusive? export= export-file= extra= extra-node-info=B
get-user-env? gid= gpu-bind= gpu-freq= gpus=G gpus-per-node= gpus-per-socket= gpus-per-task= gres=
gres-flags= help hint= hold ignore-pbs input=i job-name=J kill-on-invalid-dep= licenses=L mail-type=
mail-user= mcs-label= mem= mem-bind= mem-per-cpu= mem-per-gpu= mincpus= network= nice? no-kill?k
no-requeue nodefile=F nodelist=w nodes=N ntasks=n ntasks-per-core= ntasks-per-gpu= ntasks-per-node=
ntasks-per-socket= oom-kill-step? open-mode= output=o overcommit oversubscribe parsable partition=p
power= prefer= priority= profile= propagate? qos=q quiet reboot requeue reservation= resv-ports?
segment= signal= sockets-per-node= spread-job spread-segments stepmgr switches= test-only
thread-spec= threads-per-core= time=t time-min= tmp= tres-bind= tres-per-task= uid= usage
use-min-nodes verbose version wait wait-all-nodes= wckey= wrap=
"""
LETTERS_ALONE = {"h": "help", "H": "hold", "O": "overcommit", "Q": "quiet", "s": "oversubscribe"}
LETTERS_ALONE |= {"v": "verbose", "V": "version", "W": "wait"}
# Of Pyxis, the plugin for containers that many sites have.
PYXIS = """
container-image container-mounts container-workdir container-name container-save container-env
container-mount-home container-remap-root container-entrypoint container-writable
container-readonly container-entrypoint-log no-container-mount-home no-container-remap-root
no-container-entrypoint
"""

_TABLE = [re.fullmatch(r"([a-z-]+)([=?]?)([A-Za-z]?)", word) for word in OPTIONS.split()]
TAKES = {match[1]: match[2] for match in _TABLE if match} | dict.fromkeys(PYXIS.split(), "?")
LETTERS = {match[3]: match[1] for match in _TABLE if match and match[3]} | LETTERS_ALONE


@dataclass(frozen=True)
class Directive:
    """An option on a #SBATCH line.

    Attributes:
        line: counted from 1.
        name: the long name, as sbatch understands it, or as it was written where it does not.
        value: empty where there is none.
        is_known: whether sbatch has it.
    """

    line: int
    name: str
    value: str
    is_known: bool


def parse_directives(line: int, text: str) -> Iterator[Directive]:
    """The options on one #SBATCH line.

    Raises:
        ValueError: for a quotation that does not end.
    """
    words = shlex.split(text.removeprefix("#SBATCH"), comments=True)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            continue  # the value of an option that is not known
        written, equals, value = word.partition("=")
        if not word.startswith("--"):
            written, value = word[:2], word[2:].removeprefix("=")
            equals = value
        name = _long_name(written)
        if not equals and TAKES.get(name) == "=" and words:
            value = words.pop(0)
        yield Directive(line, name, value, name in TAKES)


def _long_name(written: str) -> str:
    """What getopt takes a word for: a letter's option, or the one that begins so."""
    if not written.startswith("--"):
        return LETTERS.get(written.removeprefix("-"), written)
    name = written[2:]
    begun = [known for known in TAKES if known.startswith(name)]
    return begun[0] if name not in TAKES and len(begun) == 1 else name
