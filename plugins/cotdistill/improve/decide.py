"""After a round: its score on the development questions, its alarms, and whether the loop goes on.

The round is chosen and the loop ended by development questions alone; the test questions are asked
once, of the round that was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import write_text
from cotdistill.hosts.llamafactory.outputs import read_training
from cotdistill.improve.alarms import Scored, alarms
from cotdistill.improve.likelihood import read_likelihood
from cotdistill.improve.loop import LoopRun, loop_run, seconds_of
from cotdistill.results.dev_scores import DevScore, dev_score, gain_interval
from cotdistill.runfolder.round_paths import FOLDER, record_of
from cotdistill.runfolder.round_records import (
    RoundData,
    RoundDecision,
    Verdict,
    read_data,
    read_decision,
    write_decision,
)
from cotdistill.runfolder.skipping import EVERY

STAGES = ("sample", "filter", "likelihood", "train", "export", "evaluate")


def decide(folder: Path, name: str) -> RoundDecision:
    """Write the decision after a round, and return it.

    Raises:
        DataError: scores or records are missing or broken.
    """
    at = loop_run(folder, name)
    earlier = [_decision(at, number) for number in range(1, at.round)]
    data = read_data(folder, name)
    if data is None:
        raise DataError(Fault(str(folder / FOLDER), f"no record of what {name} kept"))
    seconds = {
        stage: found for stage in STAGES if (found := seconds_of(folder, (stage, name))) is not None
    }
    best = earlier[-1].best if earlier else 0
    if data.skip:
        best_score = _dev(at, best)
        reason = next(iter(data.skip.values()))
        decision = RoundDecision(
            round=at.round, scores=dict(best_score.tasks), dev=best_score.mean, gain=0.0, low=0.0,
            high=0.0, best=best, verdict="stop", reason=reason, seconds=seconds,
            skip={EVERY: reason},
        )  # fmt: skip
    else:
        decision = _scored_decision(at, data, earlier, best, seconds)
    write_decision(folder, name, decision)
    return decision


def _scored_decision(
    at: LoopRun,
    data: RoundData,
    earlier: list[RoundDecision],
    best: int,
    seconds: Mapping[str, float],
) -> RoundDecision:
    now, before = _dev(at, at.round), _dev(at, best)
    gain, low, high = gain_interval(now, before)
    loss = _first_loss(at)
    first = data if at.round == 1 else read_data(at.folder, at.name(1))
    last = read_data(at.folder, at.name(at.round - 1)) if earlier else None
    own = read_likelihood(at.folder, at.name(at.round)) if at.loop.likelihood else None
    found = alarms(
        data,
        Scored(gain, low, high, loss, own),
        first or data,
        (last, earlier[-1]) if last is not None else None,
    )
    verdict, reason = _verdict(at, [*(one.gain for one in earlier), gain])
    return RoundDecision(
        round=at.round,
        scores=dict(now.tasks),
        dev=now.mean,
        gain=gain,
        low=max(low, -100.0),
        high=min(high, 100.0),
        best=at.round if gain > 0 else best,
        verdict=verdict,
        reason=reason,
        alarms=found,
        first_loss=loss,
        likelihood=own.nll if own else None,
        seconds=dict(seconds),
        skip={EVERY: reason} if verdict == "stop" else {},
    )


def _verdict(at: LoopRun, gains: list[float]) -> tuple[Verdict, str]:
    """Return whether the loop continues after its rounds' gains over the best ones before them."""
    stop = at.loop.stop
    if at.round == at.loop.rounds:
        return "end", f"all {at.loop.rounds} rounds are done"
    if stop is None:
        return "continue", "no stop rule"
    idle = 0
    for gain in reversed(gains):
        if gain > stop.gain:
            break
        idle += 1
    if idle < stop.patience:
        return "continue", f"{idle} of {stop.patience} rounds without a gain"
    rounds = "a round" if idle == 1 else f"{idle} rounds"
    return "stop", (
        f"stopped after round {at.round}: {rounds} without a gain of more than {stop.gain:g} "
        f"points (last {gains[-1]:+.1f})"
    )


def _dev(at: LoopRun, number: int) -> DevScore:
    return dev_score(at.folder / FOLDER / "scores" / at.name(number))


def _first_loss(at: LoopRun) -> float | None:
    training = read_training(at.folder / "checkpoints" / at.name(at.round))
    return training.curve[0][1] if training and training.curve else None


def _decision(at: LoopRun, number: int) -> RoundDecision:
    found = read_decision(at.folder, at.name(number))
    if found is None:
        raise DataError(Fault(str(at.folder / record_of(at.name(number))), "no such file"))
    return found


def pass_on(folder: Path, name: str) -> None:
    """Let a round that is skipped say the same to the next one.

    A race that leaves a whole loop out says so to each of its rounds, and there is nothing to pass.
    """
    at = loop_run(folder, name)
    before = folder / record_of(at.name(at.round - 1))
    if at.round > 1 and before.is_file():
        write_text(folder / record_of(name), before.read_text(encoding="utf-8"))
