"""Rules that a record can break: readers refuse or count such records, `uncrowd check` reports them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from uncrowd.errors import InputError
from uncrowd.words import printable

Severity = Literal["error", "warning", "note"]
MAX_EXAMPLES = 3
# In characters: what names a record comes from the user's file, where it may be of any length.
MAX_LENGTH = 1000


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One kind of fault of a record.

    severity: "error" means that readers refuse the file. message: names the faulty records, in the plural. training:
    what training does with them, or, for an error, what the user should do. skips: readers leave the record out.
    """

    kind: str
    severity: Severity
    message: str
    training: str
    skips: bool = False


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A fault of a dataset or a fact worth knowing about it. `split` is empty if it concerns several splits."""

    kind: str
    severity: Severity
    split: str
    count: int
    examples: list[str]
    message: str
    training: str

    def sentence(self) -> str:
        """Returns the finding as one line: the fault, its count, examples, and what training does with them."""
        where = f"{self.split}: " if self.split else ""
        examples = _in_brackets(self.examples, self.count)
        return printable(f"{self.severity}: {where}{self.message}{examples}; {self.training}.")


class Problems:
    """Counts the records that break each rule, and keeps the first few examples."""

    def __init__(self) -> None:
        self._counts: dict[Rule, int] = {}
        self._examples: dict[Rule, list[str]] = {}

    def add(self, rule: Rule, example: str, count: int = 1) -> None:
        """Counts `count` more records that break `rule`; `example` names the first of them."""
        self._counts[rule] = self._counts.get(rule, 0) + count
        examples = self._examples.setdefault(rule, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(example if len(example) <= MAX_LENGTH else f"{example[:MAX_LENGTH]}...")

    def __contains__(self, rule: Rule) -> bool:
        """Whether a rule of this kind is broken; the mends of such rules may differ."""
        return any(rule.kind == broken.kind for broken in self._counts)

    @property
    def skipped(self) -> dict[str, int]:
        """The message of each rule by which readers leave records out -> the number of these records."""
        return {rule.message: count for rule, count in self._counts.items() if rule.skips}

    def findings(self, split: str = "") -> list[Finding]:
        """Returns one finding for each broken rule, in the order in which they were first broken."""
        return [
            Finding(
                kind=rule.kind,
                severity=rule.severity,
                split=split,
                count=count,
                examples=self._examples[rule],
                message=f"{rule.message}: {count}",
                training=rule.training,
            )
            for rule, count in self._counts.items()
        ]

    def refuse_errors(self, source: Path, except_for: tuple[Rule, ...] = ()) -> None:
        """Raises InputError for the first broken rule of severity "error" that is of no kind in `except_for`."""
        allowed = {rule.kind for rule in except_for}
        for rule, count in self._counts.items():
            if rule.severity == "error" and rule.kind not in allowed:
                examples = _in_brackets(self._examples[rule], count)
                raise InputError(f"{source} has {rule.message}{examples}; {rule.training}.")


def _in_brackets(examples: list[str], count: int) -> str:
    more = ", ..." if count > len(examples) else ""
    return f" ({', '.join(examples)}{more})" if examples else ""
