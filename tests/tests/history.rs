//! What other systems of this kind got wrong once (L01 to L76), each shown by a test or said to be
//! impossible here. `…` stands for the rest of a name; names without a file are of this one.
//!
//! | row | shown by, or why there is nothing to show |
//! | --- | --- |
//! | L01 | `can_12_20_…` in `cancelling.rs` |
//! | L02 | `p_c2_a_shield_runs_on_and_…` in `bounds.rs` |
//! | L03 | `l_03_…` |
//! | L04 | `l_04_…` |
//! | L05 | `f_30_an_actor_whose_reactor_…` in `sweep.rs` |
//! | L06 | `p_w4_calls_may_be_queued_…` in `link.rs` |
//! | L07 | with the registrar |
//! | L08 | `l_08_l_67_…` |
//! | L09 | `str_02_…` in `streams.rs` |
//! | L10 | `a_dropped_context_…` in `contexts.rs` |
//! | L11 | `p_f3_large_messages_…` in `link.rs` |
//! | L12 | `rpc_02_…` in `misuse.rs` |
//! | L13 | `p_l4_the_end_of_a_link_…` in `link_end.rs` |
//! | L14 | `l_14_…` |
//! | L15 | `can_13_…` in `cancelling.rs` |
//! | L16 | `the_halves_work_from_two_tasks` in `streams.rs` |
//! | L17 | `f_02_p_t1_a_stopped_child_…` in `deaths.rs` |
//! | L18 | `a_portal_dropped_ends_nothing` in `actors.rs` |
//! | L19 | `p_l2_a_child_serves_nothing_…` in `link_hostile.rs` |
//! | L20 | with the registrar |
//! | L21 | `p_c7_the_order_is_the_same_…` in `shutdown.rs` |
//! | L22 | `p_c7_facts_in_any_order_…` in `shutdown.rs` |
//! | L23 | `p_l4_what_a_dead_child_…` in `link_end.rs` |
//! | L24 | `l_24_…` |
//! | L25 | `l_25_…` |
//! | L26 | a waiter leaves with its task: `dbg_02_…` in `terminal_lock.rs` |
//! | L27 | no key is a signal then: `dbg_12_sig_08_…` in `debugger_children.rs` |
//! | L28 | `sig_01_05_10_…` in `trees.rs` |
//! | L29 | `p_c2_a_shield_holds_a_cancel_off_…` in `bounds.rs` |
//! | L30 | `pub_08_l_30_…` in `topics.rs` |
//! | L31 | `spn_08_09_14_l31_l49_…` in `supervision.rs` |
//! | L32 | `a_child_killed_while_it_streams_…` in `deaths.rs` |
//! | L33 | `str_05_…` in `streams.rs` |
//! | L34 | `p_d8_who_has_stopped_is_not_told_to` in `link_lines.rs` |
//! | L35 | `str_01_…` in `life.rs` |
//! | L36 | `p_d7_context_streams_both_ways_…` in `link.rs` |
//! | L37 | `ctx_16_…` in `life.rs` |
//! | L38 | `l_38_…` |
//! | L39 | nothing is changed while it is gone through: the borrow checker refuses it |
//! | L40 | `dbg_p08_…` in `debugger_children.rs` |
//! | L41 | no wait for it is shielded: `dbg_02_…` in `terminal_lock.rs` |
//! | L42 | `can_04_a_failure_while_joining_…` in `nursery_verdict.rs` |
//! | L43 | `f_24_a_holder_that_is_killed_…` in `debugger_children.rs` |
//! | L44 | `a_receive_that_is_dropped_loses_nothing` in `streams.rs` |
//! | L45 | `brd_05_l_45_…` in `broadcast.rs` |
//! | L46 | `can_13_…` in `cancelling.rs` |
//! | L47 | `p_t1_the_rungs_come_…` in `ladder.rs` |
//! | L48 | `can_10_l48_…` in `supervision.rs` |
//! | L49 | `spn_08_09_14_l31_l49_…` in `supervision.rs` |
//! | L50 | `l_50_…` |
//! | L51 | `can_11_14_…` in `cancelling.rs` |
//! | L52 | `p_t1_a_start_that_the_spawner_has_not_begun_…` in `ladder.rs` |
//! | L53 | `l_53_…` |
//! | L54 | `p_w1_one_stream_that_is_not_read_…` in `streams.rs` |
//! | L55 | `p_w6_str_11_…` in `link_overrun.rs`; by default no reader is overrun at all |
//! | L56 | `p_d9_a_dialog_that_is_over_…` in `link_lines.rs` |
//! | L57 | `l_57_…` |
//! | L58 | `can_15_…` in `cancelling.rs` |
//! | L59 | `f_06_f_07_…` in `faults.rs` |
//! | L60 | `f_24_a_holder_that_is_killed_…` in `debugger_children.rs` |
//! | L61 | `ctx_15_…` in `contexts.rs` |
//! | L62 | `p_c6_cancel_that_crosses_a_terminal_…` in `link.rs` |
//! | L63 | `ctx_14_…` in `contexts.rs` |
//! | L64 | the end of a stream is a value, `None`, and no error that could leave a block |
//! | L65 | `dbg_p08_…` in `debugger_children.rs` |
//! | L66 | `l_66_…` |
//! | L67 | `l_08_l_67_…` |
//! | L68 | `p_c7_other_peers_are_waited_for_…` in `shutdown.rs` |
//! | L69 | `ctx_16_…` in `contexts.rs` |
//! | L70 | `p_l3_an_unanswered_goodbye_…` in `link_end.rs` |
//! | L71 | `p_c7_a_failing_exit_hook_…` in `shutdown.rs` |
//! | L72 | `can_16_…` in `supervision.rs` |
//! | L73 | `spn_11_a_program_that_exits_at_once_…` in `misuse.rs` |
//! | L74 | `p_t1_a_child_that_never_comes_up_…` in `ladder.rs` |
//! | L75 | with the registrar |
//! | L76 | `spn_02_…` in `supervision.rs` |

