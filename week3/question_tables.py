"""One table for each of the course's questions, and who answers it better than whom."""

from collections.abc import Mapping, Sequence

from common.experiments.trials import (
    KNOWN,
    Difference,
    Trial,
    adding_cost,
    by_approach,
    compare,
    mean_of,
    mean_right,
    require_same_seeds,
)
from common.measures.calibration import reliability
from common.measures.clustering import rand_index_statistic
from common.measures.intervals import bootstrap_of_statistic, interval_columns, mean_columns
from common.measures.rejection import Rejection, WeightedMeasures
from common.tables import table_of
from common.words import counted

import numpy as np
import pandas as pd

GEOMETRIC_MEAN = "√(BAKS·BAUS)"
MEASURES = {GEOMETRIC_MEAN: "geometric_mean", "AUROC": "auroc"}  # to `WeightedMeasures`
ERRORS = ("accepted at 1 % false", "known rejected", "unknown accepted", "calibration error")
UNKNOWN = ("approach", "score", "AUROC±", "BAKS", "BAUS", f"{GEOMETRIC_MEAN}±", *ERRORS)
GROUPED = ("approach", "adjusted Rand index±", "groups", "animals", "distance")


def known_table(trials: Sequence[Trial]) -> pd.DataFrame:
    """Question 1: one row per approach, seeds averaged photo by photo, animals resampled.

    Returns:
        Columns approach, accuracy and balanced accuracy with their intervals, seconds of training.
        No row where no test photo shows an animal in training.
    """
    rows = []
    for approach, own in by_approach(trials).items():
        values, animals = mean_right(own, KNOWN)
        if not len(values):
            continue
        row = {"approach": approach}
        row |= mean_columns("accuracy", values, animals)
        row |= mean_columns("balanced accuracy", values, animals, "mean_over_individuals")
        rows.append(row | {"training, s": mean_of(own, "training_seconds")})
    return table_of(rows, ("approach", "accuracy±", "balanced accuracy±", "training, s"))


def joining_trend(trials: Sequence[Trial]) -> pd.DataFrame:
    """Question 2: one row per approach and number of enrolled photos.

    Returns:
        Columns approach, photos, accuracy with its interval. No row where nobody joined.
    """
    rows = []
    for approach, own in by_approach(trials).items():
        answers = own[0].answers
        for n_photos in answers.joined_after if len(answers.joined) else ():
            asked = [trial.answers.joined_after for trial in own]  # the first seed's holds all
            values = np.mean([each[n_photos] for each in asked if n_photos in each], axis=0)
            row = {"approach": approach, "photos": n_photos}
            rows.append(row | mean_columns("accuracy", values, answers.animals["joined"]))
    return table_of(rows, ("approach", "photos", "accuracy±"))


def joining_lines(trend: pd.DataFrame, approaches: Mapping[str, str]) -> pd.DataFrame:
    """Some approaches of `joining_trend`, for a chart."""
    own = trend[trend["approach"].isin(approaches)]
    order = own["approach"].map(list(approaches).index).sort_values(kind="stable").index
    return own.assign(approach=own["approach"].map(approaches)).loc[order]


