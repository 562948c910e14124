"""A run folder's results written for other tools, and pushed to a hub where that is asked for.

The ledger of the folder lists what was written; what an earlier export wrote and this one does not
is removed. Files of anybody else are never touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cotdistill.errors import DataError, Fault, MisuseError
from cotdistill.files.atomic import write_if_changed
from cotdistill.files.inputs import refuse_overwriting
from cotdistill.files.ledger import Ledger, LedgerFile, ledger_path, read_ledger, write_ledger
from cotdistill.files.locks import only_writer
from cotdistill.hosts.hub_upload import repository_name, upload
from cotdistill.results.collect import collect
from cotdistill.results.publish import cards, every_eval_ever, inspect_log
from cotdistill.results.publish.cards import Card
from cotdistill.results.publish.described import Folder, read_folder, unfinished
from cotdistill.results.verdict_files import VerdictSource
from cotdistill.runfolder.bundles import in_recorded_bundles

FORMATS = ("every-eval-ever", "inspect", "cards")
_LEDGER = Path("export.json")
_LOCK = ".export.lock"
_WEIGHTS = (".safetensors", ".json", ".txt", ".model", ".jinja", ".bin")
_NOT_MODEL = ("trainer_state.json", "training_args.bin", "all_results.json", "train_results.json")


@dataclass(frozen=True)
class Export:
    """What is exported: from where, to where, in which formats, and where it is pushed to.

    `push` is a user or organisation of the hub; None pushes nothing.
    """

    folder: Path
    out: Path | None = None
    formats: Sequence[str] = FORMATS
    verdicts: VerdictSource = "run"
    push: str | None = None
    public: bool = False

    @property
    def target(self) -> Path:
        """The folder that is written."""
        return self.out or self.folder / "published"


@dataclass(frozen=True)
class Exported:
    """What an export wrote: files by format, what it left out and why, where it was pushed to."""

    target: Path
    counts: Counter[str]
    left_out: tuple[str, ...]
    removed: int = 0
    pushed: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class _Part:
    kind: str
    name: str
    text: str


def export(asked: Export) -> Exported:
    """Write the results of a run folder for other tools; the same folder gives the same bytes.

    Raises:
        DataError: nothing is finished, or the hub says no.
        MisuseError: the target holds other files.
        FaultsError: the run folder cannot be read.
    """
    return _export(asked.folder, asked)


@in_recorded_bundles
def _export(_: Path, asked: Export) -> Exported:
    target = asked.target
    if target.is_file():
        inputs = [path for path in asked.folder.rglob("*") if path.is_file()]
        refuse_overwriting(inputs, [target])
    _earlier(target)
    folder = read_folder(asked.folder, collect(asked.folder, asked.verdicts))
    left_out = unfinished(folder.results)
    if len(left_out) == len(folder.results.runs):
        remedy = f"run it first: cotdistill run {asked.folder}"
        raise DataError(Fault(str(asked.folder), "no run has a score", "a finished run", remedy))
    _refuse_one_name_for_two(asked, folder)
    with only_writer(target / _LOCK):
        return _written(asked, folder, tuple(left_out))


def _written(asked: Export, folder: Folder, left_out: tuple[str, ...]) -> Exported:
    target = asked.target
    before = _earlier(target)
    counts: Counter[str] = Counter()
    written: list[LedgerFile] = []
    for part in _parts(folder, asked.formats):
        path = target / part.name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_if_changed(path, part.text)
        written.append(LedgerFile.of(path, part.text.count("\n"), name=part.name))
        counts[part.kind] += 1
    names = {one.file for one in written}
    stale = [target / name for name in before if name not in names]
    for path in stale:
        path.unlink(missing_ok=True)
    settings = {"formats": list(asked.formats), "verdicts": asked.verdicts}
    ledger = Ledger("export", outputs=tuple(written), counts=dict(counts), settings=settings)
    write_ledger(target / _LEDGER, ledger)
    pushed = tuple(_push(asked, folder)) if asked.push else ()
    return Exported(target, counts, left_out, len(stale), pushed)


def _earlier(target: Path) -> list[str]:
    """Return the files that an earlier export wrote, none where nothing is there yet."""
    if ledger_path(target / _LEDGER).is_file():
        return [one.file for one in read_ledger(target / _LEDGER).outputs]
    if (target / _LOCK).is_file():  # begun, and not ended
        return []
    if (target.is_dir() and any(target.iterdir())) or target.is_file():
        wrong = "not an empty folder, and not an earlier export"
        raise MisuseError(str(Fault(str(target), wrong, "a new folder", "give another with -o")))
    return []


def _parts(folder: Folder, formats: Sequence[str]) -> Iterator[_Part]:
    if "every-eval-ever" in formats:
        for record in every_eval_ever.records(folder):
            place = f"every_eval_ever/data/{record.folder}/{record.name}"
            yield _Part("records", f"{place}.json", record.text)
            if record.questions:
                yield _Part("question files", f"{place}.jsonl", record.questions)
    if "inspect" in formats:
        for log in inspect_log.logs(folder):
            yield _Part("Inspect logs", f"inspect/{log.name}", log.text)
    if "cards" in formats:
        for card in _cards(folder):
            yield _Part(f"{card.kind[:-1]} cards", f"{card.kind}/{card.name}/README.md", card.text)


def _cards(folder: Folder) -> Iterator[Card]:
    yield from cards.model_cards(folder)
    yield from cards.dataset_cards(folder)


def _refuse_one_name_for_two(asked: Export, folder: Folder) -> None:
    if asked.push is None:
        return
    study = folder.study
    names = [(one.kind, repository_name(asked.push, study, one.name)) for one in _cards(folder)]
    twice = [name for (_, name), count in Counter(names).items() if count > 1]
    if twice:
        wrong = f"two runs or arms would be pushed to {', '.join(twice)}"
        raise DataError(Fault(str(asked.folder), wrong, "names that differ in their first letters"))


def _push(asked: Export, folder: Folder) -> Iterator[str]:
    """Push each card with its weights or rows; yield the address of each commit."""
    for card in _cards(folder):
        files: dict[str, Path | bytes] = {"README.md": card.text.encode()}
        contents = card.contents
        if contents and contents.is_dir():
            files |= {path.name: path for path in _weights(contents)}
        elif contents and contents.is_file():
            files["data/train.jsonl"] = contents
        yield upload(
            "model" if card.kind == "models" else "dataset",
            repository_name(asked.push or "", folder.study, card.name),
            files,
            private=not asked.public,
            message=f"{folder.study}: {card.name}",
        )


def _weights(folder: Path) -> list[Path]:
    """Return the files that make a model, without logs and states of its training."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix in _WEIGHTS and path.name not in _NOT_MODEL
    ]
