"""What can be wrong with a record, in words: readers refuse or count by it, `check` reports by it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from uncrowd.errors import InputError

Severity = Literal["error", "warning", "note"]
MAX_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that can be wrong.

    severity: "error" means that readers refuse the file. message: what the records are, in the plural. training: what
    training does about it, or for an error what the user should do. skips: training does without the record.
    """

    kind: str
    severity: Severity
    message: str
    training: str
    skips: bool = False


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is wrong with, or worth knowing about, a dataset. `split` is empty where it concerns several."""

    kind: str
    severity: Severity
    split: str
    count: int
    examples: list[str]
    message: str
    training: str

    def sentence(self) -> str:
        """The finding as one line: what, how many, which, and what follows from it."""
        where = f"{self.split}: " if self.split else ""
        return f"{self.severity}: {where}{self.message}{_in_brackets(self.examples, self.count)}; {self.training}."


class Problems:
    """Counts broken rules while records are read, with the first few examples of each."""

    def __init__(self) -> None:
        self._counts: dict[Rule, int] = {}
        self._examples: dict[Rule, list[str]] = {}

    def add(self, rule: Rule, example: str) -> None:
        """One more record that breaks `rule`; `example` says which."""
        self._counts[rule] = self._counts.get(rule, 0) + 1
        examples = self._examples.setdefault(rule, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(example)

    def __contains__(self, rule: Rule) -> bool:
        return rule in self._counts

    @property
    def skipped(self) -> dict[str, int]:
        """What readers leave out: the rule's message -> how many."""
        return {rule.message: count for rule, count in self._counts.items() if rule.skips}

    def findings(self, split: str = "") -> list[Finding]:
        """All of them, in the order they were met."""
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
        """Raises InputError for the first error met in `source`; returns where there is none, or but `except_for`."""
        for rule, count in self._counts.items():
            if rule.severity == "error" and rule not in except_for:
                examples = _in_brackets(self._examples[rule], count)
                raise InputError(f"{source} has {rule.message}{examples}; {rule.training}.")


def _in_brackets(examples: list[str], count: int) -> str:
    more = ", ..." if count > len(examples) else ""
    return f" ({', '.join(examples)}{more})" if examples else ""
