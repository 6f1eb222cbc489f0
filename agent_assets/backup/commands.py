"""`agent-assets backup` and `restore`."""

from pathlib import Path

import click

from agent_assets.settings import load_settings

_FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))


@click.command()
@_FOLDER
def backup(folder: Path) -> None:
    """Save this installation to FOLDER, which must be empty or not there: history, releases,
    artifacts, the embedded MongoDB, secrets. Nothing has to be stopped.

    FOLDER then holds what people told, and the keys of this installation: keep it like the home.
    """
    from agent_assets.backup.save import back_up

    record = back_up(load_settings(), folder)
    size = sum(entry.bytes for entry in record.files.values())
    click.echo(f"saved: {len(record.files)} files, {size / 2**20:.1f} MB in {folder}")
    if record.store is not None:
        click.echo(f"not saved: the store {record.store}; keep its versions there")
    if not record.mongodb:
        click.echo("not saved: MongoDB; MONGODB_URI is yours to save, tokens are in agent_assets")


@click.command()
@_FOLDER
def restore(folder: Path) -> None:
    """Make an installation from the backup in FOLDER. The home (and the store) must be empty or
    not there; every file is compared with its hash first.
    """
    from agent_assets.backup.restore import restore_backup, saved_automation

    settings = load_settings()
    record = restore_backup(settings, folder)
    click.echo(
        f"restored: {len(record.files)} files of {record.at} (version {record.version}) "
        f"to {settings.home}"
    )
    if (automation := saved_automation(folder)) is not None:
        click.echo(f"its automation settings: {automation} (AGENT_ASSETS_AUTOMATION)")
    click.echo("Next: agent-assets doctor, then agent-assets up.")


COMMANDS = (backup, restore)
