"""The events of the scale bridge, by subject."""

from typing import Final, TypeAlias

from contracts.scale_bridge.barcodes import (
    BARCODES,
    BarcodeRule,
    BarcodeRulesSet,
)
from contracts.scale_bridge.catalogue import (
    CATALOGUES,
    CatalogueConfirmed,
    CatalogueDoubted,
    CatalogueFetched,
    CatalogueInvalidated,
    CatalogueReverted,
    DatesRefreshed,
    MessageEdited,
    PriceOverridden,
    PriceTaken,
    ProductEdited,
)
from contracts.scale_bridge.devices import (
    DEVICES,
    DeviceChanged,
    DeviceDetails,
    DeviceId,
    DeviceProfile,
    DeviceProfiled,
    DeviceRegistered,
    DeviceRemoved,
    StrictnessSet,
    VerificationDue,
)
from contracts.scale_bridge.operations import (
    OPERATIONS,
    SHOWN,
    OperationApplied,
    OperationEnded,
    OperationId,
    OperationQueued,
    OperationSending,
    ProductsShown,
)
from contracts.scale_bridge.schedules import (
    SCHEDULES,
    ScheduleCalendar,
    ScheduleClaimed,
    ScheduleRan,
    ScheduleSet,
    ScheduleSkipped,
)

__all__ = [
    "BARCODES",
    "CATALOGUES",
    "DEVICES",
    "EVENTS",
    "OPERATIONS",
    "SCHEDULES",
    "SHOWN",
    "BarcodeRule",
    "BarcodeRulesSet",
    "CatalogueConfirmed",
    "CatalogueDoubted",
    "CatalogueFetched",
    "CatalogueInvalidated",
    "CatalogueReverted",
    "DatesRefreshed",
    "DeviceChanged",
    "DeviceDetails",
    "DeviceId",
    "DeviceProfile",
    "DeviceProfiled",
    "DeviceRegistered",
    "DeviceRemoved",
    "MessageEdited",
    "OperationApplied",
    "OperationEnded",
    "OperationId",
    "OperationQueued",
    "OperationSending",
    "PriceOverridden",
    "PriceTaken",
    "ProductEdited",
    "ProductsShown",
    "ScaleBridgeEvent",
    "ScheduleCalendar",
    "ScheduleClaimed",
    "ScheduleRan",
    "ScheduleSet",
    "ScheduleSkipped",
    "StrictnessSet",
    "VerificationDue",
]

ScaleBridgeEvent: TypeAlias = (
    DeviceRegistered
    | DeviceChanged
    | DeviceRemoved
    | DeviceProfiled
    | VerificationDue
    | StrictnessSet
    | CatalogueFetched
    | ProductEdited
    | MessageEdited
    | DatesRefreshed
    | CatalogueInvalidated
    | CatalogueReverted
    | CatalogueConfirmed
    | CatalogueDoubted
    | PriceTaken
    | PriceOverridden
    | OperationQueued
    | OperationSending
    | OperationApplied
    | OperationEnded
    | ProductsShown
    | ScheduleSet
    | ScheduleClaimed
    | ScheduleSkipped
    | ScheduleRan
    | BarcodeRulesSet
)
EVENTS: Final = (
    DeviceRegistered,
    DeviceChanged,
    DeviceRemoved,
    DeviceProfiled,
    VerificationDue,
    StrictnessSet,
    CatalogueFetched,
    ProductEdited,
    MessageEdited,
    DatesRefreshed,
    CatalogueInvalidated,
    CatalogueReverted,
    CatalogueConfirmed,
    CatalogueDoubted,
    PriceTaken,
    PriceOverridden,
    OperationQueued,
    OperationSending,
    OperationApplied,
    OperationEnded,
    ProductsShown,
    ScheduleSet,
    ScheduleClaimed,
    ScheduleSkipped,
    ScheduleRan,
    BarcodeRulesSet,
)
