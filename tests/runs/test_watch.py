"""What is shown of running jobs: from their start on, whatever the host has told so far."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cotdistill.cli import run as run_verb
from cotdistill.files.atomic import write_text
from cotdistill.hosts.progress_bar import REQUESTS
from cotdistill.runs.jobs import Job, JobId, log_of
from cotdistill.runs.records import (
    PART,
    RESPONSES,
    RESUMED_FROM,
    SKIPPED,
    Attempt,
    JobRecord,
    write_attempt,
    write_record,
)
from cotdistill.runs.watch import Watch
from trace_rows import write_jsonl

TRAIN: JobId = ("train", "one")


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    """One training that has just been started, in a log that an earlier attempt wrote into."""
    log = tmp_path / log_of(TRAIN)
    log.parent.mkdir(parents=True)
    log.write_text(" 90%|###   | 9/10 [00:01<00:01,  5.00it/s]\n")
    attempt = Attempt("running", {}, "m:1:1", "r", "now", log_from=log.stat().st_size)
    write_attempt(tmp_path, TRAIN, attempt)
    found = Watch(tmp_path, {TRAIN: Job(*TRAIN, output="checkpoints/one")}, "r")
    found.expect([TRAIN])
    assert [event.what for event in found.look()] == ["started"]
    return found


def log(watch: Watch, text: str) -> None:
    with (watch.folder / log_of(TRAIN)).open("a") as stream:
        stream.write(text)


def test_a_slow_training_shows_its_steps_before_its_own_log_has_a_line(watch: Watch) -> None:
    assert watch.place(TRAIN) == "train one started"
    log(watch, "Running tokenizer on dataset:  16%|#    | 10/64 [00:00<00:01, 50.8 examples/s]\r")
    assert watch.place(TRAIN) == "train one Running tokenizer on dataset 10/64 00:01 left"
    log(watch, "\n  0%|          | 0/20 [00:00<?, ?it/s]\r")
    assert watch.place(TRAIN) == "train one step 0/20"
    log(watch, "  5%|#     | 1/20 [02:01<38:23, 121.2s/it]\r")
    assert watch.place(TRAIN) == "train one step 1/20 38:23 left"


def test_the_bar_goes_on_where_the_trainer_logs_every_few_steps_only(watch: Watch) -> None:
    output = watch.folder / "checkpoints/one"
    output.mkdir(parents=True)
    row = {"current_steps": 10, "total_steps": 20, "loss": 0.5, "throughput": 300.0}
    text = json.dumps(row | {"remaining_time": "0:20:00"}) + "\n"
    (output / "trainer_log.jsonl").write_text(text)
    log(watch, " 60%|###   | 12/20 [24:01<16:00, 120.0s/it]\r")
    assert watch.place(TRAIN) == "train one step 12/20 loss 0.5 300 tokens/s 16:00 left"
    log(watch, " 50%|###   | 4/8 [00:01<00:01,  5.00it/s]\r")  # the evaluation inside it
    assert watch.place(TRAIN) == "train one step 10/20 loss 0.5 300 tokens/s 0:20:00 left"


def test_a_log_gets_status_lines_often_at_first_and_seldom_later(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(run_verb.time, "monotonic", lambda: now)
    tell = run_verb._Lines()
    shown = []
    for second in range(0, 3600, 5):
        now = float(second)
        tell([], f"at {second}")
        if capsys.readouterr().err:
            shown.append(second)
    assert shown[:3] == [30, 60, 90]
    assert {later - before for before, later in itertools.pairwise(shown[9:])} == {300}


def test_the_time_left_follows_from_finished_jobs_of_the_same_kind(tmp_path: Path) -> None:
    names = ("tiny--long--full--s1", "tiny--long--full--s2", "tiny--short--full--s1")
    jobs = {job.id: job for job in (Job("train", name, ("train",)) for name in names)}
    jobs["evaluate", "tiny--long--full--s1"] = Job("evaluate", names[0], ("eval",))
    watch = Watch(tmp_path, jobs, "r")
    watch.expect(jobs)
    assert watch.line() == "0/4 jobs"  # nothing is known yet
    write_record(tmp_path, ("train", names[0]), JobRecord({}, "a", 600.0, "now"))
    watch.look()
    assert watch.line() == "1/4 jobs"  # no evaluation has finished
    write_record(tmp_path, ("evaluate", names[0]), JobRecord({}, "b", 60.0, "now"))
    watch.look()
    assert watch.line() == "2/4 jobs · about 20 min left"
    later = Watch(tmp_path, jobs, "s")  # another start knows what the first one took
    later.expect([("train", names[1]), ("train", names[2])])
    assert later.line() == "0/2 jobs · about 20 min left"


def test_a_skipped_job_tells_nothing_about_the_time_that_others_take(tmp_path: Path) -> None:
    names = ("tiny--loop--full--s1--round1", "tiny--loop--full--s1--round2", "tiny--long--full--s1")
    jobs = {job.id: job for job in (Job("train", name, ("train",)) for name in names)}
    watch = Watch(tmp_path, jobs, "r")
    watch.expect(jobs)
    write_record(tmp_path, ("train", names[0]), JobRecord({}, "a", 600.0, "now"))
    write_record(
        tmp_path, ("train", names[1]), JobRecord({}, "b", 0.0, "now", {SKIPPED: "it ended"})
    )
    watch.look()
    assert watch.line() == "2/3 jobs · about 10 min left"


@pytest.mark.parametrize("notes", [{PART: True}, {"start": "resuming after 7 responses"}])
def test_a_resumed_job_tells_nothing_about_the_time_that_others_take(
    tmp_path: Path, notes: dict[str, object]
) -> None:
    names = ("tiny--long--full--s1", "tiny--long--full--s2", "tiny--short--full--s1")
    jobs = {job.id: job for job in (Job("train", name, ("train",)) for name in names)}
    watch = Watch(tmp_path, jobs, "r")
    watch.expect(jobs)
    write_record(tmp_path, ("train", names[0]), JobRecord({}, "a", 5.0, "now", notes))
    watch.look()
    assert watch.line() == "1/3 jobs"
    write_record(tmp_path, ("train", names[1]), JobRecord({}, "b", 600.0, "now"))
    watch.look()
    assert watch.line() == "2/3 jobs · about 10 min left"
    later = Watch(tmp_path, jobs, "s")
    later.expect([("train", names[2])])
    assert later.line() == "0/1 jobs · about 10 min left"


@pytest.mark.parametrize(
    ("stage", "notes", "bar"),
    [
        (
            "evaluate",
            {PART: True, RESPONSES: 75},
            f"{REQUESTS}:  4%|# | 1/25 [0:01<0:24, 1.0s/it]",
        ),
        (
            "train",
            {PART: True, RESUMED_FROM: "checkpoint-30"},
            " 75%|# | 30/40 [00:01<00:01,  5.00it/s]",
        ),
    ],
)
def test_a_resumed_job_is_expected_to_take_the_share_that_was_left(
    tmp_path: Path, stage: str, notes: dict[str, object], bar: str
) -> None:
    one, two = Job(stage, "tiny--a--full--s1", ("x",)), Job(stage, "tiny--a--full--s2", ("x",))
    write_record(tmp_path, one.id, JobRecord({}, "a", 600.0, "now"))
    write_attempt(tmp_path, two.id, Attempt("running", {}, "m:1:1", "r", "now", notes=notes))
    write_text(tmp_path / log_of(two.id), "")
    watch = Watch(tmp_path, {one.id: one, two.id: two}, "r")
    watch.expect([two.id])
    watch.look()
    write_text(tmp_path / log_of(two.id), "Loading: 100%|##| 32/32 [00:01<00:00,  1.00it/s]")
    assert watch.left() == 600.0  # its own bar has not begun
    write_text(tmp_path / log_of(two.id), bar)
    assert watch.left() == 150.0


ROWS = {"coarse": (340, 5), "middle": (340, 360), "fine": (340, 700)}
"""Characters of question and response of each arm's rows."""
TOOK = {
    ("train", "coarse"): 110.0, ("train", "middle"): 200.0, ("train", "fine"): 290.0,
    ("evaluate", "coarse"): 40.0, ("evaluate", "middle"): 122.0, ("evaluate", "fine"): 190.0,
}  # fmt: skip


