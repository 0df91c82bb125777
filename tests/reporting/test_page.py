"""Pages of reports as a browser shows them: drawn, chosen from, read aloud, printed, and silent."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from fakes.browser import Scheme, Show
from fakes.searched import NAME, searched
from playwright.sync_api import Page

from nas.reporting import page, report_of
from nas.store import Store

SEVERE = ("serious", "critical")
HOSTILE = "</script><script>window.hit=1</script><img src=x onerror=window.hit=1><!--"


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in SEVERE]


def point(page: Page, trace: int, place: int) -> Any:
    """A point of the front's chart."""
    return page.locator(f"#front-chart .scatterlayer .trace:nth-of-type({trace + 1}) .point").nth(
        place
    )


def test_every_chart_is_drawn_with_as_many_points_as_there_is_data(
    written: Any, show: Show
) -> None:
    shown = show(written.file)
    assert shown.complaints == []
    charts = [chart for section in written.report.sections for chart in section.charts]
    assert {"front", "parallel", "lines", "bars", "points"} == {chart.kind for chart in charts}
    for chart in charts:
        box = shown.page.locator(f"#{chart.key}")
        assert box.locator("svg.main-svg").count() > 0, chart.key
        if chart.kind == "front":
            # And the ring round the one that is chosen.
            assert box.locator(".scatterlayer .point").count() == len(written.complete) + 1
        elif chart.kind == "bars":
            bars = sum(len(series["y"]) for series in chart.data["series"])
            assert box.locator(".barlayer .point").count() == bars
        elif chart.kind != "parallel":
            points = sum(len(series["y"]) for series in chart.data["series"])
            assert box.locator(".scatterlayer .point").count() == points
        else:
            assert box.locator(".scatterlayer .js-line").count() == len(written.complete)
    assert shown.page.locator(".undrawn:visible").count() == 0


def test_pointing_tells_the_architecture_and_clicking_shows_it(written: Any, show: Show) -> None:
    shown = show(written.file)
    front = Store(written.storage).front(NAME)
    target = min(front, key=lambda trial: trial.metrics["params"])
    chosen = shown.page.locator("#chosen")
    assert "the best" in chosen.inner_text()
    before = shown.page.locator("#chosen-drawing").inner_html()

    place = front.index(target)
    shown.page.locator("#front-chart").scroll_into_view_if_needed()
    box = point(shown.page, 2, place).bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    shown.page.mouse.move(*middle, steps=3)
    hover = shown.page.locator("#front-chart .hoverlayer .hovertext")
    hover.wait_for()
    assert f"trial {target.number}" in hover.text_content()
    operator = target.architecture.choices["layer0.operator"]
    assert f"layer0.operator={operator}" in hover.text_content()

    shown.page.mouse.click(*middle)
    shown.page.wait_for_function(
        "n => document.getElementById('chosen-title').textContent.includes(n)",
        arg=f"Trial {target.number},",
    )
    decisions = shown.page.locator("#chosen-decisions").inner_text()
    assert f"layer0.width\t{target.architecture.choices['layer0.width']}" in decisions
    assert shown.page.locator("#chosen-drawing svg").count() == 1
    assert shown.page.locator("#chosen-drawing").inner_html() != before


@pytest.mark.parametrize(("trace", "place"), [(2, 0), (2, 2), (2, 4), (0, 10)])
def test_the_first_tap_on_a_phone_chooses_what_it_points_at(
    written: Any, show: Show, trace: int, place: int
) -> None:
    """The panel shows the trial that the words beside the finger are of."""
    found = show(written.file, width=400, touch=True).page
    found.locator("#front-chart").scroll_into_view_if_needed()
    box = point(found, trace, place).bounding_box()
    found.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    hover = found.locator("#front-chart .hoverlayer .hovertext")
    found.wait_for_timeout(400)  # what follows a tap: the events of a mouse
    told = re.search(r"trial (\d+)", hover.text_content() or "")
    assert told is not None
    title = found.locator("#chosen-title").inner_text()
    assert re.match(rf"Trial {told[1]}\b", title), title


