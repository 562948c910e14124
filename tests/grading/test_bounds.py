"""Bounds: hostile pairs, the symbolic tier's worker, threads, forks."""

import importlib.util
import inspect
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cotdistill import grade, grade_many
from cotdistill.grading.equivalence import symbolic
from cotdistill.grading.equivalence.equivalent import Equivalence, equivalent
from cotdistill.grading.equivalence.normalize import tidy
from cotdistill.grading.equivalence.parser import parse
from cotdistill.grading.equivalence.tree import number

HOSTILE = Path(__file__).parents[2] / "benchmarks" / "grader" / "hostile.py"


def hostile_pairs() -> list[tuple[str, str, str]]:
    spec = importlib.util.spec_from_file_location("hostile", HOSTILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: list[tuple[str, str, str]] = module.pairs()
    return found


# What a hostile pair truly is, where it is equal; no other may be called so.
EQUAL = (
    "large set reversed", "binomial identity", "long fraction", "nested braces, short",
    "gcd of monsters", "control characters", "regex bait, text", "regex bait, option",
    "right to left", "sum, endless", "long product of symbols", "factorial, large",
    "percent signs", "nested brackets", "integral", "limit", "combining marks",
)  # fmt: skip


@pytest.mark.timeout(300)  # a hang; the benchmark measures the time
@pytest.mark.parametrize(("name", "answer", "gold"), hostile_pairs())
def test_a_hostile_pair_neither_raises_nor_passes_for_equal(
    name: str, answer: str, gold: str
) -> None:
    verdict = equivalent(answer, gold)
    assert isinstance(verdict, Equivalence)
    assert verdict.equal is not True or name.startswith(EQUAL)


def test_the_hostile_set_is_large_and_tried_both_ways() -> None:
    names = [name for name, _, _ in hostile_pairs()]
    assert len(names) > 150
    assert sum(name.endswith(", as gold") for name in names) * 2 == len(names)


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        (r"\int_0^1 x\,dx", r"\frac12", True),
        (r"\int_0^1 x\,dx", r"\frac13", False),
        (r"\lim_{x\to 0}\frac{\sin x}{x}", "1", True),
        (r"\lim_{x\to 0}\frac{\sin x}{x}", "2", False),
        (r"\frac{d}{dx} x^3", "3x^2", True),
        (r"\frac{d}{dx} x^3", "3x", False),
        (r"\sum_{k=1}^{n} k^{3}", r"\frac{n^2(n+1)^2}{4}", True),
        (r"\sum_{k=1}^{\infty} \frac{1}{k^2}", r"\frac{\pi^2}{6}", True),
        (r"\int_0^a x\,dx", r"\frac{a^2}{2}", True),
        (r"\int_0^a x\,dx", r"\frac{a^3}{2}", False),
    ],
)
def test_the_symbolic_tier_decides_what_has_no_values(answer: str, gold: str, equal: bool) -> None:
    assert equivalent(answer, gold).equal is equal


def test_the_first_pair_of_a_process_waits_until_sympy_is_loaded() -> None:
    script = (
        "from cotdistill import grade\n"
        "print(grade(r'The answer is $\\int_0^1 x \\, d x$.', r'\\frac12').outcome)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "correct"


def test_a_worker_that_died_is_replaced() -> None:
    assert equivalent(r"\int_0^1 x \, d x", "1/2").equal is True
    worker = symbolic._worker(os.getpid())
    assert worker.process is not None
    worker.process.kill()
    worker.process.wait()
    assert equivalent(r"\int_0^2 x \, d x", "2").equal is True


HARD = r"\int_0^{1} \frac{\ln(1+x^{5})}{1+x^{7}} \, d x"


def test_a_pair_past_its_cpu_time_is_a_timeout_and_the_next_one_is_decided() -> None:
    assert equivalent(HARD, "1.2") == Equivalence(None, "timeout")
    verdict = grade(rf"The answer is ${HARD}$.", "1.2")
    assert (verdict.outcome, verdict.correct) == ("timeout", False)
    assert verdict.rule.endswith("/timeout")
    assert equivalent(r"\int_0^2 x \, d x", "2").equal is True


def test_many_hard_parts_share_the_cpu_time_of_their_pair() -> None:
    budget = symbolic.SymbolicBudget()
    many = ", ".join(HARD.replace("7", str(power)) for power in range(7, 32))
    assert equivalent(many, ", ".join(map(str, range(25)))).equal is not True
    tree = parse(tidy(HARD))
    assert tree is not None
    assert symbolic.proven(tree, number(1), budget) is None
    assert budget.timed_out
    worker = symbolic._worker(os.getpid())
    assert symbolic.proven(tree, number(2), budget) is None
    assert worker.process is None, "a pair without time left is not sent"


def test_timeouts_among_many_keep_their_place() -> None:
    items = [
        ("The answer is 3.", "3"),
        (rf"The answer is ${HARD}$.", "1.2"),
        (r"The answer is $\int_0^2 x \, d x$.", "2"),
    ]
    outcomes = [verdict.outcome for verdict in grade_many(items)]
    assert outcomes == ["correct", "timeout", "correct"]


def test_threads_share_one_worker_and_agree() -> None:
    pairs = [(rf"\int_0^{n} x \, d x", rf"\frac{{{n * n}}}{{2}}") for n in range(1, 6)]
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(lambda pair: equivalent(*pair).equal, pairs))
    assert verdicts == [True] * 5


def test_a_forked_child_starts_its_own_worker_and_leaves_the_parents_alone() -> None:
    script = (
        "import os\n"
        "from cotdistill.grading.equivalence.equivalent import equivalent\n"
        "from cotdistill.grading.equivalence import symbolic\n"
        "def right():\n"
        "    return equivalent(r'\\int_0^1 x \\, d x', '1/2').equal\n"
        "assert right()\n"
        "parent = symbolic._worker(os.getpid()).process.pid\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    good = right() and symbolic._worker(os.getpid()).process.pid != parent\n"
        "    raise SystemExit(0 if good else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert symbolic._worker(os.getpid()).process.poll() is None\n"
        "assert equivalent(r'\\int_0^2 x \\, d x', '2').equal is True\n"
        "print(parent)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    worker = int(done.stdout)
    assert not Path(f"/proc/{worker}").exists(), "the worker outlives its parent"


def test_no_text_is_handed_to_a_parser_that_runs_it() -> None:
    folder = Path(symbolic.__file__).parent
    paths = sorted(folder.glob("*.py"))
    assert len(paths) > 15
    for path in paths:
        source = path.read_text(encoding="utf-8")
        for word in (" eval(", "exec(", "sympify(", "parse_expr", "parse_latex"):
            assert word not in source, f"{path.name} contains {word}"
        if path.name != "symbolic_worker.py":  # a process of its own
            assert "signal." not in source, path.name


def test_a_caller_deep_in_its_stack_gets_undecided_not_an_error() -> None:
    def deep(left: int) -> Equivalence:
        if left:
            return deep(left - 1)
        return equivalent(r"\frac{1}{1+\frac{1}{1+\frac{1}{1+y}}}", r"\frac{2+y}{3+2y}")

    limit = sys.getrecursionlimit()
    here = len(inspect.stack())
    for room in range(30, 200, 5):
        assert isinstance(deep(max(0, limit - here - room)), Equivalence)
