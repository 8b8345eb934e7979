"""Every endpoint of spec shop §4 as a row: what is sent, the status, and what the answer has.

A row is `request | status | body | answer | ids`. A body is JSON or one of `BODIES`, of which some
fields may be replaced. An answer has the fields of `SHAPES` or those named, at the top or in its
first element, and values such as `items.0.id=5`. Ids get a name, from `id` or another
path: later rows have `{name}` in their paths and bodies. Rows for customers are `public`, those
of a payment provider are `signed`; all others have the token of an admin.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SHAPES: Final = {
    "PAGE": "items total",
    "ORDER": """customer_phone recipient_phone recipient_name address delivery_method flower_sum
        address_needs_clarification delivery_fee total id created_at updated_at status
        delivery_window has_pre_delivery_photos has_issue issue_type issue_comment tracking_token
        payment_method payment_date card_text delivery_time_text source""",
    "LINE": "id order_id product_id quantity price total product_name product_category",
    "WITH_ITEMS": """customer_phone recipient_phone recipient_name address delivery_method
        flower_sum address_needs_clarification delivery_fee total id created_at updated_at status
        delivery_window has_pre_delivery_photos has_issue issue_type issue_comment tracking_token
        payment_method payment_date card_text delivery_time_text source items customer_id customer
        assigned_florist courier""",
    "COMMENT": "id order_id user_id text author_type customer_name created_at updated_at user",
    "CUSTOMER": """phone name email notes preferences source id orders_count total_spent
        last_order_date created_at updated_at addresses important_dates primary_address
        rfm_score""",
    "ADDRESS": "address label is_primary id customer_id usage_count last_used_at created_at",
    "DATE": "date description remind_days_before id customer_id last_reminded_year created_at",
    "PRODUCT": """name category description image_url cost_price retail_price sale_price is_active
        is_popular is_new id created_at updated_at images ingredients components current_price
        discount_percentage""",
    "INGREDIENT": "warehouse_item_id quantity notes id product_id",
    "COMPONENT": """component_type name description quantity unit unit_cost unit_price
        warehouse_item_id material_id id product_id total_cost total_price""",
    "BATCH": """sku batch_code variety height_cm farm supplier delivery_date currency rate cost
        markup_pct qty price id reserved_qty recommended_price on_showcase to_write_off hidden
        created_at updated_at updated_by available_qty is_critical_stock quantity min_quantity""",
    "MOVEMENT": """type quantity description reference_type reference_id id warehouse_item_id
        created_at created_by qty_before qty_after""",
    "DELIVERY": """supplier farm delivery_date currency rate comment id cost_total created_at
        created_by positions""",
    "SUPPLY": """supplier farm delivery_date currency rate notes comment id status total_cost
        created_at created_by items""",
    "CATEGORY": "name markup_percentage keywords id created_at updated_at",
    "TASK": """order_id task_type priority estimated_minutes deadline instructions id florist_id
        status created_at assigned_at started_at completed_at actual_minutes quality_score
        work_photos result_photos florist_notes quality_notes items is_overdue time_spent order""",
    "TASK_ITEM": """order_item_id quantity id task_id is_completed completed_at quality_approved
        quality_notes""",
    "MATERIAL": "id shop_id name category price unit is_active in_stock created_at updated_at",
    "MARGINS": """shop_id default_labor_cost min_margin_percent recommended_margin_percent
        premium_margin_percent""",
    "SETTINGS": "name address email phones working_hours delivery_zones id created_at updated_at",
    "TRACKED": """order_number status created_at updated_at delivery_method delivery_window
        delivery_fee total recipient_name recipient_phone address items tracking_token""",
    "SHOP": """id name phone whatsapp_number address city description business_hours shop_logo_url
        rating reviews_count delivery_price delivery_time pickup_address working_hours instagram
        whatsapp""",
    "PUBLIC_PRODUCT": """id name category description image_url retail_price sale_price is_active
        is_popular is_new images""",
    "USER": """phone name email role is_active telegram_id id shop_id created_at updated_at
        permissions""",
}
BODIES: Final = {
    "NEW_BATCH": """{"sku": "ROS-1", "batch_code": "B1", "variety": "Фридом", "height_cm": 60,
        "farm": "Naranjo", "supplier": "Flora", "delivery_date": "2026-03-02T09:00:00",
        "currency": "USD", "rate": 500, "cost": 0.5, "markup_pct": 80, "qty": 100}""",
    "NEW_DELIVERY": """{"supplier": "Flora", "farm": "Naranjo", "delivery_date": "2026-03-02",
        "currency": "USD", "rate": 500, "positions": [{"variety": "Эксплорер", "height_cm": 60,
        "qty": 5, "cost_per_stem": 0.45}]}""",
    "NEW_SUPPLY": """{"supplier": "Flora", "items": [{"flower_name": "Роза", "height_cm": 60,
        "purchase_price": 400, "quantity": 9}]}""",
    "NEW_PRODUCT": """{"name": "Букет роз", "category": "bouquet", "cost_price": 5000,
        "retail_price": 15000, "sale_price": 12000}""",
    "CALCULATED": """{"calculation": {"flowers": [{"name": "Роза", "quantity": 2, "price": 1000}],
        "materials": [], "labor_cost": 0, "margin_percentage": 100, "total_cost": 1000,
        "final_price": 2000}}""",
    "NEW_ORDER": """{"customer_phone": "+77012223344", "delivery_method": "delivery",
        "address": "ул. Абая 15, кв. 3", "recipient_name": "Айгуль С.", "comment": "ваза",
        "recipient_phone": "+77015556677", "items": [{"product_id": "{product}", "quantity": 2,
        "price": 1}], "delivery_window": {"from_time": "2026-03-08T10:00:00",
        "to_time": "2026-03-08T12:00:00"}}""",
    "PUBLIC_ORDER": """{"shop_id": "{shop}", "customer_phone": "+7 701 222 33 44",
        "delivery_method": "pickup", "items": [{"product_id": "{product}", "quantity": 2,
        "price": 1}]}""",
    "SHORT_ORDER": """{"customer_name": "Ерлан", "customer_phone": "+77012223344",
        "delivery_type": "pickup", "payment_method": "card", "total_amount": 1,
        "items": [{"product_id": "{product}", "quantity": 2}]}""",
}
FORMS: Final = ("IMAGE", "HTML")
"""Bodies that are forms with one file."""
TABLE: Final = r"""
GET /api/settings/ | 200 |  | SETTINGS
PATCH /api/settings/ | 200 | {"address":"Абая 1"} | SETTINGS address="Абая\u00201"
PATCH /api/settings/ | 200 | {"delivery_zones":[{"name":"Центр","price":1,"price_kzt":2}]} | delivery_zones.0.price=1
PATCH /api/settings/ | 422 | {"delivery_zones":[{"name":"Центр","price":-1}]}
GET /api/settings/delivery-zones | 200 |  | PAGE
POST /api/settings/delivery-zones | 201 | {"name":"Юг","price":1} | message zones
POST /api/upload/image | 201 | IMAGE | message url original_name size | file=url
POST /api/upload/images | 201 | IMAGE | message images
POST /api/upload/image | 400 | HTML | detail
public GET {file} | 200