use std::fs;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use futures_lite::future::{self, pending};
use hatchery::{
    CancelStatus, Context, Error, ErrorKind, ExitStatus, Nursery, Receives, Result, Sends, Starts,
    cancel_scope, open_nursery, shield, timeout,
};
use hatchery_tests::procfs::{Process, descriptors, own_pid, wait_for_readable};
use hatchery_tests::rows::{Group, complaints, sources};
use hatchery_tests::sign::{Sign, raised};
use hatchery_tests::tidy::Source;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// Ten times what an end that waits for nothing may take.
const SOON: Duration = Duration::from_secs(10);

#[hatchery::endpoint]
async fn forever() {
    pending().await
}

/// Fails once the sign is there.
#[hatchery::endpoint]
async fn fails(sign: String) -> Result<()> {
    raised(&sign).await;
    Err(Error::message("first"))
}

/// Gives the sign, and fails when it is cancelled.
#[hatchery::endpoint]
async fn fails_late(sign: String) -> Result<()> {
    let waited = cancel_scope(async |_scope| {
        fs::write(&sign, "").map_err(Error::new)?;
        pending::<Result<()>>().await
    });
    let _ = waited.await;
    shield(async { Err(Error::message("second")) }).await
}

/// Two actors below fail, the second since the first one did.
#[hatchery::endpoint]
async fn both_fail_below(sign: String) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        nursery.run_in_actor("second", fails_late(sign.clone())).await?;
        nursery.run_in_actor("first", fails(sign)).await?;
        pending().await
    })
    .await
}

/// Returns this many bytes once the sign is there.
#[hatchery::endpoint]
async fn answers(sign: String, size: usize) -> Vec<u8> {
    raised(&sign).await;
    vec![7; size]
}

#[hatchery::endpoint]
async fn panics() {
    panic!("on purpose")
}

#[hatchery::endpoint]
async fn unit() {}

#[hatchery::context]
async fn waits(cx: Context<Starts<()>, Sends<()>, Receives<()>>) -> Result<()> {
    let _started = cx.started(()).await?;
    pending().await
}

/// Says by a sign that it has been cancelled and has cleaned up.
#[hatchery::context]
async fn cleans_up(cx: Context<Starts<()>, Sends<()>, Receives<()>>, sign: String) -> Result<()> {
    let _started = cx.started(()).await?;
    let waited = cancel_scope(async |_scope| pending::<Result<()>>().await).await;
    shield(async { fs::write(sign, "").map_err(Error::new) }).await?;
    waited.map(drop)
}

