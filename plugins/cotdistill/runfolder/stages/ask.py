"""Teaching and sampling: the rationales and answers that a model writes for an arm.

A job is the command that a person would type, so it works by hand, and what it answered before a
stop is not asked again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cotdistill.errors import Fault, StudyError
from cotdistill.runfolder.job import Asks, Job, JobId, hash_of_words
from cotdistill.runfolder.stages.stage import Declared, Stage, StudyFiles

if TYPE_CHECKING:
    from cotdistill.studies.declared_model import EndpointModel, Price
    from cotdistill.studies.known_model import KnownModel
    from cotdistill.studies.prompt import Prompt
    from cotdistill.studies.questions import Questions
    from cotdistill.studies.requests import Decoding, SampleRequest, TeachRequest
    from cotdistill.studies.resolve import Resolved
    from cotdistill.studies.study import Study

_ENCODED_AT_ONCE = 64
"""Rows that an encoder-decoder writes at a time on a GPU."""


def asking_needs(study: Study, arm: str) -> tuple[JobId, ...]:
    """Return the jobs that an arm's rows wait for, those of the arms that it is made from too."""
    from cotdistill.studies.arm import MixedArm, SampleArm, TeachArm
    from cotdistill.studies.resolved_arm import asked_together

    found: dict[JobId, None] = {}
    seen: set[str] = set()
    left = [arm]
    while left:
        name = left.pop()
        declared = study.arms.get(name)
        if declared is None or name in seen:
            continue
        seen.add(name)
        if isinstance(declared, MixedArm):
            left += declared.mix
        if isinstance(declared, TeachArm | SampleArm):
            stage = "teach" if isinstance(declared, TeachArm) else "sample"
            found[stage, asked_together(study.arms, name)[0]] = None
            left += declared.with_
        filters = getattr(declared, "filter", None)
        left += filters.paired_with if filters else ()
        pad = getattr(declared, "pad", None)
        left += [pad.like] if pad else []
    return tuple(found)


def _taught(files: StudyFiles) -> Iterator[Declared]:
    from cotdistill.studies.arm import TeachArm
    from cotdistill.studies.resolved_arm import asked_together

    study = files.resolved.study
    for name, arm in study.arms.items():
        if not isinstance(arm, TeachArm) or asked_together(study.arms, name)[0] != name:
            continue
        asked = arm.teach
        who = asked_model(files, asked.teacher, f"arms.{name}.teach.teacher")
        left = () if asked.rewrite_of else without_dev_needs(study, [asked.questions])
        words = teaching_words(study, asked, name, who)
        needs = who.needs + left
        if asked.rewrite_of:
            needs += asking_needs(study, asked.rewrite_of)
        asks, limits = (
            _asks(files, [asked.questions], asked),
            _budget_words(asked, who.server is None),
        )
        yield _job(files, ("teach", name), words, who, needs, asks, limits)


def teaching_words(study: Study, asked: TeachRequest, arm: str, who: Who) -> list[str]:
    """Return the words that let a model teach an arm."""
    from cotdistill.studies.known_model import known_model
    from cotdistill.studies.requests import asked_of_reasoning
    from cotdistill.studies.resolved_arm import levels_together

    words = ["cotdistill", "teach", _source(study, asked, arm), *who.words]
    words += ["--teacher", asked.teacher, "--formats", asked.prompt or asked.format]
    if asked.one_call:
        levels = levels_together(study.arms, arm)
        words += ["--levels", ",".join(map(str, levels)), "--one-call"]
    elif asked.level is not None:
        words += ["--levels", str(asked.level)]
    if asked.rewrite_of:
        words += ["--rewrite"]
    words += ["--reasoning", asked.reasoning, "--again", str(asked.again)]
    words += ["-k", str(asked.samples), "--gold", asked.gold]
    if who.server is not None and who.server.openai_reasoning:
        asked = asked_of_reasoning(asked)
    return words + decoding_words(asked, known_model(asked.teacher, study.models))


def _budget_words(asked: Decoding, is_local: bool) -> tuple[str, ...]:
    """Return the words that limit what is asked; what was made within another limit is the same."""
    words = ["--budget", f"{asked.budget!r}"] if asked.budget is not None else []
    if words and is_local:  # only its helper is paid for
        words += ["--price", '{"input": 0, "output": 0}']
    if asked.budget_tokens is not None:
        words += ["--budget-tokens", str(asked.budget_tokens)]
    return tuple(words)


