import pytest

from utilities.columns import ONE_USER, find_columns, find_titles, named_columns


def found(*lines, **named):
    columns = find_columns(list(lines), named, "my.csv")
    return columns.separator, columns.header, {role: columns.names[i] for role, i in columns.of.items()}


@pytest.mark.parametrize(
    ("header", "user", "item", "rating", "time"),
    [
        ("userId,movieId,rating,timestamp", "userId", "movieId", "rating", "timestamp"),
        ("user_id,book_id,rating", "user_id", "book_id", "rating", None),
        ("USER ID;ISBN;Book-Rating", "USER ID", "ISBN", "Book-Rating", None),
        ('"User-ID";"ISBN";"Book-Rating"', "User-ID", "ISBN", "Book-Rating", None),
        ("username,anime_id,my_score,my_last_updated", "username", "anime_id", "my_score", "my_last_updated"),
        ("reviewerID,asin,overall,unixReviewTime,reviewTime", "reviewerID", "asin", "overall", "unixReviewTime"),
        ("review_id,user_id,business_id,stars,useful,date", "user_id", "business_id", "stars", "date"),
        (",user,rating,comment,ID,name", "user", "ID", "rating", None),
        ("user_id,recipe_id,date,rating,review", "user_id", "recipe_id", "rating", "date"),
        ("userID\tplaceID\trating\tfood_rating\tservice_rating", "userID", "placeID", "rating", None),
        ("beer_beerid|review_profilename|review_overall|review_time", "review_profilename", "beer_beerid", None, None),
        ("uid::track_id::score::ts", "uid", "track_id", "score", "ts"),
        ("rating,parent_asin,asin,user_id,timestamp", "user_id", "asin", "rating", "timestamp"),
    ],
)
def test_columns_are_known_by_the_names_that_exports_give_them(header, user, item, rating, time):
    separator, has_header, of = found(header, header.replace("rating", "3"))
    expected = {"user": user, "item": item, "rating": rating or "review_overall", "time": time or of.get("time")}
    assert has_header
    assert separator in header
    assert of == {role: name for role, name in expected.items() if name}


def test_a_column_that_is_named_wins_and_the_others_are_still_found():
    header = "user_id,item_id,rating,food_rating,date"
    assert found(header, rating="food rating", time="none")[2] == {
        "user": "user_id",
        "item": "item_id",
        "rating": "food_rating",
    }
    assert found(header, rating="4")[2]["rating"] == "food_rating"


def test_a_number_is_a_place_even_where_another_value_of_the_first_line_is_that_number():
    assert find_columns(["3 1 2", "3 2 4"], {"user": "1", "item": "2", "rating": "3"}, "ft.txt").of == {
        "user": 0,
        "item": 1,
        "rating": 2,
    }


def test_the_setting_of_columns_takes_names_with_commas_and_refuses_other_roles():
    assert named_columns("user=Who, when,item=What,rating=3,time=none") == {
        "user": "Who, when",
        "item": "What",
        "rating": "3",
        "time": "none",
    }
    assert named_columns("") == {}
    for text in ("usr=a", "user=", "userId"):
        with pytest.raises(ValueError, match=f"MOVIELENS_COLUMNS: .*{text!r}; write user=…,item=…"):
            named_columns(text)


def test_a_name_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(
        ValueError, match=r"my.csv: MOVIELENS_COLUMNS names 'stars' for the rating; the columns are u, i, r"
    ):
        found("u,i,r", rating="stars")


@pytest.mark.parametrize(("line", "separator"), [("1::122::5::838985046", "::"), ("196\t242\t3\t881250949", "\t")])
def test_four_columns_of_numbers_that_end_in_a_time_need_no_header(line, separator):
    assert found(line, line) == (separator, False, {"user": "1", "item": "2", "rating": "3", "time": "4"})


@pytest.mark.parametrize("line", ["1 1 2.5", "A2CX,0321732944,5.0,1341100800", "1,2,3,4", "1,2,500000000,1341100800"])
def test_what_has_no_header_and_may_be_anything_is_refused_until_it_is_numbered(line):
    with pytest.raises(
        ValueError, match=r"my.csv: no column is known as user.*the first line, .* MOVIELENS_COLUMNS=user=1,"
    ):
        found(line, line)
    separator, header, of = found(line, line, user="2", item="1", rating="3")
    assert (separator, header, of) == (" " if " " in line else ",", False, {"user": "2", "item": "1", "rating": "3"})


@pytest.mark.parametrize(
    "header",
    [
        "Const,Your Rating,Date Rated,Title,URL,Title Type,IMDb Rating,Year",
        "Date,Name,Year,Letterboxd URI,Rating",
        "Book Id,Title,Author,ISBN,My Rating,Average Rating,Date Added",
    ],
)
def test_an_export_of_one_person_is_refused_with_what_can_be_done(header):
    with pytest.raises(ValueError) as error:
        found(header)
    assert str(error.value).startswith(
        f"my.csv: no column says who rated; the columns are {header.replace(',', ', ')}."
    )
    assert str(error.value).endswith(ONE_USER)


@pytest.mark.parametrize(
    "lines",
    [
        [",".join(["74", *["99"] * 50, *["-7.82"] * 50])] * 2,
        [",".join(["user_id", *(f"joke{i}" for i in range(100))]), ",".join(["1"] * 101)],
    ],
)
def test_a_matrix_is_refused_with_how_to_unpivot_it(lines):
    with pytest.raises(ValueError, match=r"my.csv: 101 columns of numbers: a matrix.*\.unpivot\(index="):
        found(*lines)


def test_netflixs_blocks_are_refused_with_how_to_put_the_movie_beside_each_rating():
    with pytest.raises(ValueError, match=r"a line '1:' above the ratings of each movie.*forward_fill"):
        found("1:", "1488844,3,2005-09-06")


def test_titles_go_by_the_name_that_the_ratings_have_for_ids():
    names = "id,book_id,isbn,original_title,title,original_publication_year"
    columns = find_titles([names], "book_id", "books.csv")
    assert {role: columns.names[i] for role, i in columns.of.items()} == {
        "item": "book_id",
        "title": "title",
        "year": "original_publication_year",
    }
    with pytest.raises(
        ValueError, match=r"books.csv: its columns are asin, price; MOVIELENS_TITLES needs ids, under the name"
    ):
        find_titles(["asin,price"], "asin", "books.csv")
