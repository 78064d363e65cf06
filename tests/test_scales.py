import polars as pl
import pytest

from utilities.scales import find_scale, looks_unrated, read_not_rated, read_scale


def counts(values, n=None):
    values = list(map(float, values))
    return pl.DataFrame({"rating": values, "len": n or [10] * len(values)})


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (range(1, 6), (1, 5, 1)),
        ([i / 2 for i in range(1, 11)], (0.5, 5, 0.5)),
        (range(2, 11), (1, 10, 1)),
        (range(11), (0, 10, 1)),
        (range(3, 6), (1, 5, 1)),
        ([4, 5], (4, 5, 1)),
        ([i / 2 for i in range(1, 9)], (0.5, 4, 0.5)),
        ([0, 1, 2], (0, 2, 1)),
        ([0, 1], (0, 1, 1)),
        ([-9.95, -3.16, 0.29, 7.91, 9.37], (-10, 10, None)),
        (range(0, 101, 10), (0, 100, 10)),
        ([3, 17, 55, 98], (0, 100, 1)),
        ([1, 1.25, 4.75, 5], (1, 5, 0.25)),
        ([0.1, 0.3, 0.7], (0, 1, 0.1)),
        ([2.0001, 3.3333, 10], (1, 10, None)),
        ([1e-45, 5.5, 10], (0, 10, 0.5)),
    ],
)
def test_the_scale_is_the_narrowest_usual_one_with_the_largest_step(values, scale):
    assert tuple(find_scale(counts(values), (), "my.csv")[0]) == scale


def test_it_is_said_how_the_scale_was_found():
    said = "1 to 10, in steps of 1 (found: the ratings go from 2 to 10; MOVIELENS_SCALE sets another)"
    assert find_scale(counts([2, 10]), (), "my.csv")[1] == said
    assert find_scale(counts([2, 5.5]), (0.0, 10.0), "my.csv")[1] == "0 to 10, in steps of 0.5 (MOVIELENS_SCALE)"
    assert tuple(find_scale(counts([2, 5.5]), (0.0, 10.0, 0.1), "my.csv")[0]) == (0, 10, 0.1)


def test_counts_and_a_single_value_are_no_ratings():
    with pytest.raises(
        ValueError, match=r"my.csv: the ratings go from 1 to 352698, as counts do; .*MOVIELENS_SCALE=1:352698"
    ):
        find_scale(counts([1, 8, 352698]), (), "my.csv")
    with pytest.raises(ValueError, match=r"from 1 to 300, as counts do; .*log1p"):
        find_scale(counts([1, 8, 300]), (), "my.csv")
    with pytest.raises(ValueError, match=r"my.csv: every rating is 5, so there is nothing to predict"):
        find_scale(counts([5]), (), "my.csv")


@pytest.mark.parametrize(
    ("values", "n", "unrated"),
    [
        (range(11), [62, 1, 1, 2, 3, 9, 7, 14, 18, 13, 15], 0),  # Book-Crossing
        (range(11), [1, 2, 2, 3, 4, 6, 9, 12, 10, 6, 5], None),  # a scale from 0
        (range(6), [6, 1, 1, 4, 19, 82], 0),  # recipes reviewed without stars
        ([-1, *range(1, 11)], None, -1),  # watched, not rated
        ([-9.5, 0, 3, 9, 99], None, 99),  # Jester
        ([-999, 1, 2, 3], None, -999),
        ([0, 5, 6, 7, 8], [1, 9, 9, 9, 9], 0),
        ([-1, 0, 1], None, None),
        ([0, 1], [90, 10], None),
        (range(1, 6), [90, 1, 1, 1, 1], None),
        (range(0, 101, 10), [11, *[10] * 10], None),
        ([0, 0.25, 0.5, 1], [90, 1, 1, 1], None),
        ([-9.85, -3.2, -0.1, 5.0, 9.98], None, None),
        ([1, 2, 5, 400, 3000], None, None),  # counts
        ([1, 2, 3, 4, 5, 50], [9, 9, 9, 9, 9, 1], 50),  # one slip
    ],
)
def test_a_value_apart_from_the_rest_is_found(values, n, unrated):
    assert looks_unrated(counts(values, n)) == unrated


@pytest.mark.parametrize(
    ("text", "scale"), [("", ()), ("1:10", (1, 10)), ("-10 : 10", (-10, 10)), ("0.5:5:0.5", (0.5, 5, 0.5))]
)
def test_a_scale_is_read_from_its_setting(text, scale):
    assert read_scale(text) == scale


@pytest.mark.parametrize("text", ["5", "5:1", "1:1", "1-5", "1:5:0", "a:b", "1:5:1:1"])
def test_what_is_no_scale_is_refused(text):
    with pytest.raises(ValueError, match=f"MOVIELENS_SCALE: '{text}' is not lowest:highest"):
        read_scale(text)


def test_what_means_not_rated_is_a_number_some_none_or_what_is_empty():
    assert read_not_rated("") == (None, False)
    assert read_not_rated("none") == ((), False)
    assert read_not_rated("0,-1") == ((0, -1), False)
    assert read_not_rated("empty") == (None, True)
    assert read_not_rated("empty, 0") == ((0,), True)
    assert read_not_rated("empty,none") == ((), True)
    with pytest.raises(ValueError, match="'no' is neither a number, as 0 or -1, nor 'empty', nor 'none'"):
        read_not_rated("no")
