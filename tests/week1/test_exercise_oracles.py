"""Week 1's solutions and the course give the same answers, each in its own way."""

from pathlib import Path

from common.data.catalogue import Catalogue
from common.measures import intervals
from common.measures.classification import evaluate_classification
from common.measures.intervals import bootstrap_over_individuals
from common.splits.leaks import leak_report
from common.splits.rules import Shares, rank_days, split_animals
from common.splits.splits import Split

import numpy as np
import pandas as pd
import pytest
from grading import week1
from script_runs import load_script

solutions, baseline = load_script("week1/solutions"), load_script("week1/baseline_cnn")
SEEDS = range(5)


def case_of(exercise, seed):
    return week1.EXERCISES[exercise].inputs(seed)[-1]


def catalogue_of(identities, encounters):
    """Photos as the course knows them: an encounter is of one animal only."""
    own = [f"{name}, {encounter}" for name, encounter in zip(identities, encounters, strict=True)]
    table = pd.DataFrame({"identity": identities, "encounter": own, "encounter_known": True})
    return Catalogue("drawn", Path(), table.assign(date=pd.NaT))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_label_map_is_the_catalogues(seed):
    parts = case_of("label_map", seed)["parts"]
    photos = [identity for part in parts.values() for identity in part]

    labels = solutions.label_map(parts)

    assert labels == catalogue_of(photos, photos).labels


@pytest.mark.parametrize("seed", SEEDS)
def test_the_split_by_day_is_that_of_the_time_aware_rule(seed):
    case = case_of("split_by_day", seed)
    encounters = [f"{i} {day}" for i, day in zip(case["identities"], case["days"], strict=True)]
    table = pd.DataFrame({"identity": case["identities"], "encounter": encounters})
    table["date"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(case["days"], unit="D")
    shares = Shares(case["train_share"], 0.0, 0.0, 0.0)

    part = split_animals(table, rank_days(table), [], shares, seed=0)

    assert np.array_equal(solutions.split_by_day(**case), part == "test")


@pytest.mark.parametrize("seed", SEEDS)
def test_the_leak_is_that_of_the_report(seed):
    case = case_of("leak_share", seed)
    part = np.where(case["is_test"], "test", "train")
    report = leak_report(
        catalogue_of(case["identities"], case["encounters"]), Split("drawn", "", 0, {}, part)
    )

    assert solutions.leak_share(**case) == pytest.approx(report.test.share_same_encounter)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_epoch_is_the_baselines(seed):
    inputs = case_of("train_epoch", seed)
    exercise = week1.EXERCISES["train_epoch"]

    own, shown = (exercise.values(module, inputs) for module in (solutions, baseline))

    assert exercise.difference(inputs, shown, own) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_accuracies_are_those_of_the_report(seed):
    case = case_of("accuracy", seed)
    report = evaluate_classification(**case, identities=[str(i) for i in range(7)])

    assert solutions.accuracy(**case) == pytest.approx(report.accuracy)
    assert solutions.balanced_accuracy(**case) == pytest.approx(report.balanced_accuracy)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_interval_is_the_cluster_bootstraps(seed, monkeypatch):
    monkeypatch.setattr(intervals, "N_RESAMPLES", 6000)
    case = case_of("interval_over_animals", seed)
    values, animals = case["values"], case["animals"]
    course = bootstrap_over_individuals(values, animals)

    low, high = solutions.interval_over_animals(
        values, animals, 6000, 0.95, np.random.default_rng(seed)
    )

    width = course.high - course.low
    assert low == pytest.approx(course.low, abs=0.06 * width)
    assert high == pytest.approx(course.high, abs=0.06 * width)
