"""The linear algebra behind every factorisation here: the rows of one side, users or movies, given those of the other.

With movies held, the row x = (p_u, b_u) of a user is a ridge regression of their ratings on (q_i, 1); with users held, the
row of a movie is one too. `solve_rows` gives the solutions, `draw_rows` draws around them as far as the ratings leave room.
Both start from sums over each row's ratings, which `row_sums` makes in one pass; nothing else looks at single ratings.

An upper triangle of d² products is kept as the d (d + 1) / 2 numbers of its rows, one behind the other ("packed").
"""

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

_CHUNK = 16_384  # rows that are solved together: their triangles fit into a core's cache


@dataclass(frozen=True)
class GroupedRatings:
    """Ratings sorted by whose they are, the users' or the movies'.

    Attributes:
        other_ids: The other side's id of each rating, i32 `[n]`.
        deviations: What there is to explain, r_ui less its mean, f32 `[n]`.
        starts: Where the ratings of each row begin, i32 `[n_rows]`.
        counts: How many each row has, i64 `[n_rows]`.
        squares: The sum of the squared deviations of each row, f32 `[n_rows]`.
    """

    other_ids: Tensor
    deviations: Tensor
    starts: Tensor
    counts: Tensor
    squares: Tensor


@dataclass(frozen=True)
class RowSums:
    """Sums over the ratings of each row, with z = (y, 1, c) for the other side's row y and bias c.

    Attributes:
        products: Σ w z zᵀ, packed, f32 `[(k + 2) (k + 3) / 2, n_rows]`.
        targets: Σ w r z, f32 `[k + 2, n_rows]`.
    """

    products: Tensor
    targets: Tensor


def group_ratings(own_ids: Tensor, other_ids: Tensor, deviations: Tensor, n_rows: int) -> GroupedRatings:
    """Sort ratings by their owner, and an owner's by the other side, so that the order of the rows does not matter.

    Args:
        own_ids: Whose row it is, integers below `n_rows`, `[n]`.
        other_ids: The other side's row, integers, `[n]`.
        deviations: What there is to explain, f32 `[n]`.
        n_rows: How many owners there are, with or without ratings.

    Returns:
        The ratings of each owner.

    Raises:
        ValueError: The three have different lengths, or an id is out of range.
    """
    if not len(own_ids) == len(other_ids) == len(deviations):
        raise ValueError(f"got {len(own_ids)} owners, {len(other_ids)} others and {len(deviations)} deviations")
    if len(own_ids) and not 0 <= own_ids.min() <= own_ids.max() < n_rows:
        raise ValueError(f"ids of {n_rows} rows run from 0; got {own_ids.min()} to {own_ids.max()}")
    n_others = int(other_ids.max()) + 1 if len(other_ids) else 1
    order = (own_ids.long() * n_others + other_ids).argsort()
    counts, deviations = own_ids.bincount(minlength=n_rows), deviations[order].float()
    starts = counts.cumsum(0) - counts
    squares = torch.zeros(n_rows).index_add_(0, own_ids[order].long(), deviations**2)
    return GroupedRatings(other_ids[order].int(), deviations, starts.int(), counts, squares)


def row_sums(ratings: GroupedRatings, other: Tensor, weights: Tensor | None = None) -> RowSums:
    """Sum up what the ratings say about each row.

    Args:
        ratings: The ratings of one side.
        other: Rows (y, c) of the other side, f32 `[n_other, k + 1]`, the bias last.
        weights: How much the ratings of each of these rows count, f32 `[n_other]`; 1 if left out.

    Returns:
        The sums.
    """
    inputs = torch.cat([other[:, :-1], torch.ones(len(other), 1), other[:, -1:]], 1)
    weighted = inputs if weights is None else inputs * weights[:, None]
    products = torch.cat([weighted[:, j : j + 1] * inputs[:, j:] for j in range(inputs.shape[1])], 1)
    return RowSums(_sums_of(ratings, products), _sums_of(ratings, weighted, ratings.deviations))


def solve_rows(sums: RowSums, prior: tuple[Tensor, Tensor], weights: Tensor | None = None) -> Tensor:
    """Find the best row of every owner: ridge regression towards a prior.

    A row x with ratings r = x·(y, 1) + c + noise of precision w and the prior N(m, diag(1/λ)) has the posterior
    N(A⁻¹t, A⁻¹), A = diag(λ) + Σ w (y, 1)(y, 1)ᵀ and t = λ m + Σ w (r - c) (y, 1).

    Args:
        sums: What the ratings say about each row.
        prior: m, f32 `[n_rows, k + 1]` or what can be expanded to it, and λ, f32 `[k + 1]`.
        weights: By what each row's sums are multiplied, f32 `[n_rows]`: w where it is the owner's; 1 if left out.

    Returns:
        A⁻¹t of every row, f32 `[n_rows, k + 1]`.
    """
    return _solve(sums, prior, weights, draw=False)


