import sys

import numpy as np
import polars as pl
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook, new_output

from conftest import REPOSITORY
from utilities import claim

sys.path.insert(0, str(REPOSITORY / "notebooks"))
import execute

SENTENCE = "Biases beat the mean"


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setenv("MOVIELENS_CLAIMS", "strict")


@pytest.mark.parametrize("holds", [True, np.bool_(True), torch.tensor(True), pl.Series([1]).item()])
def test_a_claim_that_holds_is_printed_with_a_tick(holds, capsys):
    claim(SENTENCE, holds)
    assert capsys.readouterr().out == f"✓ {SENTENCE}\n"


def test_a_claim_that_does_not_hold_on_the_built_in_sample_is_an_error_that_names_it():
    with pytest.raises(AssertionError, match=f"does not hold: {SENTENCE}"):
        claim(SENTENCE, False)


@pytest.mark.parametrize(
    "variables",
    [
        {"MOVIELENS_DATASET": "ml-1m"},
        {"MOVIELENS_SAMPLE": "20000"},
        {"MOVIELENS_TOP_MOVIES": "50"},
        {"MOVIELENS_CLAIMS": ""},
    ],
)
def test_elsewhere_it_is_printed_with_a_cross_and_survived(variables, monkeypatch, capsys):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    claim(SENTENCE, False)
    assert capsys.readouterr().out == f"✗ {SENTENCE}\n"


@pytest.mark.parametrize("holds", [np.array([True, False]), torch.tensor([True, False]), pl.Series([True, False])])
def test_what_is_not_one_truth_value_is_refused(holds):
    with pytest.raises((ValueError, TypeError), match="is not one truth value"):
        claim(SENTENCE, holds)


def test_the_ledger_counts_what_held_and_names_what_did_not():
    cells = [
        new_code_cell(
            "…", outputs=[new_output("stream", name="stdout", text="0.7 against 1.0\n✓ Biases beat the mean\n")]
        ),
        new_code_cell("…", outputs=[new_output("stream", name="stdout", text="✗ More is better\n")]),
    ]
    claims = {"01_x": execute.claims_of(new_notebook(cells=cells)), "02_y": []}
    text = execute.ledger(claims)
    assert "1 of 2 hold on this data." in text
    assert "- ✓ Biases beat the mean\n- ✗ More is better\n" in text
