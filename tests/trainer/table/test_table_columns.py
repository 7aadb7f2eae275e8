"""Columns of tables: which is what, what becomes of them, and what is wrong with them, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.campaign.sections.table_section import TableSpec
from stream.errors import CampaignError
from tests.trainer.table.table_experiments import campaign, experiment, prepared
from trainer.examples.chance import NOT_SAID
from trainer.table import rows
from trainer.table.encoding import Column, Encoding, encode, learn, texts
from trainer.table.errors import TableError
from trainer.table.leaks import leaks
from trainer.table.roles import roles_of
from trainer.table.table_file import read_table, write_table

COLUMNS = ["Customer ID", "arm", "age", "converted", "spend", "sent at"]


def chunked(values: Any, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


def test_columns_are_found_by_usual_names() -> None:
    roles = roles_of(TableSpec(), COLUMNS)
    assert (roles.customer, roles.action, roles.outcome) == ("Customer ID", "arm", "converted")
    assert roles.time == "sent at"
    assert roles.features == ("age",)
    assert roles.passed_over == ("spend",)  # it came afterwards


def test_what_is_named_goes_before_usual_names() -> None:
    spec = TableSpec(outcome="spend", features=("age", "arm"), action="Customer ID")
    roles = roles_of(spec, COLUMNS)
    assert (roles.outcome, roles.action, roles.customer) == ("spend", "Customer ID", "")
    assert roles.features == ("age", "arm")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            TableSpec(outcome="convertd"),
            ["at table.outcome", '"convertd"', "closest are converted"],
        ),
        (TableSpec(features=("agee",)), ["at table.features", '"agee"', "closest are age"]),
        (TableSpec(ignore=("x",)), ["at table.ignore", '"x"']),
        (TableSpec(features=("arm",), action="arm"), ["at table.features", "arm"]),
        (TableSpec(ignore=("age",)), ["columns of features, got none"]),
    ],
)
def test_a_column_that_is_not_there_is_told(spec: TableSpec, says: list[str]) -> None:
    with pytest.raises(TableError) as caught:
        roles_of(spec, COLUMNS)
    for part in says:
        assert part in str(caught.value)


def test_what_columns_become() -> None:
    table = pa.table({
        "age": [30.0, None, 50.0] * 10, "city": ["Oslo", "Rome", None] * 10, "code": [7, 8, 8] * 10,
        "rare": ["x"] * 29 + ["y"],
    })  # fmt: skip
    spec = TableSpec(categories=("code",), transforms={"age": "log1p"})
    roles = roles_of(spec, table.column_names)
    found = learn(table, roles, spec, {})
    assert found.names == (
        "age", "city[*]", "code[8]", "code[*]", "rare[x]", "rare[*]",
    )  # fmt: skip
    assert found.transforms[0] == "log1p"
    known = Encoding("customer", (
        Column("age", "number"), Column("city", "category", levels=("Oslo", "Rome")),
    ))  # fmt: skip
    later = pa.table({"city": ["Rome", "Lima", None], "age": [1, 2, None]})
    np.testing.assert_array_equal(
        encode(later, known),
        [[1, 0, 1, 0], [2, 0, 0, 1], [np.nan, 0, 0, 0]],
    )


def test_an_encoding_is_the_definition_of_a_contract() -> None:
    found = Encoding("time", (Column("city", "category", levels=("Oslo",)),))
    assert Encoding.of(found.contract) == found
    other = Encoding("time", (Column("city", "category", levels=("Rome",)),))
    assert other.contract.digest != found.contract.digest


def test_levels_of_a_champion_are_kept_as_long_as_they_suffice() -> None:
    spec = TableSpec()
    first = pa.table({"city": ["Oslo", "Rome"] * 30})
    roles = roles_of(spec, first.column_names)
    before = learn(first, roles, spec, {})
    fewer = pa.table({"city": ["Oslo"] * 30 + ["Lima"] * 3})
    assert learn(fewer, roles, spec, {}, before) == before
    more = pa.table({"city": ["Oslo", "Lima"] * 30})
    assert learn(more, roles, spec, {}, before).columns[0].levels == ("Lima", "Oslo")


@given(st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), max_size=20))
def test_whole_numbers_are_the_same_texts_as_integers_and_as_floats(values: list[Any]) -> None:
    floats = chunked(values, pa.float64())
    assert texts(floats).to_pylist() == texts(chunked(values, pa.int64())).to_pylist()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"outcome": "perhaps"}, ['column "outcome", row 4', "true or false", '"perhaps"']),
        ({"outcome": None}, ['column "outcome", row 4', "got nothing"]),
        ({"action": "mial"}, ['column "action", row 4', '"mial" = "mail"']),
        ({"action": None}, ['column "action", row 4', "got nothing"]),
        ({"customer": None}, ['column "customer", row 4', "got nothing"]),
        ({"revenue": "10 EUR"}, ['column "revenue", row 4', "an amount of money", '"10 EUR"']),
        ({"age": float("inf")}, ['column "age", row 4', "a number"]),
        ({"propensity": 0.0}, ['column "propensity", row 4', "above 0", '"0.0"']),
        ({"propensity": 1.5}, ['column "propensity", row 4', "at most 1", '"1.5"']),
        ({"time": "yesterday"}, ['column "time", row 4', "a time", '"yesterday"']),
    ],
)
def test_a_value_that_cannot_be_read_is_told_with_its_row(
    change: dict[str, Any], says: list[str], tmp_path: Path
) -> None:
    table = experiment(200, 1)
    more = {"propensity": [0.5] * 200, "time": ["2026-01-01"] * 200}
    for name, values in more.items():
        if name in change:
            table = table.append_column(name, pa.array(values))
    for name, value in change.items():
        values = table[name].to_pylist()
        values[3] = value
        if isinstance(value, str):
            values = [str(one).lower() for one in values]
            values[3] = value
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    with pytest.raises(TableError) as caught:
        prepared(campaign("[table]"), table, tmp_path)
    for part in says:
        assert part in str(caught.value)


def test_probabilities_that_do_not_sum_to_one_are_refused(tmp_path: Path) -> None:
    for section in ("propensity = 0.5", "propensity = {mail = 0.5, call = 0.1, nothing = 0.2}"):
        with pytest.raises(TableError, match=r"at table\.propensity: .* sum to 1"):
            prepared(campaign(f"[table]\n{section}"), experiment(200, 1), tmp_path)
    with pytest.raises(TableError, match="got none for nothing"):
        prepared(
            campaign("[table]\npropensity = {mail = 0.5, call = 0.5}"), experiment(200, 1), tmp_path
        )


def test_constant_probabilities_are_those_of_the_arms(tmp_path: Path) -> None:
    section = "[table]\npropensity = {mail = 0.5, call = 0.3, nothing = 0.2}"
    table = experiment(1_000, 1, shares=(0.5, 0.3, 0.2))
    _, found = prepared(campaign(section), table, tmp_path)
    logged = found.dataset.logged.propensity
    by_name = {"mail": 0.5, "call": 0.3, "nothing": 0.2}
    expected = [by_name[name] for name in table["action"].to_pylist()]
    np.testing.assert_allclose(logged, expected)


def test_treated_and_not_stand_for_the_only_strategy(tmp_path: Path) -> None:
    shop = campaign("[table]\naction = 'treated'", "app = 'a'\n[[strategies]]\nid = 'mail'\n")
    table = experiment(200, 1).drop_columns(["action"])
    treated = pa.array([0, 1] * 100)
    _, found = prepared(shop, table.append_column("treated", treated), tmp_path)
    assert found.dataset.strategy.tolist() == [1, 0] * 100


@pytest.mark.parametrize(
    "values",
    [
        chunked(["2026-01-02", "2026-01-02T03:00:00Z"]),
        chunked([1767312000000, 1767322800000]),
        chunked([1767312000, 1767322800]),
        chunked(np.array(["2026-01-02T00", "2026-01-02T03"], "datetime64[us]")),
    ],
)
def test_times_are_epoch_milliseconds(values: pa.ChunkedArray) -> None:
    assert rows.times_ms("t", values).tolist() == [1767312000000, 1767322800000]


def test_what_could_have_been_done_is_bits() -> None:
    found = rows.could_be("possible", chunked(["call mail", "", None]), ["mail", "call"])
    assert found.tolist() == [3, 0, NOT_SAID]
    with pytest.raises(TableError, match='"fax"; the closest are'):
        rows.could_be("possible", chunked(["fax"]), ["mail", "call"])


def test_customers_are_numbered_as_numbers_where_they_are() -> None:
    ids = rows.customers(pa.table({"id": [10, 9, 10]}), "id")
    assert rows.numbered(ids).tolist() == [1, 0, 1]
    assert rows.numbered(pa.array(["b", "007", "7"])).tolist() == [2, 0, 1]


def test_amounts_count_as_much_as_was_declared() -> None:
    found, cut = rows.amounts("a", chunked([5.0, None, 900.0, -900.0]), 100.0)
    assert (found.tolist(), cut) == ([5.0, 0.0, 100.0, -100.0], 2)


def test_a_column_that_came_afterwards_is_found(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    outcome = random.random(5_000) < 0.1
    spend = outcome * (random.random(5_000) < 0.5) * 10.0
    visit = (random.random(5_000) < 0.3) | outcome
    honest = (random.random(5_000) < 0.001) * 1.0
    values = np.column_stack([spend, visit, honest, random.normal(size=5_000)])
    assert leaks(values, ("spend", "visit", "honest", "noise"), outcome) == ("spend", "visit")

    table = experiment(2_000, 1, rate=0.3)
    given_away = pa.array(np.where(table["outcome"].to_numpy(), 7.0, 0.0))
    with pytest.raises(TableError, match=r'basket: .* gives away "outcome"'):
        prepared(campaign(), table.append_column("basket", given_away), tmp_path)


def test_without_times_customers_are_split_by_their_hash(tmp_path: Path) -> None:
    table = experiment(3_000, 1)
    twice = pa.concat_tables([table, table])
    _, found = prepared(campaign(), twice, tmp_path / "twice")
    parts = found.dataset.split()
    assert not found.dataset.timed
    assert found.dataset.gap_ms == 0
    for part in (parts.train, parts.validation, parts.test):
        np.testing.assert_array_equal(part[:3_000], part[3_000:])
    assert parts.test.mean() == pytest.approx(0.2, abs=0.01)
    assert (parts.train | parts.validation | parts.test).all()
    _, shuffled = prepared(campaign(), table.slice(1_000), tmp_path / "shuffled")
    np.testing.assert_array_equal(
        shuffled.dataset.time_ms, found.dataset.time_ms[1_000:3_000]
    )  # of the customer alone
    _, salted = prepared(campaign('[table]\nsalt = "b"'), table, tmp_path / "salted")
    assert (salted.dataset.time_ms != found.dataset.time_ms[:3_000]).mean() > 0.99


def test_files_are_parquet_or_csv(tmp_path: Path) -> None:
    table = pa.table({"a": [1.5, None, 0.1 + 0.2], "b": ["x", None, "z"]})
    for name in ("t.parquet", "t.csv", "t.csv.gz"):
        write_table(table, tmp_path / name)
        assert read_table(tmp_path / name).to_pydict() == table.to_pydict()
    with pytest.raises(TableError, match=r'got "t\.xlsx"'):
        read_table(tmp_path / "t.xlsx")
    pq.write_table(table.slice(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(TableError, match="expected rows, got none"):
        read_table(tmp_path / "empty.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(TableError, match="expected a table"):
        read_table(tmp_path / "bad.parquet")


def test_a_campaign_without_a_stream_needs_a_section_table() -> None:
    head = "app = 'a'\n[[strategies]]\nid = 'mail'\n"
    assert campaign("[table]", head).topics.events == ()
    with pytest.raises(CampaignError, match="missing required field `topics`"):
        campaign("", head)
    with pytest.raises(CampaignError, match=r"at table\.actions\.x: expected one of mail, nothing"):
        campaign("[table]\nactions = {x = 'fax'}", head)
