--
-- PostgreSQL database dump
--
COPY public.customers (id, phone, name, email, shop_id, orders_count, notes, source, created_at) FROM stdin;
1	+77011234567	Анна	\N	1	2	любит\nпионы	instagram	2025-07-01 10:00:00.5+00
2	8 701 765 43 21	\N	\N	1	0	\N	\N	2025-07-01 10:00:00.5+00
3	не телефон	Без номера	\N	1	0	\N	\N	2025-07-01 10:00:00.5+00
4	+77019999999	Чужой	\N	2	0	\N	\N	2025-07-01 10:00:00.5+00
\.

COPY public.customer_addresses (id, customer_id, address, label, is_primary, usage_count, last_used_at, created_at) FROM stdin;
1	1	ул. Абая 15	Дом	1	3	2025-07-01 10:00:00.5+00	2025-07-01 10:00:00.5+00
\.

COPY public.customer_important_dates (id, customer_id, date, description, remind_days_before, last_reminded_year, created_at) FROM stdin;
1	1	03-08	Праздник	5	\N	2025-07-01 10:00:00.5+00
\.

COPY public.warehouse_items (id, sku, batch_code, variety, height_cm, farm, supplier, delivery_date, created_at, currency, rate, cost, recommended_price, price, markup_pct, qty, reserved_qty, on_showcase, to_write_off, hidden) FROM stdin;
5	ROS-ECU-60-B1	B1	Роза	60	Эквадор	Цветбаза	2025-07-01 10:00:00.5+00	2025-07-01 10:00:00.5+00	USD	470	1.5	1410	1400.5	100	25	9	t	f	f
6	ROS-ECU-60-B2	B2	Роза	60	Эквадор	Цветбаза	2025-07-01 10:00:00.5+00	2025-07-01 10:00:00.5+00	USD	470	1.5	1410	1410	100	-3	0	f	f	f
\.

COPY public.products (id, name, category, description, image_url, shop_id, cost_price, retail_price, sale_price, is_active, is_popular, is_new, created_at) FROM stdin;
7	Букет	bouquet	11 роз	\N	1	0	18000	16000	t	t	f	2025-07-01 10:00:00.5+00
\.

COPY public.product_ingredients (id, product_id, warehouse_item_id, quantity, notes) FROM stdin;
1	7	5	11	\N
\.

COPY public.orders (id, created_at, updated_at, status, customer_id, customer_phone, recipient_phone, recipient_name, address, delivery_method, delivery_window, flower_sum, delivery_fee, total, issue_type, issue_comment, tracking_token, payment_method, payment_date, card_text, source, shop_id) FROM stdin;
11	2025-07-01 10:00:00.5+00	2025-07-02 09:00:00+00	delivered	1	+77011234567	\N	Мама	ул. Абая 15	delivery	{"from": "2025-07-02T14:00:00", "to": "2025-07-02T16:00:00"}	32000	1500	33500	\N	\N	123456789	kaspi	2025-07-01 10:00:00.5+00	С праздником	crm	1
12	2025-07-01 10:00:00.5+00	2025-07-03 09:00:00+00	paid	\N	+77010000000	\N	\N	\N	self_pickup	\N	16000	0	16000	\N	\N	123456789	cash	\N	\N	storefront	1
14	2025-07-01 10:00:00.5+00	2025-07-03 09:00:00+00	paid	\N	+77015555555	\N	\N	\N	self_pickup	\N	16000	0	16000	\N	\N	987654321	cash	\N	\N	storefront	1
13	2025-07-01 10:00:00.5+00	2025-07-03 09:00:00+00	lost	1	+77011234567	\N	\N	\N	self_pickup	\N	16000	0	16000	\N	\N	\N	\N	\N	\N	crm	1
\.

COPY public.order_items (id, order_id, product_id, product_name, product_category, quantity, price, total) FROM stdin;
1	11	7	Букет	bouquet	2	16000	32000
\.

COPY public.order_history (id, order_id, user_id, event_type, old_status, new_status, comment, created_at) FROM stdin;
1	11	1	status_changed	new	paid	\N	2025-07-01 11:00:00+00
2	11	1	status_changed	paid	assembled	\N	2025-07-01 12:00:00+00
\.

COPY public.comments (id, order_id, user_id, text, author_type, customer_name, created_at) FROM stdin;
1	11	1	без лент	staff	\N	2025-07-01 10:00:00.5+00
\.

COPY public.users (id, phone) FROM stdin;
1	+77010000001
\.