def _sampled(files: StudyFiles) -> Iterator[Declared]:
    from cotdistill.studies.arm import SampleArm
    from cotdistill.studies.known_model import known_model

    study = files.resolved.study
    for name, arm in study.arms.items():
        if not isinstance(arm, SampleArm):
            continue
        asked = arm.sample
        where = f"arms.{name}.sample"
        assert asked.model is not None  # else a fault of the study
        who = asked_model(files, asked.model, f"{where}.model")
        sets = [asked.questions] if isinstance(asked.questions, str) else asked.questions
        questions = ",".join(_words_of_set(study, one) for one in sets)
        words = ["cotdistill", "sample", questions, *who.words, "--strategy", asked.strategy]
        words += ["-k", str(asked.samples), "--min-correct", str(asked.min_correct)]
        words += ["--rounds", str(asked.attempts), "--per-question", "0", "--keep", asked.keep]
        words += prompt_words(study.prompt)
        words += ["--mode", "program" if asked.format == "program" else "cot"]
        words += decoding_words(asked, known_model(asked.model, study.models))
        needs = who.needs + without_dev_needs(study, sets)
        if asked.helper is not None:
            helper = asked_model(files, asked.helper, f"{where}.helper")
            words += helper.as_helper(f"{where}.helper")
        limits = _budget_words(asked, who.server is None)
        yield _job(files, ("sample", name), words, who, needs, _asks(files, sets, asked), limits)


def _job(
    files: StudyFiles,
    job: JobId,
    words: list[str],
    who: Who,
    needs: tuple[JobId, ...],
    asks: Asks,
    limits: tuple[str, ...] = (),
) -> Declared:
    """Return a job; its `limits` are typed too, and do not decide what comes out."""
    from cotdistill.runfolder.commands import prefixed
    from cotdistill.studies.resolved_arm import made_file

    study = files.resolved.study
    stage, arm = job
    output = made_file(stage, arm)
    words += ["-o", output.rpartition("/")[0]]
    kind = "teach" if stage == "teach" else "sample"
    command = prefixed(study, kind, [*words, *limits])  # type: ignore[arg-type]
    return Declared(
        Job(
            stage, arm, command=tuple(command), gpus=who.gpus, output=output, arm=arm,
            declared=hash_of_words(words, files.root), needs=needs, asks=asks,
        )
    )  # fmt: skip


class Who:
    """How a model is asked: the words that name it, its GPUs, and what has to be made first."""

    def __init__(
        self,
        words: list[str],
        gpus: int = 0,
        needs: tuple[JobId, ...] = (),
        server: EndpointModel | None = None,
    ) -> None:
        self.words, self.gpus, self.needs, self.server = words, gpus, needs, server

    def as_helper(self, where: str) -> list[str]:
        """Return the words that name it as the teacher of the interactive strategy."""
        server = self.server
        if server is None:
            raise StudyError(Fault(where, "is no server", "a model of models: with an endpoint"))
        words = ["--teacher-model", server.model]
        for url in server.urls:
            words += ["--teacher-endpoint", url]
        words += ["--teacher-key-env", server.key_env] if server.key_env else []
        words += ["--teacher-price", _price_words(server.price)] if server.price else []
        words += ["--teacher-openai-reasoning"] if server.openai_reasoning else []
        return words + (["--any-model"] if server.any_model else [])


def _price_words(price: Price) -> str:
    return json.dumps(price.model_dump())


def asked_model(files: StudyFiles, name: str, where: str) -> Who:
    """Return how a model of `models:` is asked.

    Raises:
        StudyError: it cannot be asked.
    """
    from cotdistill.catalogue.packaged import students
    from cotdistill.studies.declared_model import (
        EndpointModel,
        MergedModel,
        NamedModel,
        TrainedModel,
        merged_folder,
    )

    study = files.resolved.study
    declared = study.models.get(name)
    gpus = study.hardware.gpus
    if isinstance(declared, EndpointModel):
        words = ["--model", declared.model]
        for url in declared.urls:
            words += ["--endpoint", url]
        if declared.api != "chat":
            words += ["--api", declared.api]
        if declared.key_env:
            words += ["--key-env", declared.key_env]
        words += ["--price", _price_words(declared.price)] if declared.price else []
        words += ["--openai-reasoning"] if declared.openai_reasoning else []
        words += ["--any-model"] if declared.any_model else []
        return Who(words, server=declared)
    if isinstance(declared, TrainedModel):
        folder, need = trained_weights(files, declared, where)
        words = local_words(gpus, encodes=_is_encoder_decoder(files, declared.run.model))
        return Who(["--model", folder, *words], gpus, (need,))
    if isinstance(declared, MergedModel):
        needs: tuple[JobId, ...] = (("merge", name),)
        needs += (("probe", name),) if declared.probe else ()
        return Who(["--model", merged_folder(name), *local_words(gpus)], gpus, needs)
    packaged = students()
    of_hub = {one.model for one in packaged.values()}
    if isinstance(declared, NamedModel) or (declared is None and name in {*packaged, *of_hub}):
        asked = declared.model if isinstance(declared, NamedModel) else name
        model = packaged[asked].model if asked in packaged else asked
        words = ["--model", model, *local_words(gpus)]
        if isinstance(declared, NamedModel) and declared.revision:
            words += ["--revision", declared.revision]
        return Who(words, gpus)
    expected = "a server, a model of the hub or a folder, a merge, or a trained run"
    raise StudyError(Fault(where, f"'{name}' cannot be asked", expected))


