"""Every defect of the original that was the server's has tests that would catch it here.

The numbers are those of the contract's list of known defects. Not listed: 27, 30, 31 (the
clients' own), 33 (a proxy we do not ship), 34 (a back end that is gone).
"""

import re
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[2]
ELSEWHERE: Final = {27, 30, 31, 33, 34}

CAUGHT: Final = """
 1 test_a_moment_is_written_with_minutes_that_are_no_months
 2 test_the_numbers_of_the_morning_are_exact
 2 test_the_day_begins_at_local_midnight
 2 test_a_day_lasts_as_long_as_its_zone_says
 3 test_one_bad_event_neither_fails_nor_stops_the_batch
 4 test_240_parallel_identical_batches_are_all_answered_and_counted_once
 5 test_a_removed_item_stays_removed_when_the_morning_is_sent_again
 6 test_of_equal_barcodes_in_a_box_the_latest_scanned_goes
 6 test_parallel_removals_of_equal_units_take_one_each
 7 test_what_is_no_item_cannot_be_removed
 7 test_the_audit_carries_what_all_items_have_in_common
 8 test_a_box_is_as_its_last_opening_and_closing_say
 9 test_every_question_is_answered_as_by_folding_every_event
10 test_the_last_thing_done_is_the_newest_received_then_the_newest_scanned
11 test_what_is_not_about_a_box_makes_none
11 test_a_number_is_what_stands_behind_the_first_slash
11 test_numbers_sort_as_people_sort_them
11 test_every_question_is_answered_as_by_folding_every_event
12 test_raw_counts_all_that_matches_and_shows_a_page
12 test_deletions_show_the_item_as_it_was_the_latest_first
13 test_the_numbers_of_the_morning_are_exact
14 test_an_event_without_uuid_is_stored_once_however_often_it_is_sent
15 test_a_moment_out_of_the_world_is_implausible
15 test_one_bad_event_neither_fails_nor_stops_the_batch
16 test_a_question_without_sense_is_400_with_a_sentence
17 test_verify_echoes_what_is_known_as_it_was_spelled
17 test_what_is_no_removal_is_422_and_quoted_nowhere
18 test_every_answer_tells_an_allowed_page_that_it_may_read_it
18 test_what_a_service_says_itself
19 test_what_no_database_can_store_is_a_fault
20 test_the_newest_scans_are_read_by_index_and_no_more_than_are_shown
20 test_every_combination_of_filters_narrows_the_answer
21 test_the_queries_of_an_answer_go_by_index_and_a_full_day_is_complete
21 test_filtered_rows_are_found_by_index
22 test_health_is_that_of_the_database
22 test_the_tables_are_as_the_migrations_made_them
23 test_metrics_count_what_waits_in_quarantine
24 test_a_key_opens_only_what_it_is_for
24 test_a_key_opens_until_revoked_and_says_when_it_did
24 test_only_good_keys_open
25 test_a_crash_is_an_answer_that_says_nothing_of_what_crashed
25 test_only_those_who_run_it_see_its_metrics
26 test_a_hostile_text_is_no_formula_in_any_column_and_comes_back
26 test_a_hostile_text_is_a_text_in_every_column
28 test_no_answer_to_a_get_can_be_kept_by_a_service_worker
28 test_what_a_service_says_itself
29 test_a_box_is_as_its_last_opening_and_closing_say
29 test_a_box_is_the_same_over_midnight_until_it_is_closed_or_opened_anew
32 test_every_way_to_write_a_moment_is_read_as_moscow_time
32 test_what_is_no_moment_is_not_made_one
32 test_total_is_inserted_and_skipped_and_rejected
32 test_what_a_device_has_sent_is_skipped
35 test_days_filters_and_removals_choose_the_rows
35 test_an_export_is_imported_as_what_it_is_of
"""


def test_every_defect_of_the_server_is_caught_by_tests_that_exist() -> None:
    files = TESTS.rglob("test_*.py")
    there = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}
    caught = [line.split() for line in CAUGHT.strip().splitlines()]

    assert [line for line in caught if line[1] not in there] == []
    assert {int(number) for number, _ in caught} == set(range(1, 36)) - ELSEWHERE
