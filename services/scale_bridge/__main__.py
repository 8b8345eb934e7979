"""`python -m services.scale_bridge`: the service, its agent, simulated scales, maintenance."""

from libs.process.commands import command_line
from libs.process.service import Service
from services.scale_bridge import bootstrap
from services.scale_bridge.bridges.cli import add_bridge
from services.scale_bridge.devices.cli import add_rotate_secrets
from services.scale_bridge.driver.simulator.cli.fleet import add_fleet
from services.scale_bridge.driver.simulator.cli.simulator import add_simulator
from services.scale_bridge.settings import Settings

SERVICE = Service(
    name=bootstrap.SERVICE,
    settings=Settings,
    open_app=bootstrap.open_app,
    projections=bootstrap.projections,
    routers=bootstrap.ROUTERS,
    open_tasks=bootstrap.open_tasks,
    open_reactions=bootstrap.open_reactions,
)

app = command_line(SERVICE)
add_bridge(app)
add_simulator(app)
add_fleet(app)
add_rotate_secrets(app, SERVICE.read_settings, bootstrap.open_context)

if __name__ == "__main__":
    app()
