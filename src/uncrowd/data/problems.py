"""Rules that a dataset can break: `uncrowd check` reports what breaks them, and errors refuse the dataset."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

import numpy as np
from jaxtyping import Int64

from uncrowd.errors import InputError
from uncrowd.words import one_line

Severity = Literal["error", "warning", "note"]
MAX_EXAMPLES = 3
# In characters: what names a record comes from the user's file, where it may be of any length.
MAX_LENGTH = 1000


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One kind of fault.

    severity: "error" means that training, and scoring on this data, refuse it. message: names the faulty records, in
    the plural, or what a whole dataset has. training: what training does with them, or, for an error, what the user
    should do. skips: readers leave the record out. whole: the dataset breaks the rule, not a number of records.
    """

    kind: str
    severity: Severity
    message: str
    training: str
    skips: bool = False
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A fault of a dataset or a fact worth knowing about it. `split` is empty if it concerns several splits.

    count: the number of faulty records; 1 if the `whole` dataset is at fault. examples: names each record or says more.
    """

    kind: str
    severity: Severity
    split: str
    count: int
    examples: Sequence[str]
    message: str
    training: str
    whole: bool = True

    def sentence(self) -> str:
        """Returns the finding as one line: the fault, its count, examples, and what training does with them."""
        return one_line(f"{self._fault()}{_in_brackets(self.examples, self.count)}; {self.training}.")

    def lines(self) -> list[str]:
        """Returns the finding without examples, then a line for every faulty record."""
        return [one_line(f"{self._fault()}; {self.training}."), *(f"    {one_line(name)}" for name in self.examples)]

    def _fault(self) -> str:
        where = f"{self.split}: " if self.split else ""
        return f"{self.severity}: {where}{self.message}{'' if self.whole else f': {self.count}'}"


class Problems:
    """The rules that are broken, and the names of the records that break them."""

    def __init__(self) -> None:
        self._counts: dict[Rule, int] = {}
        self._examples: dict[Rule, Sequence[str]] = {}

    def add(self, rule: Rule, example: str, count: int = 1) -> None:
        """Notes `count` more records that break `rule`; `example` names the first of them."""
        self._counts[rule] = self._counts.get(rule, 0) + count
        examples = self._examples.setdefault(rule, [])
        assert isinstance(examples, list), f"{rule.kind} has its examples already"
        examples.append(example if len(example) <= MAX_LENGTH else f"{example[:MAX_LENGTH]}...")

    def add_all(self, rule: Rule, examples: Sequence[str]) -> None:
        """Notes every record that breaks `rule`, if there are any; the names may be made when they are asked for."""
        assert rule not in self._examples, f"{rule.kind} has its examples already"
        if len(examples):
            self._counts[rule], self._examples[rule] = len(examples), examples

    def take(self, other: "Problems", place: str = "") -> None:
        """Adds the problems of `other`, which were noted apart; `place` is put before the name of each record."""
        for rule, count in other._counts.items():
            self._counts[rule] = self._counts.get(rule, 0) + count
            named = (f"{place}{example}" for example in other._examples[rule])
            self._examples[rule] = [*self._examples.get(rule, []), *named]

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
                count=1 if rule.whole else count,
                examples=self._examples[rule],
                message=rule.message,
                training=rule.training,
                whole=rule.whole,
            )
            for rule, count in self._counts.items()
        ]

    def refuse_errors(self, source: Path, except_for: tuple[Rule, ...] = ()) -> None:
        """Raises InputError for the first broken rule of severity "error" that is of no kind in `except_for`."""
        allowed = {rule.kind for rule in except_for}
        refuse([finding for finding in self.findings() if finding.kind not in allowed], source)


def refuse(findings: list[Finding], source: Path) -> None:
    """Raises InputError for the first error among the findings about the dataset or file `source`."""
    for finding in findings:
        if finding.severity == "error":
            examples = _in_brackets(finding.examples, finding.count)
            raise InputError(f"{source} has {finding.message}{examples}; {finding.training}.")


class Names(Sequence[str]):
    """The names of many records, each made when it is asked for: a million texts would not be cheap to hold.

    rows: which records. name: makes the name of one.
    """

    def __init__(self, rows: Sequence[int] | Int64[np.ndarray, " k"], name: Callable[[int], str]) -> None:
        self._rows, self._name = rows, name

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> "Names": ...

    def __getitem__(self, index: int | slice) -> "str | Names":
        if isinstance(index, slice):
            return Names(self._rows[index], self._name)
        return self._name(int(self._rows[index]))


def _in_brackets(examples: Sequence[str], count: int) -> str:
    shown = list(examples[:MAX_EXAMPLES])
    more = ", ..." if count > len(shown) else ""
    return f" ({', '.join(shown)}{more})" if shown else ""
