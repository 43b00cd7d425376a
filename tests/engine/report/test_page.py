"""The page as a reader has it: opened in a browser that has no network."""

import json
import math
import random
import re
from itertools import pairwise
from pathlib import Path

import pytest

from tune_jobs.engine.report import write_report
from tune_jobs.engine.report.page import HERE, REFRESH

ALL_CHARTS = {
    "Optimisation history",
    "Learning curves",
    "What mattered",
    "Timeline of workers",
    "Parallel coordinates",
    "learning_rate",
    "momentum",
    "layers.0.units",
    "layers.1.units",
    "optimizer.name",
    "optimizer.nesterov",
}
ORDER = [
    "Verdict",
    "Optimisation history",
    "Learning curves",
    "What mattered",
    "Slices",
    "Outlook",
    "Rungs",
    "Where the time went",
    "Failures",
    "Parallel coordinates",
    "Trials",
    "Provenance",
]
HOSTILE = [
    "<script>document.title='pwned'</script>",
    "</script><img src=x onerror=\"document.title='pwned'\">",
    "\"'><svg onload=document.title='pwned'>",
    "{{ 7 * 7 }}",
    "a.b[0]['c']",
    "__proto__",
    "constructor",
    "<!--",
    "]]>",
    "ünïcödé \U0001f600 \u202eesrever",
    "long" * 100,
]


def point_at(opened, trial: int, chart: str = "Optimisation history") -> None:
    """Move the pointer to a trial's point."""
    opened.page.locator(f"svg[aria-label^='{chart}']").first.scroll_into_view_if_needed()
    x, y = opened.page.evaluate(
        """([chart, trial]) => {
          const svg = document.querySelector(`svg[aria-label^='${chart}']`);
          const box = svg.getBoundingClientRect();
          for (const path of svg.querySelectorAll('.points[data-t]')) {
            const place = path.dataset.t.split(' ').indexOf(String(trial));
            if (place < 0) continue;
            const [x, y] = path.getAttribute('d').split('M')[place + 1].split('h')[0].split(' ');
            return [box.left + x * box.width / 1000, box.top + y * box.height / 1000];
          }
        }""",
        [chart, trial],
    )
    opened.page.mouse.move(x, y)
    opened.page.wait_for_timeout(60)


def test_an_ordinary_report_has_all_its_parts_in_order_and_asks_for_nothing(make, show) -> None:
    usage = {"useful": 0.4, "workers": 2, "seconds": {"training": 4.0, "waiting": 6.0}}
    experiment = make.search("nightly", 60, replicas=3, summary={"usage": usage})
    opened = show(experiment)

    assert opened.headings() == ORDER
    assert set(opened.charts()) == ALL_CHARTS | {"Use of the workers' time"}
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [
        f"file://{experiment.folder.path}/report.html"
    ]
    bands = opened.page.locator("svg[aria-label^='Learning curves'] .band")
    assert bands.count() == 1


def test_every_chart_has_a_text_alternative_and_marks_to_see(make, show) -> None:
    page = show(make.search("nightly", 30)).page

    for chart in page.locator("svg.plot").all():
        assert chart.get_attribute("role") == "img"
        assert len(chart.get_attribute("aria-label") or "") > 40
        assert (chart.bounding_box() or {"height": 0})["height"] > 15 or not chart.is_visible()
        assert chart.locator("path[d]").count()
    for chart in page.locator("svg:not([role=img])").all():
        assert chart.get_attribute("aria-hidden") == "true"


@pytest.mark.parametrize("count", [0, 1])
def test_an_empty_and_a_one_trial_experiment_have_a_report(make, show, count) -> None:
    records = make.trial(1, make.draw(1), [[0.5, 0.4]]) if count else []
    opened = show(make.write("small", records, summary={"outcome": "complete"}))

    assert opened.complaints == []
    headline = opened.page.locator(".headline").inner_text()
    assert ("0.4" if count else "No result") in headline
    assert ("Optimisation history" in opened.charts()) == bool(count)
    assert opened.page.locator(".all tbody tr").count() == count


def test_an_experiment_of_failures_tells_their_causes(make, show) -> None:
    records = [r for n in range(1, 13) for r in make.trial(n, make.draw(n), [], "failed")]
    opened = show(make.write("failed", records, summary={"outcome": "nothing usable"}))

    assert opened.complaints == []
    assert "Failures" in opened.headings()
    said = opened.page.locator(".failure").inner_text()
    assert said.startswith("12 ")
    assert "ValueError: units is -3" in said


