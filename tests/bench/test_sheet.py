import pytest

from bench.sheet import Sheet, interleave, shown


def two_contenders():
    sheet = Sheet("theirs")
    # The machine got slower by ten from one repeat to the next; the ratio stays.
    for ours, theirs in ((50, 100), (5, 10), (6, 10)):
        sheet.add("case", "rate", "1/s", ours, contender="ours", more_is_better=True)
        sheet.add("case", "rate", "1/s", theirs, contender="theirs", more_is_better=True)
    return sheet


def test_a_ratio_is_the_median_of_ratios_of_repeats_side_by_side():
    sheet = two_contenders()
    assert sheet.ratio(sheet.find("case", "rate", "ours")) == 0.5


def test_the_baseline_is_not_compared_with_itself():
    sheet = two_contenders()
    assert sheet.ratio(sheet.find("case", "rate", "theirs")) is None


def test_a_series_without_rival_has_no_ratio():
    sheet = Sheet()
    sheet.add("case", "time", "ms", 3)
    assert sheet.ratio(sheet.series[0]) is None


def test_a_baseline_of_zero_is_left_out_of_the_ratios():
    sheet = Sheet("theirs")
    for theirs in (0, 4):
        sheet.add("case", "lost", "frames", 2, contender="ours")
        sheet.add("case", "lost", "frames", theirs, contender="theirs")
    assert sheet.ratio(sheet.find("case", "lost", "ours")) == 0.5


def test_median_and_spread_are_of_all_repeats():
    series = two_contenders().find("case", "rate", "ours")
    assert (series.median, series.spread) == (6, (5, 50))


def test_what_was_found_survives_json():
    sheet = two_contenders()
    sheet.notes.append("a note")
    again = Sheet.from_document(sheet.as_document())
    assert again.as_document() == sheet.as_document()


def test_contenders_take_turns_and_who_is_first_alternates():
    order = []
    interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert "".join(order) == "abbaab"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (12345.6, "12,346"), (12.34, "12.3"), (0.012345, "0.0123")]
)
def test_numbers_are_shown_with_three_digits(value, text):
    assert shown(value) == text
