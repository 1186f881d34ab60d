"""What `scorax judge` assumes of the judges, in words of the command line; nothing here loads JAX."""

from enum import StrEnum
from typing import NamedTuple

_USUAL_SD = 0.25


class Method(StrEnum):
    """How scores are inferred."""

    MAP = "map"
    NUTS = "nuts"


class Monotone(StrEnum):
    """What orders the levels."""

    NONE = "none"
    LOWEST = "lowest"
    STOCHASTIC = "stochastic"
    PROPORTIONAL = "proportional"
    DIAGONAL = "diagonal"


class Judges(StrEnum):
    """Whether one judge says something about another."""

    INDEPENDENT = "independent"
    HIERARCHICAL = "hierarchical"


class Constancy(StrEnum):
    """Whether a judge errs alike for every candidate."""

    STRONG = "strong"
    RANDOM = "random"
    STRATA = "strata"
    OWN_FAMILY = "own-family"


class Assumptions(NamedTuple):
    """One set of them; the numbers are those of `SimplexPrior` and `ConstancyPrior`."""

    monotone: Monotone = Monotone.NONE
    judges: Judges = Judges.INDEPENDENT
    constancy: Constancy = Constancy.STRONG
    candidate_sd: float = 0.0
    """How far a judge's log-odds vary from candidate to candidate, beside what the constancy rule says."""
    item_effects: bool = False
    prevalence: str = "auto"
    accuracy: float = 0.6
    strength: float = 8.0

    @property
    def uses_strength(self) -> bool:
        """Whether the construction of a judge has such a number."""
        without = (Monotone.PROPORTIONAL, Monotone.DIAGONAL)
        return self.judges == Judges.INDEPENDENT and self.monotone not in without

    def words(self) -> list[tuple[str, str]]:
        """What is assumed, and in which words."""
        constancy = {
            Constancy.STRONG: "each errs alike for every candidate",
            Constancy.RANDOM: f"log-odds vary from candidate to candidate, standard deviation {self.candidate_sd:g}",
            Constancy.STRATA: "each errs in a way of its own in every stratum",
            Constancy.OWN_FAMILY: "each errs in a way of its own on its own family",
        }[self.constancy]
        if self.candidate_sd and self.constancy != Constancy.RANDOM:
            constancy += f"; candidates vary, too, standard deviation {self.candidate_sd:g}"
        together = "err together on an item" if self.item_effects else "err independently, given the true level"
        worth = f"{self.strength:g} labels of each level"
        return [
            ("monotone", self.monotone.value),
            ("judges", self.judges.value),
            ("constancy", f"{self.constancy.value}: {constancy}"),
            ("errors", f"judges {together}"),
            ("expected accuracy of a judge", f"{self.accuracy:g}"),
            *([("what the prior of a judge is worth", worth)] if self.uses_strength else []),
        ]


def checked(
    asked: Assumptions,
    *,
    method: Method | None,
    candidate_sd: float | None,
    stratum_column: str | None,
    own_family: list[str] | None,
    sensitivity: bool,
) -> Assumptions:
    """The assumptions asked for, with `--candidate-sd` put in, before any work.

    Raises:
        ValueError: Options contradict each other, or one of them lacks another.
    """
    _refuse_stray("--candidate-sd", candidate_sd is not None, asked.constancy != Constancy.STRONG, "random")
    _refuse_stray("--stratum-column", stratum_column is not None, asked.constancy == Constancy.STRATA, "strata")
    _refuse_stray("--own-family", bool(own_family), asked.constancy == Constancy.OWN_FAMILY, "own-family")
    if asked.constancy == Constancy.STRATA and stratum_column is None:
        raise ValueError(
            "--constancy strata needs a column that says to which stratum an item belongs: add --stratum-column NAME"
        )
    if asked.constancy == Constancy.OWN_FAMILY and not own_family:
        raise ValueError(
            "--constancy own-family needs to know who is of one family: add --own-family JUDGE=CANDIDATE, "
            "once for each pair"
        )
    if asked.judges == Judges.HIERARCHICAL and asked.monotone != Monotone.NONE:
        raise ValueError(
            f"--judges hierarchical has no rule that orders the levels: drop --monotone {asked.monotone}, "
            "or --judges hierarchical"
        )
    if method == Method.MAP:
        _refuse_for_a_mode(asked, sensitivity)
    return asked._replace(candidate_sd=_candidate_sd(asked.constancy, candidate_sd))


def _refuse_stray(option: str, given: bool, wanted: bool, rule: str) -> None:
    if given and not wanted:
        raise ValueError(f"{option} is for --constancy {rule}: add that, or drop it")


def _refuse_for_a_mode(asked: Assumptions, sensitivity: bool) -> None:
    options = {
        f"--monotone {asked.monotone}": asked.monotone != Monotone.NONE,
        f"--constancy {asked.constancy}": asked.constancy != Constancy.STRONG,
        f"--judges {asked.judges}": asked.judges != Judges.INDEPENDENT,
        "--item-effects": asked.item_effects,
        "--sensitivity": sensitivity,
    }
    given = [option for option, there in options.items() if there]
    if given:
        what = " and ".join(given)
        verb = "is" if len(given) == 1 else "are"
        raise ValueError(
            f"{what} {verb} for posteriors, and --method map finds a mode: use --method nuts, or drop {what}"
        )


def _candidate_sd(constancy: Constancy, given: float | None) -> float:
    if given is None:
        return _USUAL_SD if constancy == Constancy.RANDOM else 0.0
    least = "above 0" if constancy == Constancy.RANDOM else "0 or more"
    if not 0 <= given < float("inf") or (given == 0 and constancy == Constancy.RANDOM):
        raise ValueError(f"--candidate-sd must be {least}, not {given}")
    return given
