"""What a report says: its words, its size, and that it is written of whatever there is."""

import json
import math
import random
import re
import struct
import subprocess
import sys
from dataclasses import replace

import pytest
from ray import tune

from tune_jobs.engine.analysis.advice import advise_on, warnings_of
from tune_jobs.engine.analysis.clock import Clock
from tune_jobs.engine.analysis.importance import Effect, Importance
from tune_jobs.engine.analysis.narrow_space import narrow
from tune_jobs.engine.experiments.history.records import TrialStart
from tune_jobs.engine.formatting import setting
from tune_jobs.engine.report import write_report
from tune_jobs.engine.report.finals_charts import chart_finalists
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.headline import make_headline
from tune_jobs.engine.report.page import render_page
from tune_jobs.engine.report.progress_charts import chart_history
from tune_jobs.engine.report.space_charts import (
    chart_importance,
    chart_parallel,
    find_advice,
    shade_next,
    slices,
)
from tune_jobs.engine.report.tables import config_facts
from tune_jobs.engine.report.work_charts import chart_timeline
from tune_jobs.engine.storage.folder import open_folder
from tune_jobs.engine.views.show import lines

WINNER = {
    "trial": 2,
    "config": {"learning_rate": 0.01},
    "metric": "val_loss",
    "mode": "min",
    "epochs": 9,
    "search_value": 0.10,
    "mean": 0.131,
    "interval": [0.11, 0.15],
    "level": 0.95,
    "scores": 8,
    "luck": 0.031,
    "is_distinguished": False,
    "sentence": "Trial 2 scores 0.131 on fresh seeds.",
    "runner_up": {"trial": 7, "mean": 0.133, "gap": 0.002, "interval": [-1, 1], "p_value": 0.6},
    "one_standard_error": {
        "trial": 7,
        "mean": 0.133,
        "parameters": 1234,
        "seconds": None,
        "by": "parameters",
    },
    "baselines": [{"name": "majority class", "mean": 0.66, "test": {"log_loss": 0.64}}],
    "finalists": [
        {
            "trial": 2,
            "config": {},
            "search_value": 0.1,
            "mean": 0.131,
            "interval": [0.1, 0.2],
            "scores": [0.13],
        },
        {"trial": 7, "config": {}, "search_value": 0.1, "scores": None, "failure": "lost"},
    ],
}


def read_page(experiment) -> str:
    return experiment.folder.read("report.html").decode()


def test_page_and_picture_are_written_beside_the_experiment(make) -> None:
    experiment = make.search("nightly", 12, summary={})

    uris = write_report([experiment])

    assert uris == [f"{experiment.folder.uri}/report.{kind}" for kind in ("html", "png")]
    assert [n for n in experiment.folder.names() if n.startswith("report")] == [
        "report.html",
        "report.png",
    ]
    picture = experiment.folder.read("report.png")
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert width > height > 600


def test_a_report_can_go_to_another_folder(make, tmp_path) -> None:
    experiment, elsewhere = make.search("nightly", 3), open_folder(tmp_path / "elsewhere")
    elsewhere.create()

    write_report([experiment], elsewhere)

    assert elsewhere.names() == ["report.html", "report.png"]
    assert not experiment.folder.exists("report.html")


def test_a_thousand_trials_are_less_than_two_megabytes(make) -> None:
    records = [
        record
        for number in range(1, 1001)
        for record in make.trial(number, make.draw(number), [make.curve(make.draw(number), 10)])
    ]
    experiment = make.write("large", records, summary={})

    write_report([experiment])

    assert len(experiment.folder.read("report.html")) < 2_000_000
    assert 'data-trial="1000"' in read_page(experiment)


def test_of_very_many_trials_a_sample_is_shown_and_the_page_says_so(make) -> None:
    records = [r for n in range(1, 1501) for r in make.trial(n, make.draw(n), [[1 / n]])]
    findings = Findings(make.write("huge", records))

    shown = [trial.number for trial in findings.shown]

    assert len(shown) == 1000
    assert set(range(1301, 1501)) <= set(shown), "the best are among them"
    write_report([findings.experiment])
    assert "show 1,000 of 1,500 trials" in read_page(findings.experiment)