/// Fails while it holds a context of its own with an actor below, which is cancelled by that.
#[hatchery::context]
async fn fails_holding_another(
    cx: Context<Starts<()>, Sends<()>, Receives<()>>,
    starts_first: bool,
) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let below = nursery.start_actor("below").await?;
        below
            .with_context(waits(), async |_inner, ()| {
                if starts_first {
                    let _started = cx.started(()).await?;
                    return Err::<(), _>(Error::message("the original"));
                }
                Err(Error::message("the original"))
            })
            .await
    })
    .await
}

/// Sends `count` numbers and returns how many.
#[hatchery::context]
async fn counts(cx: Context<Starts<()>, Sends<u64>, Receives<()>>, count: u64) -> Result<u64> {
    let stream = cx.started(()).await?.open_stream();
    for n in 0..count {
        stream.send(n).await?;
    }
    Ok(count)
}

/// Opens its stream when the sign is there, long after values were sent to it.
#[hatchery::context]
async fn opens_late(
    cx: Context<Starts<()>, Sends<()>, Receives<u64>>,
    sign: String,
) -> Result<Vec<u64>> {
    let started = cx.started(()).await?;
    raised(&sign).await;
    let mut stream = started.open_stream();
    let mut all = Vec::new();
    while let Some(value) = stream.recv().await? {
        all.push(value);
    }
    Ok(all)
}

#[hatchery::endpoint]
async fn add(a: u64, b: u64) -> u64 {
    a + b
}

fn process(pid: u32) -> Process {
    Process::of(pid.cast_signed()).expect("a child that lives")
}

fn assert_killed(error: &Error, name: &str) {
    let exit = error.exit().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(exit.actor.name, name);
    assert_eq!(exit.status, Some(ExitStatus::Signal { number: 9, core: false }), "{exit:?}");
}

#[hatchery::test]
async fn l_03_who_waits_for_a_result_hears_of_a_death_at_any_moment_of_the_start() {
    for looks in 0..20 {
        let begin = Instant::now();
        // Every other one would never come up.
        let is_late = looks % 2 == 1;
        let failed: Result<()> = open_nursery(async |nursery: Nursery| {
            let victim = match is_late {
                true => nursery.actor("victim").program("/bin/sh").arg("-c").arg("exec sleep 60"),
                false => nursery.actor("victim"),
            };
            let mut start = Box::pin(victim.run(forever()));
            let mut looked = 0;
            let started = loop {
                if let Some(started) = future::poll_once(&mut start).await {
                    break started;
                }
                let child = Process::all().into_iter().find(|one| one.parent == own_pid());
                looked += u32::from(child.is_some());
                if let Some(child) = child.filter(|_| looked > looks) {
                    child.kill();
                    break start.await;
                }
                future::yield_now().await;
            };
            let victim = started?;
            if let Some(up) = Process::of(victim.id().pid.cast_signed()) {
                up.kill();
            }
            victim.result::<forever>().await
        })
        .await;
        let error = failed.unwrap_err();
        assert_killed(&error, "victim");
        assert!(!is_late || *error.kind() == ErrorKind::Spawn, "{looks}: {error:?}");
        assert!(begin.elapsed() < SOON, "{looks}: {:?}", begin.elapsed());
    }
}

/// The most bytes that lie unread in one of the sockets that this process has, `before` left out.
fn unread(before: &[(i32, String)]) -> u64 {
    let me = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let new = descriptors().into_iter().filter(|one| !before.contains(one));
    let sockets = new.filter(|(_, target)| target.starts_with("socket:"));
    let bytes = sockets.map(|(number, _)| {
        let same = pidfd_getfd(&me, number, PidfdGetfdFlags::empty()).unwrap();
        rustix::io::ioctl_fionread(same).unwrap()
    });
    bytes.max().unwrap_or(0)
}

#[hatchery::test]
async fn l_04_a_result_that_was_sent_is_not_lost_with_its_process() -> Result<()> {
    const SIZE: usize = 40_000;
    let sign = Sign::new("l_04");
    let before = descriptors();
    let victim = open_nursery(async |nursery: Nursery| {
        let victim = nursery.run_in_actor("victim", answers(sign.path(), SIZE)).await?;
        let one = process(victim.id().pid);
        let exit = one.pidfd().expect("a child that lives");
        sign.raise();
        // Nobody else in this process runs meanwhile: the answer lies in the socket, whole.
        let begin = Instant::now();
        while unread(&before) < SIZE as u64 {
            assert!(begin.elapsed() < SOON, "the answer never came");
            wait_for_readable([], Duration::from_millis(1));
        }
        one.kill();
        assert!(wait_for_readable([exit.as_fd()], SOON));
        Ok::<_, Error>(victim)
    })
    .await?;
    assert_eq!(victim.result::<answers>().await?, vec![7; SIZE]);
    Ok(())
}