POST /api/warehouse/ | 201 | NEW_BATCH | BATCH price=450 | batch
POST /api/warehouse/ | 409 | NEW_BATCH | detail
GET /api/warehouse/?search=фри | 200 |  | PAGE items.0.id="{batch}"
GET /api/warehouse/?limit=101 | 422 |  | detail errors
GET /api/warehouse/stats | 200 |  | total_items total_value critical_items showcase_items writeoff_items by_variety by_supplier
GET /api/warehouse/{batch} | 200 |  | BATCH
GET /api/warehouse/{unknown} | 404 |  | detail
PATCH /api/warehouse/{batch} | 200 | {"quantity":90} | BATCH qty=90
PATCH /api/warehouse/{batch} | 200 | {"price":950,"min_quantity":15} | BATCH price=950
PATCH /api/warehouse/{batch} | 200 | {} | BATCH price=950
PATCH /api/warehouse/{batch} | 422 | {"reserved_qty":1}
POST /api/warehouse/{batch}/adjust-stock | 200 | {"quantity_change":10,"reason":"счёт"} | MOVEMENT qty_after=100
POST /api/warehouse/{batch}/adjust-stock | 400 | {"adjustment":-101,"reason":"счёт"}
GET /api/warehouse/{batch}/movements | 200 |  | PAGE items.0.qty_before=90
POST /api/warehouse/deliveries | 201 | NEW_DELIVERY | DELIVERY cost_total=2.25
POST /api/warehouse/deliveries | 422 | NEW_DELIVERY {"positions":[]}
GET /api/warehouse/deliveries | 200 |  | PAGE total=1
POST /api/supplies/categories | 201 | {"name":"Розы","markup_percentage":50,"keywords":"роза"} | CATEGORY | category
POST /api/supplies/categories | 400 | {"name":"Розы","markup_percentage":1}
PUT /api/supplies/categories/{category} | 200 | {"markup_percentage":60} | CATEGORY
GET /api/supplies/categories | 200 |  | CATEGORY
POST /api/supplies/parse | 200 | {"text":"Роза 60 400 9\nбез цены"} | supplier items total_cost errors items.0.retail_price=640
POST /api/supplies/import | 201 | NEW_SUPPLY | SUPPLY | supply
POST /api/supplies/import | 400 | NEW_SUPPLY {"items":[]}
GET /api/supplies/ | 200 |  | PAGE total=1
GET /api/supplies/{supply} | 200 |  | SUPPLY items.0.remaining_quantity=9
PUT /api/supplies/{supply}/archive | 200 |  | SUPPLY status="archived"
GET /api/supplies/{unknown} | 404