def test_a_space_of_many_hyperparameters_makes_no_heavy_page(make) -> None:
    chance = random.Random(0)
    records = [
        record
        for number in range(1, 1001)
        for record in make.trial(
            number, {f"x{place}": chance.random() for place in range(60)}, [[1 / number] * 10]
        )
    ]
    experiment = make.write("wide", records, space={f"x{p}": "uniform(0, 1)" for p in range(60)})

    write_report([experiment])

    assert len(experiment.folder.read("report.html")) < 2_000_000


def test_without_a_winner_the_verdict_is_provisional(make) -> None:
    verdict = make_headline(Findings(make.search("nightly", 12)))

    assert "during the search" in verdict.value_of
    assert "looks better than it is" in verdict.sentences[0]


def test_without_a_winner_the_config_of_the_best_is_shown(make) -> None:
    findings = Findings(make.search("nightly", 12))

    assert dict(config_facts(findings)) == {
        name: setting(value) for name, value in findings.best.config.items()
    }


def test_the_verdict_tells_the_winner_its_spread_its_luck_and_what_it_is_held_against(make) -> None:
    summary = {"winner": WINNER, "test": {"log_loss": 0.12}, "warnings": ["widen learning_rate"]}
    verdict = make_headline(Findings(make.search("nightly", 12, summary=summary)))

    assert verdict.value == "0.131"
    assert verdict.value_of == ("val_loss of trial 2, mean of 8 fresh scores, 95% CI 0.11 to 0.15")
    said = " ".join(verdict.sentences)
    assert "0.031 better than on fresh seeds" in said
    assert "The runner-up is trial 7 with 0.133: no significant difference (p = 0.6)." in said
    assert "trial 7 (1,234 parameters)" in said
    assert verdict.scores == [("val_loss, majority class", "0.66")]
    assert verdict.tests.heads == ["test set", "log_loss"]
    assert verdict.tests.rows == [["winner", "0.12"], ["majority class", "0.64"]]
    assert verdict.warnings == ["widen learning_rate"]


def test_the_config_of_the_winner_is_that_of_its_trial(make) -> None:
    findings = Findings(make.search("nightly", 12, summary={"winner": WINNER}))

    assert dict(config_facts(findings))["patience"] == "8"
    assert findings.config == next(t.config for t in findings.trials if t.number == 2)
    write_report([findings.experiment])
    assert "<dt>patience</dt><dd>8</dd>" in read_page(findings.experiment)


def test_an_incumbent_that_the_search_did_not_try_is_shown_with_its_config(make) -> None:
    winner = {**WINNER, "trial": 0}
    findings = Findings(make.search("nightly", 12, summary={"winner": winner}))

    assert config_facts(findings) == [("learning_rate", "0.01")]
    assert findings.chosen_as == f"trial {findings.best.number}, the best"


def test_an_interval_that_is_not_known_is_not_told(make) -> None:
    summary = {"winner": {**WINNER, "interval": [math.nan, math.nan]}}
    verdict = make_headline(Findings(make.search("nightly", 12, summary=summary)))
    assert verdict.value_of == "val_loss of trial 2, mean of 8 fresh scores"


def test_the_winner_and_not_the_luckiest_is_marked_in_the_charts(make) -> None:
    findings = Findings(make.search("nightly", 12, summary={"winner": WINNER}))

    history = chart_history(findings)

    assert history is not None
    marks = {mark.look: mark for mark in history.marks}
    assert marks["best"].trials == [2]
    assert findings.best is not None
    assert findings.best.number != 2


@pytest.mark.parametrize(("count", "words"), [(60, "found nothing better"), (28, "late in the")])
def test_the_verdict_says_whether_the_search_has_converged(make, count, words) -> None:
    verdict = make_headline(Findings(make.search("nightly", count)))  # trial 28 is a record

    assert any(words in sentence for sentence in verdict.sentences)


def write_even_search(make, count: int = 60, **changes):
    """A search in which every trial is trained as long as the others."""
    records = []
    for number in range(1, count + 1):
        config = make.draw(number)
        records += make.trial(number, config, [make.curve(config, 3)])
    return make.write("even", records, **changes)


def find_rate(findings):
    return next(h for h in findings.hyperparameters if h.name == "learning_rate")