#[hatchery::test]
async fn l_08_l_67_err_07_every_failure_below_arrives_and_no_cancel_hides_one() -> Result<()> {
    let sign = Sign::new("l_08");
    open_nursery(async |nursery: Nursery| {
        let middle = nursery.start_actor("middle").await?;
        let error = middle.run(both_fail_below(sign.path())).await.unwrap_err();
        assert_eq!(error.report().message, "first", "{error:?}");
        assert_eq!(error.origin().name, "first");
        let also: Vec<_> = error.also().iter().map(|also| also.message.as_str()).collect();
        assert!(matches!(also[..], [one] if one.contains("second")), "{error:?}");
        middle.cancel().await
    })
    .await
}

#[hatchery::test]
async fn l_14_a_cancel_of_an_actor_that_has_just_died_is_over_at_once() {
    for yields in 0..16 {
        let failed: Result<()> = open_nursery(async |nursery: Nursery| {
            let victim = nursery.start_actor("victim").await?;
            let (context, ()) = victim.open_context(waits()).await?;
            let one = process(victim.id().pid);
            let exit = one.pidfd().expect("a child that lives");
            one.kill();
            assert!(wait_for_readable([exit.as_fd()], SOON));
            for _ in 0..yields {
                future::yield_now().await;
            }
            let begin = Instant::now();
            let (task, actor) = future::zip(context.cancel(), victim.cancel_actor()).await;
            assert_ne!(task, CancelStatus::TimedOut, "{yields}");
            assert_ne!(actor?, CancelStatus::TimedOut, "{yields}");
            assert!(begin.elapsed() < Duration::from_secs(1), "{yields}: {:?}", begin.elapsed());
            Ok(())
        })
        .await;
        assert_killed(&failed.unwrap_err(), "victim");
    }
}

#[hatchery::test]
async fn l_24_a_result_that_nobody_waits_for_any_more_still_fails_its_nursery() {
    let sign = Sign::new("l_24");
    let mut kept = None;
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let victim = nursery.run_in_actor("victim", fails(sign.path())).await?;
        assert!(future::poll_once(victim.result::<fails>()).await.is_none());
        kept = Some(victim);
        sign.raise();
        Ok(())
    })
    .await;
    assert_eq!(failed.unwrap_err().report().message, "first");
    let again = kept.unwrap().result::<fails>().await.unwrap_err();
    assert_eq!(again.report().message, "first");
}

#[hatchery::test]
async fn l_25_an_actor_whose_last_task_failed_serves_on_and_ends_when_it_is_asked() -> Result<()> {
    let sign = Sign::new("l_25");
    sign.raise();
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("actor").await?;
        assert!(actor.run(fails(sign.path())).await.is_err());
        assert!(actor.run(panics()).await.is_err());
        assert_eq!(actor.run(add(1, 2)).await?, 3);
        assert!(actor.run(panics()).await.is_err());
        let begin = Instant::now();
        assert_eq!(actor.cancel_actor().await?, CancelStatus::Done);
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn l_38_a_block_that_fails_while_it_is_cancelled_still_cancels_its_far_task() -> Result<()> {
    let sign = Sign::new("l_38");
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("actor").await?;
        // What is around the block is cancelled in the very moment in which its body fails.
        let ended: Result<Option<()>> = cancel_scope(async |scope| {
            actor
                .with_context(cleans_up(sign.path()), async |_cx, ()| {
                    scope.cancel();
                    Err::<(), _>(Error::message("the body's"))
                })
                .await
        })
        .await;
        assert_eq!(ended.unwrap_err().report().message, "the body's");
        assert!(sign.is_raised(), "the far task was not waited for");
        actor.cancel().await
    })
    .await
}

#[hatchery::test]
async fn l_50_a_unit_result_is_a_result_however_often_it_is_asked_for() -> Result<()> {
    let kept = open_nursery(async |nursery: Nursery| {
        let actor = nursery.run_in_actor("actor", unit()).await?;
        actor.result::<unit>().await?;
        actor.result::<unit>().await?;
        Ok::<_, Error>(actor)
    })
    .await?;
    kept.result::<unit>().await?;
    kept.result::<unit>().await
}