POST /api/products/ | 201 | NEW_PRODUCT | PRODUCT current_price=12000 | product
POST /api/products/ | 422 | NEW_PRODUCT {"retail_price":0}
GET /api/products/ | 200 |  | PAGE
GET /api/products/?category=цветы | 422
GET /api/products/{product} | 200 |  | PRODUCT total_orders total_revenue
GET /api/products/{unknown} | 404
PUT /api/products/{product} | 200 | {"description":"11 роз"} | PRODUCT
POST /api/products/{product}/toggle-active | 201 |  | PRODUCT is_active=false
POST /api/products/{product}/toggle-active | 201 |  | is_active=true
PUT /api/products/{product}/images | 200 | ["{file}"] | images.0.is_primary=true
POST /api/products/{product}/ingredients | 201 | {"warehouseItemId":"{batch}","quantity":3} | INGREDIENT | ingredient
POST /api/products/{product}/ingredients | 400 | {"warehouse_item_id":"{batch}","quantity":1}
GET /api/products/{product}/ingredients | 200 |  | INGREDIENT variety height_cm supplier farm available_qty price
PUT /api/products/{product}/ingredients/{ingredient} | 200 | {"quantity":5} | quantity=5
POST /api/products/{product}/components | 201 | {"component_type":"flower","name":"Роза","quantity":5,"unit_price":100} | COMPONENT total_price=500 | component
POST /api/products/{product}/components | 422 | {"name":"Роза"}
GET /api/products/{product}/components | 200 |  | COMPONENT
PUT /api/products/{product}/components/{component} | 200 | {"quantity":7,"id":1,"product_id":1} | COMPONENT id="{component}" quantity=7
DELETE /api/products/{product}/components/{component} | 200 |  | message
POST /api/products/{product}/components | 201 | {"component_type":"service","name":"Работа","quantity":1} |  | component
POST /api/products/ | 201 | NEW_PRODUCT |  | removed
POST /api/products/{removed}/ingredients | 201 | {"warehouse_item_id":"{batch}","quantity":1} |  | gone
DELETE /api/products/{removed}/ingredients/{gone} | 200 |  | message
DELETE /api/products/{removed} | 200 |  | PRODUCT
GET /api/products/{removed} | 404
POST /api/products/prices | 200 | [{"id":"{product}","price":16000}] | changed=1
POST /api/calculator/materials | 201 | {"name":"Лента","price":300.5} | MATERIAL price="300.50" | material
GET /api/calculator/materials | 200 |  | PAGE items.0.id="{material}"
GET /api/calculator/materials/{material} | 200 |  | MATERIAL
PATCH /api/calculator/materials/{material} | 200 | {"in_stock":false} | in_stock=false
DELETE /api/calculator/materials/{material} | 204
POST /api/calculator/materials | 201 | {"name":"Крафт","price":"100"} |  | material
GET /api/calculator/settings | 200 |  | MARGINS default_labor_cost="2000.00"
PATCH /api/calculator/settings | 200 | {"min_margin_percent":31} | MARGINS
PATCH /api/calculator/settings | 422 | {"min_margin_percent":1001}
POST /api/calculator/create-product | 201 | CALCULATED | PRODUCT
POST /api/calculator/create-product | 422 | CALCULATED {"calculation":{"flowers":[{"name":"Роза","quantity":2,"price":1000}],"materials":[],"labor_cost":0,"margin_percentage":100,"total_cost":1000,"final_price":1}}