def recorded_study(folder: Path) -> Watch:
    """Three arms of two seeds, with the rows and the files that decide how long each job takes."""
    jobs = {}
    for arm, (question, response) in ROWS.items():
        row = {"system": "", "instruction": "q" * question, "output": "a" * response}
        write_jsonl(folder / "data" / f"{arm}.jsonl", [row] * 3)
        for seed in (1, 2):
            name = f"tiny--{arm}--full--s{seed}"
            file = f"{name}.yaml"
            train = Job("train", name, ("train",), file=f"train/{file}", arm=arm)
            needs = (train.id,)
            scored = Job("evaluate", name, ("x",), file=f"eval/{file}", arm=arm, needs=needs)
            jobs |= {job.id: job for job in (train, scored)}
            steps = "max_steps: 40\nper_device_train_batch_size: 4\ncutoff_len: 4096\n"
            write_text(folder / f"train/{file}", steps)
            write_text(folder / f"eval/{file}", "gen_kwargs:\n  max_gen_toks: 150\n")
    found = Watch(folder, jobs, "r")
    found.expect(jobs)
    return found


def took(job: Job) -> float:
    return TOOK[job.stage, str(job.arm)] + (3.0 if job.name.endswith("s2") else 0.0)


@pytest.mark.parametrize("order", [("coarse", "middle", "fine"), ("fine", "middle", "coarse")])
def test_the_time_left_is_near_from_the_second_run_on_if_arms_differ_in_length(
    tmp_path: Path, order: tuple[str, ...]
) -> None:
    watch = recorded_study(tmp_path)
    waiting = [job for arm in order for job in watch.jobs.values() if job.arm == arm]
    waiting.sort(key=lambda job: job.name[-1])  # all of seed 1 first
    ratios = []
    while waiting:
        job = waiting.pop(0)
        write_record(tmp_path, job.id, JobRecord({}, "a", took(job), "now"))
        watch.look()
        if waiting and (left := watch.left()) is not None:
            ratios.append(left / sum(map(took, waiting)))
    assert len(ratios) == 10  # known once a training and an evaluation have finished
    assert all(0.8 < ratio < 1.2 for ratio in ratios[2:])  # from the second run on


