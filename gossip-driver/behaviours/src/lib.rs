//! What a cluster does over real sockets on the loopback interface, one file for each behaviour, for every runtime.
//!
//! An adapter makes tests of all of them, with a function that runs a future to its end, on so many threads at least:
//!
//! ```ignore
//! gossip_behaviours::tests_of!(Tokio, run);
//! ```

#![expect(clippy::unwrap_used, reason = "this crate is nothing but tests")]

mod abandoning;
mod backlog;
mod conflict;
mod crowding;
mod dialing;
mod electing;
mod events;
mod failing;
mod families;
mod forgetting;
mod frugality;
mod grouping;
mod handlers;
mod harness;
mod hostile;
mod joining;
mod keying;
mod leaving;
mod locking;
mod metadata;
mod mixing;
pub mod name_server;
mod naming;
mod offering;
mod payloads;
mod refusing;
mod requests;
mod resolving;
mod restarting;
mod scattering;
mod sending;
mod sockets;
mod stalling;
mod stopping;
mod storing;
mod stranger;
mod streaming;
mod tally;
mod weaving;

/// All behaviours, by file, handed to a macro.
#[doc(hidden)]
#[macro_export]
macro_rules! behaviours {
    ({ $($callback:tt)* } $($context:tt)*) => {
        $($callback)*! {
            [$($context)*]
            abandoning {
                calls_that_are_given_up_half_way_harm_nobody,
                a_leave_or_a_shutdown_that_is_not_waited_for_comes_to_its_end,
            }
            backlog {
                whatever_is_sent_while_too_much_waits_is_refused_at_once,
                a_patient_handle_waits_for_room_with_all_that_it_sends,
                a_list_of_any_length_takes_one_place,
                an_answer_that_finds_no_room_tells_both_sides_unless_it_waits,
                bytes_that_wait_are_bounded_too,
            }
            conflict {
                the_later_start_keeps_the_id_and_both_are_told,
            }
            crowding {
                more_members_than_connections_can_be_asked_at_once,
                an_open_request_keeps_its_connection_while_others_are_written_to,
                whoever_answers_over_a_connection_that_is_gone_is_told,
                an_answer_may_come_when_the_connection_was_long_idle,
            }
            dialing {
                those_who_only_dial_are_members_like_others,
                those_who_only_dial_are_members_under_a_seal_too,
                nobody_is_suspected_while_all_are_well,
                a_crash_of_one_who_only_dials_is_noticed,
                another_way_is_found_when_the_one_between_two_who_only_dial_is_gone,
                what_cannot_be_meant_is_refused,
                one_that_left_and_came_back_is_reached_again,
                nobody_else_gets_anything_passed_on,
            }
            electing {
                a_leader_is_elected_and_followed_by_another_when_it_leaves_or_crashes,
                an_election_is_entered_once_with_settings_that_can_work,
            }
            events {
                callbacks_are_called_until_they_are_removed on 2 threads,
                a_callback_that_panics_is_removed_and_the_others_go_on on 2 threads,
                a_slow_reader_is_told_how_much_it_missed,
                a_callback_that_blocks_does_not_delay_the_node on 2 threads,
                the_stream_ends_after_the_last_event_when_the_node_stops,
            }
            failing {
                a_crash_is_seen_as_suspicion_and_then_death_by_all,
            }
            families {
                nodes_meet_over_ipv6_and_tell_what_they_cannot_reach,
                a_socket_for_all_interfaces_of_ipv6_serves_ipv4_as_well,
            }
            forgetting {
                a_dead_member_is_forgotten_by_all,
            }
            grouping {
                a_group_follows_metadata_a_crash_and_a_restart,
                a_group_is_sent_to_and_asked,
                no_change_is_lost_between_a_group_and_its_events_however_much_happens on 2 threads,
                a_gossip_callback_is_called_with_a_handle_until_it_is_removed on 2 threads,
            }
            handlers {
                a_second_handler_of_a_type_is_an_error_until_the_first_is_removed,
                a_panic_is_counted_and_the_handler_goes_on,
                a_panic_in_writing_an_answer_rejects_that_request_alone,
                messages_beyond_what_a_slow_handler_takes_are_counted_and_told,
                bytes_count_until_the_call_that_handles_them_ends,
                a_slow_reader_is_told_how_much_it_missed_and_where,
                messages_are_handled_in_the_order_in_which_they_were_sent,
                a_handler_may_send_by_a_handle_that_does_not_keep_the_node_running,
            }
            hostile {
                a_thousand_silent_connections_block_nobody on 2 threads,
                silent_connections_are_closed_in_time,
                frames_that_cannot_be_are_counted_by_what_is_wrong_with_them,
                random_datagrams_are_dropped_by_reason,
                the_word_that_a_port_is_closed_does_not_harm_the_socket,
            }
            joining {
                five_nodes_find_each_other_through_one,
                seeds_are_joined_without_being_asked,
                sixty_four_nodes_join_through_one_seed,
                a_join_tells_of_each_address_what_came_of_it,
                a_join_that_nobody_accepts_is_an_error_that_says_why,
                clusters_of_different_names_do_not_mix,
            }
            keying {
                sealed_nodes_talk_and_those_without_the_key_are_kept_out,
                what_is_not_sealed_gets_no_answer_and_its_connection_ends_in_time,
                twenty_nodes_change_their_key_while_they_broadcast on 2 threads,
                a_dead_member_is_told_of_and_hinders_the_removal_of_the_key_that_it_knows,
            }
            leaving {
                leaving_is_heard_by_all_and_acknowledged,
                two_calls_to_leave_get_one_answer_each,
                a_node_that_is_alone_leaves_at_once,
                dropping_the_last_handle_leaves_and_frees_the_port,
                a_node_without_handles_and_members_stops,
            }
            locking {
                a_lock_goes_from_one_to_the_next_and_a_guard_that_is_dropped_frees_it,
                locks_need_no_datagrams,
                a_lock_is_kept_alive_or_extended_or_lost_in_time,
                whoever_gives_up_waiting_is_passed_over,
                a_lock_of_one_that_crashed_is_freed,
                a_holder_that_is_cut_off_is_told_when_its_time_is_over,
                what_cannot_be_locked_is_refused_and_named,
            }
            metadata {
                values_of_every_type_reach_all_and_removals_do_too,
                a_change_is_an_event_that_names_the_keys_and_shows_the_table_it_explains,
                sixty_kilobytes_reach_all_and_those_who_join_later,
                what_cannot_be_stored_is_refused_and_changes_nothing,
            }
            mixing {
                nodes_of_each_kind_are_one_cluster_and_a_crash_of_each_is_noticed_in_time,
            }
            naming {
                the_preferred_family_of_a_name_is_bound_and_advertised,
                each_address_of_a_long_answer_is_tried,
                an_alias_of_an_alias_leads_to_the_host,
                a_service_leads_to_all_who_offer_it_by_priority,
                a_seed_is_looked_up_again_when_its_time_to_live_is_over,
                a_seed_that_moved_is_found_however_long_its_old_address_was_to_hold,
                what_was_found_is_kept_when_the_name_is_gone,
                each_name_that_leads_nowhere_is_told_from_the_others,
                a_server_that_is_silent_or_talks_nonsense_is_named,
                a_server_that_is_silent_does_not_hide_one_that_answers,
            }
            offering {
                a_service_leads_to_nodes_behind_websocket_at_its_path,
                a_service_over_tls_is_proved_by_the_domain_that_was_asked,
            }
            payloads {
                nodes_with_a_codec_of_their_own_understand_each_other_and_others_say_which_it_is,
                a_codec_with_an_id_of_others_is_refused_at_the_start,
                a_value_that_cannot_be_written_is_an_error_by_all_ways,
                large_text_travels_compressed_and_noise_does_not,
                what_another_program_forges_is_an_error_and_harms_nobody,
                bodies_may_bring_their_own_form,
            }
            refusing {
                an_address_in_use_is_named_with_its_protocol,
                each_wrong_setting_is_named,
                all_interfaces_are_never_advertised,
                an_advertised_address_without_a_port_has_the_bound_one,
            }
            requests {
                a_request_is_answered_by_another_node_and_by_this_one,
                a_type_that_nobody_handles_and_a_rejection_come_back_with_their_reason,
                a_request_without_an_answer_ends_in_time_and_a_late_answer_is_an_error,
                a_dropped_request_is_cancelled_and_its_answer_counted_and_dropped,
                an_answer_may_come_from_elsewhere_and_a_dropped_reply_rejects,
                an_answer_that_is_given_up_while_it_waits_rejects,
                a_peer_that_is_killed_is_unreachable_for_those_who_wait,
                a_node_that_stops_ends_its_own_requests,
                requests_beyond_what_a_handler_takes_are_refused_as_overloaded,
                a_thousand_requests_share_one_connection on 2 threads,
                four_mebibytes_are_asked_and_answered,
                an_answer_that_cannot_be_sent_rejects_the_request,
            }
            resolving {
                a_name_with_several_addresses_leads_to_each_of_them,
                a_seed_is_found_when_its_name_appears_and_again_when_it_moves,
                a_resolver_that_panics_is_an_error_of_the_name_it_was_asked_for,
            }
            restarting {
                at_the_same_address,
                at_another_address,
            }
            scattering {
                all_a_tag_and_a_list_are_asked_and_the_dead_are_named,
                nobody_has_the_tag_and_nobody_is_there,
                answers_come_as_they_are_given_and_the_deadline_ends_the_rest,
            }
            sending {
                every_size_arrives_whole_with_its_sender,
                one_byte_over_the_limit_is_refused_by_all_ways,
                an_unknown_a_dead_and_a_departed_receiver_are_errors,
                a_message_to_oneself_arrives,
                a_broadcast_reaches_all_others_once_and_not_its_origin,
                a_tagged_broadcast_reaches_those_with_the_tag_alone,
                more_than_a_peer_may_hold_is_refused_and_what_was_accepted_arrives,
                messages_that_nobody_handles_are_counted,
                a_node_that_stopped_or_left_sends_nothing,
                what_was_accepted_and_finds_the_queues_full_is_counted,
            }
            sockets {
                what_lies_in_the_socket_is_read_to_its_end_in_one_go,
                datagrams_that_leave_together_arrive_as_they_are,
                a_batch_for_a_receiver_that_cannot_be_changes_nothing_for_others,
                answers_come_from_the_address_that_was_asked,
                several_frames_are_written_at_once,
                closing_ends_one_direction_and_leaves_the_other,
                a_connection_to_nobody_is_refused,
                a_timer_that_has_fired_stays_so_until_it_is_set_again,
                names_are_looked_up_by_the_system,
            }
            stalling {
                a_peer_that_reads_nothing_costs_its_own_queue_and_nothing_else,
                a_node_stops_without_waiting_for_a_peer_that_reads_nothing,
            }
            stopping {
                a_stopped_node_answers_every_call_with_the_reason,
                shutting_down_wakes_those_who_wait,
                a_panic_in_a_function_of_the_application_stops_the_node_and_says_so,
                no_call_of_a_handler_begins_after_the_node_has_stopped,
                no_call_of_a_removed_handler_begins_after_the_node_has_stopped,
                calls_that_never_end_are_dropped_with_the_node_whatever_their_drop_does,
                a_node_that_has_left_or_stopped_says_so_of_best_effort_messages_too,
            }
            storing {
                writes_deletions_and_ends_reach_all_members,
                who_watches_hears_of_the_keys_with_the_prefix_and_how_much_was_missed,
                a_node_that_was_away_catches_up_and_brings_nothing_back,
                a_snapshot_that_was_cut_or_damaged_is_set_aside,
                what_a_store_does_not_take_is_named_and_changes_nothing,
            }
            streaming {
                nodes_without_datagrams_find_each_other_and_notice_a_crash,
                nodes_with_and_without_datagrams_are_one_cluster,
                sealed_nodes_need_no_datagrams,
                a_node_whose_streams_stand_still_is_found_and_holds_nobody_up,
                a_dialer_and_an_acceptor_that_fail_harm_nobody_else,
            }
            weaving {
                nodes_find_each_other_over_secure_websocket_with_a_token,
                sockets_and_secure_websockets_are_one_cluster_within_three_seconds,
                a_websocket_beside_sockets_lets_in_who_reaches_nothing_else,
                who_reaches_nothing_but_urls_is_a_member_like_others,
                connections_of_tcp_use_tls_with_client_certificates,
                a_wrong_token_keeps_out_and_disturbs_nobody,
                an_expired_certificate_and_an_unknown_one_keep_out_and_disturb_nobody,
                requests_that_are_no_websocket_are_answered_and_disturb_nobody,
                what_cannot_be_listened_at_is_refused,
            }
        }
    };
}