POST /api/customers/ | 201 | {"phone":"+77012223344","name":"Ерлан","addresses":[{"address":"Абая 1","is_primary":true}]} | CUSTOMER | customer
POST /api/customers/ | 400 | {"phone":"8 701 222 33 44"} | detail
POST /api/customers/ | 422 | {"phone":"123"}
GET /api/customers/?search=ерл | 200 |  | PAGE items.0.id="{customer}"
GET /api/customers/{customer} | 200 |  | CUSTOMER
GET /api/customers/{unknown} | 404
DELETE /api/customers/{unknown} | 404
PUT /api/customers/{customer} | 200 | {"addresses":["Абая 2"]} | CUSTOMER
POST /api/customers/{customer}/addresses | 201 | {"address":"Сатпаева 3","is_default":true} | ADDRESS is_primary=true
POST /api/customers/{customer}/addresses | 400 | {"address":"Сатпаева 3"}
POST /api/customers/{customer}/important-dates | 201 | {"date":"03-08","description":"8 Марта"} | DATE
POST /api/customers/{customer}/update-stats | 201 |  | CUSTOMER
POST /api/customers/ | 201 | {"phone":"87015550000"} | phone="+77015550000" | other
POST /api/customers/merge | 201 | {"keep_customer_id":"{customer}","merge_customer_id":"{other}"} | CUSTOMER id="{customer}"
POST /api/customers/merge | 422 | {"keep_customer_id":"{customer}","merge_customer_id":"{customer}"}

POST /api/orders/with-items | 201 | NEW_ORDER | WITH_ITEMS flower_sum=24000 delivery_fee=1500 total=25500 | order item=items.0.id token=tracking_token number=order_number
POST /api/orders/with-items | 422 | NEW_ORDER {"items":[]}
POST /api/orders/with-items | 404 | NEW_ORDER {"items":[{"product_id":"{unknown}","quantity":1}]}
POST /api/orders/with-items | 409 | NEW_ORDER {"items":[{"product_id":"{product}","quantity":99}]} | detail
POST /api/orders/ | 201 | {"customer_phone":"+77012223344","delivery_method":"self_pickup","flower_sum":5000,"total":5000,"comment":"к трём"} | ORDER | plain
GET /api/orders/?search=7701222&status=new&dateFrom=2026-01-01 | 200 |  | PAGE total=2
GET /api/orders/?status=странный | 422 |  | detail errors
GET /api/orders/?dateTo=вчера | 422
GET /api/orders/{order} | 200 |  | WITH_ITEMS history customer.id="{customer}"
GET /api/orders/{unknown} | 404 |  | detail
GET /api/customers/{customer}/orders | 200 |  | ORDER
DELETE /api/customers/{customer} | 409 |  | detail
PATCH /api/orders/{order} | 200 | {"address":"ул. Абая 16, кв. 3","total":1} | ORDER total=25500
GET /api/orders/{order}/items | 200 |  | LINE
POST /api/orders/{order}/items | 201 | {"product_id":"{product}","quantity":1} | LINE price=12000 | added
PATCH /api/orders/{order}/items/{added} | 200 | {"quantity":2} | LINE total=24000
DELETE /api/orders/{order}/items/{added} | 200 |  | detail
DELETE /api/orders/{order}/items/{unknown} | 404
POST /api/orders/{order}/assign-florist?florist_id={florist} | 200 |  | detail
POST /api/orders/{order}/assign-florist | 200 | {"florist_id":"{florist}"} | detail
POST /api/orders/{order}/assign-florist | 400 | {"florist_id":"{courier}"}
POST /api/orders/{order}/assign-florist | 404 | {"florist_id":"{unknown}"}
POST /api/orders/{order}/comments | 201 | {"text":"звонить"} | COMMENT | remark
GET /api/orders/{order}/comments | 200 |  | PAGE total=2
PATCH /api/comments/{remark} | 200 | {"text":"не звонить"} | COMMENT
DELETE /api/comments/{remark} | 200 |  | detail
POST /api/orders/{order}/comments | 201 | {"text":"к чаю"} |  | remark
POST /api/orders/{order}/photos | 201 | IMAGE | photo_url photo_type="completion" | photo picture=photo_url
POST /api/orders/{order}/photos | 400 | HTML | detail
GET /api/orders/{order}/photos | 200 |  | PAGE total=1
public GET {picture} | 200
PATCH /api/orders/{order}/status | 200 | {"status":"paid"} | ORDER status="paid"
PATCH /api/orders/{order}/status | 409 | {"status":"completed"} | detail
PATCH /api/orders/{order}/status | 422 | {"status":"странный"}
PATCH /api/orders/{plain}/status | 200 | {"status":"paid"}
POST /api/orders/{plain}/rollback-status | 200 | {"target_status":"new","reason":"ошибка"} | ORDER status="new" payment_date=null
POST /api/orders/{plain}/rollback-status | 400 | {"target_status":"delivered","reason":"ошибка"}
PATCH /api/orders/{plain}/issue | 200 | {"issueType":"delivery_refused","comment":"нет дома"} | ORDER has_issue=true
POST /api/orders/with-items | 201 | NEW_ORDER |  | cancelled
POST /api/orders/{cancelled}/cancel | 200 | {"cancellation_reason":"передумали"} | ORDER status="issue" issue_type="other"

