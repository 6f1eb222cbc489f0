"""Forgetting an elder, and the receipts of that."""

import sys
from typing import TYPE_CHECKING

import click

from agent_assets.settings import load_settings, this_user
from agent_assets.store.partition_keys import as_partition_key

if TYPE_CHECKING:
    from agent_assets.erasure.forgetting import Overview

_SHOWN = 10  # of a place's items


@click.command()
@click.argument("elder")
@click.option(
    "--source", is_flag=True, help="Also delete answers, profile and questions in MongoDB."
)
@click.option("--memory", metavar="ID", help="Forget this one memory, as in `m-06664caa`.")
@click.option(
    "--rebuild",
    is_flag=True,
    help="With --memory: make the elder's artifacts again without it, and release what passes.",
)
@click.option("--why", default="", help="For the receipt. Name nobody in it.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.option("--yes", "confirmed", is_flag=True, help="Do not ask.")
def erase(
    elder: str,
    memory: str | None,
    rebuild: bool,
    source: bool,
    why: str,
    dry_run: bool,
    confirmed: bool,
) -> None:
    """Forget ELDER: everything made from their memories goes, from every place, with a receipt.

    Without --source the memories have to be deleted in MongoDB first. An erasure that was
    interrupted is finished by the next `erase`, `up` or `serve`.

    With --memory, versions that hold it go, and the elder does not answer until a version without
    it is released: at the next refresh, or with --rebuild at once.
    """
    if rebuild and memory is None:
        raise click.UsageError("--rebuild goes with --memory.")
    from agent_assets.automation.commands import Scope, run_plan
    from agent_assets.erasure import forgetting
    from agent_assets.erasure.request import ErasureRequest

    settings = load_settings()
    key, what = as_partition_key(elder), elder if memory is None else f"{memory} of {elder}"
    for finished in forgetting.finish_pending(settings):
        click.echo(f"An erasure that was interrupted is finished: receipt {finished.number}.")
        if finished.is_of(key, memory):
            return
    request = ErasureRequest(elder=key, memory=memory, who=this_user(), why=why, source=source)

    def confirm(overview: "Overview") -> bool:
        _show(overview)
        if dry_run:
            return False
        if not confirmed:
            question = f"Erase all of it? {elder} stops answering, and nothing brings it back"
            click.confirm(question, abort=True)
        return True

    receipt = forgetting.erase_subject(settings, request, confirm)
    if receipt is not None:
        click.echo(f"{what} is erased: receipt {receipt.number}, {receipt.hash[:16]}.")
        click.echo("Not here to erase:")
        for sentence in receipt.out_of_reach:
            click.echo(f"  {sentence}")
        if rebuild:
            sys.exit(run_plan(settings, Scope(elders=(key,)), dry_run=False))


@click.group()
def receipts() -> None:
    """Receipts of what was erased."""


@receipts.command("list")
def list_receipts() -> None:
    """Print all receipts, a line each."""
    from agent_assets.erasure.receipts import ReceiptChain

    for receipt in ReceiptChain(load_settings().home).all():
        count = sum(found.count for found in receipt.places.values())
        click.echo(
            f"{receipt.number}  {receipt.finished_at}  {receipt.kind:<6}  {count} things  "
            f"by {receipt.who}  {receipt.hash[:16]}  {receipt.why}".rstrip()
        )


@receipts.command("show")
@click.argument("number", type=int)
def show_receipt(number: int) -> None:
    """Print one receipt as JSON."""
    from agent_assets.erasure.receipts import ReceiptChain
    from agent_assets.errors import ReceiptError

    chain = ReceiptChain(load_settings().home).all()
    receipt = next((receipt for receipt in chain if receipt.number == number), None)
    if receipt is None:
        raise ReceiptError(
            f"There is no receipt {number}.", next_step="`agent-assets receipts list` shows all."
        )
    click.echo(receipt.model_dump_json(indent=2))


@receipts.command("verify")
@click.option("--elder", help="Say which receipts are this elder's, too.")
def verify_receipts(elder: str | None) -> None:
    """Check that no receipt is missing or was changed. Exit code 1 when one is."""
    from agent_assets.erasure.receipts import ReceiptChain

    chain = ReceiptChain(load_settings().home)
    problems = chain.problems()
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        sys.exit(1)
    all_receipts = chain.all()
    last = f", the last is {all_receipts[-1].hash}" if all_receipts else ""
    click.echo(f"{len(all_receipts)} receipts hold{last}")
    if elder is not None:
        key = as_partition_key(elder)
        theirs = [str(receipt.number) for receipt in all_receipts if receipt.is_of(key)]
        click.echo(f"of {elder}: {', '.join(theirs) or 'none'}")


def _show(overview: "Overview") -> None:
    for name, items in overview.items.items():
        size = sum(item.bytes for item in items) / 2**20
        if items:
            click.echo(f"{name}: {len(items)} ({size:.1f} MB)")
        for item in items[:_SHOWN]:
            click.echo(f"  {item.label}")
        if len(items) > _SHOWN:
            click.echo(f"  and {len(items) - _SHOWN} more")


COMMANDS = (erase, receipts)
