"""The chain of receipts: what was changed, taken out or taken from its end is noticed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent_assets.cli.main import commands
from agent_assets.erasure.receipts import ReceiptChain
from support.receipt_cases import receipt


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReceiptChain:
    monkeypatch.setenv("AGENT_ASSETS_HOME", str(tmp_path))
    chain = ReceiptChain(tmp_path)
    for elder in ("eleanor", "ben", "shen-fu"):
        chain.append(receipt(elder))
    return chain


def verified(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(commands, ["receipts", "verify", *arguments])
    return result.exit_code, result.output


def test_a_chain_that_nobody_touched_holds_and_says_whose_a_receipt_is(
    chain: ReceiptChain,
) -> None:
    code, output = verified("--elder", "ben")
    assert code == 0 and "3 receipts hold, the last is " in output and "of ben: 2" in output
    assert "of eva: none" in verified("--elder", "eva")[1]
    first, second, _ = chain.all()
    assert second.previous == first.hash
    assert not any("eleanor" in path.read_text() for path in chain.folder.iterdir())
    listed = CliRunner().invoke(commands, ["receipts", "list"]).output
    assert len(listed.splitlines()) == 3 and "2 things  by eve" in listed
    shown = CliRunner().invoke(commands, ["receipts", "show", "2"]).output
    assert json.loads(shown)["hash"] == second.hash


def test_what_was_changed_is_noticed(chain: ReceiptChain) -> None:
    path = chain.folder / "000002.json"
    path.write_text(path.read_text().replace('"who": "eve"', '"who": "bob"'))
    assert verified() == (1, "receipt 2 was changed: its hash does not fit\n")


def test_whoever_hashes_it_anew_breaks_the_next(chain: ReceiptChain) -> None:
    path = chain.folder / "000002.json"
    forged = chain.all()[1].model_copy(update={"who": "bob"}).sealed()
    path.write_text(forged.model_dump_json())
    assert verified() == (1, "receipt 3 does not follow the one before it\n")


@pytest.mark.parametrize(
    ("gone", "problem"),
    [
        ("000002.json", "receipt 2 is missing (there is 3)"),
        ("000003.json", "3 receipts were written, and 2 are there"),
    ],
)
def test_one_that_was_taken_away_is_missed(chain: ReceiptChain, gone: str, problem: str) -> None:
    (chain.folder / gone).unlink()
    assert verified() == (1, f"{problem}\n")


def test_a_damaged_one_is_named(chain: ReceiptChain) -> None:
    (chain.folder / "000002.json").write_text("{")
    code, output = verified()
    assert code == 1 and "000002.json cannot be read" in output


def test_one_that_was_written_before_the_head_was_is_taken_into_the_chain(
    chain: ReceiptChain,
) -> None:
    head = (chain.folder / "head.json").read_text()
    chain.append(receipt("twin"))
    (chain.folder / "head.json").write_text(head)  # killed between the two files
    assert chain.problems() == []
    chain.append(receipt("eve"))
    assert chain.problems() == [] and [entry.number for entry in chain.all()] == [1, 2, 3, 4, 5]
