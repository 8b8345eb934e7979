"""Every defect of the original server has tests that would catch it here.

The numbers are those of the contract's list of known defects. Not listed: 27, 30, 31 (the
clients' own), 33 (a proxy we do not ship), 34 (a back end that is gone).
"""

import re
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[2]
ELSEWHERE: Final = {27, 30, 31, 33, 34}

CAUGHT: Final = """
 1 test_a_formatted_time_shows_minutes_where_minutes_belong
 2 test_the_numbers_of_the_morning_are_exact
 2 test_the_day_begins_at_local_midnight
 2 test_a_day_lasts_as_long_as_its_zone_says
 3 test_one_bad_event_neither_fails_nor_stops_the_batch
 4 test_240_parallel_identical_batches_are_all_answered_and_counted_once
 5 test_a_removed_item_stays_removed_when_the_morning_is_sent_again
 6 test_the_last_scanned_of_equal_barcodes_in_a_box_is_removed
 6 test_parallel_removals_of_equal_items_remove_one_each
 7 test_scans_that_are_no_items_cannot_be_removed
 7 test_the_audit_has_the_fields_that_all_items_share
 8 test_the_last_transition_decides_whether_a_box_is_open
 9 test_every_query_gives_the_result_of_folding_every_event
10 test_the_last_scan_is_the_newest_received_then_the_newest_scanned
11 test_scans_without_a_box_have_no_tally
11 test_the_number_is_the_part_behind_the_first_slash
11 test_numbers_sort_as_people_sort_them
11 test_every_query_gives_the_result_of_folding_every_event
12 test_raw_counts_all_matches_and_returns_a_page
12 test_deletions_have_the_whole_item_and_the_latest_first
13 test_the_numbers_of_the_morning_are_exact
14 test_an_event_without_uuid_is_stored_once_however_often_it_is_sent
15 test_a_time_out_of_range_is_implausible
15 test_one_bad_event_neither_fails_nor_stops_the_batch
16 test_an_invalid_query_is_400_with_a_sentence
17 test_verify_returns_stored_uuids_in_their_spelling
17 test_a_body_that_is_no_removal_is_422_and_not_quoted
18 test_every_answer_tells_an_allowed_page_that_it_may_read_it
18 test_what_a_service_says_itself
19 test_a_text_that_no_database_can_store_is_a_fault
20 test_the_newest_scans_are_read_by_index_and_no_others
20 test_every_combination_of_filters_narrows_the_result
21 test_queries_for_boxes_use_indexes_and_a_full_day_is_complete
21 test_filtered_rows_are_found_by_index
22 test_health_is_that_of_the_database
22 test_the_tables_are_as_the_migrations_made_them
23 test_metrics_count_the_open_quarantined_events
24 test_a_key_opens_only_what_it_is_for
24 test_a_key_opens_until_revoked_and_says_when_it_did
24 test_only_valid_keys_are_accepted
25 test_a_crash_is_an_answer_that_says_nothing_of_what_crashed
25 test_only_metrics_networks_read_the_metrics
26 test_a_hostile_text_is_no_formula_in_any_column_and_is_read_back
26 test_a_hostile_text_is_a_text_in_every_column
28 test_no_response_to_a_get_can_be_cached_by_a_service_worker
28 test_what_a_service_says_itself
29 test_the_last_transition_decides_whether_a_box_is_open
29 test_a_box_continues_over_midnight_until_it_is_closed_or_opened_again
32 test_every_format_of_a_time_is_read_as_moscow_time
32 test_a_value_that_is_no_time_is_refused
32 test_total_is_inserted_and_skipped_and_rejected
32 test_scans_that_a_device_has_sent_are_skipped
35 test_days_filters_and_removals_select_the_rows
35 test_an_imported_export_gives_the_same_scans
"""


def test_every_defect_of_the_server_has_a_test() -> None:
    files = TESTS.rglob("test_*.py")
    there = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}
    caught = [line.split() for line in CAUGHT.strip().splitlines()]

    assert [line for line in caught if line[1] not in there] == []
    assert {int(number) for number, _ in caught} == set(range(1, 36)) - ELSEWHERE