AROUND = """index => {
  const box = document.getElementById("front-chart"), { xaxis, yaxis } = box._fullLayout;
  const points = box.data.flatMap(({ customdata, x, y }) =>
    (customdata ?? []).map((i, at) => [i, xaxis.d2p(x[at]), yaxis.d2p(y[at])]));
  const [, left, top] = points.find(([i]) => i === index);
  return points.filter(([, x, y]) => Math.hypot(x - left, y - top) <= 12).map(([i]) => i);
}"""


def test_tapping_again_goes_round_what_a_finger_cannot_tell_apart(written: Any, show: Show) -> None:
    """Each of the points that lie on each other once; a point alone stays chosen."""
    found = show(written.file, width=400, touch=True).page
    found.locator("#front-chart").scroll_into_view_if_needed()
    indices = found.evaluate("document.getElementById('front-chart').data[0].customdata")
    numbers = [trial.number for trial in Store(written.storage).fronts(NAME)]
    around = {index: found.evaluate(AROUND, index) for index in indices}

    def tapped(index: int, times: int) -> list[int]:
        titles = []
        for _ in range(times):
            box = point(found, 0, indices.index(index)).bounding_box()
            found.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            found.wait_for_timeout(400)
            titles.append(int(found.locator("#chosen-title").inner_text().split()[1].rstrip(",")))
        return titles

    crowded = next(index for index, near in around.items() if 2 < len(near) < 6)
    near = {numbers[index] for index in around[crowded]}
    first, *rest = tapped(crowded, len(near) + 1)
    assert first in near
    assert (set(rest), rest[-1]) == (near, first)
    alone = next(index for index, near in around.items() if near == [index])
    assert tapped(alone, 2) == [numbers[alone]] * 2


@pytest.mark.parametrize("width", [360, 400, 430])
def test_nothing_moves_under_a_finger(written: Any, show: Show, width: int) -> None:
    """Where the plot is before the first choice it is after it, whatever rows its legend has."""
    found = show(written.file, width=width, touch=True).page
    plot = found.locator("#front-chart .nsewdrag").first
    found.locator("#front-chart").scroll_into_view_if_needed()
    before, first = plot.bounding_box(), found.locator("#chosen-title").inner_text()
    middle = before["x"] + before["width"] / 2, before["y"] + before["height"] / 2
    found.touchscreen.tap(*middle)
    found.locator("#front-chart").focus()
    found.keyboard.press("PageDown")
    assert found.locator("#chosen-title").inner_text() != first
    found.wait_for_timeout(300)
    assert plot.bounding_box() == before


def test_a_trial_has_one_title(written: Any, show: Show) -> None:
    """The best is called the best at first, and when one comes back to it."""
    shown = show(written.file).page
    title = shown.locator("#chosen-title")
    first = title.inner_text()
    assert first.endswith(", the best")
    shown.locator("#front-chart").focus()
    for key, is_back in (("PageDown", False), ("PageUp", True)):
        shown.keyboard.press(key)
        assert (title.inner_text() == first) is is_back


def test_the_best_lines_are_those_of_the_table(written: Any, show: Show) -> None:
    """Front after front, as in the table under them, and not by the first objective alone."""
    found = show(written.file).page
    lines = found.evaluate("document.getElementById('parallel-chart').data.at(-1)")
    assert lines["name"].startswith("the best")
    drawn = {int(text.split()[1].rstrip(":")) for text in lines["text"] if text}
    (chart,) = next(s for s in written.report.sections if s.key == "parallel").charts
    listed = chart.table.trials[: len(drawn)]
    assert drawn == set(listed)
    # A control: by the first objective they would be others.
    trials = {t.number: t.settled["val_accuracy"] for t in Store(written.storage).fronts(NAME)}
    assert drawn != set(sorted(trials, key=lambda n: -trials[n])[: len(drawn)])


