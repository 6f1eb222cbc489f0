"""The stock dialog that launches partitions."""

from collections.abc import Sequence

from playwright.sync_api import Page, expect


def choose_partitions(page: Page, elders: Sequence[str]) -> None:
    """Tick elders in the launch dialog, whose list opens when the dialog is ready: on a busy
    machine, later.
    """
    dialog = page.get_by_role("dialog").last
    expect(dialog).to_be_visible()
    behind = page.get_by_text(elders[0]).count()  # the page behind the dialog lists the elders, too
    for _ in range(10):
        dialog.get_by_text("Select a partition or create one").click()
        page.wait_for_timeout(3_000)
        if page.get_by_text(elders[0]).count() > behind:
            break
    for elder in elders:
        page.get_by_text(elder).locator("visible=true").last.click()
    page.get_by_text("Launch runs to materialize").click()  # closes the list
