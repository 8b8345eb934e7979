"""What the replacement owes (spec §9), and the tests that show it: none without one."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ELSEWHERE = {"gateway": HERE.parent, "e2e": HERE.parents[1]}
TABLE = """
R1 operations/handlers/test_worker::test_two_writers_of_one_scale_never_overlap
R1 operations/handlers/test_worker::test_a_busy_scale_is_409_with_retry_after
R1 bridges/handlers/test_agent::test_two_tasks_of_one_scale_never_overlap
R1 driver/simulator/adapters/test_server::test_overlapping_operations_are_reported
R2 driver/adapters/test_driver::test_at_the_deadline_the_connection_is_closed_and_the_thread_released
R2 driver/adapters/test_driver::test_a_cancelled_operation_leaves_no_thread_behind
R2 operations/handlers/test_worker::test_an_operation_ends_at_its_deadline
R3 test_failures::test_what_may_pass_is_tried_three_times_at_most
R3 test_failures::test_what_would_be_the_same_again_is_not_tried_again
R3 test_failures::test_no_attempt_begins_when_there_is_no_time_for_it
R3 operations/test_api::test_at_most_three_attempts_are_made_and_recorded
R4 test_failures::test_an_unknown_outcome_is_looked_into_and_not_repeated
R4 driver/adapters/test_driver::test_an_upload_ends_as_expected_and_the_scale_holds_what_it_should
R4 operations/test_api::test_an_unknown_outcome_is_resolved_by_a_verification
R5 driver/domain/test_document::test_a_bad_file_is_not_accepted
R5 driver/domain/test_document::test_each_rule_is_relaxed_by_itself
R5 test_faults::test_every_fault_leaves_the_copy_as_it_was
R6 test_failures::test_three_transport_failures_in_a_row_open_it
R6 operations/handlers/test_worker::test_a_dead_scale_is_rarely_connected_to
R6 operations/handlers/test_worker::test_one_probe_after_the_cool_down_closes_the_breaker
R6 test_failures::test_whatever_the_scale_answers_does_not_open_it_and_begins_the_count_anew
R6 operations/handlers/test_worker::test_a_change_of_address_closes_the_breaker
R7 schedules/handlers/test_schedule::test_a_run_sets_dates_sends_them_and_keeps_pending_edits
R7 catalogue/domain/test_decisions::test_dates_are_refreshed_on_top_of_pending_edits
R7 catalogue/domain/test_decisions::test_a_replaced_revision_can_be_restored
R7 monitoring/read_models/test_board::test_the_next_action_of_a_scale
R8 catalogue/domain/test_decisions::test_the_flag_is_clean_only_if_the_stored_revision_is_the_confirmed_one
R8 operations/test_api::test_an_edit_during_an_upload_leaves_the_catalogue_dirty
R8 schedules/handlers/test_schedule::test_a_failed_run_has_a_reason_and_leaves_the_catalogue_dirty
R8 e2e/test_scales_kill::test_a_program_is_killed_in_the_middle_of_an_upload
R9 catalogue/api/test_products::test_of_120_edits_at_once_120_survive
R9 catalogue/domain/test_decisions::test_every_change_is_a_revision
R9 devices/api/test_devices::test_at_another_address_the_catalogue_must_be_fetched_again
R10 schedules/handlers/test_schedule::test_a_due_run_is_claimed_by_exactly_one_worker
R10 schedules/handlers/test_schedule::test_changes_of_other_schedules_do_not_shift_a_run
R10 schedules/handlers/test_schedule::test_a_removed_device_has_no_schedule
R10 schedules/domain/test_schedule::test_after_downtime_there_is_one_run_and_then_a_whole_interval
R10 test_refused_input::test_a_body_that_cannot_be_is_422_and_nothing_is_stored
R10 schedules/api/test_schedules::test_a_header_tells_that_schedules_are_off
R11 catalogue/api/test_products::test_a_bad_field_is_named_and_nothing_is_stored
R11 catalogue/domain/test_product::test_every_bad_field_is_named_at_once
R11 catalogue/domain/test_product::test_without_fields_nothing_changes
R12 devices/api/test_devices::test_the_password_is_sealed_and_in_no_answer
R12 devices/api/test_devices::test_an_invalid_device_is_refused
R12 devices/api/test_devices::test_after_a_rotation_the_old_key_can_be_removed
R12 bridges/handlers/test_session::test_a_password_is_in_no_message_no_log_no_table_and_no_file
R13 catalogue/domain/test_product::test_today_is_the_day_in_the_shops_time_zone
R13 catalogue/domain/test_product::test_only_the_two_dates_change_and_unusable_shelf_lives_are_skipped
R13 catalogue/domain/test_product::test_an_edit_of_the_shelf_life_also_sets_the_days
R14 driver/domain/test_address::test_an_address_that_is_not_allowed_is_refused
R14 driver/domain/test_address::test_a_resolved_address_is_checked_like_any_other
R14 devices/api/test_devices::test_an_invalid_device_is_refused
R14 operations/handlers/test_worker::test_an_address_that_is_no_longer_permitted_is_not_connected_to
R15 operations/test_api::test_the_refused_product_is_identified_without_clearing_the_scale
R15 operations/test_api::test_a_wrong_password_blames_no_product
R15 operations/handlers/test_worker::test_an_automatic_upload_is_not_diagnosed
R16 driver/adapters/test_driver::test_every_fault_of_the_simulator_is_tried_on_the_driver
R16 test_faults::test_every_fault_ends_an_upload_as_it_should
R16 operations/test_api::test_no_answer_contains_the_address_of_a_scale
R16 operations/handlers/test_worker::test_an_unexpected_error_is_answered_as_json
R17 devices/api/test_devices::test_after_a_rotation_the_old_key_can_be_removed
R17 devices/api/test_devices::test_a_password_that_cannot_be_read_is_503_and_the_next_scale_works
R18 operations/handlers/test_worker::test_log_lines_of_an_operation_name_it_and_no_password
R18 driver/adapters/test_driver::test_no_password_and_no_text_of_the_driver_is_logged
R19 test_large_shops::test_a_thousand_scales_are_listed_without_looking_at_a_catalogue
R19 test_large_shops::test_revisions_are_bounded_and_the_present_one_survives_it
R20 operations/handlers/test_worker::test_while_50_scales_hang_all_others_are_answered
R20 driver/adapters/test_driver::test_no_more_operations_run_at_once_than_connections_are_allowed
R21 driver/adapters/test_driver::test_a_fetch_ends_as_expected_and_changes_nothing
R21 driver/domain/test_document::test_a_file_of_more_than_64_mebibytes_is_not_parsed
R21 catalogue/api/test_products::test_a_body_of_another_form_or_length_is_refused
R22 operations/test_api::test_an_operation_goes_on_when_the_client_disconnects
R22 operations/test_api::test_an_operation_of_each_kind_can_be_queued_and_followed
R23 gateway/realms/test_logins::test_an_address_is_registered_once_however_it_is_written
R23 gateway/test_attacks::test_neither_answers_nor_their_time_reveal_which_accounts_exist
R23 gateway/realms/test_logins::test_guessing_is_slowed_down_without_locking_others_out
R23 gateway/administration/handlers/test_account::test_of_twenty_concurrent_registrations_of_an_address_one_succeeds
R23 gateway/sessions/handlers/test_session::test_all_failures_are_alike_cost_one_check_and_are_recorded_with_their_reason
R24 operations/handlers/test_worker::test_an_operation_has_its_request_and_its_end
R24 test_failures::test_an_operation_ends_once
R24 operations/handlers/test_expiry::test_operations_are_executed_without_kafka
R24 e2e/test_scales_kill::test_a_program_is_killed_in_the_middle_of_an_upload
R25 operations/handlers/test_expiry::test_an_operation_of_a_killed_worker_ends_once
R25 operations/handlers/test_expiry::test_an_operation_that_never_began_ends_at_its_deadline
R25 bridges/handlers/test_session::test_an_agent_that_is_killed_ends_its_operation_after_a_restart
R25 e2e/test_scales_kill::test_the_daemon_on_the_shops_network_is_killed_in_the_middle_of_an_upload
R26 test_faults::test_any_order_of_requests_leaves_a_valid_copy_and_a_true_flag
R26 operations/test_api::test_changes_made_on_the_scale_are_corrected
R26 e2e/test_scales_kill::test_the_scale_loses_its_power_in_the_middle_of_an_upload
"""  # noqa: E501
"""An obligation, a file below this folder or one of those elsewhere, and a test in it."""


def obligations() -> dict[str, list[tuple[str, str]]]:
    """The files and names of tests by obligation."""
    found = defaultdict(list)
    for line in TABLE.split("\n")[1:-1]:
        obligation, _, test = line.partition(" ")
        file, _, name = test.partition("::")
        found[obligation].append((file, name))
    return dict(found)


@cache
def names_in(file: Path) -> frozenset[str]:
    """The names of the tests of a file, which need not be imported for that."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, kinds))


def test_there_are_26_obligations() -> None:
    assert [*obligations()] == [f"R{n}" for n in range(1, 27)]


@pytest.mark.parametrize("obligation", obligations())
def test_what_is_owed_is_shown_by_tests_that_exist(obligation: str) -> None:
    for name, test in obligations()[obligation]:
        file = ELSEWHERE.get(name.partition("/")[0], HERE) / f"{name}.py"
        assert test.startswith("test_")
        assert file.exists(), f"{obligation}: there is no {name}"
        assert test in names_in(file), f"{obligation}: {name} has no {test}"
