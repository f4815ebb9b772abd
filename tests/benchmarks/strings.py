"""Reversing and sorting digit strings: what an encoder-decoder does with attention and without.

The networks see random strings of 1 to 10 digits; 1,000 others of length 10 are the test, and an
answer counts when each of its digits and its end are right. The encoder is an LSTM in two
directions, the decoder an LSTM, both of width 48; with attention the decoder looks back at what
the encoder wrote. Settings were chosen on other strings than the test's (``--develop``).

To sort, the digits need only be counted, which one state can hold; to reverse, their order counts,
and there attention is needed. Chance is the best answer of one who has not seen the string: to
reverse, any of the 10^10 strings; to sort, 0123456789, which is right for 10! of them.

Run: ``python strings.py [--tasks reverse sort] [--seeds 0 1 2]`` where unspool is installed; some
three minutes. It prints exact matches, the process time of each training, and for the first seed
the attention matrix of one string; it ends with exit code 1 if attention reaches less than 99 %.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.pop("OPENBLAS_CORETYPE", None)

import argparse
import math
import time

import numpy as np

from unspool.models import Adam, EncoderDecoder, Pairs, fit, schedules

START, END, FIRST = 1, 2, 3  # 0 is padding; digit k has the id FIRST + k
LENGTH, COUNT, TESTED = 10, 15000, 1000
WIDTH, BATCH, RATE, NORM, EPOCHS = 48, 64, 0.01, 1.0, 6
GOAL = 0.99

TASKS = {"reverse": lambda digits: digits[::-1], "sort": np.sort}
CHANCE = {"reverse": 10.0**-LENGTH, "sort": math.factorial(LENGTH) / 10.0**LENGTH}


def with_answers(task: str, strings: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Sources and targets, as ids."""
    answers = [np.array([START, *(TASKS[task](digits) + FIRST), END]) for digits in strings]
    return [digits + FIRST for digits in strings], answers


def held_out(seed: int) -> np.ndarray:
    """Strings of the full length, (TESTED, LENGTH)."""
    return np.random.default_rng(seed).integers(0, 10, (TESTED, LENGTH))


def train(task: str, attention: str | None, seed: int) -> tuple[EncoderDecoder, float]:
    """A trained network, and the seconds of process time it took."""
    rng = np.random.default_rng(seed)
    avoided = {tuple(row) for row in (*held_out(1000), *held_out(1001))}
    strings = [rng.integers(0, 10, n) for n in rng.integers(1, LENGTH + 1, COUNT)]
    strings = [digits for digits in strings if tuple(digits) not in avoided]
    started = time.process_time()
    size = FIRST + 10
    model = EncoderDecoder(size, size, WIDTH, bidirectional=True, attention=attention, rng=rng)
    pairs = Pairs(*with_answers(task, strings), batch=BATCH, rng=rng)
    adam, falling = Adam(model.parameters(), RATE), schedules.linear(1, 0)
    fit(model, pairs, adam, epochs=EPOCHS, clip=NORM, schedule=falling, progress=False)
    return model, time.process_time() - started


def exact(model: EncoderDecoder, task: str, strings: np.ndarray) -> float:
    """The share of strings of which each digit, and the end, is right."""
    sources, targets = with_answers(task, list(strings))
    written = model.greedy(np.stack(sources), LENGTH + 2)
    pairs = zip(written, targets, strict=True)
    return float(np.mean([np.array_equal(ours, right[1:-1]) for ours, right in pairs]))


def show_attention(model: EncoderDecoder, digits: np.ndarray) -> None:
    """A row for each digit written, a column for each digit read; weights in hundredths."""
    source = digits + FIRST
    answer = model.greedy(source, LENGTH + 2)
    matrix = model.attention_matrix(source, np.array([START, *answer, END]))
    print("      reads " + "".join(f"{digit:4}" for digit in digits))
    for symbol, row in zip([*(answer - FIRST), "end"], matrix, strict=True):
        weights = "".join(f"{100 * w:4.0f}" if w >= 0.005 else "   ." for w in row)
        print(f"writes {symbol!s:>4} {weights}")


def where_it_looks(model: EncoderDecoder, task: str, strings: np.ndarray) -> float:
    """The share of written digits at which the largest weight is on the digit itself.

    To reverse, on its own position, the anti-diagonal; to sort, on any equal digit.
    """
    sources, targets = (np.stack(rows) for rows in with_answers(task, list(strings)))
    looked = model.attention_matrix(sources, targets)[:, :LENGTH].argmax(-1)
    if task == "reverse":
        return float(np.mean(looked == np.arange(LENGTH)[::-1]))
    return float(np.mean(np.take_along_axis(sources, looked, 1) == targets[:, 1:-1]))


def main() -> int:
    """Train all that are asked for; the exit code says whether attention did what it should."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--develop", action="store_true", help="strings to choose settings by")
    options = parser.parse_args()
    test = held_out(1001 if options.develop else 1000)
    print(
        f"{COUNT:,} strings of 1 to {LENGTH} digits, {EPOCHS} passes in batches of {BATCH}, width "
        f"{WIDTH}, Adam from {RATE} down to 0, norm at most {NORM}; {TESTED:,} strings of {LENGTH} "
        f"{'for choices' if options.develop else 'as test'}"
    )
    good = True
    for task in options.tasks:
        print(f"\n{task}: chance {CHANCE[task]:.1e}")
        for attention in ("bilinear", None):
            found = []
            for seed in options.seeds:
                model, seconds = train(task, attention, seed)
                found.append(exact(model, task, test))
                line = f"  {attention or 'no'} attention, seed {seed}: {found[-1]:7.2%} exact"
                if attention:
                    share = where_it_looks(model, task, test)
                    line += f", looks at the digit it writes {share:.1%} of the time"
                print(f"{line}, {seconds:.1f} s", flush=True)
                if attention and seed == options.seeds[0]:
                    show_attention(model, test[0])
            mean = float(np.mean(found))
            print(f"  {attention or 'no'} attention, mean: {mean:.2%} exact", flush=True)
            good &= attention is None or mean >= GOAL
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
