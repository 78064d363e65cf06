"""The models that the notebooks teach, imported out of them."""

import pytest
import torch

import utilities

N_USERS, N_MOVIES = 6, 5
PLAIN = utilities.import_classes("02_inner_product")
CONCAT = utilities.import_classes("03_concat_bias")
MODELS = [
    PLAIN.InnerProduct,
    PLAIN.RegularizedInnerProduct,
    PLAIN.BiasedInnerProduct,
    CONCAT.ConcatBias,
    CONCAT.NeuralCollaborativeFilter,
]


@pytest.fixture(params=MODELS, ids=lambda model: model.__name__)
def model(request):
    torch.manual_seed(0)
    return with_wide_embeddings(request.param(N_USERS, N_MOVIES, 3.5))


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
    model.loss((user_ids, movie_ids, torch.full((len(user_ids),), 2.0))).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_predictions_lie_on_the_scale(model):
    with torch.no_grad():
        for embedding in (model.user_embedding, model.movie_embedding):
            embedding.weight.mul_(20)
        predictions = model.eval()(*every_pair())
    assert predictions.min() >= 0.5 and predictions.max() <= 5.0
    assert predictions.max() - predictions.min() > 1  # far enough apart for the ends of the scale to matter


def test_a_saved_checkpoint_loads_and_predicts_the_same(model, tmp_path):
    trainer = utilities.make_trainer(1, enable_checkpointing=False, callbacks=[])
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    restored = type(model).load_from_checkpoint(tmp_path / "model.ckpt")
    assert restored.hparams == model.hparams
    assert torch.equal(restored.eval()(*every_pair()), model.eval()(*every_pair()))


def test_the_linear_head_is_a_sum_of_a_user_part_and_a_movie_part():
    torch.manual_seed(0)
    table = scores(with_wide_embeddings(CONCAT.ConcatBias(N_USERS, N_MOVIES, 3.5)).eval())
    additive = table.mean(1, keepdim=True) + table.mean(0, keepdim=True) - table.mean()
    assert (table - additive).abs().max() < 1e-5
    assert table.std() > 0.1


def test_the_dense_head_is_not():
    torch.manual_seed(0)
    table = scores(with_wide_embeddings(CONCAT.NeuralCollaborativeFilter(N_USERS, N_MOVIES, 3.5)).eval())
    additive = table.mean(1, keepdim=True) + table.mean(0, keepdim=True) - table.mean()
    assert (table - additive).abs().max() > 0.01


def test_the_first_attempt_is_refused_with_both_shapes():
    model = CONCAT.FirstAttempt(N_USERS, N_MOVIES, 3.5)
    user_ids, movie_ids = every_pair()
    with pytest.raises(ValueError, match=r"\[30, 30\].*\[30\]"):
        model.loss((user_ids, movie_ids, torch.ones(30)))


def test_the_inner_product_is_the_formula():
    model = PLAIN.BiasedInnerProduct(2, 2, 3.0, embedding_size=2, l2=0.5).eval()
    with torch.no_grad():
        model.user_embedding.weight[1] = torch.tensor([1.0, 2.0])
        model.movie_embedding.weight[0] = torch.tensor([0.5, -0.25])
        model.user_bias.weight[1], model.movie_bias.weight[0] = 0.4, -0.1
        one, zero = torch.tensor([1]), torch.tensor([0])
        assert model(one, zero).item() == pytest.approx(3.0 + 0.4 - 0.1 + 0.5 - 0.5)
        assert model.penalty(one, zero).item() == pytest.approx(0.5 * (0.16 + 5.0 + 0.01 + 0.3125))


def test_importing_classes_runs_nothing_else_of_the_notebook():
    assert set(vars(PLAIN)) == {"InnerProduct", "RegularizedInnerProduct", "BiasedInnerProduct"}


def test_importing_classes_imports_only_what_they_use():
    names = PLAIN.InnerProduct.forward.__globals__
    assert {"math", "torch", "nn", "utilities"} <= set(names)
    assert not {"plt", "sns", "mlflow", "pl"} & set(names)


def test_an_unknown_notebook_is_named_with_those_there_are():
    with pytest.raises(FileNotFoundError, match=r"no notebook '99_none'.*02_inner_product"):
        utilities.import_classes("99_none")
