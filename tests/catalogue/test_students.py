"""The catalogue of students, alone and next to LLaMA-Factory's own tables."""

import json
import subprocess
import sys

import pytest

from cotdistill.catalogue.lookup import named_entries, student_called
from cotdistill.catalogue.packaged import students
from cotdistill.catalogue.student import Student
from cotdistill.errors import FaultsError, StudyError

ENTRY = {"model": "m", "template": "qwen", "parameters": 1.0, "context": 9, "licence": "MIT"}


def test_every_student_is_read_and_counted() -> None:
    found = students()
    assert len(found) == 61
    assert all(student.name == name for name, student in found.items())
    assert len({student.model for student in found.values()}) == 61
    assert all(student.model.endswith(f"/{name}") for name, student in found.items())


def test_the_students_of_the_papers_are_there() -> None:
    factors = {"gemma-2b", "bloom-560m", "bloom-1b1", "bloom-1b7", "bloom-3b"}
    factors |= {"Llama-3.2-1B", "Llama-3.2-3B"}
    gap = {f"Qwen2.5-{size}B-Instruct" for size in ("0.5", "1.5", "3", "7", "14", "32")}
    gap |= {"Llama-3.2-1B-Instruct", "Llama-3.2-3B-Instruct", "Meta-Llama-3.1-8B-Instruct"}
    assert factors | gap <= students().keys()


def test_a_student_is_found_by_name_or_hub_id_in_any_case() -> None:
    found = students()
    by_id = student_called("Qwen/Qwen2.5-0.5B-Instruct", found, "study.yaml:students.0")
    assert student_called("qwen2.5-0.5b-instruct", found, "study.yaml:students.0") is by_id


def test_an_unknown_student_is_met_with_the_nearest_name() -> None:
    with pytest.raises(StudyError, match=r"students\.0: unknown .*'gemma-2b'"):
        student_called("gema-2b", students(), "study:students.0")
    with pytest.raises(StudyError, match="did you mean 'google/gemma-2b'"):
        student_called("google/gema-2b", students(), "study:students.0")


def test_faults_of_a_catalogue_come_all_at_once_with_their_keys() -> None:
    broken = {"a": {**ENTRY, "contxt": 1}, "b": {**ENTRY, "parameters": -1}, "c": 3}
    with pytest.raises(FaultsError) as caught:
        named_entries(Student, broken, "students.yaml")
    assert [fault.place for fault in caught.value.faults] == [
        "students.yaml:a.contxt",
        "students.yaml:b.parameters",
        "students.yaml:c",
    ]
    assert "unknown key 'contxt'" in str(caught.value)


def test_qwen_mathematics_keeps_its_own_system_prompt_with_one_backslash() -> None:
    assert students()["Qwen2.5-Math-1.5B-Instruct"].default_system == (
        "Please reason step by step, and put your final answer within \\boxed{}."
    )


@pytest.mark.host
def test_every_student_agrees_with_llamafactorys_own_tables() -> None:
    code = (
        "import json\n"
        "from llamafactory.data.template import TEMPLATES\n"
        "from llamafactory.extras.constants import DEFAULT_TEMPLATE, SUPPORTED_MODELS\n"
        "table = {hub: DEFAULT_TEMPLATE.get(name) for name, hubs in SUPPORTED_MODELS.items()\n"
        "         for hub in hubs.values()}\n"
        "kinds = {name: type(template).__name__ for name, template in TEMPLATES.items()}\n"
        "print(json.dumps([table, kinds]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    table, kinds = json.loads(done.stdout.splitlines()[-1])
    listed = 0
    for student in students().values():
        assert student.template in kinds, student
        if student.model in table:
            listed += 1
            assert table[student.model] in (None, student.template), student
        thinks = kinds[student.template].endswith("ReasoningTemplate")
        assert thinks == (student.template in ("qwen3", "deepseekr1")), student
    assert listed == 51  # all but bloom-1b1 and bloom-1b7, which its table leaves out