def draw_rows(sums: RowSums, prior: tuple[Tensor, Tensor], weights: Tensor | None = None) -> Tensor:
    """Draw the row of every owner from its posterior N(A⁻¹t, A⁻¹), with torch's global generator.

    Args:
        sums: As in `solve_rows`.
        prior: As in `solve_rows`.
        weights: As in `solve_rows`.

    Returns:
        One draw of every row, f32 `[n_rows, k + 1]`.
    """
    return _solve(sums, prior, weights, draw=True)


def squared_errors(ratings: GroupedRatings, sums: RowSums, rows: Tensor) -> Tensor:
    """Sum the squared errors of each row's predictions, from the sums alone: Σr² - 2 x·Σrz + xᵀ(Σzzᵀ)x with x = (row, 1).

    Args:
        ratings: The ratings of one side.
        sums: Their sums without weights.
        rows: The rows of that side, f32 `[n_rows, k + 1]`.

    Returns:
        Σ (r - c - row·(y, 1))² of each row, f32 `[n_rows]`.
    """
    errors = torch.empty(len(rows))
    for chunk in _chunks(len(rows)):
        x = torch.cat([rows[chunk].T, torch.ones(1, len(errors[chunk]))])
        total = ratings.squares[chunk] - 2 * (x * sums.targets[:, chunk]).sum(0)
        for j, products in enumerate(_triangle(sums.products[:, chunk])):
            total += x[j] * (2 * (products * x[j:]).sum(0) - products[0] * x[j])
        errors[chunk] = total.clamp_min(0)
    return errors


def _solve(sums: RowSums, prior: tuple[Tensor, Tensor], weights: Tensor | None, draw: bool) -> Tensor:
    """Solve UᵀU x = t for all rows, and Ux = U⁻ᵀt + noise for a draw, with the Cholesky factor U of A.

    One entry of all matrices of a chunk at a time: these are too small for LAPACK, which takes four times as long.
    """
    (prior_mean, prior_precision), (size, n) = prior, (len(sums.targets) - 1, sums.targets.shape[1])
    rows, prior_target = torch.empty(n, size), (prior_mean * prior_precision).expand(n, size)
    for chunk in _chunks(n):
        targets, weight = sums.targets[:, chunk], 1 if weights is None else weights[chunk]
        factor, inverse = torch.empty(size, size + 1, targets.shape[1]), torch.empty(size, targets.shape[1])
        for j, products in enumerate(_triangle(sums.products[:, chunk])[:size]):  # U and U⁻ᵀt are made in place
            factor[j, j:size] = products[:-1] * weight
            factor[j, j] += prior_precision[j]
            factor[j, size] = (targets[j] - products[-1]) * weight + prior_target[chunk, j]
        for j in range(size):
            inverse[j] = factor[j, j].rsqrt()
            factor[j, j:] *= inverse[j]
            for i in range(j + 1, size):
                factor[i, i:].addcmul_(factor[j, i], factor[j, i:], value=-1)
        x = factor[:, size] + torch.randn(factor[:, size].shape) if draw else factor[:, size]
        for j in reversed(range(size)):
            x[j] *= inverse[j]
            x[:j].addcmul_(factor[:j, j], x[j], value=-1)
        rows[chunk] = x.T
    return rows


def _sums_of(ratings: GroupedRatings, table: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum rows of a table over each owner's ratings, `[d, n_rows]`: turned over while a chunk of them is in the cache."""
    sums, ends = torch.empty(table.shape[1], len(ratings.starts)), ratings.counts.cumsum(0)
    for chunk in _chunks(len(ratings.starts)):
        starts = ratings.starts[chunk]
        its = slice(starts[0].item(), ends[chunk][-1].item())
        each = None if weights is None else weights[its]
        bags = F.embedding_bag(ratings.other_ids[its], table, starts - starts[0], mode="sum", per_sample_weights=each)
        sums[:, chunk] = bags.T
    return sums


def _triangle(packed: Tensor) -> list[Tensor]:
    """Cut packed triangles `[d (d + 1) / 2, n]` into their rows, `[d, n]` to `[1, n]`."""
    size = int((2 * len(packed)) ** 0.5)
    ends = list(accumulate(range(size, 0, -1)))
    return [packed[end - length : end] for end, length in zip(ends, range(size, 0, -1), strict=True)]


def _chunks(n: int) -> list[slice]:
    return [slice(start, start + _CHUNK) for start in range(0, n, _CHUNK)]
