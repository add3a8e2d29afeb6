"""The long run, e.g. `make fuzz ARGS="--target=config --seconds=600"`.

atheris guides it by coverage; targets and mutations are those of the short run. A document that breaks a promise is kept in
`build/fuzz`; given as a file, it is checked again.
"""

import argparse
import hashlib
import os
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from random import Random, SystemRandom

import atheris

with atheris.instrument_imports(include=["exporter"], enable_loader_override=False):
    from tests.fuzz.targets import TARGETS

from tests.conftest import ABSENT, ISOLATED
from tests.fuzz.check import Check
from tests.fuzz.mutations import MOST_BYTES, mutated

_FOUND = Path("build/fuzz")
_MOST_SECONDS = 60  # of one document, by the clock
_MOST_MEMORY = 2048  # MiB


def main() -> int:
    """Fuzz one target, or one after the other; return 0 where every document keeps the promises."""
    options = _options()
    os.environ.update(ISOLATED, NO_PROXY="*")
    for name in ABSENT:
        os.environ.pop(name, None)
    _FOUND.mkdir(parents=True, exist_ok=True)
    return max([_in_process_of_its_own(name, options) for name in options.target or TARGETS])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("make fuzz")
    parser.add_argument("--target", action="append", choices=TARGETS, help="may be repeated; default: all")
    parser.add_argument("files", nargs="*", help="documents to check, and nothing else")
    parser.add_argument("--seconds", type=int, default=300, help="of each target")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1, 2**31))
    return parser.parse_args()


def _in_process_of_its_own(name: str, options: argparse.Namespace) -> int:
    """Fuzz a target, and return the exit status: libFuzzer ends the process, and tidies nothing up."""
    print(f'seed {options.seed}: make fuzz ARGS="--target={name} --seed={options.seed}"', flush=True)
    with tempfile.TemporaryDirectory() as folder:
        arguments = (name, Path(folder), _libfuzzer_flags(options), options.files)
        process = get_context("fork").Process(target=_fuzz, args=arguments)
        process.start()
        process.join()
        return abs(process.exitcode or 0)


def _libfuzzer_flags(options: argparse.Namespace) -> Sequence[str]:
    return (
        f"-seed={options.seed}",
        f"-max_total_time={options.seconds}",
        f"-max_len={MOST_BYTES}",
        f"-timeout={_MOST_SECONDS}",
        f"-rss_limit_mb={_MOST_MEMORY}",
        f"-artifact_prefix={_FOUND}/",
        "-print_final_stats=1",
        "-verbosity=1",
    )


def _kept(name: str, check: Check) -> Check:
    """Return a check that keeps what breaks a promise: libFuzzer does so for what takes too long or too much memory."""

    def keeping(data: bytes) -> None:
        try:
            check(data)
        except Exception:
            file = _FOUND / f"{name}-{hashlib.sha256(data).hexdigest()[:16]}"
            file.write_bytes(data)
            print(f'again: make fuzz ARGS="--target={name} {file}"', flush=True)
            raise

    return keeping


def _fuzz(name: str, folder: Path, flags: Sequence[str], files: Sequence[str]) -> None:
    target = TARGETS[name]
    corpus, used = folder / "corpus", folder / "used"
    for made in (corpus, used):
        made.mkdir()
    for number, document in enumerate(target.documents.good):
        (corpus / str(number)).write_bytes(document)

    def strange(data: bytes, most: int, seed: int) -> bytes:
        """Mutate by libFuzzer's own means half of the time, and else as the short run does."""
        random = Random(seed)
        if random.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        return mutated(data, random, target.documents)[:most]

    with target.opened(used) as check:
        atheris.Setup(["fuzz", *flags, *(files or [str(corpus)])], _kept(name, check), custom_mutator=strange)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
