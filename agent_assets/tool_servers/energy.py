"""Sample energy market as an MCP server: the clock, gas auctions, LNG factory and region prices.

Run: python -m agent_assets.tool_servers.energy [--transport stdio|sse|http] [--port N] [--today
DATE] [--now TIME]
"""

import argparse
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Annotated

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from pydantic import Field

from agent_assets.conversations.messages import canonical_json
from agent_assets.tool_servers.energy_prices import (
    FACTORIES,
    PROVINCES,
    REGIONS,
    check_names,
    days_between,
    price,
)
from agent_assets.tool_servers.serving import (
    READ_ONLY,
    add_transport_arguments,
    new_server,
    run_server,
)

# The schema offers the names; the tools check them, so that an error can list what is allowed.
Province = Annotated[str, Field(json_schema_extra={"enum": list(PROVINCES)})]
Region = Annotated[str, Field(json_schema_extra={"enum": list(REGIONS)})]
FactoryName = Annotated[str, Field(json_schema_extra={"enum": list(FACTORIES)})]
Day = Annotated[str, Field(json_schema_extra={"format": "date"})]


def energy_server(clock: Callable[[], datetime]) -> FastMCP[None]:
    """The server with its five tools; `clock` tells the local time."""
    server = new_server(
        "energy",
        "Prices of a sample gas market. Dates are YYYY-MM-DD; a range has at most 31 days.",
    )
    tool = server.tool(output_schema=None, annotations=READ_ONLY)

    def get_current_date() -> str:
        """Today's date."""
        return clock().date().isoformat()

    def get_current_time() -> str:
        """The time now."""
        return clock().time().isoformat("seconds")

    def get_auction_price(province: Province, start_date: Day, end_date: Day) -> str:
        """Daily gas auction price of a province, yuan per cubic metre."""
        return canonical_json(
            _prices("auction", "province", province, PROVINCES, start_date, end_date)
        )

    def get_factory_prices(factory_names: list[FactoryName], start_date: Day, end_date: Day) -> str:
        """Daily LNG price of factories, yuan per ton."""
        _check("factory_names", factory_names, FACTORIES)
        tables = {
            name: _prices("factory", "factory_names", name, FACTORIES, start_date, end_date)
            for name in factory_names
        }
        days = next(iter(tables.values()))
        return canonical_json({day: {name: tables[name][day] for name in tables} for day in days})

    def get_lng_price(region: Region, start_date: Day, end_date: Day | None = None) -> str:
        """Daily LNG price of a region, yuan per ton. Without end_date: one day."""
        table = _prices(
            "lng",
            "region",
            region,
            REGIONS,
            start_date,
            start_date if end_date is None else end_date,
        )
        return canonical_json([{"date": day, "price": value} for day, value in table.items()])

    for function in (
        get_current_date,
        get_current_time,
        get_auction_price,
        get_factory_prices,
        get_lng_price,
    ):
        tool(function)
    return server


def _prices(
    kind: str, argument: str, name: str, middles: dict[str, float], start_date: str, end_date: str
) -> dict[str, float]:
    """Price by day of one place."""
    _check(argument, [name], middles)
    try:
        days = days_between(start_date, end_date)
    except ValueError as error:
        raise ToolError(str(error)) from None
    return {day.isoformat(): price(kind, name, day, middle=middles[name]) for day in days}


def _check(argument: str, names: list[str], middles: dict[str, float]) -> None:
    try:
        check_names(argument, names, list(middles))
    except ValueError as error:
        raise ToolError(str(error)) from None


def main() -> None:
    """Serve until the client goes."""
    parser = argparse.ArgumentParser(description="Sample energy market as an MCP server.")
    add_transport_arguments(parser)
    parser.add_argument(
        "--today", type=date.fromisoformat, help="the date the clock tells, for repeatable data"
    )
    parser.add_argument(
        "--now", type=time.fromisoformat, help="the time the clock tells, for repeatable data"
    )
    arguments = parser.parse_args()

    def clock() -> datetime:
        real = datetime.now().astimezone()
        return datetime.combine(arguments.today or real.date(), arguments.now or real.time())

    run_server(energy_server(clock), arguments)


if __name__ == "__main__":
    main()
