"""`agent-assets base ...`: the base models of this installation."""

import click

from agent_assets.settings import load_settings


@click.group()
def base() -> None:
    """List the base models of `base_models.yaml`, choose the current one, try one."""


@base.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_bases(*, as_json: bool) -> None:
    """List base models by key: where each comes from, which pipelines take it, and how many
    released agents rest on it.
    """
    from agent_assets.cli.base_models import show_base_models

    show_base_models(load_settings(), as_json=as_json)


@base.command("use")
@click.argument("key")
def use(key: str) -> None:
    """Make KEY the current base model: the one of every pipeline that names none. It is tried
    first. Agents answer from the old one until their new release is there.
    """
    from agent_assets.cli.base_models import make_current

    make_current(load_settings(), key)


@base.command("check")
@click.argument("path")
def check(path: str) -> None:
    """Try the model in the folder PATH, or that of a key, as `base_model` would make it. Exit code
    0: agents can rest on it.
    """
    from agent_assets.cli.base_models import check_base_model

    check_base_model(load_settings(), path)


COMMANDS = (base,)