def test_the_range_to_search_next_is_where_the_best_quarter_lies(make) -> None:
    findings = Findings(write_even_search(make))
    rate = find_rate(findings)

    (shape,), words = shade_next(rate, find_advice(findings))

    (left, _), (right, _) = shape[0], shape[2]
    assert left < rate.scale.position(0.01) < right
    assert right - left < 0.5
    assert words.startswith("search next: 0.00")


def test_report_stages_and_summary_say_the_same(make) -> None:
    records = []
    for number in range(1, 61):
        config = {"learning_rate": 10 ** random.Random(number).uniform(-4, -2)}
        records += make.trial(number, config, [make.curve(config, 3)])
    experiment = make.write("edge", records, space={"learning_rate": "loguniform(0.0001, 0.01)"})
    findings, space = Findings(experiment), {"learning_rate": tune.loguniform(1e-4, 1e-2)}

    (box,), words = shade_next(find_rate(findings), find_advice(findings))

    ranked = [json.loads(text) for text in experiment.ranked["config"]]
    narrower, (line,) = narrow(space, ranked, keep=0.25)
    low, high = narrower["learning_rate"].lower, narrower["learning_rate"].upper
    (warning,) = warnings_of(advise_on(experiment, space, findings.effects))
    assert words == f"{warning}; search next: {low} to {high}; {line.split(': ')[1]}"
    assert box[0][0] == pytest.approx(find_rate(findings).scale.position(low), abs=0.011)


def test_a_choice_between_branches_is_told_where_its_name_is_shown(make) -> None:
    space = {
        "optimizer": {
            "choice": [
                {"name": "adam", "rate": "loguniform(0.0001, 0.1)"},
                {"name": "sgd", "rate": "loguniform(0.001, 1)"},
            ]
        }
    }
    records = []
    for number in range(1, 61):
        chance = random.Random(number)
        name, low = chance.choice([("adam", -4), ("sgd", -3)])
        rate = 10 ** chance.uniform(low, low + 3)
        loss = abs(math.log10(rate) + 2) / 10 + (name == "sgd")
        config = {"optimizer": {"name": name, "rate": rate}}
        records += make.trial(number, config, [[loss, loss]])
    findings = Findings(make.write("branches", records, space=space))
    advice = find_advice(findings)
    name, rate = (
        next(h for h in findings.hyperparameters if h.name == f"optimizer.{last}")
        for last in ("name", "rate")
    )

    assert shade_next(name, advice)[1].startswith("search next: without 'sgd'; none of the best")
    boxes, words = shade_next(rate, advice)
    assert re.fullmatch(
        "with 'adam': search next: 0.00.* to 0.0.*; with 'sgd': too few trials to say .*", words
    )
    assert len(boxes) == 1


def test_a_report_says_how_configs_were_chosen_and_what_to_expect_of_more(make) -> None:
    search = make.search("nightly", 30)
    records = list(search.segments.records())
    chosen = {number: "random" if number <= 8 else "gp" for number in range(1, 31)}
    records = [
        replace(record, by=chosen[record.trial]) if isinstance(record, TrialStart) else record
        for record in records
    ]
    experiment = make.write("chosen", records, summary={})
    page = render_page([Findings(experiment)])
    shown = lines(experiment, short=False)

    for text in (page, "\n".join(shown)):
        assert "8 at random, 22 by the Gaussian process" in text
        assert "20 more trials: expected improvement" in text
    believed = next(line for line in shown if "matters" in line)
    assert "learning_rate" in believed.split(" (most first, untested)")[0]
    assert "untested" not in page  # which says what has mattered
    assert not any("outlook" in line for line in lines(experiment, short=True))


def test_a_page_has_one_order_of_importance(make) -> None:
    findings = Findings(make.search("nightly", 30))
    shares = {"learning_rate": 0.2, "momentum": 0.5, "layers.0.units": 0.1, "optimizer.name": 0.3}
    noise = ("momentum", "optimizer.name")
    effects = [Effect(name, share, 0.5, name in noise) for name, share in shares.items()]
    vars(findings)["importance"] = Importance("val_loss", 3, 30, tuple(effects))
    order = ["learning_rate", "layers.0.units", "momentum", "optimizer.name"]

    assert [label for _, label in chart_importance(findings).y] == order
    assert [h.name for h in findings.hyperparameters][:4] == order
    assert [each.hyperparameter.name for each in slices(findings)][:4] == order
    assert [name for _, name in chart_parallel(findings).x][:4] == order


