"""Experiments of many kinds as tables: what is promoted, what is not, and why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from models.bundle import Bundle
from models.registry import Registry
from stream.campaign.file import parse
from stream.errors import OperatorError
from stream.scoring.champion import ModelWatcher
from tests.trainer.shop_history import CAMPAIGN as SHOP
from tests.trainer.shop_history import Memory, chunks, shop
from tests.trainer.table.table_experiments import (
    CAMPAIGN,
    CREATED,
    campaign,
    column,
    experiment,
    prepared,
    trained,
)
from trainer import constant
from trainer.commands.decide import decide
from trainer.commands.evaluate import evaluate
from trainer.commands.train import train as train_command
from trainer.learning import outputs
from trainer.table.apply import columns_of, decide_rows
from trainer.table.encoding import Encoding
from trainer.table.table_file import read_table, write_table
from trainer.table.written import table_of
from trainer.train import prepare, train

pytestmark = pytest.mark.slow


def test_a_model_that_knows_whom_to_contact_is_promoted(tmp_path: Path) -> None:
    table = experiment(12_000, 1, (0.03, 0.03), by_taste=0.1)
    model, instead = trained(campaign(), table, tmp_path)
    assert model.verdict.promote, model.verdict.words
    assert instead is None
    assert model.verdict.money is not None
    assert 0.3 < model.verdict.money.contacts < 0.7
    assert b"chosen by a hash of the customer" in model.bundle.files["report.html"]


def test_without_an_effect_nothing_is_promoted(tmp_path: Path) -> None:
    model, instead = trained(campaign(), experiment(12_000, 2), tmp_path)
    assert not model.verdict.promote, model.verdict.words
    assert instead is None or not instead.verdict.promote


def test_the_best_strategy_for_everybody_is_a_model_like_any_other(tmp_path: Path) -> None:
    """What works on all alike needs no model: the constant stands in, and stays when asked again."""
    table = experiment(12_000, 3, (0.15, 0.02))
    model, instead = trained(campaign(), table, tmp_path / "first")
    assert not model.verdict.promote
    assert instead is not None
    assert instead.verdict.promote, instead.verdict.words
    assert instead.verdict.words.startswith("always mail: better than doing nothing in money")
    assert constant.constant_of(instead.bundle) == "mail"
    assert constant.constant_of(model.bundle) is None
    assert b"always mail" in instead.bundle.files["report.html"]
    again, nobody = trained(campaign(), table, tmp_path / "again", champion=instead.bundle)
    assert again.verdict.champion == instead.bundle.manifest.version
    assert nobody is None


def test_loss_from_treating_everyone_leaves_everyone_alone(tmp_path: Path) -> None:
    model, instead = trained(campaign(), experiment(12_000, 4, (-0.05, -0.05)), tmp_path)
    assert not model.verdict.promote
    assert model.verdict.money is not None
    assert model.verdict.money.best_constant == "nothing"
    assert instead is None


def test_rare_money_is_not_taken_for_proof(tmp_path: Path) -> None:
    """A few large orders: the rate rises a little, and nobody can say whether money does."""
    table = experiment(12_000, 5, (0.002, 0.0), rate=0.004, spend=100.0)
    model, instead = trained(campaign(), table, tmp_path)
    assert not model.verdict.promote
    assert instead is None or not instead.verdict.promote


def test_unequal_probabilities_are_weighed(tmp_path: Path) -> None:
    """Few were left alone; counted as they are, each arm would weigh as much as it has rows."""
    shares = (0.7, 0.2, 0.1)
    section = "[table]\npropensity = {mail = 0.7, call = 0.2, nothing = 0.1}"
    table = experiment(20_000, 6, (0.15, 0.02), shares=shares)
    model, instead = trained(campaign(section), table, tmp_path)
    found = model if model.verdict.promote else instead
    assert found is not None
    assert found.verdict.promote
    money = found.verdict.money
    assert money is not None
    assert money.over_nothing.low is not None
    assert money.over_nothing.high is not None
    assert money.over_nothing.low < 1.3 < money.over_nothing.high  # 0.15 times 10, less 0.2


def test_a_broken_sample_ratio_gives_no_verdict(tmp_path: Path) -> None:
    table = experiment(12_000, 7, (0.15, 0.02))
    bought = column(table, "outcome") > 0
    left_alone = np.array(table["action"].to_pylist()) == "nothing"
    lost = left_alone & ~bought & (np.arange(12_000) % 5 == 0)  # an export that forgets some
    model, instead = trained(campaign(), table.filter(pa.array(~lost)), tmp_path)
    assert not model.verdict.promote
    assert model.verdict.words.startswith("no verdict: expected, by the logged probabilities")
    assert "of nothing, got" in model.verdict.words
    assert model.verdict.failed[0].name == "sample ratio"
    assert instead is None
    assert b"? no verdict" in model.bundle.files["report.html"]


def test_without_probabilities_nothing_is_proven(tmp_path: Path) -> None:
    table = experiment(4_000, 8, (0.15, 0.02))
    model, instead = trained(campaign("[table]"), table, tmp_path)
    assert model.verdict.unproven.startswith("the table does not say with which probability")
    assert not model.verdict.promote
    assert instead is None


def test_amounts_are_what_is_judged(tmp_path: Path) -> None:
    """Mail brings orders of small amounts, calls of large ones; the values of the file say the reverse."""
    table = experiment(12_000, 9, (0.15, 0.1))
    large = np.where(np.array(table["action"].to_pylist()) == "call", 10.0, 0.1)
    amount = pa.array(column(table, "revenue") * large)
    table = table.set_column(table.column_names.index("revenue"), "revenue", amount)
    model, _ = trained(campaign(), table, tmp_path)
    assert model.verdict.money is not None
    assert model.verdict.money.best_constant == "call"
    plain, _ = trained(campaign(), table.drop_columns(["revenue"]), tmp_path / "plain")
    assert plain.verdict.money is not None
    assert plain.verdict.money.best_constant == "mail"


def test_the_examples_of_a_stream_are_a_table_that_teaches_the_same(tmp_path: Path) -> None:
    text = (
        SHOP.replace("epochs = 12", "epochs = 2")
        + "[evaluation]\nresamples = 50\n[gate]\nslice_rows_min = 50\n"
    )
    streamed = parse(text)
    (tmp_path / "stream").mkdir()
    history = prepare(streamed, Memory(chunks(shop(60, seed=3), 2)), tmp_path / "stream", 5)
    first = train(streamed, history, seed=5, created=CREATED)
    path = tmp_path / "examples.csv"
    write_table(table_of(history.plan, history.dataset, outputs(streamed)), path)
    own, rows = prepared(streamed, read_table(path), tmp_path / "table")
    second = train(own, rows, seed=5, created=CREATED)
    assert first.bundle.files["weights.f32"] == second.bundle.files["weights.f32"]
    assert first.report.evaluation == second.report.evaluation
    assert first.bundle.manifest.contract_digest != second.bundle.manifest.contract_digest
    assert (rows.dataset.logged.possible == history.dataset.logged.possible).all()


@pytest.fixture(scope="module")
def model() -> Bundle:
    """A model of everything that a table can have, made once."""
    import tempfile

    table = experiment(4_000, 10, (0.03, 0.03), by_taste=0.1)
    with tempfile.TemporaryDirectory() as folder:
        return trained(campaign(), table, Path(folder))[0].bundle


def test_a_worker_refuses_a_model_for_tables(
    model: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry(tmp_path)
    registry.promote(registry.publish(model))
    champion = ModelWatcher(registry, "0123456789abcdef", ("mail", "call"))
    with caplog.at_level("ERROR", logger="opportune"):
        assert champion.check() is None
    assert "got one for tables" in caplog.text
    assert "opportune decide" in caplog.text


def test_decisions_of_a_table_are_those_of_the_policy(model: Bundle) -> None:
    from stream.scoring.scorer import Scorer

    head = CAMPAIGN.replace('id = "call"', 'id = "call"\neligible = ["age >= 40"]')
    section = (
        "[table.consent]\nmarketing = 'mailing'\n[exploration]\nmethod = 'epsilon'\n"
        "[[holdouts]]\nid = 'all'\nshare = 0.2\n"
    )
    rules = campaign(section, head)
    table = experiment(2_000, 11).drop_columns(["action", "outcome", "revenue"])
    mailing = ["no", "yes", None, "perhaps"] * 500
    table = table.append_column("mailing", pa.array(mailing))
    encoding = Encoding.of(model.manifest.contract)
    assert encoding is not None
    decided = decide_rows(rules, table, Scorer(model), encoding, "run")
    out = columns_of(decided, rules, "v").to_pydict()
    strategy, held = np.array(out["strategy"]), np.array(out["held_out"])
    said = np.array([str(one) for one in mailing])
    assert set(strategy[said == "no"]) == {"nothing"}
    assert set(strategy[said == "perhaps"]) == {"nothing"}  # what cannot be read denies
    assert held.mean() == pytest.approx(0.2, abs=0.03)
    assert set(strategy[held]) == {"nothing"}
    assert set(strategy[column(table, "age") < 40]) <= {"nothing", "mail"}
    free = ~held & (said != "no") & (said != "perhaps")
    assert len(set(strategy[free])) == 3
    assert np.array(out["explored"])[free].mean() == pytest.approx(0.1 * 2 / 3, abs=0.03)
    p, p0 = np.array(out["probability_mail"]), np.array(out["probability_nothing"])
    np.testing.assert_allclose(np.array(out["gain_mail"]), (p - p0) * 10.0 - 0.2, rtol=1e-5)
    shares = {0.0333333, 0.1 / 3 + 0.9, 0.05, 0.95, 1.0}
    assert all(min(abs(a - b) for b in shares) < 1e-5 for a in out["action_probability"])

    again = decide_rows(rules, table, Scorer(model), encoding, "run").decisions.strategy
    other = decide_rows(rules, table, Scorer(model), encoding, "other").decisions.strategy
    np.testing.assert_array_equal(again, decided.decisions.strategy)
    assert (other != again).any()
    with pytest.raises(OperatorError, match=r'got "c0" in the rows 1 and 2,001'):
        decide_rows(rules, pa.concat_tables([table, table]), Scorer(model), encoding, "run")


def test_the_commands_on_files(tmp_path: Path) -> None:
    """Trained, judged on customers that were not learned from, decided: all without a broker."""
    toml, table, out = (str(tmp_path / name) for name in ("c.toml", "t.csv", "out.parquet"))
    head = CAMPAIGN.replace("[model]", f'[model]\nregistry = "{tmp_path / "registry"}"')
    Path(toml).write_text(f"{head}[table]\npropensity = 0.3333\n", "utf-8")
    write_table(experiment(10_000, 12, (0.15, 0.02)), Path(table))
    page = str(tmp_path / "page.html")
    found = CliRunner().invoke(
        train_command, [toml, "--table", table, "--json", "--html", page], catch_exceptions=False
    )
    assert found.exit_code == 0, found.output
    line = json.loads(found.stdout)
    assert line["instead"]["promoted"] is True
    assert line["instead"]["verdict"]["constant"] == "mail"
    judged = CliRunner().invoke(
        evaluate, [toml, line["version"], "--table", table, "--json"], catch_exceptions=False
    )
    assert json.loads(judged.stdout)["groups"][0]["rows"] == 2_000
    made = CliRunner().invoke(
        decide, [toml, "--table", table, "--out", out, "--json"], catch_exceptions=False
    )
    assert json.loads(made.stdout)["strategies"] == {"mail": 10_000, "call": 0, "nothing": 0}
    assert read_table(Path(out)).num_rows == 10_000
    wrong = CliRunner().invoke(train_command, [toml, "--table", table, "--archive", "x"])
    assert wrong.exit_code == 2
    assert "goes without --archive" in wrong.stderr
