"""One table for each of the course's questions, and who answers it better than whom."""

from collections.abc import Mapping, Sequence

from common.experiments.comparison import Trial, compare, require_same_seeds, verdict
from common.measures.calibration import reliability
from common.measures.clustering import rand_index_statistic
from common.measures.intervals import (
    Interval,
    bootstrap_of_statistic,
    bootstrap_over_individuals,
    interval_columns,
)
from common.measures.rejection import Rejection, WeightedMeasures
from common.splits.questions import Questions

import numpy as np
import pandas as pd

GEOMETRIC_MEAN = "√(BAKS·BAUS)"
MEASURES = {GEOMETRIC_MEAN: "geometric_mean", "AUROC": "auroc"}  # to `WeightedMeasures`


def by_approach(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """The trials of each approach, in the order in which approaches came first."""
    names = dict.fromkeys(trial.approach for trial in trials)
    return {name: [trial for trial in trials if trial.approach == name] for name in names}


def known_table(
    trials: Sequence[Trial], questions: Questions, identity: np.ndarray
) -> pd.DataFrame:
    """Question 1: one row per approach, seeds averaged photo by photo, animals resampled.

    Returns:
        Columns approach, accuracy and balanced accuracy with their intervals, seconds of training.
        Empty where no test photo shows an animal in training.
    """
    rows = []
    for approach, own in by_approach(trials).items():
        if not len(questions.known):
            break
        values = np.mean([trial.answers.known for trial in own], axis=0)
        row = {"approach": approach}
        for name, statistic in (("accuracy", "mean_over_observations"),
                                ("balanced accuracy", "mean_over_individuals")):  # fmt: skip
            interval = bootstrap_over_individuals(
                values, identity[questions.known], statistic=statistic
            )
            row |= interval_columns(name, interval)
        row["training, s"] = float(np.mean([trial.training_seconds for trial in own]))
        rows.append(row)
    return pd.DataFrame(rows)


def joining_trend(
    trials: Sequence[Trial], questions: Questions, identity: np.ndarray
) -> pd.DataFrame:
    """Question 2: one row per approach and number of enrolled photos.

    Returns:
        Columns approach, photos, accuracy with its interval. Empty where nobody joined.
    """
    rows = []
    for approach, own in by_approach(trials).items():
        for n_photos in own[0].answers.joined_after if len(questions.joined) else ():
            values = np.mean([trial.answers.joined_after[n_photos] for trial in own], axis=0)
            interval = bootstrap_over_individuals(values, identity[questions.joined])
            rows.append({"approach": approach, "photos": n_photos,
                         **interval_columns("accuracy", interval)})  # fmt: skip
    return pd.DataFrame(rows)


def joining_lines(trend: pd.DataFrame, approaches: Mapping[str, str]) -> pd.DataFrame:
    """Some approaches of `joining_trend`, for a chart.

    Args:
        trend: what `joining_trend` gives.
        approaches: name to the words of the legend.
    """
    own = trend[trend["approach"].isin(approaches)]
    order = own["approach"].map(list(approaches).index)
    return own.assign(approach=own["approach"].map(approaches)).loc[
        order.sort_values(kind="stable").index
    ]


def joining_table(trials: Sequence[Trial], trend: pd.DataFrame) -> pd.DataFrame:
    """Question 2 for people: one row per approach, one column per number of enrolled photos.

    Args:
        trials: of all approaches.
        trend: what `joining_trend` gives.

    Returns:
        Columns approach; "1 photo", … with their intervals; what it costs until the animals are
        known, as text.
    """
    rows = []
    for approach, own in by_approach(trials).items():
        row = {"approach": approach}
        for cell in trend[trend["approach"] == approach].to_dict("records"):
            name = f"{cell['photos']} photo" + ("s" if cell["photos"] > 1 else "")
            row |= {f"{name}{end}": cell[f"accuracy{end}"] for end in ("", "_low", "_high")}
        seconds = float(np.mean([trial.adding_seconds for trial in own]))
        row["adding animals"] = cost_text(seconds)
        rows.append(row)
    columns = sorted({name for row in rows for name in row if name[0].isdigit()},
                     key=lambda name: (int(name.split()[0]), name))  # fmt: skip
    return pd.DataFrame(rows, columns=["approach", *columns, "adding animals"])


def cost_text(seconds: float) -> str | None:
    """Seconds with two digits, or whole ones; None for what cannot be had.

    >>> cost_text(0.0812), cost_text(35.2)
    ('0.081 s', '35 s')
    """
    digits = ".0f" if seconds >= 10 else ".2g"
    return f"{seconds:{digits}} s" if np.isfinite(seconds) else None


def rejections_of(own: Sequence[Trial]) -> dict[str, list[Rejection]]:
    """The rejections of one approach, score by score, one per seed."""
    return {
        score: [trial.answers.rejections[score] for trial in own]
        for score in own[0].answers.rejections
    }


def unknown_table(trials: Sequence[Trial]) -> pd.DataFrame:
    """Question 3: one row per approach and score, means over seeds, animals resampled.

    Both kinds of error are counted: photos of known animals that are rejected, and photos of
    unknown animals that are accepted, at the threshold that validation chose.

    Returns:
        Columns approach, score, AUROC with its interval, BAKS, BAUS, their geometric mean with
        its interval, true accept rate at 1 % false accepts, both counts, calibration error.
        Empty where the question cannot be asked.
    """
    rows = []
    for approach, own in by_approach(trials).items():
        for score, rejections in rejections_of(own).items():
            measures = WeightedMeasures(rejections)
            reports = [each.report for each in rejections]

            def mean(name: str, reports: list = reports) -> float:
                return float(np.mean([getattr(report, name) for report in reports]))

            rows.append({
                "approach": approach, "score": score,
                **interval_columns("AUROC", measures.interval("auroc")),
                "BAKS": mean("baks"), "BAUS": mean("baus"),
                **interval_columns(GEOMETRIC_MEAN, measures.interval("geometric_mean")),
                "accepted at 1 % false": mean("true_accept_rate_at_false_accept_rate"),
                f"known rejected, of {reports[0].n_known}": mean("n_known_rejected"),
                f"unknown accepted, of {reports[0].n_unknown}": mean("n_unknown_accepted"),
                "calibration error": float(np.mean([r.calibration_error for r in rejections])),
            })  # fmt: skip
    return pd.DataFrame(rows)


def separation(table: pd.DataFrame) -> pd.DataFrame:
    """The two measures of `unknown_table` that have intervals, one row each, for a chart.

    Returns:
        Columns approach (with its score, unless that is its first), measure, value and its
        interval.
    """
    is_first = ~table["approach"].duplicated()
    names = table["approach"].where(is_first, table["approach"] + ", " + table["score"])
    return pd.concat(
        pd.DataFrame({
            "approach": names, "measure": measure, "value": table[measure],
            "value_low": table[f"{measure}_low"], "value_high": table[f"{measure}_high"],
        })
        for measure in ("AUROC", GEOMETRIC_MEAN)
    )  # fmt: skip


def reliability_bins(trials: Sequence[Trial], approaches: Sequence[str]) -> dict[str, pd.DataFrame]:
    """What probabilities said beside what came true, all seeds together.

    Args:
        trials: of all approaches.
        approaches: some of these; those that reject nothing are left out.

    Returns:
        Approach and score to what `common.measures.calibration.reliability` gives.
    """
    groups = by_approach(trials)
    return {
        f"{approach}, {score}": reliability(
            np.concatenate([each.probability for each in rejections]),
            np.concatenate([each.is_named_right for each in rejections]),
        )
        for approach in approaches if approach in groups
        for score, rejections in rejections_of(groups[approach]).items()
    }  # fmt: skip


def cluster_table(trials: Sequence[Trial], identity: np.ndarray) -> pd.DataFrame:
    """All test photos grouped without names: one row per approach that can.

    Args:
        trials: of all approaches.
        identity: of the photos that were grouped, in their order.

    Returns:
        Columns approach, adjusted Rand index with its interval, groups found (mean over seeds),
        animals there are, mean cosine distance at which groups stay apart.
    """
    rows = []
    for approach, own in by_approach(trials).items():
        if any(trial.clusters is None for trial in own):
            continue
        clusters = [trial.clusters for trial in own]
        index, n_animals = rand_index_statistic([each.labels for each in clusters], identity)
        interval = bootstrap_of_statistic(index, [n_animals], n_observations=len(identity))
        rows.append({
            "approach": approach,
            **interval_columns("adjusted Rand index", interval),
            "groups": float(np.mean([each.n_clusters for each in clusters])),
            "animals": n_animals,
            "distance": float(np.mean([each.distance for each in clusters])),
        })  # fmt: skip
    return pd.DataFrame(rows)


def compare_rejection(
    trials: Sequence[Trial], first: tuple[str, str], second: tuple[str, str], measure: str
) -> tuple[Interval, str] | None:
    """Paired difference of two scores on question 3, and the sentence that it allows.

    Args:
        trials: of all approaches.
        first: approach and score.
        second: approach and score.
        measure: of `MEASURES`.

    Returns:
        Interval of first minus second over individuals, and the verdict; None where the question
        was not asked of both.

    Raises:
        ValueError: the two were not trained with the same seeds.
    """
    groups = by_approach(trials)
    both = [groups.get(approach, []) for approach, _ in (first, second)]
    if not all(own and own[0].answers.rejections for own in both):
        return None
    require_same_seeds(*both)
    own, other = (
        WeightedMeasures(rejections_of(group)[score])
        for group, (_, score) in zip(both, (first, second), strict=True)
    )
    interval = own.difference(other, MEASURES[measure])
    names = [f"{approach} ({score})" for approach, score in (first, second)]
    return interval, verdict(f"Unknown animals, {measure}", *names, interval)


def compare_all(
    trials: Sequence[Trial],
    pairs: Mapping[str, Sequence[tuple]],
    questions: Questions,
    identity: np.ndarray,
) -> list[tuple[str, str, str, Interval, str]]:
    """All paired differences that were asked of both sides.

    Args:
        trials: of all approaches.
        pairs: question ("known animals", "joined later", or one of `MEASURES`) to pairs of
            approaches; with their scores, see `compare_rejection`, in the case of a measure.
        questions: that were asked.
        identity: of every photo of the catalogue.

    Returns:
        Question, first, second, interval of first minus second, and the sentence it allows.
    """
    found = []
    for question, those in pairs.items():
        for first, second in those:
            if question in MEASURES:
                verdict = compare_rejection(trials, first, second, question)
                first, second = ", ".join(first), ", ".join(second)
            else:
                verdict = compare(trials, first, second, question, questions, identity)
            if verdict:
                found.append((question, first, second, *verdict))
    return found


def chance_alone(differences: Sequence[tuple]) -> str:
    """How many of many differences would look like one by chance."""
    n_apart = sum(interval.excludes_zero for _, _, _, interval, _ in differences)
    return (
        f"{n_apart} of {len(differences)} differences can be told from chance at 95 %; of so many, "
        f"{0.05 * len(differences):.1f} would seem so by chance alone."
    )


def difference_table(differences: Sequence[tuple]) -> pd.DataFrame:
    """Paired differences: one row each.

    Args:
        differences: what `compare_all` gives.

    Returns:
        Columns question, first, second, difference (first minus second) with its interval,
        animals, photos, and who is better, or "not distinguishable".
    """
    return pd.DataFrame(
        {"question": question, "first": first, "second": second,
         **interval_columns("difference", interval),
         "animals": interval.n_individuals, "photos": interval.n_observations,
         "better": (first if interval.estimate > 0 else second)
         if interval.excludes_zero else "not distinguishable"}
        for question, first, second, interval, _ in differences
    )  # fmt: skip
