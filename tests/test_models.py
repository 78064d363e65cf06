"""The models that the notebooks teach, as `utilities.models` has them."""

import inspect
import pickle
import sys

import pytest
import torch

import utilities
from conftest import REPOSITORY
from utilities import models
from utilities.releases import HALF_STARS, Scale

N_USERS, N_MOVIES, SCALE = 6, 5, Scale(lowest=1.0, highest=10.0, step=None)
MODELS = [
    models.InnerProduct,
    models.RegularizedInnerProduct,
    models.BiasedInnerProduct,
    models.ConcatBias,
    models.NeuralCollaborativeFilter,
    models.GMF,
    models.NeuMF,
]
INTERACTING = [models.NeuralCollaborativeFilter, models.GMF, models.NeuMF]


@pytest.fixture(params=MODELS, ids=lambda model: model.__name__)
def model(request):
    torch.manual_seed(0)
    return with_wide_embeddings(request.param(N_USERS, N_MOVIES, 5.5, SCALE))


def with_wide_embeddings(model):
    """First embeddings that differ enough for the predictions to."""
    for embedding in (model.user_embedding, model.movie_embedding):
        torch.nn.init.normal_(embedding.weight)
    return model


def every_pair():
    return torch.cartesian_prod(torch.arange(N_USERS), torch.arange(N_MOVIES)).T


def scores(model):
    """The unclamped predictions as a table, a row per user."""
    with torch.no_grad():
        return model.score(*every_pair()).reshape(N_USERS, N_MOVIES)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_batch_of_any_size_gives_one_prediction_a_row(model, size):
    user_ids, movie_ids = torch.arange(size) % N_USERS, torch.arange(size) % N_MOVIES
    assert model(user_ids, movie_ids).shape == (size,)


def test_gradients_reach_every_parameter(model):
    torch.manual_seed(1)
    user_ids, movie_ids = every_pair()
    model.training_step((user_ids, movie_ids, torch.full((len(user_ids),), 2.0)), 0).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_predictions_lie_on_the_scale(model):
    with torch.no_grad():
        for embedding in (model.user_embedding, model.movie_embedding):
            embedding.weight.mul_(20)
        predictions = model.eval()(*every_pair())
    assert predictions.min() >= SCALE.lowest and predictions.max() <= SCALE.highest
    assert predictions.max() - predictions.min() > 1  # far enough apart for the ends of the scale to matter