#[hatchery::test]
async fn l_53_values_sent_before_the_far_side_opened_its_stream_are_all_there() -> Result<()> {
    let sign = Sign::new("l_53");
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("actor").await?;
        let (mut cx, ()) = actor.open_context(opens_late(sign.path())).await?;
        let stream = cx.open_stream()?;
        for n in 0..1000 {
            stream.send(n).await?;
        }
        stream.close().await?;
        // An answer of the same actor: what was sent before it has arrived there.
        assert_eq!(actor.run(add(1, 2)).await?, 3);
        sign.raise();
        assert_eq!(cx.result().await?, (0..1000).collect::<Vec<_>>());
        actor.cancel().await
    })
    .await
}

#[hatchery::test]
async fn l_57_ctx_25_the_end_of_a_context_inside_never_replaces_the_error_around_it() -> Result<()>
{
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("actor").await?;
        for starts_first in [false, true] {
            let error = match actor.open_context(fails_holding_another(starts_first)).await {
                Err(error) => error,
                Ok((cx, ())) => cx.result().await.unwrap_err(),
            };
            assert_eq!(error.report().message, "the original", "{error:?}");
            assert!(error.cancelled().is_none() && error.also().is_empty(), "{error:?}");
        }
        actor.cancel().await
    })
    .await
}

#[hatchery::test]
async fn l_66_str_14_a_result_comes_though_the_openers_stream_was_never_opened() -> Result<()> {
    // A few values lie there unread; many are over the window, and the end of the block lets them go.
    const MANY: u64 = 100_000;
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("actor").await?;
        let (cx, ()) = actor.open_context(counts(1000)).await?;
        assert_eq!(cx.result().await?, 1000);
        let block = actor.with_context(counts(MANY), async |_cx, ()| Ok::<_, Error>(17));
        assert_eq!(timeout(SOON, block).await?, 17);
        actor.cancel().await
    })
    .await
}

/// Every row of history stands in the table, and every timeout. Of what users can rely on and of the
/// faults (those of a process's life, and the few beside that concern it) there stand only those that
/// no test has in its name.
const GROUPS: &[Group] = &[
    Group { name: "L", last: 76, others: &[], file: "history.rs" },
    Group { name: "T", last: 21, others: &[], file: "teardown.rs" },
    Group { name: "F", last: 25, others: &[30, 41, 42, 49, 50], file: "faults.rs" },
    Group { name: "CAN", last: 21, others: &[], file: "supervision.rs" },
    Group { name: "SPN", last: 22, others: &[], file: "supervision.rs" },
    Group { name: "SIG", last: 11, others: &[], file: "trees.rs" },
];

#[test]
fn every_row_of_history_is_accounted_for() {
    let wrong = complaints(GROUPS, &sources());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_wrong_with_a_table_is_found() {
    let rows = (3..=76).map(|number| format!("//! | L{number:02} | with the rest |\n"));
    let head =
        "//! | L01 | `a_b_…` in `deaths.rs` |\n//! | L03 | `no_such` |\n//! | L01 | twice |\n";
    let history = head.to_owned() + &rows.collect::<String>();
    let deaths = "#[test]\nfn a_b_c() {}\n#[test]\nfn a_b_d() {}\n#[test]\nfn sig_01_05_x() {}";
    let trees: String = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12]
        .map(|number| format!("//! | SIG-{number:02} | later |\n"))
        .concat();
    let sources = [
        Source::new("tests/tests/history.rs", history),
        Source::new("tests/tests/deaths.rs", deaths),
        Source::new("tests/tests/trees.rs", trees),
    ];
    let wrong = complaints(GROUPS, &sources);
    for one in [
        "L01: 2 tests in deaths.rs are called a_b_…",
        "L03: 0 tests in history.rs are called no_such",
        "L01 has 2 rows in history.rs",
        "L02 has no row in history.rs and no test",
        "L03 has 2 rows in history.rs",
        "faults.rs is not there",
        "SIG-05 has a test, and a row in trees.rs as well",
        "SIG-11 has no row in trees.rs and no test",
        "SIG-12 in trees.rs is no row",
    ] {
        assert!(wrong.iter().any(|known| known == one), "{one} is not in\n{}", wrong.join("\n"));
    }
}
