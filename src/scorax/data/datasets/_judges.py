"""Labels by judges."""

from typing import Any, Literal, overload

import numpy as np

from scorax.data._annotations import Annotations, AnnotationVocabulary
from scorax.data._comparisons import Comparisons
from scorax.data._vocabulary import Vocabulary
from scorax.data.datasets._files import FOLDER, read_columns


def load_anesthesia() -> tuple[Annotations, AnnotationVocabulary]:
    """Fitness for anaesthesia of 45 patients, from 1 to 4, by 5 anaesthetists; the first saw each patient three times.

    Example:
        >>> ratings, names = load_anesthesia()
        >>> ratings.label.shape, names.levels.names
        ((45, 7), ('1', '2', '3', '4'))

    Source: Dawid and Skene (1979), doi:10.2307/2346806, Table 1.
    """
    return Annotations.from_frame(read_columns("anesthesia.csv"))


def load_llmbar(
    *, subset: str | None = None, model: str | None = None, prompt: str | None = None
) -> tuple[Annotations, AnnotationVocabulary]:
    """Verdicts of language models on which of two outputs follows its instruction better, with gold labels.

    419 pairs; a judge is a model with a prompt and an order of presentation, called `model/prompt/first`, where `first`
    is the output that it was shown first. Levels 1 and 2 are the better output. 134 of the 54 470 verdicts could not be
    parsed and are missing.

    Args:
        subset: Only `"Natural"`, `"Neighbor"`, `"GPTInst"`, `"GPTOut"` or `"Manual"` pairs.
        model: Only judges of this model, such as `"GPT-4"`.
        prompt: Only judges with this prompt, such as `"Vanilla"`.

    Raises:
        ValueError: there is no such subset, or no such judge.

    Example:
        >>> verdicts, names = load_llmbar(prompt="Vanilla", subset="Natural")
        >>> verdicts.label.shape, names.judges[0]
        ((100, 12), 'ChatGPT/Vanilla/1')

    Source: Zeng, Yu, Gao, Meng, Goyal, Chen (2024), arXiv:2310.07641; the repository princeton-nlp/LLMBar (MIT).
    """
    with np.load(FOLDER / "llmbar_verdicts.npz") as file:
        verdict, gold, kind, kinds, models, prompts = (
            file[name] for name in ("verdict", "gold", "subset", "subset_names", "judge_model", "judge_prompt")
        )
    if subset is not None and subset not in kinds:
        raise ValueError(f"there is no subset {subset!r}; there are {', '.join(kinds)}")
    rows = np.flatnonzero((kinds[kind] == subset) | (subset is None))
    judges = np.flatnonzero(((models == model) | (model is None)) & ((prompts == prompt) | (prompt is None)))
    if not judges.size:
        raise ValueError(
            f"there is no judge of model {model!r} with prompt {prompt!r}; "
            f"models are {', '.join(sorted(set(models)))}, prompts {', '.join(sorted(set(prompts)))}"
        )
    chosen = verdict[rows][:, judges].reshape(len(rows), -1).astype(float)
    return Annotations.from_dense(
        np.where(chosen < 0, np.nan, chosen),
        items=[f"{kinds[kind[row]]}/{row}" for row in rows],
        judges=[f"{models[judge]}/{prompts[judge]}/{first}" for judge in judges for first in (1, 2)],
        levels=[1, 2],
        gold=gold[rows].astype(float),
    )


def load_prometheus() -> tuple[Annotations, AnnotationVocabulary]:
    """Rubric scores from 1 to 5 by GPT-4, run three times, of 4 models' answers to each of 160 questions.

    The three runs are three judges; the candidates are the models that answered.

    Example:
        >>> scores, names = load_prometheus()
        >>> scores.label.shape, names.judges.names
        ((640, 3), ('run_1', 'run_2', 'run_3'))

    Source: Kim et al. (2024), arXiv:2310.08491; the repository prometheus-eval/prometheus-eval (Apache-2.0).
    """
    columns = read_columns("prometheus_gpt4_runs.csv")
    runs = ("run_1", "run_2", "run_3")
    rows = zip(columns["benchmark"], columns["question"], columns["response_model"], strict=True)
    return Annotations.from_dense(
        np.array([columns[run] for run in runs], float).T,
        items=["/".join(row) for row in rows],
        judges=runs,
        levels=range(1, 6),
        candidate=columns["response_model"],
    )


@overload
def load_autograder(study: Literal[1, 2, 3, 4]) -> tuple[Annotations, AnnotationVocabulary]: ...
@overload
def load_autograder(study: Literal[5]) -> tuple[Comparisons, Vocabulary]: ...
def load_autograder(study: int) -> Any:
    """Human and automatic graders of language models, in five studies.

    Studies 1 to 4 are scores from 0 to 10, with the models as candidates. In 1 to 3 it is not known which answers are
    the same, so every score is an item of its own; in 4 a row is one model's answers to an item. Study 5 has
    comparisons with `order` (the first model was shown first), the difference in length as a feature, and the grader
    as cluster.

    Args:
        study: 1 to 5.

    Raises:
        ValueError: there is no such study.

    Example:
        >>> scores, names = load_autograder(4)
        >>> names.judges.names, names.candidates.names
        (('Autograder A', 'Autograder B', 'Human'), ('LLM A', 'LLM B'))

    Source: the repository UKGovernmentBEIS/hibayes (MIT), examples/llm-as-a-judge-usecases.
    """
    if study not in (1, 2, 3, 4, 5):
        raise ValueError(f"there is no study {study}; there are 1 to 5")
    columns = read_columns(f"autograder_q{study}.csv")
    if study == 5:
        columns["first"] = ["1"] * len(columns["LLM_1"])
        return Comparisons.from_frame(
            columns,
            item_a="LLM_1",
            item_b="LLM_2",
            outcome="first_is_chosen",
            order="first",
            features=["length_diff"],
            cluster="grader",
        )
    columns.setdefault("item", [str(row) for row in range(len(columns["score"]))])
    return Annotations.from_frame(columns, candidate="LLM", levels=range(11))
