"""All routes that the gateway answers itself. Of two that match, the first counts."""

from typing import Final

from fastapi import APIRouter

from services.gateway.administration.api import own_password
from services.gateway.api_keys import api as api_keys
from services.gateway.bot import api as telegram
from services.gateway.device_grants.api import approval as device_approval
from services.gateway.device_grants.api import oauth
from services.gateway.doors.api import system
from services.gateway.proxy.api import docs
from services.gateway.realms import api as shared_auth
from services.gateway.realms.crm.api import health as crm_health
from services.gateway.realms.crm.api import login as crm_login
from services.gateway.realms.crm.api import users as crm_users
from services.gateway.realms.kiosk.api import device as kiosk_device
from services.gateway.realms.kiosk.api import login as kiosk_login
from services.gateway.realms.kiosk.api import setup as kiosk_setup
from services.gateway.realms.kiosk.api import users as kiosk_users
from services.gateway.realms.platform import api as platform_login
from services.gateway.realms.scales import api as scales_login
from services.gateway.realms.shop.api import login as shop_login
from services.gateway.realms.shop.api import memberships as shop_memberships
from services.gateway.realms.shop.api import self as shop_self
from services.gateway.realms.shop.api import users as shop_users
from services.gateway.sessions.api import session_check, sessions
from services.gateway.telegram.api import one_time_code

ROUTERS: Final[tuple[APIRouter, ...]] = (
    # Routes are looked for in this order, and most often it is somebody who logs in.
    crm_login.router,
    scales_login.router,
    kiosk_login.router,
    shop_login.router,
    system.router,
    docs.router,
    one_time_code.router,
    shop_self.router,
    shop_memberships.router,
    shop_users.router,
    telegram.router,
    crm_health.router,
    oauth.router,
    device_approval.router,
    platform_login.router,
    api_keys.router,
    sessions.router,
    session_check.router,
    own_password.router,
    shared_auth.router,
    kiosk_setup.router,
    kiosk_device.router,
    kiosk_users.router,
    crm_users.router,
)
