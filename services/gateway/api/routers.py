"""All routes that the gateway answers itself. Of two that match, the first counts."""

from typing import Final

from fastapi import APIRouter

from services.gateway.api import (
    api_keys,
    crm_health,
    crm_login,
    crm_users,
    device_approval,
    docs,
    kiosk_device,
    kiosk_login,
    kiosk_setup,
    kiosk_users,
    oauth,
    one_time_code,
    own_password,
    platform_login,
    scales_login,
    session_check,
    sessions,
    shared_auth,
    shop_login,
    shop_memberships,
    shop_self,
    shop_users,
    system,
    telegram,
)

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