def test_a_report_of_an_earlier_version_does_not_say_how_configs_were_chosen(make) -> None:
    page = render_page([Findings(make.search("nightly", 7))])

    assert "Outlook" not in page


def test_a_report_is_written_without_ray(make) -> None:
    experiment = make.search("nightly", 12, summary={})
    code = (
        "import sys\n"
        "from tune_jobs.engine.experiments.experiment import open_experiment\n"
        "from tune_jobs.engine.report import write_report\n"
        f"write_report([open_experiment({experiment.folder.path!r}, '.')])\n"
        "print('ray' in sys.modules)"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert ran.stdout == "False\n", ran.stderr


def test_what_has_no_clear_effect_is_kept(make) -> None:
    findings = Findings(write_even_search(make))
    momentum = next(h for h in findings.hyperparameters if h.name == "momentum")

    assert shade_next(momentum, find_advice(findings)) == ([], "no clear effect: keep it")


def test_values_are_compared_at_an_epoch_that_all_trials_have(make) -> None:
    findings = Findings(make.search("nightly", 45))

    assert findings.common_epoch == 1
    assert len(findings.common_values) == 45
    write_report([findings.experiment])
    assert "Effects on val_loss after 1 epoch, all 45 trials" in read_page(findings.experiment)


@pytest.mark.parametrize("lacking", ["space", "constants", "resources", "versions", "command"])
def test_a_description_of_an_earlier_version_will_do(make, lacking) -> None:
    experiment = make.search("old", 12)
    described = experiment.folder.read_json("experiment.json")
    del described[lacking]
    experiment.folder.write_json("experiment.json", described)

    write_report([experiment])

    assert "learning_rate" in read_page(experiment)


@pytest.mark.parametrize(
    "values",
    [[math.nan], [math.inf, -math.inf], [1e308, -1e308], [1e-320, 0.0], [0.5, 0.5, 0.5], []],
    ids=str,
)
@pytest.mark.parametrize("mode", ["min", "max"])
def test_any_values_of_the_metric_can_be_reported(make, values, mode) -> None:
    records = [r for n in range(1, 13) for r in make.trial(n, make.draw(n), [values])]

    write_report([make.write("odd", records, mode=mode)])


def test_any_values_of_hyperparameters_can_be_reported(make) -> None:
    odd = [None, True, 10**400, math.inf, math.nan, "", "é\u202e\x00", [], {}, [1, [2, {"a": 3}]]]
    records = []
    for number in range(1, 21):
        config = {"odd": odd[number % len(odd)], "x": number, **({"y": 1} if number % 2 else {})}
        records += make.trial(number, config, [[1 / number]])

    write_report([make.write("odd", records, space={"odd": "loguniform(0, 0)"})])


def test_failures_are_grouped_by_cause_the_most_frequent_first(make) -> None:
    records = [
        record
        for number in range(1, 8)
        for record in make.trial(
            number,
            make.draw(number),
            [],
            "failed",
            "Traceback\nMemoryError" if number < 3 else "Traceback\nValueError: units is -3",
        )
    ]
    experiment = make.write("failed", records, summary={"outcome": "nothing usable"})

    write_report([experiment])

    page = read_page(experiment)
    assert "Every trial failed" in page
    assert re.findall(r"<strong>(\d+) .</strong> <code>(.+)</code>", page) == [
        ("5", "ValueError: units is -3"),
        ("2", "MemoryError"),
    ]


def test_experiments_of_different_metrics_are_shown_but_not_compared(make) -> None:
    one, other = make.search("one", 12), make.search("other", 12, metric="loss", mode="max")

    write_report([one, other])

    page = read_page(one)
    assert "different metrics" in page
    assert "found the better" not in page


def test_two_experiments_are_compared_by_what_fresh_seeds_say(make) -> None:
    better = {**WINNER, "mean": 0.09, "interval": [0.08, 0.1]}
    one = make.search("one", 12, summary={"winner": WINNER})
    other = make.search("other", 12, summary={"winner": better})

    write_report([one, other])

    page = read_page(one)
    assert "On fresh seeds other is better: val_loss 0.09 against 0.131 of one." in page
    assert "tie" not in page.split("</section>")[0]


@pytest.mark.parametrize(
    ("mean", "interval", "said"),
    [
        (0.131, [0.13, 0.132], "On fresh seeds one and other tie: val_loss 0.131."),
        (0.12, [0.10, 0.14], "it is a tie, since the intervals of the two overlap: other has"),
    ],
)
def test_a_tie_is_a_tie(make, mean, interval, said) -> None:
    same = {**WINNER, "mean": mean, "interval": interval}
    one = make.search("one", 12, summary={"winner": WINNER})
    write_report([one, make.search("other", 12, summary={"winner": same})])

    page = read_page(one)
    assert said in page
    assert "is better: val_loss" not in page


def test_searches_that_found_the_same_tie(make) -> None:
    one = make.search("one", 12, summary={})
    write_report([one, make.search("other", 12, summary={})])
    assert "During the search, one and other tie: val_loss" in read_page(one)


def test_finalists_are_sorted_and_means_of_one_kind_compared(make) -> None:
    def finalist(trial: int, scores: list[float], later: list[float]) -> dict:
        mean = sum(later or scores) / len(later or scores)
        interval = [mean - 0.1, mean + 0.1]
        return {
            "trial": trial,
            "config": {},
            "search_value": 0.1,
            "mean": mean,
            "interval": interval,
            "scores": scores,
            "later_scores": later,
        }

    verdict = {
        **WINNER,
        "finalists": [
            finalist(7, [0.30, 0.32], [0.4, 0.5]),
            finalist(5, [0.9, 50.0], []),
            finalist(9, [0.6, 0.62], []),
            finalist(2, [0.2, 0.22], [0.25, 0.27]),
        ],
    }
    chart = chart_finalists(Findings(make.search("one", 12, summary={"winner": verdict})))

    assert [label for _, label in chart.y] == ["trial 2, winner", "trial 7", "trial 9", "trial 5"]
    assert chart.aside == "1 outlier is clipped."
    marks = {mark.look: mark.trials for mark in chart.marks}
    assert marks["mean-chose"] == [2, 7, 9, 5]  # of all
    assert marks["mean"] == marks["spread"] == [2, 7]  # of the pair


def test_time_between_two_runs_is_left_out_of_the_timeline(make, monkeypatch) -> None:
    experiment = make.search("one", 12)
    findings = Findings(experiment)
    first = min(trial.began for trial in findings.trials)
    last = max(trial.ended for trial in findings.trials)
    pause = (last + 10, last + 86_410)
    later = [
        replace(trial, number=trial.number + 12, began=pause[1] + 5, ended=pause[1] + 20)
        for trial in findings.trials
    ]
    vars(findings)["trials"] = findings.trials + later
    vars(findings)["clock"] = Clock(first, (pause,))

    chart = chart_timeline(findings)

    assert "24 h between 2 runs are left out" in chart.words
    assert chart.x_title == "seconds of runs since the first trial"
    (resumed,) = [mark for mark in chart.marks if mark.look == "resumed"]
    assert 0.2 < resumed.shapes[0][0][0] < 0.6
    assert ("lines resumed", "the run was resumed") in chart.legend


def test_a_report_needs_an_experiment() -> None:
    with pytest.raises(ValueError, match="at least one experiment"):
        write_report([])


def test_a_score_on_the_test_set_that_people_know_comes_first(make) -> None:
    known = [
        {"name": "accuracy", "value": 0.91, "interval": [0.85, 0.95]},
        {"name": "ROC AUC", "value": 0.97, "interval": None},
    ]
    on_test = {"rows": 114, "known": known, "sentence": "By log loss, the winner is better."}
    summary = {"winner": WINNER, "test": {"accuracy": 0.91}, "on_test": on_test}
    verdict = make_headline(Findings(make.search("nightly", 12, summary=summary)))

    assert verdict.value == "0.91"
    assert verdict.value_of == "accuracy (95% CI 0.85 to 0.95), 114 test rows"
    assert verdict.sentences[:4] == [
        "0.131 is the val_loss of trial 2, mean of 8 fresh scores, 95% CI 0.11 to 0.15.",
        "The runner-up is trial 7 with 0.133: no significant difference (p = 0.6).",
        "On 114 test rows: ROC AUC 0.97.",
        "By log loss, the winner is better.",
    ]
