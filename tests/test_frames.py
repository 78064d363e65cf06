import hashlib
import struct
from collections import Counter

import numpy as np
import polars as pl
import pytest

from utilities import get_most_frequent_movies, load_ratings, load_torch_data, map_users_and_movies
from utilities.frames import rows_digest


def movies_df(*movie_ids):
    return pl.DataFrame({"movieId": movie_ids})


def test_the_most_rated_movies_come_first_and_ties_go_to_the_smaller_id():
    ratings_df = movies_df(7, 7, 7, 9, 9, 5, 5, 1)
    assert get_most_frequent_movies(ratings_df, 3).equals(movies_df(7, 5, 9))
    assert get_most_frequent_movies(ratings_df, None).equals(movies_df(7, 5, 9, 1))
    assert get_most_frequent_movies(ratings_df).equals(movies_df(7, 5, 9, 1))


@pytest.mark.parametrize("n", [0, -1, True, 2.0, "3"])
def test_another_number_of_movies_than_a_whole_one_from_1_is_refused(n):
    with pytest.raises(ValueError, match=f"n must be a whole number of at least 1, not {n!r}"):
        get_most_frequent_movies(movies_df(1), n)


def test_a_number_of_movies_may_be_numpys():
    assert get_most_frequent_movies(movies_df(7, 7, 9), np.int64(1)).equals(movies_df(7))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pl.lit(None, pl.Int64), "2 nulls in column 'movieId': drop these rows"),
        (pl.lit(1.0), "column 'movieId' is Float64, not whole numbers: cast it"),
        (pl.lit("1"), "column 'movieId' is String, not whole numbers: cast it"),
    ],
)
def test_what_is_no_id_is_refused_by_column(column, message):
    ratings_df = pl.DataFrame({"userId": [1, 2]}).with_columns(movieId=column)
    for number in (map_users_and_movies, get_most_frequent_movies):
        with pytest.raises(ValueError, match=message):
            number(ratings_df)
    with pytest.raises(ValueError, match=message.replace("movieId", "userId")):
        map_users_and_movies(ratings_df.rename({"userId": "movieId", "movieId": "userId"}))


@pytest.mark.parametrize("convert", [pl.DataFrame.lazy, pl.DataFrame.to_pandas])
def test_a_lazy_and_a_pandas_frame_are_taken_as_polars_frames_are(convert):
    ratings_df = load_ratings("built-in").head(500)
    assert get_most_frequent_movies(convert(ratings_df), 9).equals(get_most_frequent_movies(ratings_df, 9))
    for ours, theirs in zip(map_users_and_movies(ratings_df), map_users_and_movies(convert(ratings_df)), strict=True):
        assert ours.equals(theirs)


def test_a_pandas_frame_with_gaps_is_refused_as_one_with_nulls():
    gaps_df = movies_df(1, None, 3).to_pandas()  # pandas turns whole numbers with gaps into floats
    with pytest.raises(ValueError, match="1 nulls in column 'movieId'"):
        get_most_frequent_movies(gaps_df)


def test_what_is_no_frame_is_refused():
    for number in (map_users_and_movies, get_most_frequent_movies):
        with pytest.raises(TypeError, match="expected a frame of polars or pandas, not dict"):
            number({"userId": [1], "movieId": [1]})


def test_ids_are_numbered_from_0_in_their_order_and_rows_keep_theirs():
    ratings_df = pl.DataFrame({"userId": [9, 4, 9, 7], "movieId": [50, 50, 3, 20], "rating": [1.0, 2.0, 3.0, 4.0]})
    mapped_df, users_df, movies_df = map_users_and_movies(ratings_df)
    assert mapped_df.equals(
        ratings_df.with_columns(
            userIdMapped=pl.Series([2, 0, 2, 1], dtype=pl.UInt32),
            movieIdMapped=pl.Series([2, 2, 0, 1], dtype=pl.UInt32),
        )
    )
    assert mapped_df.schema["userIdMapped"] == mapped_df.schema["movieIdMapped"] == pl.UInt32
    assert users_df.rows() == [(4, 0), (7, 1), (9, 2)]
    assert movies_df.rows() == [(3, 0), (20, 1), (50, 2)]


def test_missing_columns_are_refused_by_name():
    with pytest.raises(ValueError, match=r"missing columns \['userId'\]; the frame has \['movieId'\]"):
        map_users_and_movies(movies_df(1))
    with pytest.raises(ValueError, match=r"missing columns \['movieId'\]"):
        get_most_frequent_movies(pl.DataFrame({"userId": [1]}))


def test_torch_data_are_the_ratings_of_the_500_most_rated_movies(monkeypatch):
    monkeypatch.setenv("MOVIELENS_DATASET", "built-in")
    mapped_df, users_df, movies_df = load_torch_data()
    counts = Counter(load_ratings("built-in")["movieId"])
    top_movies = sorted(counts, key=lambda movie: (-counts[movie], movie))[:500]
    assert movies_df["movieId"].to_list() == sorted(top_movies)
    assert mapped_df.height == sum(counts[movie] for movie in top_movies)
    assert (users_df.height, mapped_df["userIdMapped"].max(), mapped_df["movieIdMapped"].max()) == (670, 669, 499)
    assert mapped_df.equals(mapped_df.sort("userId", "timestamp", "movieId"))
    assert mapped_df.select("userId", "userIdMapped").unique().sort("userId").equals(users_df)
    assert mapped_df.select("movieId", "movieIdMapped").unique().sort("movieId").equals(movies_df)


def test_the_number_of_movies_is_the_argument_then_the_setting(monkeypatch):
    monkeypatch.setenv("MOVIELENS_TOP_MOVIES", "3")
    assert load_torch_data()[2].height == 3
    assert load_torch_data("built-in", 2)[2].height == 2
    monkeypatch.setenv("MOVIELENS_TOP_MOVIES", "all")
    assert load_torch_data()[2].height == 9_066


def test_the_digest_of_rows_is_that_of_their_columns_bytes_whatever_their_types_and_pieces():
    ratings_df = pl.DataFrame({"userIdMapped": [0, 1, 258], "movieIdMapped": [2, 0, 1], "rating": [0.5, 4.0, 5.0]})
    columns = struct.pack("<3q", 0, 1, 258), struct.pack("<3q", 2, 0, 1), struct.pack("<3f", 0.5, 4.0, 5.0)
    digest = rows_digest(ratings_df)
    assert digest == hashlib.blake2b(b"".join(columns), digest_size=18).hexdigest()
    assert len(digest) == 36
    in_pieces_df = pl.concat([ratings_df.head(1), ratings_df.tail(2)], rechunk=False)
    narrow_df = ratings_df.cast({"userIdMapped": pl.UInt32, "movieIdMapped": pl.Int8, "rating": pl.Float32})
    assert rows_digest(in_pieces_df) == rows_digest(narrow_df) == digest
