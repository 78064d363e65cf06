"""The bar that a model has to pass: a prediction without any interaction of user and movie."""

from dataclasses import dataclass

import polars as pl

from utilities.releases import Scale


@dataclass(frozen=True)
class BiasBaseline:
    """r̂_ui = μ + b_i + b_u, in closed form.

    b_i is the sum of a movie's ratings less μ, divided by λ plus their number; b_u is the sum of what is then left of a
    user's ratings, divided by λ plus their number. λ pulls the biases of rarely seen users and movies towards 0 (Koren,
    Factor in the Neighbors, 2010, section 2.1).

    Attributes:
        mean: μ, the mean training rating, in the unit of the ratings (`Scale.unit`), as are all biases.
        movie_biases_df: `movieId` and `movie_bias`.
        user_biases_df: `userId` and `user_bias`.
        scale: What predictions are clipped to.
    """

    mean: float
    movie_biases_df: pl.DataFrame
    user_biases_df: pl.DataFrame
    scale: Scale

    @classmethod
    def fit(cls, train_df: pl.DataFrame, regularization: float, scale: Scale) -> "BiasBaseline":
        """Compute the biases.

        Args:
            train_df: Ratings with columns `userId`, `movieId` and `rating`.
            regularization: λ, in ratings: a movie with λ ratings keeps half of its deviation from the mean.
            scale: The ratings that can be given.

        Returns:
            The fitted baseline.

        Raises:
            ValueError: λ is negative, or there are no rows.
        """
        if regularization < 0 or train_df.is_empty():
            raise ValueError(f"need rows and regularization >= 0; got {train_df.height} rows, {regularization}")

        def shrunk(rest: pl.Expr) -> pl.Expr:
            return rest.sum() / (regularization + pl.len())

        mean = train_df["rating"].mean()
        movie_biases_df = train_df.group_by("movieId").agg(movie_bias=shrunk(pl.col("rating") - mean)).sort("movieId")
        user_biases_df = (
            train_df.join(movie_biases_df, on="movieId")
            .group_by("userId")
            .agg(user_bias=shrunk(pl.col("rating") - mean - pl.col("movie_bias")))
            .sort("userId")
        )
        return cls(mean, movie_biases_df, user_biases_df, scale)

    def predict(self, ratings_df: pl.DataFrame) -> pl.Series:
        """Predict ratings; a user or movie never seen in training has a bias of 0.

        Args:
            ratings_df: Rows with columns `userId` and `movieId`.

        Returns:
            One f64 per row, in the order of the rows, clipped to the scale.
        """
        biases_df = (
            ratings_df.select("userId", "movieId")
            .join(self.movie_biases_df, on="movieId", how="left", maintain_order="left")
            .join(self.user_biases_df, on="userId", how="left", maintain_order="left")
        )
        biases = pl.col("movie_bias").fill_null(0) + pl.col("user_bias").fill_null(0)
        return biases_df.select(prediction=(self.mean + biases).clip(self.scale.lowest, self.scale.highest)).to_series()