def test_a_running_experiment_shows_what_is_known(make, show) -> None:
    records = [*make.trial(1, make.draw(1), [[0.5]]), *make.trial(2, make.draw(2), [], "running")]
    opened = show(make.write("running", records))

    assert opened.complaints == []
    assert "this report shows what is known so far" in opened.page.locator("header").inner_text()
    assert opened.page.locator("tr[data-trial='2']").inner_text().startswith("2\trunning")


def test_a_thousand_trials_can_be_looked_at(make, show) -> None:
    opened = show(make.search("large", 1000))

    assert opened.complaints == []
    assert set(opened.charts()) == ALL_CHARTS
    point_at(opened, 500)
    assert len(opened.marked()) == 1
    assert "of 1,000" in opened.page.locator("section[id$=curves]").inner_text()


def test_a_trial_that_is_pointed_at_is_marked_in_every_chart_and_in_the_table(make, show) -> None:
    opened = show(make.search("nightly", 27))

    point_at(opened, 9)

    assert opened.marked() == {"9"}
    assert opened.count_marked() >= 8
    assert opened.page.locator("tr.on").get_attribute("data-trial") == "9"
    card = opened.page.locator(".card").inner_text()
    assert card.startswith("Trial 9, complete, val_loss")
    assert "learning_rate" in card
    opened.page.mouse.move(2, 2)
    assert opened.count_marked() == 0
    assert opened.page.locator(".card").is_hidden()


def test_a_click_keeps_a_trial_marked_until_escape(make, show) -> None:
    opened = show(make.search("nightly", 27))
    point_at(opened, 9)
    opened.page.mouse.down()
    opened.page.mouse.up()

    opened.page.mouse.move(2, 2)
    assert opened.marked() == {"9"}
    opened.page.keyboard.press("Escape")
    assert opened.count_marked() == 0


def test_the_keyboard_goes_from_trial_to_trial_in_a_chart_and_in_the_table(make, show) -> None:
    opened = show(make.search("nightly", 27))
    opened.page.locator("section[id$=history] .frame").focus()

    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("ArrowRight")
    assert opened.marked() == {"2"}
    assert "Trial 2" in opened.page.locator("#said").inner_text()

    first = opened.page.locator(".all tbody tr").first
    first.focus()
    opened.page.keyboard.press("ArrowDown")
    second = opened.page.locator(".all tbody tr").nth(1)
    assert opened.marked() == {second.get_attribute("data-trial")}
    assert opened.page.evaluate("document.activeElement.dataset.trial") == second.get_attribute(
        "data-trial"
    )


def column(opened, place: int) -> list[str]:
    cells = opened.page.locator(f".all tbody tr:not([hidden]) td:nth-child({place})")
    return cells.all_inner_texts()


def test_the_table_is_sorted_by_numbers_both_ways_with_empty_cells_last(make, show) -> None:
    records = [r for n in range(1, 12) for r in make.trial(n, make.draw(n), [[10.0**-n]])]
    records += make.trial(12, make.draw(12), [], "failed")
    opened = show(make.write("sorted", records))
    head = opened.page.get_by_role("button", name="val_loss", exact=True)

    head.click()
    assert column(opened, 1) == [*map(str, range(11, 0, -1)), "12"]
    head.click()
    assert column(opened, 1) == [*map(str, range(1, 12)), "12"]
    assert opened.page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize(
    ("typed", "keeps"),
    [
        ("state=complete", lambda row: row["state"] == "complete"),
        ("learning_rate<0.01", lambda row: row["learning_rate"] < 0.01),
        ("epochs<10", lambda row: row["epochs"] < 10),
        ("units=16", lambda row: row["layers.0.units"] == 16),
        ("sgd failed", lambda row: row["optimizer.name"] == "sgd" and row["state"] == "failed"),
        ("patience=8 epochs>=3", lambda row: row["epochs"] >= 3),
        ("nothing-like-this", lambda row: row["epochs"] < 0),
        ("", lambda row: row["epochs"] > 0),
    ],
)
def test_the_table_is_filtered_by_words_and_by_values(make, show, typed, keeps) -> None:
    experiment = make.search("nightly", 40)
    opened = show(experiment)

    opened.page.locator(".filter").fill(typed)

    rows = experiment.trials.rename(columns=lambda name: name.removeprefix("config."))
    expected = {str(row["trial"]) for row in rows.to_dict("records") if keeps(row)}
    assert set(column(opened, 1)) == expected
    said = f"{len(expected)} of 40 trials" if len(expected) < 40 else "40 trials"
    assert opened.page.locator(".shown").inner_text() == said