def test_a_job_that_takes_longer_than_expected_counts_by_its_own_bar(watch: Watch) -> None:
    other = Job("train", "two", ("train",))
    watch.jobs |= {other.id: other, TRAIN: Job(*TRAIN, ("train",))}
    watch.before[other.id] = 60.0
    watch.running[TRAIN] = replace(watch.running[TRAIN], started="2020-01-01T00:00:00+00:00")
    assert watch.left() == 0.0  # it was to take a minute, and has taken years
    log(watch, " 50%|###   | 5/10 [10:00<20:00, 120.0s/it]\r")
    assert watch.left() == 600.0
    log(watch, " 90%|##### | 9/10 [18:00<02:00, 120.0s/it]\r")
    assert watch.left() == 108.0


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        ("train", ""),
        ("train", "- a list"),
        ("train", "max_steps: '40'"),
        ("train", "num_train_epochs: many"),
        ("train", "cutoff_len: {no: number}"),
        ("evaluate", "gen_kwargs: max_gen_toks=64,temperature=0"),
        ("evaluate", "gen_kwargs: {max_gen_toks: many}"),
        ("evaluate", "[}"),
    ],
)
def test_settings_that_are_no_numbers_leave_the_size_of_a_job_unknown(
    tmp_path: Path, stage: str, settings: str
) -> None:
    watch = recorded_study(tmp_path)
    job = watch.jobs[stage, "tiny--fine--full--s1"]
    write_text(tmp_path / str(job.file), settings)
    assert watch.sizes.of(job) is None
    assert "jobs" in watch.line()


def test_settings_that_are_null_count_as_missing(tmp_path: Path) -> None:
    watch = recorded_study(tmp_path)
    training = watch.jobs["train", "tiny--fine--full--s1"]
    write_text(tmp_path / str(training.file), "max_steps: null\ncutoff_len: null\n")
    assert watch.sizes.of(training) is not None


def test_the_size_of_a_job_follows_rows_that_are_made_again(tmp_path: Path) -> None:
    watch = recorded_study(tmp_path)
    job = watch.jobs["train", "tiny--fine--full--s1"]
    before = watch.sizes.of(job)
    rows = tmp_path / "data" / "fine.jsonl"
    write_jsonl(rows, [{"system": "", "instruction": "q", "output": "a"}])
    os.utime(rows, ns=(1, 1))
    after = watch.sizes.of(job)
    assert before is not None
    assert after is not None
    assert after < before