def _is_encoder_decoder(files: StudyFiles, student: str) -> bool:
    found = [one for one in files.resolved.learners if one.name == student]
    return any(one.is_encoder_decoder for one in found)


def local_words(gpus: int, *, encodes: bool = False) -> list[str]:
    """Return the words of a backend in the job's own process: vLLM, without a GPU transformers.

    vLLM has no encoder-decoders.
    """
    if encodes and gpus:
        return ["--transformers", json.dumps({"batch_size": _ENCODED_AT_ONCE})]
    if not gpus:
        return ["--transformers", "{}"]
    settings = {"tensor_parallel_size": gpus} if gpus > 1 else {}
    return ["--vllm", json.dumps(settings)]


def trained_weights(files: StudyFiles, declared: object, where: str) -> tuple[str, JobId]:
    """Return the folder of a trained run's weights, and the job that makes it."""
    from cotdistill.runfolder.config_files import made_by
    from cotdistill.studies.declared_model import TrainedModel

    assert isinstance(declared, TrainedModel)
    wanted = declared.run
    first = files.resolved.study.seeds_of(wanted.recipe)[0]
    seed = first if wanted.seed is None else wanted.seed
    for run, layout, made in files.runs:
        found = (run.student.name, run.arm, run.recipe, run.seed)
        if found == (wanted.model, wanted.arm, wanted.recipe, seed) and run.step is None:
            merged = made.export is not None
            return layout.exported if merged else layout.weights, made_by(run, merged=merged)
    wrong = f"no run of {wanted.model} on {wanted.arm} with {wanted.recipe}, seed {seed}"
    raise StudyError(Fault(where, wrong, "a run of this study: check students, arms and recipes"))


def _source(study: Study, asked: TeachRequest, arm: str) -> str:
    """Return the questions, or the traces that are rewritten."""
    from cotdistill.studies.arm import FileArm, SampleArm, TeachArm
    from cotdistill.studies.resolved_arm import made_file

    if asked.rewrite_of is None:
        return _words_of_set(study, asked.questions)
    other = study.arms.get(asked.rewrite_of)
    if isinstance(other, TeachArm):
        return made_file("teach", asked.rewrite_of)
    if isinstance(other, SampleArm):
        return made_file("sample", asked.rewrite_of)
    if isinstance(other, FileArm):
        return other.file
    wrong = f"'{asked.rewrite_of}' has no traces to rewrite"
    raise StudyError(Fault(f"arms.{arm}.teach.rewrite_of", wrong, "an arm of teach, sample, file"))


def without_dev_needs(study: Study, sets: Iterable[str]) -> tuple[JobId, ...]:
    """Return the jobs that write question sets without the study's development questions."""
    return tuple(
        ("prepare", questions_job_name(one)) for one in sets if study.questions[one].is_written
    )


def questions_job_name(questions: str) -> str:
    """Return the name of the job that writes a set without its development questions.

    >>> questions_job_name("svamp")
    'svamp+questions'
    """
    return f"{questions}+questions"


def _words_of_set(study: Study, name: str) -> str:
    """Return a set as it is asked: what is kept for development is neither asked nor paid for."""
    from cotdistill.studies.question_sets import asked_file

    declared = study.questions[name]
    return asked_file(name) if declared.is_written else question_words(declared)


def question_words(questions: Questions) -> str:
    """Return how `sample` and `teach` call a question set."""
    if questions.file is not None:
        return questions.file
    return f"{questions.benchmark}:{questions.split}"


