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


@pytest.mark.parametrize("name, value", [("MOVIELENS_DATASET", "ml-1m"), ("MOVIELENS_TOP_MOVIES", "50")])
def test_elsewhere_a_claim_of_the_sample_is_none_of_the_data_at_hand(name, value, monkeypatch, capsys):
    claim(SENTENCE, True, of_sample=True)
    monkeypatch.setenv(name, value)
    claim(SENTENCE, True, of_sample=True)
    claim(SENTENCE, False, of_sample=True)  # a stored row that does not come out again is a finding anywhere
    assert capsys.readouterr().out == f"✓ {SENTENCE}\n○ {SENTENCE}\n✗ {SENTENCE}\n"


def test_a_claim_of_the_sample_has_to_hold_on_the_sample():
    with pytest.raises(AssertionError, match=f"does not hold: {SENTENCE}"):
        claim(SENTENCE, False, of_sample=True)


def printing(*texts):
    return new_notebook(
        cells=[new_code_cell("…", outputs=[new_output("stream", name="stdout", text=text)]) for text in texts]
    )


def test_the_ledger_tells_what_held_what_did_not_and_what_was_not_tried():
    committed = printing(
        "0.7 against 1.0\n✓ Biases beat the mean\n", "✓ Time matters\n", "✓ More is better\n✓ Stored\n"
    )
    executed = printing("0.7 against 1.0\n✓ Biases beat the mean\n", "skipped\n", "✗ More is better\n○ Stored\n✓ New\n")
    text = execute.ledger({"01_x": execute.claims_of(executed, committed), "02_y": []})
    assert "2 of 3 hold on this data. 2 more (○) were not tried on it: " in text
    assert "- ✓ Biases beat the mean\n- ○ Time matters\n- ✗ More is better\n- ○ Stored\n- ✓ New\n" in text


def test_on_the_sample_the_ledger_says_no_more_than_that_all_hold():
    notebook = printing("✓ Biases beat the mean\n")
    text = execute.ledger({"01_x": execute.claims_of(notebook, notebook)})
    assert text == "# Claims\n\n1 of 1 hold on this data.\n\n## 01_x\n\n- ✓ Biases beat the mean\n"
