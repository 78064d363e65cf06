import re

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


def test_a_column_that_is_named_for_one_role_is_not_taken_for_another():
    with pytest.raises(
        ValueError, match=r"no column is known as item; .* MOVIELENS_COLUMNS=user=ID,item=…,rating=Rating$"
    ):
        found("ID,Name,Rating", user="ID")
    assert found("ID,Name,Rating", user="ID", item="Name")[2] == {"user": "ID", "item": "Name", "rating": "Rating"}


def test_a_name_of_signs_alone_is_no_name_of_another_column():
    header = ",user,item,★"
    assert find_columns([header, "0,1,2,3"], {"rating": "★"}, "my.csv").of["rating"] == 3
    with pytest.raises(ValueError, match="names '…' for the rating"):
        found(header, rating="…")


def test_a_users_rating_is_taken_before_one_that_may_be_the_average():
    assert found("anime_id,name,rating,user_id,user_rating")[2]["rating"] == "user_rating"


def test_types_in_names_are_left_out_as_recbole_writes_them():
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    assert found(header, "1\t2\t3.0\t881250949.0")[2] == dict(
        zip(("user", "item", "rating", "time"), header.split("\t"), strict=True)
    )


@pytest.mark.parametrize(
    ("rows", "first"),
    [
        (['"1" "u1" "Toy Story (1995)" 3', '"2" "u1" "Up (2009)" 4'], 1),  # R's numbers of rows
        (["u1,i1,3,", "u1,i2,4,"], 0),
        (
            ["7,1,3,881250949", "7,2,4,881250950"],
            0,
        ),  # times, which the header forgot: what is too much is refused later
    ],
)
def test_a_header_with_one_name_less_than_values_belongs_to_the_columns_that_have_names(rows, first):
    separator = "," if "," in rows[0] else " "
    columns = find_columns([separator.join(['"user"', '"item"', '"rating"']), *rows], {}, "r.txt")
    assert (columns.separator, columns.of) == (separator, {"user": first, "item": first + 1, "rating": first + 2})


@pytest.mark.parametrize(("line", "separator"), [("  63     1   3.5", " "), ("63\t\t1\t\t3.5", "\t\t")])
def test_what_stands_between_two_values_may_be_several_blanks_or_tabs(line, separator):
    assert found(line, line, user="1", item="2", rating="3")[0] == separator


def test_a_carriage_return_inside_a_line_is_no_reason_to_stop():
    assert found("user,item,rating,review", "1,2,3,so\rso")[2]["rating"] == "rating"


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
        [",".join(["user_id", *(f"joke{i}" for i in range(100))]), ",".join(["1", *["", "3"] * 50])],
    ],
)
def test_a_matrix_is_refused_with_how_to_unpivot_it(lines):
    with pytest.raises(ValueError, match=r"my.csv: 101 columns of numbers: a matrix.*\.unpivot\(index="):
        found(*lines)


@pytest.mark.parametrize(("first", "index"), [("userId", "userId"), ("", ""), ("x", "user")])
def test_a_matrix_is_unpivoted_by_its_column_of_users_if_it_has_one(first, index):
    lines = [",".join([first, *map(str, range(1, 41))]), ",".join(["7", *["", "3"] * 20])]
    with pytest.raises(ValueError, match=re.escape(f'.unpivot(index="{index}", variable_name="item"')):
        found(*lines)


def test_titles_go_by_the_name_that_the_ratings_have_for_ids():
    names = "id,book_id,isbn,original_title,title,original_publication_year"
    columns, ids = find_titles([names], {}, "book_id", "books.csv")
    assert {role: columns.names[i] for role, i in columns.of.items()} == {
        "title": "title",
        "year": "original_publication_year",
    }
    assert [columns.names[i] for i in ids] == ["book_id", "id", "isbn"]
    columns, _ = find_titles(["WineID,WineryName,WineName"], {}, "WineID", "wines.csv")
    assert columns.of == {"title": 2}
    with pytest.raises(
        ValueError, match=r"books.csv: its columns are asin, price; MOVIELENS_TITLES needs ids, under the name"
    ):
        find_titles(["asin,price"], {}, "asin", "books.csv")


def test_titles_go_by_names_that_are_set():
    named = named_columns("user=who,title=Primary,genres=3,year=none")
    columns, ids = find_titles(["id,primary,mechanics,year"], named, "ID", "games.csv")
    assert (columns.of, ids) == ({"title": 1, "genres": 2}, [0])
    with pytest.raises(
        ValueError, match=r"games.csv: MOVIELENS_COLUMNS names 'Primary' for the title; the columns are id"
    ):
        find_titles(["id,name"], named, "ID", "games.csv")


@pytest.mark.parametrize(
    ("lines", "separator", "of"),
    [
        (
            ["0110912::Pulp Fiction Two (1994)::Crime|War", "0111161::Up and Down (2009)::Drama|War"],
            "::",
            {"title": 1, "genres": 2},
        ),
        (["1|Toy Story (1995)|01-Jan-1995||0|1", "2|GoldenEye (1995)|01-Jan-1995||1|0"], "|", {"title": 1}),
        (["1,2003,Dinosaur Planet", "2,2004,Character"], ",", {"title": 2}),
    ],
)
def test_titles_without_names_of_columns_are_the_first_texts_after_the_ids(lines, separator, of):
    columns, ids = find_titles(lines, {}, "2", "movies.dat")
    assert (columns.separator, columns.header, columns.of, ids) == (separator, False, of, [0])