def decoding_words(asked: Decoding, model: KnownModel) -> list[str]:
    """Return the options of `sample` and `teach` that say how a model generates."""
    words = ["--max-tokens", str(model.tokens_allowed(asked.max_tokens)), "--seed", str(asked.seed)]
    if asked.temperature is not None:
        words += ["--temperature", f"{asked.temperature:g}"]
    if asked.top_p is not None:
        words += ["--top-p", f"{asked.top_p:g}"]
    if asked.thinking != "data":
        words += ["--thinking" if asked.thinking == "on" else "--no-thinking"]
    for text in asked.stop:
        words += ["--stop", text]
    if asked.extra:
        words += ["--extra", json.dumps(asked.extra, ensure_ascii=False)]
    return [*words, "--allow-missing", f"{asked.allow_missing:g}"]


def prompt_words(prompt: Prompt) -> list[str]:
    """Return the words that ask a sampled model as training rows ask."""
    instruction = "" if prompt.instruction == "none" else prompt.instruction
    words = ["--instruction", instruction]
    return [*words, "--system", prompt.system] if prompt.system else words


def _asks(files: StudyFiles, sets: Iterable[str], asked: TeachRequest | SampleRequest) -> Asks:
    """Return how many requests there will be at least, where the number of questions is known."""
    model = getattr(asked, "teacher", None) or getattr(asked, "model", None) or ""
    counts = [asked_count(files.resolved, name) for name in sets]
    count = sum(count for count in counts if count is not None)
    return Asks(str(model), requests=None if None in counts else count * asked.samples)


def asked_count(resolved: Resolved, name: str) -> int | None:
    """Return how many questions of a set are asked; of a share that is not here, about as many."""
    declared, found = resolved.study.questions[name], resolved.sets.get(name)
    count = question_count(declared)
    if count is None or not declared.dev:
        return count
    if found is not None and found.is_here:
        return count - len(found.held_out)
    return count - round(declared.dev if declared.dev >= 1 else declared.dev * count)


def question_count(questions: Questions) -> int | None:
    """Return how many questions a set has, None where that is not known yet."""
    from pathlib import Path

    from cotdistill.benchmarks.packaged import benchmark, benchmark_names
    from cotdistill.catalogue.packaged import datasets

    if questions.file is not None:
        path = Path(questions.file)
        if path.suffix != ".jsonl" or not path.is_file():
            return None
        with path.open("rb") as stream:
            return sum(not line.isspace() for line in stream)
    if questions.dataset is not None:
        found = datasets().get(questions.dataset)
        return found.about.rows if found else None
    if questions.benchmark not in benchmark_names():
        return None
    rows = benchmark(str(questions.benchmark)).rows.get(questions.split, ())
    return rows[0] if rows else None


def packages_of(study: Study, names: Iterable[str]) -> tuple[str, ...]:
    """Return the distributions that asking some models needs: a backend here, or TLS."""
    from cotdistill.studies.declared_model import EndpointModel

    found: set[str] = set()
    for name in names:
        declared = study.models.get(name)
        if not isinstance(declared, EndpointModel):
            found |= {"vllm"} if study.hardware.gpus else {"torch", "transformers"}
            continue
        found |= {"aiohttp"} if any(url.startswith("https://") for url in declared.urls) else set()
    return tuple(sorted(found))


def _asked_by(study: Study, stage: str) -> list[str]:
    """Return the models that the arms of a stage ask."""
    from cotdistill.studies.arm import SampleArm, TeachArm

    found: list[str | None] = []
    for arm in study.arms.values():
        if isinstance(arm, TeachArm) and stage == "teach":
            found.append(arm.teach.teacher)
        if isinstance(arm, SampleArm) and stage == "sample":
            found += [arm.sample.model, arm.sample.helper]
    return [name for name in found if name is not None]


TEACH = Stage(
    name="teach",
    about="ask a teacher for rationales",
    program="cotdistill",
    extra="",
    remakes=False,
    jobs=_taught,
    is_in=lambda study: bool(_asked_by(study, "teach")),
    packages=lambda study: packages_of(study, _asked_by(study, "teach")),
)
SAMPLE = Stage(
    name="sample",
    about="sample a model's answers",
    program="cotdistill",
    extra="",
    remakes=False,
    jobs=_sampled,
    is_in=lambda study: bool(_asked_by(study, "sample")),
    packages=lambda study: packages_of(study, _asked_by(study, "sample")),
)