def test_keys_walk_along_the_front_and_through_all_trials(written: Any, show: Show) -> None:
    shown = show(written.file)
    front = Store(written.storage).front(NAME)
    along = [trial.number for trial in sorted(front, key=lambda t: t.settled["params"])]
    title = shown.page.locator("#chosen-title")
    shown.page.locator("#front-chart").focus()

    def press(key: str) -> int:
        shown.page.keyboard.press(key)
        return int(title.inner_text().split()[1].rstrip(","))

    assert press("Home") == along[0]
    assert press("ArrowRight") == along[1]
    assert press("End") == along[-1]
    assert press("ArrowLeft") == along[-2]
    ranked = [trial.number for trial in Store(written.storage).fronts(NAME)]
    press("Home")
    assert press("PageDown") == ranked[ranked.index(along[0]) + 1]
    shown.page.keyboard.press("x")  # no key of the chart's
    assert int(title.inner_text().split()[1].rstrip(",")) == ranked[ranked.index(along[0]) + 1]


def test_a_trial_is_chosen_from_a_table(written: Any, show: Show) -> None:
    shown = show(written.file)
    number = written.complete[2]  # of those confirmed
    shown.page.locator("#confirmed summary").click()
    shown.page.locator(f"#confirmed button[data-trial='{number}']").press("Enter")
    assert shown.page.locator("#chosen-title").inner_text().startswith(f"Trial {number}")
    assert shown.page.evaluate("document.activeElement.id") == "chosen"


def test_other_metrics_can_be_set_against_each_other(written: Any, show: Show) -> None:
    shown = show(written.file)
    shown.page.get_by_label("across").select_option("latency_ms")
    text = shown.page.locator("#front-chart .xtitle")
    shown.page.wait_for_function("t => t.textContent === 'latency_ms'", arg=text.element_handle())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_severe_barrier_for_people_who_cannot_see_it(
    written: Any, show: Show, scheme: Scheme
) -> None:
    shown = show(written.file, scheme)
    shown.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert violations(shown.page) == []
    # A control: what axe sees.
    shown.page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<img>')")
    shown.page.evaluate("document.querySelector('#front-chart').removeAttribute('aria-label')")
    assert violations(shown.page)


def test_headings_and_landmarks_are_in_order(written: Any, show: Show) -> None:
    found = show(written.file).page
    levels = found.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    for landmark in ("header", "nav", "main", "footer"):
        assert found.locator(landmark).count() == 1
    unnamed = found.evaluate("document.querySelectorAll('.chart:not([aria-label])').length")
    assert unnamed == 0


def test_a_page_of_400_pixels_does_not_scroll_sideways(written: Any, show: Show) -> None:
    found = show(written.file, width=400).page
    assert found.evaluate("document.documentElement.scrollWidth") <= 400
    found.evaluate("document.querySelector('.wide').style.overflow = 'visible'")
    found.evaluate("document.querySelector('.wide').style.width = '700px'")
    assert found.evaluate("document.documentElement.scrollWidth") > 400  # a control


def test_means_and_intervals_are_not_broken_by_the_letter(written: Any, show: Show) -> None:
    """On a phone their table is moved sideways, and each row is one line."""
    found = show(written.file, width=400).page
    found.locator("#confirmed summary").click()
    rows = "[...document.querySelectorAll('#confirmed tr')].map(row => row.offsetHeight)"
    assert max(found.evaluate(rows)) < 60


def test_printed_charts_are_as_wide_as_the_paper(written: Any, show: Show) -> None:
    found = show(written.file).page
    found.set_viewport_size({"width": 700, "height": 900})
    found.emulate_media(media="print")
    assert found.evaluate("document.documentElement.scrollWidth") <= 700
    assert found.locator("#parallel-chart").bounding_box()["width"] <= 700
    assert not found.locator("nav").is_visible()
    assert found.get_by_role("table", name="The front").is_visible()


def test_what_is_said_of_a_chart_is_printed_on_its_page(written: Any, show: Show) -> None:
    """Headings and words move to the next page with it."""
    found = show(written.file).page
    ids = [f"{section.key}-title" for section in written.report.sections]
    first = {f"{s.key}-title": s.charts[0].key for s in written.report.sections if s.charts}
    # What is linked to has a place in the file: a page.
    found.evaluate(
        """ids => document.querySelector("footer").insertAdjacentHTML(
            "beforeend", ids.map(id => `<a href="#${id}">.</a>`).join(" "))""",
        [*ids, *first.values()],
    )
    printed = found.pdf(format="A4")
    places = re.findall(rb"/([\w-]+) \[(\d+) 0 R /XYZ", printed)
    pages = {name.decode(): int(page) for name, page in places}
    assert {pages[title] for title in ids} == set(pages.values())
    assert len(set(pages.values())) > 5
    assert {title: pages[title] for title in first} == {t: pages[c] for t, c in first.items()}