POST /api/production/queue/create-from-order/{order} | 201 |  | TASK | task=0.id
POST /api/production/queue/create-from-order/{unknown} | 404
POST /api/production/tasks/ | 201 | {"order_id":"{order}","task_type":"decoration","priority":"high","items":[{"order_item_id":"{item}","quantity":1}]} | TASK | second part=items.0.id
GET /api/production/tasks/?status=pending | 200 |  | PAGE items.1.id="{second}"
GET /api/production/tasks/pending | 200 |  | PAGE
GET /api/production/tasks/overdue | 200 |  | TASK
GET /api/production/tasks/{task} | 200 |  | TASK order.customer_phone="+77012223344"
GET /api/production/tasks/{unknown} | 404
PUT /api/production/tasks/{task} | 200 | {"priority":"low"} | priority="low"
PATCH /api/production/tasks/{task} | 200 | {"priority":"normal"} | priority="normal"
GET /api/production/tasks/{second}/items | 200 |  | TASK_ITEM
PUT /api/production/task-items/{part} | 200 | {"quality_notes":"бант"} | TASK_ITEM
POST /api/production/task-items/{part}/complete?quality_approved=true | 201
POST /api/production/queue/check-overdue | 201 |  | updated_tasks
GET /api/production/queue/stats | 200 |  | pending_tasks tasks_by_type tasks_by_priority
GET /api/production/florists | 200 |  | PAGE items.0.id="{florist}"
POST /api/production/tasks/{task}/assign | 201 | {"florist_id":"{florist}"}
POST /api/production/tasks/{task}/complete | 409 |  | detail
POST /api/production/tasks/{task}/start | 201 |  | status="in_progress"
POST /api/production/queue/get-next-task/{florist} | 201
POST /api/production/queue/distribute | 201 |  | distributed skipped total_pending
POST /api/production/tasks/{task}/complete | 201 | {"photos":[]} | status="quality_check"
POST /api/production/tasks/{task}/quality-check | 201 | {"quality_score":5,"quality_approved":true} | status="completed"
POST /api/production/tasks/{second}/cancel | 201 |  | status="cancelled"
GET /api/production/queue/workload | 200
GET /api/production/florists/{florist}/stats | 200 |  | florist_id average_quality_score
PATCH /api/orders/{order}/status | 200 | {"status":"assembled"}
PATCH /api/orders/{order}/status | 200 | {"status":"delivery"}
GET /api/days/{today} | 200 |  | date figures closed=null
POST /api/days/{today}/close | 200 |  | date figures closed
POST /api/days/2999-01-01/close | 400 |  | detail
GET /api/days/today | 422 |  | detail
GET /api/warehouse/{batch} | 200 |  | qty=90 reserved_qty=0
POST /api/orders/{order}/cancel | 400 | {"cancellation_reason":"поздно"}

public GET /api/public/shops/{shop} | 200 |  | SHOP delivery_price=2000
public GET /api/public/shops/{unknown} | 404
public GET /api/public/products?shop_id={shop}&min_price=1 | 200 |  | PAGE
public GET /api/public/products | 422 |  | detail errors
public GET /api/public/shops/{shop}/products | 200 |  | products total shop_id
public GET /api/public/shops/{shop}/categories | 200 |  | categories total
public POST /api/public/orders | 200 | PUBLIC_ORDER | ORDER items source="storefront" delivery_method="self_pickup" total=24000 | bought bought_token=tracking_token bought_total=total
public POST /api/public/orders | 422 | PUBLIC_ORDER {"items":[]}
public POST /api/public/orders | 404 | PUBLIC_ORDER {"shop_id":"{unknown}"}
public POST /api/public/shops/{shop}/orders | 200 | SHORT_ORDER | id tracking_token status customer_name customer_phone total_amount created_at message
public POST /api/orders/{bought}/payment-webhook | 403 | {"payment_id":"p1","amount":"{bought_total}"}
signed POST /api/orders/{bought}/payment-webhook | 200 | {"payment_id":"p1","amount":"{bought_total}"} | status order_id payment_status order_status order_status="paid"
signed POST /api/orders/{bought}/payment-webhook | 400 | {"payment_id":"p2","status":"failed"}
public PATCH /api/public/orders/{bought_token}/address | 200 | {"address":"ул. Абая 20, кв. 7","recipient_name":"","recipient_phone":""} | success message updated_address
public PATCH /api/public/orders/{token}/address | 400 | {"address":"ул. Абая 1"}
public PATCH /api/public/orders/{number}/address | 403 | {"address":"x"}

