import pytest
import torch
from torch import tensor

from utilities import draw_rows, group_ratings, row_sums, rows, solve_rows, squared_errors

N_USERS, N_MOVIES, SIZE, N = 60, 11, 3, 400


@pytest.fixture
def case():
    """Ratings of 60 users, of whom the last has none, with duplicates; rows and weights of both sides."""
    generator = torch.Generator().manual_seed(0)
    users = torch.randint(N_USERS - 1, (N,), generator=generator)
    movies = torch.randint(N_MOVIES, (N,), generator=generator)
    deviations = torch.randn(N, generator=generator)
    user_rows, movie_rows = (torch.randn(n, SIZE + 1, generator=generator) for n in (N_USERS, N_MOVIES))
    weights = torch.rand(N_USERS, generator=generator) + 0.5
    prior = torch.randn(N_USERS, SIZE + 1, generator=generator), tensor([0.5, 1.0, 2.0, 3.0])
    return users, movies, deviations, user_rows, movie_rows, weights, prior


def ridge(inputs, residuals, weights, mean, precision):
    """Solve one row in float64, the plain way; give the covariance, too."""
    inputs, residuals, weights = inputs.double(), residuals.double(), weights.double()
    a = precision.double().diag() + (inputs * weights[:, None]).T @ inputs
    return torch.linalg.solve(a, precision * mean.double() + inputs.T @ (weights * residuals)), torch.linalg.inv(a)


def with_one(rows):
    return torch.cat([rows[:, :-1], torch.ones(len(rows), 1)], 1)


@pytest.fixture(params=[16_384, 7], ids=["in one chunk", "in many"])
def chunked(request, monkeypatch):
    monkeypatch.setattr(rows, "_CHUNK", request.param)


def test_solved_rows_of_users_are_ridge_regressions_with_a_weight_of_each_user(case, chunked):
    users, movies, deviations, _, movie_rows, weights, (mean, precision) = case
    grouped = group_ratings(users, movies, deviations, N_USERS)
    solved = solve_rows(row_sums(grouped, movie_rows), (mean, precision), weights)
    for user in range(N_USERS):
        its = users == user
        residuals = deviations[its] - movie_rows[movies[its], -1]
        inputs = with_one(movie_rows)[movies[its]]
        expected, _ = ridge(inputs, residuals, weights[user].expand(len(inputs)), mean[user], precision)
        assert torch.allclose(solved[user].double(), expected, atol=1e-5), user


def test_solved_rows_of_movies_are_ridge_regressions_with_a_weight_of_each_rater(case):
    users, movies, deviations, user_rows, _, weights, (_, precision) = case
    grouped = group_ratings(movies, users, deviations, N_MOVIES)
    solved = solve_rows(row_sums(grouped, user_rows, weights), (torch.zeros(1, SIZE + 1), precision))
    for movie in range(N_MOVIES):
        raters = users[movies == movie]
        residuals = deviations[movies == movie] - user_rows[raters, -1]
        expected, _ = ridge(with_one(user_rows)[raters], residuals, weights[raters], torch.zeros(SIZE + 1), precision)
        assert torch.allclose(solved[movie].double(), expected, atol=1e-5), movie


def test_squared_errors_from_sums_are_those_of_the_ratings(case, chunked):
    users, movies, deviations, user_rows, movie_rows, _, _ = case
    grouped = group_ratings(users, movies, deviations, N_USERS)
    predictions = (with_one(movie_rows)[movies] * user_rows[users]).sum(1) + movie_rows[movies, -1]
    expected = torch.zeros(N_USERS).index_add_(0, users, (deviations - predictions) ** 2)
    assert torch.allclose(
        squared_errors(grouped, row_sums(grouped, movie_rows), user_rows), expected, rtol=1e-4, atol=1e-4
    )


def test_draws_of_a_row_have_the_mean_and_covariance_of_its_posterior(case):
    _, movies, deviations, _, movie_rows, _, (mean, precision) = case
    n, few, of_few = 40_000, movies[:4], deviations[:4]
    grouped = group_ratings(torch.arange(n).repeat_interleave(4), few.repeat(n), of_few.repeat(n), n)
    torch.manual_seed(0)
    drawn = draw_rows(row_sums(grouped, movie_rows), (mean[:1], precision), torch.full((n,), 1.5)).double()
    inputs, residuals = with_one(movie_rows)[few], of_few - movie_rows[few, -1]
    expected, covariance = ridge(inputs, residuals, torch.full((4,), 1.5), mean[0], precision)
    assert torch.allclose(drawn.mean(0), expected, atol=0.03)
    assert torch.allclose(drawn.T.cov(), covariance, atol=0.03)


def test_a_row_without_ratings_is_drawn_from_the_prior():
    n, nothing = 40_000, torch.zeros(0, dtype=torch.int64)
    sums = row_sums(group_ratings(nothing, nothing, torch.zeros(0), n), torch.ones(3, 2))
    torch.manual_seed(0)
    drawn = draw_rows(sums, (tensor([[0.5, -1.0]]), tensor([4.0, 25.0])))
    assert torch.allclose(drawn.mean(0), tensor([0.5, -1.0]), atol=0.01)
    assert torch.allclose(drawn.std(0), tensor([0.5, 0.2]), atol=0.01)


def test_the_order_of_the_ratings_does_not_matter(case):
    users, movies, deviations, _, movie_rows, _, _ = case
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    one, other = (
        row_sums(group_ratings(*columns, N_USERS), movie_rows)
        for columns in ((users, movies, deviations), (users[order], movies[order], deviations[order]))
    )
    assert torch.allclose(one.products, other.products) and torch.allclose(one.targets, other.targets, atol=1e-6)


def test_what_cannot_be_grouped_is_refused():
    ids, deviations = tensor([0, 3]), tensor([1.0, 2.0])
    with pytest.raises(ValueError, match="ids of 3 rows run from 0; got 0 to 3"):
        group_ratings(ids, ids, deviations, 3)
    with pytest.raises(ValueError, match="got 2 owners, 2 others and 1 deviations"):
        group_ratings(ids, ids, deviations[:1], 4)