/// Those that count for the whole process.
#[doc(hidden)]
#[macro_export]
macro_rules! lonely_behaviours {
    ({ $($callback:tt)* } $($context:tt)*) => {
        $($callback)*! {
            [$($context)*]
            frugality {
                two_hundred_starts_leave_no_task_and_no_descriptor,
                look_ups_leave_no_task_and_no_descriptor,
                an_idle_node_is_woken_only_for_what_it_has_to_do,
            }
        }
    };
}

/// Makes a test of each behaviour: `tests_of!(Runtime, run)`, where `run(threads, behaviour)` runs a future in a runtime
/// with that many threads.
#[macro_export]
macro_rules! tests_of {
    ($runtime:ty, $run:path) => {
        $crate::behaviours! { { $crate::test_functions } $runtime, $run }
    };
}

/// As [`tests_of`], for what counts tasks, descriptors and wake-ups of the whole process: in a program of its own, of
/// which `run` lets no two run at once.
#[macro_export]
macro_rules! lonely_tests_of {
    ($runtime:ty, $run:path) => {
        $crate::lonely_behaviours! { { $crate::test_functions } $runtime, $run }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! test_functions {
    ([$runtime:ty, $run:path] $($file:ident { $($behaviour:ident $(on $threads:literal threads)?,)* })*) => {
        $(
            mod $file {
                use super::*;

                $(
                    #[test]
                    fn $behaviour() {
                        $run(1_usize$(.max($threads))?, $crate::offered::$file::$behaviour::<$runtime>());
                    }
                )*
            }
        )*
    };
}

macro_rules! offer {
    ([] $($file:ident { $($behaviour:ident $(on $threads:literal threads)?,)* })*) => {
        $(
            pub mod $file {
                $(
                    pub async fn $behaviour<R: gossip_driver::Runtime>() {
                        crate::$file::$behaviour::<R>().await;
                    }
                )*
            }
        )*
    };
}

/// The behaviours for [`tests_of`]. One that is missing in the list is dead code, and the compiler says so.
#[doc(hidden)]
pub mod offered {
    behaviours! { { offer } }
    lonely_behaviours! { { offer } }
}
