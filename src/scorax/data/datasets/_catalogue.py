"""What is there: a line for each file."""

import dataclasses
from pathlib import Path

from scorax.data.datasets._files import FOLDER


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A file that comes with the package."""

    name: str
    """What it is called on the command line."""
    file: str
    rows: int
    """Rows of the table; items of an array."""
    description: str
    source: str
    licence: str
    """SPDX identifier, or how the numbers were published."""
    loader: str
    """The function of `scorax.data.datasets` that reads it."""

    @property
    def path(self) -> Path:
        """Where the file is."""
        return FOLDER / self.file


_HIBAYES = "UKGovernmentBEIS/hibayes"

_DATASETS = (
    Dataset(
        "llmfao",
        "llmfao_battles.csv",
        8931,
        "crowd judgements of answers by 59 language models to 13 prompts, 124 workers, 39 % ties",
        "dustalov/evalica",
        "Apache-2.0",
        "load_llmfao()",
    ),
    Dataset("food", "food.csv", 30, "toy comparisons of 5 dishes", "dustalov/evalica", "Apache-2.0", "load_food()"),
    Dataset(
        "ratings-vs-rankings",
        "ratings_vs_rankings.csv",
        118,
        "pairs of responses that one language model both rated (1-7) and ranked; one row lacks a rating",
        "Hritikbansal/sparse_feedback",
        "MIT",
        "load_ratings_vs_rankings()",
    ),
    Dataset(
        "anesthesia",
        "anesthesia.csv",
        315,
        "fitness for anaesthesia of 45 patients (1-4) by 5 anaesthetists, one of them three times",
        "Dawid and Skene (1979), Table 1, doi:10.2307/2346806",
        "published numbers; also in pyro-ppl/numpyro (Apache-2.0)",
        "load_anesthesia()",
    ),
    Dataset(
        "llmbar",
        "llmbar_verdicts.npz",
        419,
        "which of two outputs is better: 6 language models, up to 12 prompts, both orders, with gold labels",
        "princeton-nlp/LLMBar",
        "MIT",
        "load_llmbar()",
    ),
    Dataset(
        "prometheus",
        "prometheus_gpt4_runs.csv",
        640,
        "rubric scores (1-5) of answers to 160 questions by GPT-4, three runs",
        "prometheus-eval/prometheus-eval",
        "Apache-2.0",
        "load_prometheus()",
    ),
    Dataset(
        "autograder-1",
        "autograder_q1.csv",
        182,
        "scores (0-10) by a human and an automatic grader, one model",
        _HIBAYES,
        "MIT",
        "load_autograder(1)",
    ),
    Dataset(
        "autograder-2",
        "autograder_q2.csv",
        530,
        "scores (0-10) by a human and two automatic graders, two models",
        _HIBAYES,
        "MIT",
        "load_autograder(2)",
    ),
    Dataset(
        "autograder-3",
        "autograder_q3.csv",
        1048,
        "scores (0-10) by three humans and three automatic graders, two models",
        _HIBAYES,
        "MIT",
        "load_autograder(3)",
    ),
    Dataset(
        "autograder-4",
        "autograder_q4.csv",
        600,
        "scores (0-10) of answers to four items by a human and two automatic graders, two models",
        _HIBAYES,
        "MIT",
        "load_autograder(4)",
    ),
    Dataset(
        "autograder-5",
        "autograder_q5.csv",
        756,
        "comparisons of three models by a human and an automatic grader, with the difference in length",
        _HIBAYES,
        "MIT",
        "load_autograder(5)",
    ),
)


def catalogue() -> tuple[Dataset, ...]:
    """All data sets that come with the package.

    Example:
        >>> [(data.name, data.rows) for data in catalogue()][:2]
        [('llmfao', 8931), ('food', 30)]
    """
    return _DATASETS