_SIZES = """[...document.querySelectorAll(".chart .main-svg:first-child")].map(
  svg => [svg.closest(".chart").id, svg.getAttribute("width"), svg.getAttribute("height")])"""


def test_paper_has_sizes_of_its_own(written: Any, show: Show) -> None:
    """Whatever the window was; the window has its own again when it is printed."""
    on_paper = []
    for width in (400, 1200):
        page = show(written.file, width=width).page
        before = page.evaluate(_SIZES)
        page.evaluate(f"addEventListener('beforeprint', () => {{ window.printed = {_SIZES}; }})")
        page.pdf(format="A4")
        on_paper.append(page.evaluate("window.printed"))
        assert page.evaluate(_SIZES) == before
    assert on_paper[0] == on_paper[1]
    # All are as wide as the paper, so this is what they have of its height.
    shares = {key: float(height) / float(width) for key, width, height in on_paper[0]}
    assert len(shares) > 5
    assert all(0.4 < share < 0.7 for share in shares.values())


def test_nothing_is_asked_for(written: Any, show: Show, tmp_path: Path) -> None:
    shown = show(written.file)
    shown.page.locator("#front-chart").focus()
    shown.page.keyboard.press("Home")
    assert shown.requests == [written.file.as_uri()]
    assert shown.complaints == []
    # A control: without the policy a request is made and seen, with it none leaves.
    text = written.file.read_text("utf-8")
    asks = text.replace("<main", '<img src="http://127.0.0.1:9/x.png" alt="x"><main')
    kept, free = tmp_path / "kept.html", tmp_path / "free.html"
    kept.write_text(asks, "utf-8")
    free.write_text(asks.replace("Content-Security-Policy", "x-none"), "utf-8")
    assert any("127.0.0.1" in url for url in show(free).requests)
    blocked = show(kept)
    assert any("Content Security Policy" in said for said in blocked.complaints)


def test_what_comes_from_outside_is_text(tmp_path: Path, show: Show) -> None:
    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    searched(storage, 60, name=HOSTILE, message=HOSTILE + "\ud800\u2028")
    text = page(report_of(storage, HOSTILE))
    file = tmp_path / "hostile.html"
    file.write_text(text, encoding="utf-8", errors="replace")
    shown = show(file)
    assert shown.complaints == []
    assert shown.page.evaluate("window.hit") is None
    assert shown.page.locator("h1").inner_text() == HOSTILE
    assert HOSTILE in shown.page.locator("#failures td").last.inner_text()
    assert shown.page.locator("img").count() == 0
    # A control: as markup, and without the policy, the same text runs.
    raw = text.replace("<main", f"{HOSTILE}--><main").replace("Content-Security-Policy", "x-none")
    file.write_text(raw, encoding="utf-8", errors="replace")
    assert show(file).page.evaluate("window.hit") == 1


def test_a_script_that_got_in_is_not_run(written: Any, show: Show, tmp_path: Path) -> None:
    file = tmp_path / "changed.html"
    text = written.file.read_text("utf-8")
    file.write_text(text.replace("<main", "<script>window.hit = 1</script><main"), "utf-8")
    assert show(file).page.evaluate("window.hit") is None


@pytest.mark.slow
def test_five_thousand_trials_are_less_than_eight_megabytes(tmp_path: Path, show: Show) -> None:
    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    complete = searched(storage, 5_000)
    file = tmp_path / "large.html"
    file.write_text(page(report_of(storage, NAME)), "utf-8")
    assert file.stat().st_size < 8_000_000
    shown = show(file)
    assert shown.complaints == []
    assert shown.page.locator("#front-chart .scatterlayer .point").count() == len(complete) + 1