def test_a_config_is_copied_exactly(make, show, chromium) -> None:
    config = {"rate": 1e-05, "units": [{"n": 1.0}, {"n": 2}], "big": 2**60, "text": '"<é>"'}
    records = make.trial(1, config, [[0.5]])
    opened = show(make.write("copied", records), permissions=["clipboard-read", "clipboard-write"])

    for button in (".verdict .copy", "tr .copy"):
        opened.page.evaluate("navigator.clipboard.writeText('')")
        opened.page.locator(button).click()
        copied = opened.page.evaluate("navigator.clipboard.readText()")
        assert json.loads(copied) == config
        assert isinstance(json.loads(copied)["units"][0]["n"], float)


def test_hostile_names_and_values_are_text(make, show) -> None:
    records = []
    for number in range(1, 25):
        config = dict.fromkeys(HOSTILE, number / 10)
        config["chosen"] = HOSTILE[number % len(HOSTILE)]
        error = f"Traceback\nValueError: {HOSTILE[number % 3]}"
        state = "failed" if number % 6 == 0 else "complete"
        records += make.trial(number, config, [[1 / number]], state, error)
    hostile = HOSTILE[1]
    experiment = make.write(
        "hostile & <b>bold #1?",
        records,
        summary={"test": {hostile: 0.5}, "warnings": [hostile], "ended_because": hostile},
        space=dict.fromkeys(HOSTILE, "uniform(0, 5)"),
        machine=hostile,
        versions={hostile: hostile},
        command={"job": hostile},
        table={
            "columns": [
                {
                    "name": each,
                    "kind": "text",
                    "missing": 3,
                    "distinct": 40,
                    "examples": HOSTILE,
                    "use": each,
                }
                for each in HOSTILE
            ],
            "width": 500,
            "classes": dict.fromkeys(HOSTILE, 5),
            "notes": HOSTILE,
            "warnings": HOSTILE,
        },
    )
    opened = show(experiment)
    point_at(opened, 3)

    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("data:")][1:] == []
    assert opened.page.title() == "hostile & <b>bold #1? · tune-jobs report"
    assert opened.page.locator("script").count() == 2
    assert opened.page.locator("img, b, svg[onload], iframe").count() == 0
    heads = opened.page.locator(".all thead button").all_inner_texts()
    assert {HOSTILE[0], HOSTILE[1], HOSTILE[3], "a.b[0]['c']"} <= set(heads)
    slices = opened.page.locator(".slice h3").all_text_contents()
    assert HOSTILE[0] in slices
    columns = opened.page.locator("section[id$=data] tbody th").all_text_contents()
    assert columns[0] == HOSTILE[0] and len(columns) == len(HOSTILE)
    said = opened.page.locator("section[id$=data] p").all_text_contents()
    assert said[-1] == f"The first {len(HOSTILE)} of 500 columns are shown."
    assert "<script>document.title='pwned'</script>" in opened.page.locator(".card").inner_text()
    opened.page.locator(".filter").fill("__proto__>1 constructor<2")
    assert set(column(opened, 1)) == {str(number) for number in range(11, 20)}


def test_a_script_that_slipped_in_would_not_run(make, show) -> None:
    opened = show(make.search("nightly", 3))

    opened.page.evaluate(
        """() => {
          const script = document.createElement('script');
          script.textContent = "document.title = 'pwned'";
          document.body.append(script);
        }"""
    )

    assert opened.page.title() == "nightly · tune-jobs report"
    assert any("Content Security Policy" in text for text in opened.complaints)


def test_without_scripts_charts_and_table_are_there(make, show) -> None:
    page = show(make.search("nightly", 60), java_script_enabled=False).page

    assert page.locator("svg[role=img] path").count() > 30
    assert page.locator(".all tbody tr").count() == 60