def test_a_saved_checkpoint_loads_and_predicts_the_same(model, tmp_path):
    trainer = utilities.make_trainer(1, enable_checkpointing=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    restored = type(model).load_from_checkpoint(tmp_path / "model.ckpt")
    assert restored.hparams == model.hparams
    assert torch.equal(restored.eval()(*every_pair()), model.eval()(*every_pair()))


def test_the_linear_head_is_a_sum_of_a_user_part_and_a_movie_part():
    torch.manual_seed(0)
    table = scores(with_wide_embeddings(models.ConcatBias(N_USERS, N_MOVIES, 5.5, SCALE)).eval())
    additive = table.mean(1, keepdim=True) + table.mean(0, keepdim=True) - table.mean()
    assert (table - additive).abs().max() < 1e-5
    assert table.std() > 0.1


@pytest.mark.parametrize("architecture", INTERACTING, ids=lambda model: model.__name__)
def test_a_dense_head_or_a_product_is_not(architecture):
    torch.manual_seed(0)
    table = scores(with_wide_embeddings(architecture(N_USERS, N_MOVIES, 5.5, SCALE)).eval())
    additive = table.mean(1, keepdim=True) + table.mean(0, keepdim=True) - table.mean()
    assert (table - additive).abs().max() > 0.01


def test_gmf_is_a_dot_product_with_rescaled_rows():
    torch.manual_seed(0)
    model = with_wide_embeddings(models.GMF(N_USERS, N_MOVIES, 5.5, SCALE, embedding_size=4))
    torch.nn.init.normal_(model.weights)
    with torch.no_grad():
        dots = model.user_embedding.weight @ (model.weights[:, 0] * model.movie_embedding.weight).T
    torch.testing.assert_close(scores(model), 5.5 + SCALE.star * dots)


def test_neumf_is_the_product_of_the_first_halves_and_a_network_on_the_second():
    torch.manual_seed(0)
    model = with_wide_embeddings(models.NeuMF(N_USERS, N_MOVIES, 5.5, SCALE, embedding_size=4)).eval()
    user, movie = model.user_embedding.weight[1], model.movie_embedding.weight[2]
    with torch.no_grad():
        by_hand = user[:2] @ movie[:2] + model.output(torch.cat([user[2:], movie[2:]]))
    assert scores(model)[1, 2].item() == pytest.approx(SCALE.star * by_hand.item(), abs=1e-5)


@pytest.mark.parametrize("architecture", [models.ConcatBias, *INTERACTING], ids=lambda model: model.__name__)
def test_the_price_is_on_all_rows_looked_up(architecture):
    model = architecture(N_USERS, N_MOVIES, 5.5, SCALE, embedding_size=2, l2=0.5)
    with torch.no_grad():
        model.user_embedding.weight[1] = torch.tensor([1.0, 2.0])
        model.movie_embedding.weight[0] = torch.tensor([0.5, -0.25])
        model.user_bias.weight[1], model.movie_bias.weight[0] = 0.4, -0.1
        assert model.penalty(torch.tensor([1]), torch.tensor([0])).item() == pytest.approx(
            0.5 * (0.16 + 5.0 + 0.01 + 0.3125)
        )


@pytest.mark.parametrize("architecture", INTERACTING, ids=lambda model: model.__name__)
def test_its_settings_reach_a_model(architecture):
    model = architecture(N_USERS, N_MOVIES, 5.5, SCALE, embedding_size=8, init_std=0.0, learning_rate=0.25)
    assert model.user_embedding.weight.shape == (N_USERS, 8)
    assert model.user_embedding.weight.abs().max() == 0
    assert model.configure_optimizers().param_groups[0]["lr"] == 0.25


def test_the_first_attempt_is_refused_with_both_shapes():
    model = models.FirstAttempt(N_USERS, N_MOVIES, 3.5)
    user_ids, movie_ids = every_pair()
    with pytest.raises(ValueError, match=r"\[30, 30\].*\[30\]"):
        model.mse((user_ids, movie_ids, torch.ones(30)))


def test_the_inner_product_is_the_formula():
    model = models.BiasedInnerProduct(2, 2, 3.0, SCALE, embedding_size=2, l2=0.5).eval()
    with torch.no_grad():
        model.user_embedding.weight[1] = torch.tensor([1.0, 2.0])
        model.movie_embedding.weight[0] = torch.tensor([0.5, -0.25])
        model.user_bias.weight[1], model.movie_bias.weight[0] = 0.4, -0.1
        one, zero = torch.tensor([1]), torch.tensor([0])
        assert model(one, zero).item() == pytest.approx(3.0 + SCALE.star * (0.4 - 0.1 + 0.5 - 0.5))
        assert model.penalty(one, zero).item() == pytest.approx(0.5 * (0.16 + 5.0 + 0.01 + 0.3125))


def test_models_are_what_the_notebooks_cells_say():
    sys.path.insert(0, str(REPOSITORY / "notebooks"))
    import export_models

    assert export_models.MODELS.read_text(encoding="utf-8") == export_models.models_source(), "run `make refresh`"


def test_a_model_is_a_class_like_any_other(model):
    copied = pickle.loads(pickle.dumps(model))
    assert type(copied) is type(model)
    assert torch.equal(copied.eval()(*every_pair()), model.eval()(*every_pair()))
    assert inspect.getsource(type(model)).startswith(f"class {type(model).__name__}(")
    assert getattr(utilities.models, type(model).__name__) is type(model)


def test_predictions_start_at_the_mean_rating():
    flat = models.InnerProduct(N_USERS, N_MOVIES, 5.5, SCALE, init_std=0.0)
    torch.testing.assert_close(flat(*every_pair()), torch.full((30,), 5.5))


@pytest.mark.parametrize("architecture", MODELS, ids=lambda model: model.__name__)
def test_a_model_learns_the_same_in_any_unit(architecture):
    """Ratings of half stars, and the same as 0 to 90 points: what is trained on the latter predicts the same, in points."""
    user_ids, movie_ids = every_pair()
    stars = torch.randint(1, 11, user_ids.shape, generator=torch.Generator().manual_seed(0)) / 2
    predictions = {}
    for scale, ratings in ((HALF_STARS, stars), (Scale(0, 90, 10), 20 * (stars - 0.5))):
        torch.manual_seed(0)
        options = {} if architecture is models.InnerProduct else {"l2": 0.3}
        model = architecture(N_USERS, N_MOVIES, ratings.mean().item(), scale, init_std=0.5, **options).train()
        optimizer = model.configure_optimizers()
        for _ in range(20):
            optimizer.zero_grad()
            model.training_step((user_ids, movie_ids, ratings), 0).backward()
            optimizer.step()
        predictions[scale] = model.eval()(user_ids, movie_ids).detach()
    in_stars, in_points = predictions.values()
    torch.testing.assert_close(in_points, 20 * (in_stars - 0.5), rtol=1e-3, atol=0.05)
    assert in_stars.std() > 0.1
