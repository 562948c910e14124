"""How many programs of thought a core runs in each tier, next to a new interpreter for each.

    python benchmarks/programs.py [PROGRAMS]

Half of the programs only compute, half also call sympy. "start" is what a sandbox costs once. CPU
seconds are user + system of the whole process tree, so they hardly depend on what else the machine
does. Then every hostile program of the tests runs in the same tiers with the same settings.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from cotdistill.hosts.sandbox.execution import TIERS, Limits, Tier
from cotdistill.hosts.sandbox.sandbox import Sandbox, SandboxError

ARITHMETIC = """# a shop sells {n} boxes of pens
boxes = {n}
pens = boxes * 12
sold = sum(range(boxes))
left = pens - sold % 7
print(left)
"""
SYMBOLIC = """from sympy import symbols, solve
x = symbols('x')
print(solve(3 * x - {n}, x)[0])
"""
Programs = list[str]


def programs(count: int) -> Programs:
    """Return as many programs, made by rule."""
    return [(ARITHMETIC, SYMBOLIC)[n % 2].format(n=n) for n in range(count)]


def cpu() -> float:
    """Return the CPU seconds of this process and of all that it has waited for."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def line(name: str, count: int, spent: float, wall: float, start: str) -> None:
    """Print one line of the table."""
    print(f"{name:<34} {count / spent:>12.0f} {count / wall:>12.0f} {start:>10}")


def tree_cpu(pid: int) -> float:
    """Return the CPU seconds of a process, its descendants, and all that they have waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    ticks = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return ticks + sum(tree_cpu(int(child)) for child in children)


def in_sandbox(tier: Tier, given: Programs) -> None:
    """Measure one tier."""
    try:
        opened = Sandbox(tier)
    except SandboxError as error:
        print(f"{tier:<34} does not work here: {error}")
        return
    with opened as sandbox:
        worker = next(iter(sandbox._running)).process.pid
        start = tree_cpu(worker)
        before, clock = cpu(), time.monotonic()
        verdicts = Counter(result.verdict for result in sandbox.run_many(given))
        spent = cpu() - before + tree_cpu(worker) - start
        wall = time.monotonic() - clock
    if verdicts != {"ok": len(given)}:
        raise SystemExit(f"not every program ran: {verdicts}")
    line(f"{tier}, one worker", len(given), spent, wall, f"{start:.2f} CPU s")


def one_interpreter_each(given: Programs) -> None:
    """Measure a new interpreter for each program, unconfined."""
    before, clock = cpu(), time.monotonic()
    for program in given:
        subprocess.run([sys.executable, "-"], input=program, text=True, check=True, stdout=-3)
    line("a new interpreter for each", len(given), cpu() - before, time.monotonic() - clock, "-")


def attacks(tier: Tier) -> None:
    """Run the tests' hostile programs in one tier and name what went otherwise."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
    from hostile_programs import ATTACKS

    clock = time.monotonic()
    verdicts: Counter[str] = Counter()
    unexpected = []
    try:
        opened = Sandbox(tier, limits=Limits(wall=5, cpu=2))
    except SandboxError:
        return
    with opened as sandbox:
        for attack in ATTACKS:
            program = attack.program.replace("{SECRET!r}", "'/etc/hostname'")
            program = program.replace("{FOLDER!r}", "'/boot'").replace("{PORT}", "22")
            result = sandbox.run(program)
            verdicts[result.verdict] += 1
            if result.verdict not in attack.verdicts or "WORKED" in result.output:
                unexpected.append(attack.name)
    shown = ", ".join(f"{verdict} {count}" for verdict, count in sorted(verdicts.items()))
    print(f"{tier}: {len(ATTACKS)} hostile programs in {time.monotonic() - clock:.0f} s: {shown}")
    print(f"  otherwise than expected: {', '.join(unexpected) or 'none'}")


def main() -> None:
    """Measure every tier, then attack the confining ones."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    given = programs(count)
    print(f"{count} programs, load {os.getloadavg()[0]:.1f}")
    print(f"{'':<34} {'per CPU s':>12} {'per second':>12} {'start':>10}")
    for tier in TIERS:
        in_sandbox(tier, given)
    one_interpreter_each(given[: max(1, count // 20)])
    for tier in TIERS[:2]:
        attacks(tier)


if __name__ == "__main__":
    main()