def test_two_experiments_share_a_page_and_are_marked_apart(make, show) -> None:
    opened = show(make.search("first", 27), make.search("second", 18, seed=1))

    assert opened.complaints == []
    assert opened.page.locator("h1").all_inner_texts() == ["first and second", "first", "second"]
    assert "Best so far" in opened.charts()
    point_at(opened, 9)
    assert opened.page.locator("[data-experiment='e0'] .marked:has(.core)").count() >= 8
    assert opened.page.locator("[data-experiment='e1'] .marked:has(.core)").count() == 0


def places(page, chart: str, marks: str) -> list[float]:
    """How far up the marks of a chart are, from 0 to 1."""
    found = page.locator(f"svg[aria-label^='{chart}'] path.{marks}").first.get_attribute("d")
    return [1 - float(y) / 1000 for y in re.findall(r"[ML][\d.]+ ([\d.]+)", found)]


def test_an_axis_is_switched_to_logarithmic_and_back(make, show) -> None:
    values = [0.01, 0.1, 0.4, 0.5, 0.6, 0.7]
    records = [r for n, v in enumerate(values, 1) for r in make.trial(n, make.draw(n), [[v]])]
    opened = show(make.write("wide", records, summary={}))
    page, chart = opened.page, "Optimisation history"
    button = page.locator("#e0-history .switch")
    before = [places(page, chart, "e5"), button.inner_text()]
    labels = page.locator("#e0-history svg.y:visible text").all_inner_texts()

    button.click()
    after, title = places(page, chart, "e5"), page.locator("#e0-history .axis.top").inner_text()
    others = page.locator("#e0-history svg.y:visible text").all_inner_texts()
    point_at(opened, 3)
    marked = opened.marked()
    button.click()

    assert opened.complaints == []
    assert [places(page, chart, "e5"), button.inner_text()] == before
    linear, logarithmic = sorted([before[0], after], key=lambda found: found[1] - found[0])
    steps = [high - low for low, high in pairwise(logarithmic)]
    assert steps[0] == pytest.approx(steps[1] * math.log(10) / math.log(4), rel=0.02)
    steps = [high - low for low, high in pairwise(linear)]
    assert steps[1] == pytest.approx(steps[0] * 30 / 9, rel=0.05)
    assert ("logarithmic" in title) == (before[1] == "logarithmic")
    assert labels != others
    assert marked == {"3"}


def test_sections_fold_and_effects_of_chance_are_one_sentence(make, show) -> None:
    chance = random.Random(2)
    records = [
        record
        for number in range(1, 25)
        for record in make.trial(number, make.draw(number), [[chance.random()]])
    ]
    page = show(make.write("noise", records, summary={})).page
    mattered = page.locator("#e0-mattered")

    assert "no hyperparameter has a statistically significant effect in 24 trials" in (
        mattered.inner_text().lower()
    )
    assert mattered.locator(".plot:visible").count() == 0
    mattered.locator("details details summary").click()
    assert mattered.locator(".plot:visible").count() == 1
    page.locator("#e0-curves summary").first.click()
    assert page.locator("#e0-curves .plot:visible").count() == 0
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#e0-curves .plot:visible").count() == 1


def test_the_page_of_a_run_reloads_itself_and_stays_as_it_was(make, show) -> None:
    records = [*make.trial(1, make.draw(1), [[0.5, 0.4]]), *make.trial(2, make.draw(2), [[0.3]])]
    experiment = make.write("live", records)
    opened = show(experiment)
    page = opened.page
    assert page.locator(".live").inner_text().strip() == f"reload every {REFRESH} s"
    page.locator("#e0-curves summary").first.click()
    page.locator(".filter").fill("complete")
    page.locator(".all thead button").first.click()
    page.locator(".filter").focus()

    more = make.trial(3, make.draw(3), [[0.2]])
    write_report([make.write("live", [*records, *more])])
    page.evaluate("tick()")
    page.wait_for_selector("tr[data-trial='3']", state="attached")

    assert not page.locator("#e0-curves .plot").is_visible()
    assert page.locator("#e0-history .plot").is_visible()
    assert page.locator(".filter").input_value() == "complete"
    assert page.evaluate("document.activeElement.className") == "filter"
    shown = page.locator(".all tbody tr").evaluate_all("rows => rows.map((r) => r.dataset.trial)")
    assert shown == ["1", "2", "3"]
    page.locator(".reload").uncheck()
    before = len(opened.requests)
    page.evaluate("tick()")
    page.wait_for_timeout(200)
    assert len(opened.requests) == before
    assert opened.complaints == []