public GET /api/public/orders/{token} | 200 |  | TRACKED recipient_phone="+77015****77"
public GET /api/public/status/{token} | 200 |  | TRACKED recipient_phone="+77015****77"
public GET /api/tracking/{token} | 200 |  | TRACKED recipient_phone="+77015****77"
public GET /api/public/orders/{unknown} | 404
public GET /api/public/status/{unknown} | 404
public GET /api/tracking/{unknown} | 404
public POST /api/public/orders/{token}/comments | 200 | {"text":"спасибо","customer_name":"Айгуль"} | success message comment_id
public GET /api/public/orders/{token}/comments | 200 |  | PAGE total=1
public GET /api/public/orders/{token}/photos | 200 |  | PAGE
public POST /api/public/orders/{token}/feedback | 404 | {"photo_id":"{unknown}","feedback":"like"}

GET /api/auth/current-user | 200 |  | user shop shop.id="{shop}" user.role="admin"
GET /api/auth/me | 200 |  | id name phone city id="{shop}"
GET /api/users/ | 200 |  | PAGE items.0.shop_id="{shop}"
GET /api/users/{florist} | 200 |  | USER role="florist"
POST /api/users/ | 200 | {"phone":"+77777777777","name":"Белла","role":"florist","email":""} | USER | hired
POST /api/users/ | 400 | {"phone":"+77777777777","name":"Белла","role":"florist"}
PATCH /api/users/{hired} | 200 | {"name":"Белла Ивановна"} | USER
PATCH /api/users/{hired}/permissions | 200 | {"customers":true} | USER permissions.customers=true
PATCH /api/users/{hired}/permissions | 422 | {"permissions":{"money":true}}
DELETE /api/users/{hired} | 200 |  | USER is_active=false
public GET /api/telegram/webhook/status | 200 |  | status
public GET /api/health/db | 200 |  | database table_count database_type
GET /api/nothing | 404 |  | detail
public GET /debug/env | 404
POST /api/init/initialize?force=true | 404
GET /api/init/status | 404
GET /api/auth/redis-test | 404
POST /api/auth/debug/register-telegram | 404 | {"phone":"+77012223344","telegram_id":1}
"""  # noqa: E501


@dataclass(frozen=True, kw_only=True)
class Row:
    """One request. `body` is a name of `FORMS`, or JSON with names of ids in it."""

    kind: str
    method: str
    target: str
    status: int
    body: Any
    fields: frozenset[str]
    values: Mapping[str, Any]
    ids: Mapping[str, str]

    @property
    def route(self) -> tuple[str, str]:
        """Method and path as in the published routes."""
        return self.method, re.sub(r"{\w+}", "{}", self.target.partition("?")[0]).rstrip("/")


def parse(line: str) -> Row:
    """A row of the table."""
    request, status, body, answer, ids, *_ = *map(str.strip, line.split(" | ")), "", "", ""
    kind, method, target = request.split() if request.count(" ") == 2 else ("", *request.split())
    words = [word for one in answer.split() for word in SHAPES.get(one, one).split()]
    return Row(
        kind=kind,
        method=method,
        target=target,
        status=int(status),
        body=_body(body),
        fields=frozenset(word for word in words if "=" not in word),
        values={
            at: json.loads(value) for at, _, value in (w.partition("=") for w in words) if value
        },
        ids={name: at or "id" for name, _, at in (one.partition("=") for one in ids.split())},
    )


def _body(text: str) -> Any:
    name, _, changes = text.partition(" ")
    if name in BODIES:
        return json.loads(BODIES[name]) | json.loads(changes or "{}")
    return text if text in FORMS else json.loads(text or "null")


STORY: Final = [parse(line) for line in TABLE.splitlines() if line]
