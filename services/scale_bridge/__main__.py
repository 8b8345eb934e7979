"""`python -m services.scale_bridge`: the service, its agent, simulated scales, maintenance."""

from libs.process.commands import command_line
from services.scale_bridge.bootstrap import SERVICE
from services.scale_bridge.bridges.cli import add_bridge
from services.scale_bridge.devices.cli import add_rotate_secrets
from services.scale_bridge.driver.simulator.cli.fleet import add_fleet

app = command_line(SERVICE)
add_bridge(app)
add_fleet(app)
add_rotate_secrets(app, SERVICE)

if __name__ == "__main__":
    app()