def test_the_page_of_a_run_that_ended_does_not_reload(make, show) -> None:
    page = show(make.search("ended", 9, summary={})).page
    assert page.locator(".live").count() == 0
    assert page.locator("body").get_attribute("data-refresh") is None


def test_two_experiments_stand_side_by_side_and_on_a_phone_below_each_other(make, show) -> None:
    one, other = make.search("one", 18, summary={}), make.search("other", 18, summary={})
    opened = show(one, other)
    wide = opened.page
    for section in ("verdict", "history", "trials", "provenance"):
        left, right = (wide.locator(f"#e{i}-{section}").bounding_box() for i in (0, 1))
        assert left["y"] == right["y"], section
        assert left["x"] + left["width"] <= right["x"], section
    assert opened.complaints == []

    phone = show(one, other, width=390).page
    first, second = (phone.locator(f"#e{i}-verdict").bounding_box() for i in (0, 1))
    assert first["x"] == second["x"]
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_window(make, show, width) -> None:
    records = [
        record
        for number in range(1, 13)
        for record in make.trial(number, {"n" * 90: number, "text": "m" * 200}, [[1 / number]])
    ]
    page = show(make.write("wide" * 30, records, machine="x" * 300), width=width).page

    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_touch_marks_a_trial(make, show) -> None:
    opened = show(make.search("nightly", 18), width=390, has_touch=True)
    chart = opened.page.locator("svg[aria-label^='Optimisation history']")
    chart.scroll_into_view_if_needed()

    box = chart.bounding_box()
    for share in (0.3, 0.5, 0.7):  # somewhere along the line there is a trial
        opened.page.touchscreen.tap(box["x"] + box["width"] * share, box["y"] + box["height"] * 0.9)
    opened.page.wait_for_timeout(60)

    assert len(opened.marked()) <= 1


def test_print_shows_what_is_folded_and_the_first_trials_in_light_colours(make, show) -> None:
    page = show(make.search("nightly", 60), color_scheme="dark").page
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")

    assert page.locator("details:not([open])").count() == 0
    assert page.locator(".all tbody tr:visible").count() == 40
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".copy:visible, .filter:visible, .switch:visible").count() == 0
    table, heading = page.locator(".scroll:has(.small)"), page.locator(".fold > summary")
    assert table.first.evaluate("each => getComputedStyle(each).breakInside") == "avoid"
    assert heading.first.evaluate("each => getComputedStyle(each).breakAfter") == "avoid"


def test_a_print_of_many_hyperparameters_is_as_wide_as_its_paper(make, show) -> None:
    records = []
    for number in range(1, 13):
        config = {f"a_long_name_of_hyperparameter_{each}": number * each for each in range(1, 15)}
        records += make.trial(number, config, [[1 / number]])
    page = show(make.write("many", records), width=680).page
    page.emulate_media(media="print")

    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert page.locator(".all thead th:visible").count() == 12


def colours(scheme: str) -> dict[str, tuple[int, ...]]:
    """The variables of a colour scheme, those of the light one where the dark has none."""
    style = Path(HERE, "style.css").read_text()
    light, dark = style.split("@media screen", 1)
    text = light if scheme == "light" else light + dark.split("* {", 1)[0]
    found = re.findall(r"--([\w-]+): #(\w{6})\b", text)
    return {name: tuple(bytes.fromhex(value)) for name, value in found}


def luminance(colour: tuple[int, ...]) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_and_shades_differ_without_their_hue(scheme) -> None:
    known = colours(scheme)

    for text, paper in [(t, "paper") for t in ("ink", "soft", "link")] + [("warn", "warn-paper")]:
        assert contrast(known[text], known[paper]) >= 4.5, text
    for mark in ("best", "failed", "e5", "whole", "going"):
        assert contrast(known[mark], known["paper"]) >= 3, mark
    shades = [luminance(known[f"e{place}"]) for place in range(6)]
    assert shades == sorted(shades, reverse=scheme == "light")
    steps = [contrast(known[f"e{place}"], known[f"e{place + 1}"]) for place in range(5)]
    assert min(steps) > 1.2
