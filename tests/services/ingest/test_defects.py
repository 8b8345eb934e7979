"""Every defect of the original that was the server's has tests that would catch it here.

The numbers are those of the contract's list of known defects. Not listed: 27, 30, 31 (the
clients' own), 33 (a proxy we do not ship), 34 (a back end that is gone).
"""

import re
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[2]
INGEST: Final = "services/ingest"

CAUGHT: Final[dict[int, tuple[str, ...]]] = {
    1: (f"{INGEST}/domain/test_day.py::test_a_moment_is_written_with_minutes_that_are_no_months",),
    2: (
        f"{INGEST}/test_golden.py::test_the_numbers_of_the_morning_are_exact",
        f"{INGEST}/domain/test_day.py",
    ),
    3: (
        f"{INGEST}/api/test_events.py::test_one_bad_event_neither_fails_nor_stops_the_batch",
        (
            "e2e/test_bad_input.py::"
            "test_an_event_that_is_no_scan_is_kept_and_does_not_hold_up_its_neighbour"
        ),
    ),
    4: (
        "e2e/test_golden.py::test_240_parallel_identical_batches_are_all_answered_and_counted_once",
    ),
    5: (
        (
            f"{INGEST}/handlers/test_removal.py::"
            "test_a_removed_item_sent_again_is_known_and_stays_removed"
        ),
    ),
    6: (f"{INGEST}/handlers/test_removal.py::test_equal_barcodes_are_separate_units",),
    7: (
        f"{INGEST}/domain/test_removal.py::test_what_is_no_item_cannot_be_removed",
        f"{INGEST}/domain/test_removal.py::test_the_audit_carries_what_all_items_have_in_common",
    ),
    8: (f"{INGEST}/domain/test_box.py::test_a_box_is_closed_by_hand_or_by_itself",),
    9: (
        (
            f"{INGEST}/read_models/test_box.py::"
            "test_equal_numbers_of_two_clients_or_cities_are_several_boxes"
        ),
    ),
    10: (
        (
            f"{INGEST}/read_models/test_activity.py::"
            "test_the_last_thing_done_is_the_newest_received_then_the_newest_scanned"
        ),
    ),
    11: (
        f"{INGEST}/read_models/test_box.py::test_a_scan_without_a_label_is_in_no_box",
        f"{INGEST}/domain/test_box.py::test_a_number_is_what_stands_behind_the_first_slash",
        f"{INGEST}/domain/test_box.py::test_numbers_sort_as_people_sort_them",
        f"{INGEST}/read_models/test_box.py::test_an_equal_label_of_another_day_is_another_box",
    ),
    12: (
        f"{INGEST}/api/test_dashboard.py::test_raw_counts_all_that_matches_and_shows_a_page",
        f"{INGEST}/api/test_removal.py",
    ),
    13: (f"{INGEST}/test_golden.py::test_the_numbers_of_the_morning_are_exact",),
    14: (
        (
            f"{INGEST}/handlers/test_scan.py::"
            "test_an_event_without_uuid_is_stored_once_however_often_it_is_sent"
        ),
    ),
    15: (
        (
            "e2e/test_bad_input.py::"
            "test_an_event_that_is_no_scan_is_kept_and_does_not_hold_up_its_neighbour"
        ),
    ),
    16: (f"{INGEST}/api/test_dashboard.py::test_a_question_without_sense_is_400_with_a_sentence",),
    17: (
        f"{INGEST}/api/test_events.py::test_verify_echoes_what_is_known_as_it_was_spelled",
        "e2e/test_bad_input.py::test_a_removal_that_makes_no_sense_removes_nothing",
    ),
    18: (
        (
            "services/gateway/api/test_cors.py::"
            "test_every_answer_tells_an_allowed_page_that_it_may_read_it"
        ),
        (
            "services/gateway/api/test_scan_door_in_trouble.py::"
            "test_an_error_of_the_service_arrives_as_it_is_and_can_be_read"
        ),
    ),
    19: (f"{INGEST}/domain/test_scan_texts.py::test_what_no_database_can_store_is_a_fault",),
    20: (
        (
            f"{INGEST}/read_models/test_scan_log.py::"
            "test_the_feed_of_a_full_day_reads_only_the_rows_it_shows"
        ),
        (
            f"{INGEST}/read_models/test_activity.py::"
            "test_every_combination_of_filters_narrows_the_answer"
        ),
    ),
    21: (
        f"{INGEST}/read_models/test_box_plans.py::test_the_queries_of_an_answer_go_by_index",
        f"{INGEST}/read_models/test_plans.py",
    ),
    22: (
        f"{INGEST}/api/test_system.py",
        f"{INGEST}/read_models/test_all.py::test_the_tables_are_as_the_migrations_made_them",
    ),
    23: ("e2e/test_operations.py",),
    24: (
        "services/gateway/api/test_scan_door.py::test_a_key_opens_only_what_it_is_for",
        "services/gateway/api/test_scan_door.py::test_a_revoked_key_opens_nothing_any_more",
        "e2e/test_bad_input.py::test_a_wrong_key_opens_nothing_and_stores_nothing",
    ),
    25: (
        (
            "services/gateway/api/test_system.py::"
            "test_a_crash_is_an_answer_that_says_nothing_of_what_crashed"
        ),
        "services/gateway/api/test_system.py::test_only_those_who_run_it_see_its_metrics",
    ),
    26: (
        (
            f"{INGEST}/api/test_export_texts.py::"
            "test_a_hostile_text_is_no_formula_in_any_column_and_comes_back"
        ),
        f"{INGEST}/api/test_export_excel.py::test_a_hostile_text_is_a_text_in_every_column",
    ),
    28: (
        f"{INGEST}/api/test_dashboard.py::test_no_answer_to_a_get_can_be_kept_by_a_service_worker",
        (
            "services/gateway/api/test_cors.py::"
            "test_no_get_answer_can_be_kept_by_the_scanners_service_worker"
        ),
    ),
    29: (
        f"{INGEST}/domain/test_box.py::test_an_item_after_closing_does_not_open_the_box",
        f"{INGEST}/domain/test_box.py::test_a_box_whose_operator_moved_on_stays_open",
    ),
    32: (
        (
            f"{INGEST}/domain/test_spreadsheet.py::"
            "test_every_way_to_write_a_moment_is_read_as_moscow_time"
        ),
        f"{INGEST}/domain/test_spreadsheet.py::test_what_is_no_moment_is_not_made_one",
        f"{INGEST}/handlers/test_importing.py::test_total_is_inserted_and_skipped_and_rejected",
        f"{INGEST}/handlers/test_importing.py::test_what_a_device_has_sent_is_skipped",
    ),
    35: (
        f"{INGEST}/api/test_export.py",
        f"{INGEST}/api/test_export_texts.py::test_a_reader_of_csv_reads_back_what_was_stored",
    ),
}


@pytest.mark.parametrize("defect", CAUGHT)
def test_every_defect_of_the_server_is_caught_by_tests_that_exist(defect: int) -> None:
    for named in CAUGHT[defect]:
        file, _, test = named.partition("::")
        told = (TESTS / file).read_text()
        assert re.search(rf"def {test}\b" if test else r"def test_", told), named