def joining_table(trials: Sequence[Trial], trend: pd.DataFrame) -> pd.DataFrame:
    """Question 2 for people: `joining_trend` with one column per number of enrolled photos.

    Returns:
        Columns approach; "1 photo", … with their intervals; what it costs until the animals are
        known, as text. No row where nobody joined.
    """
    if not len(trend):
        return table_of([], ("approach", "adding animals"))
    table = pd.DataFrame({"approach": list(by_approach(trials))})
    for n_photos, rows in trend.groupby("photos"):
        name = counted(n_photos, "photo")
        for end in ("", "_low", "_high"):
            values = rows.set_index("approach")[f"accuracy{end}"]
            table[f"{name}{end}"] = table["approach"].map(values)
    costs = {approach: adding_cost(own) for approach, own in by_approach(trials).items()}
    return table.assign(**{"adding animals": table["approach"].map(costs)})


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
        No row where the question cannot be asked.
    """
    rows = []
    for approach, own in by_approach(trials).items():
        for score, rejections in rejections_of(own).items():
            measures, reports = WeightedMeasures(rejections), [each.report for each in rejections]
            row = {"approach": approach, "score": score}
            row |= interval_columns("AUROC", measures.interval("auroc"))
            row |= {"BAKS": mean_of(reports, "baks"), "BAUS": mean_of(reports, "baus")}
            row |= interval_columns(GEOMETRIC_MEAN, measures.interval("geometric_mean"))
            for name, attribute in (
                ("accepted at 1 % false", "true_accept_rate_at_false_accept_rate"),
                (f"known rejected, of {reports[0].n_known}", "n_known_rejected"),
                (f"unknown accepted, of {reports[0].n_unknown}", "n_unknown_accepted"),
            ):
                row[name] = mean_of(reports, attribute)
            rows.append(row | {"calibration error": mean_of(rejections, "calibration_error")})
    return table_of(rows, UNKNOWN)


def separation(table: pd.DataFrame) -> pd.DataFrame:
    """The two measures of `unknown_table` that have intervals, one row each, for a chart.

    Returns:
        Columns approach (with its score, unless that is its first), measure, value and its
        interval.
    """
    is_first = ~table["approach"].duplicated()
    names = table["approach"].where(is_first, table["approach"] + ", " + table["score"])
    parts = []
    for measure in ("AUROC", GEOMETRIC_MEAN):
        values = {f"value{end}": table[f"{measure}{end}"] for end in ("", "_low", "_high")}
        parts.append(pd.DataFrame({"approach": names, "measure": measure} | values))
    return pd.concat(parts)


def reliability_bins(trials: Sequence[Trial], approaches: Sequence[str]) -> dict[str, pd.DataFrame]:
    """What probabilities said beside what came true, all seeds together.

    Approaches that reject nothing are left out.

    Returns:
        Approach and score to what `common.measures.calibration.reliability` gives.
    """
    groups = by_approach(trials)
    return {
        f"{approach}, {score}": reliability(
            np.concatenate([each.probability for each in rejections]),
            np.concatenate([each.is_named_right for each in rejections]),
        )
        for approach in approaches
        if approach in groups
        for score, rejections in rejections_of(groups[approach]).items()
    }


def cluster_table(trials: Sequence[Trial]) -> pd.DataFrame:
    """All test photos grouped without names: one row per approach that can.

    Returns:
        Columns approach, adjusted Rand index with its interval, groups found (mean over seeds),
        animals there are, mean cosine distance at which groups stay apart.
    """
    rows = []
    for approach, own in by_approach(trials).items():
        clusters = [trial.answers.clusters for trial in own]
        if not all(clusters):
            continue
        animals = own[0].answers.animals
        identity = np.concatenate([animals["known"], animals["unknown"]])
        index, n_animals = rand_index_statistic([each.labels for each in clusters], identity)
        interval = bootstrap_of_statistic(index, [n_animals], n_observations=len(identity))
        row = {"approach": approach} | interval_columns("adjusted Rand index", interval)
        row |= {"groups": mean_of(clusters, "n_clusters"), "animals": n_animals}
        rows.append(row | {"distance": mean_of(clusters, "distance")})
    return table_of(rows, GROUPED)


def compare_rejection(
    trials: Sequence[Trial], first: tuple[str, str], second: tuple[str, str], measure: str
) -> Difference | None:
    """Paired difference of two scores on question 3.

    Returns:
        None where the question was not asked of both.

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
    return Difference(measure, ", ".join(first), ", ".join(second), interval)


def compare_all(trials: Sequence[Trial], pairs: Mapping[str, Sequence[tuple]]) -> list[Difference]:
    """All paired differences that were asked of both sides.

    Args:
        pairs: question ("known animals", "joined later", or one of `MEASURES`) to pairs of
            approaches; with their scores, see `compare_rejection`, in the case of a measure.
    """
    found = [
        (compare_rejection if question in MEASURES else compare)(trials, *pair, question)
        for question, those in pairs.items()
        for pair in those
    ]
    return [difference for difference in found if difference]
