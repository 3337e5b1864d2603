//! The terminal's lock over a tree of processes: in turn, given back however its holder ends, and no
//! clock runs over whoever has it or waits for it (DBG-01 to DBG-11, P-T2).

use std::time::Duration;

use async_io::Timer;
use futures_lite::future::{self, pending};
use hatchery::testing::{
    HeldTerminal, hold_terminal, terminal_is_busy, terminal_is_idle, terminal_is_wanted_by,
};
use hatchery::{
    CancelStatus, Cause, Context, Error, ErrorKind, Nursery, Options, Portal, Result, Rung, Starts,
    cancel_scope, open_nursery, shield, timeout,
};
use hatchery_tests::procfs::{Process, descriptors};
use hatchery_tests::programs::Signal;
use hatchery_tests::sign::{Last, Sign, raise, raised, soon};
use rustix::net::{Shutdown, shutdown};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// What a teardown may take here at most: enough for a few processes on a busy machine, whatever is
/// left of it two levels down.
const BUDGET: Duration = Duration::from_millis(600);

fn debugged() -> Options {
    Options::new().debug(true).teardown(BUDGET)
}

/// The signs of one that has the terminal for a while.
struct Signs {
    has: Sign,
    gives: Sign,
    gone: Sign,
}

impl Signs {
    fn new() -> Self {
        Self { has: Sign::new("has"), gives: Sign::new("gives"), gone: Sign::new("gone") }
    }

    fn paths(&self) -> [String; 3] {
        [self.has.path(), self.gives.path(), self.gone.path()]
    }
}

/// Has the terminal, says so, and gives it back when it is told to. Says when it is gone.
async fn has_it_for_a_while([has, gives, gone]: [String; 3]) -> Result<()> {
    let _last = Last(gone);
    let held = hold_terminal("a test").await?;
    raise(&has, "");
    future::or(
        async {
            raised(&gives).await;
            Ok(())
        },
        lost(&held),
    )
    .await
}

async fn lost(held: &HeldTerminal) -> Result<()> {
    held.lost().await;
    Err(Error::message("the terminal was lost"))
}

#[hatchery::endpoint]
async fn holds(signs: [String; 3]) -> Result<()> {
    has_it_for_a_while(signs).await
}

/// The same, and then it goes on until it is cancelled.
#[hatchery::endpoint]
async fn holds_and_stays(signs: [String; 3]) -> Result<()> {
    let [has, gives, gone] = signs;
    let _last = Last(gone);
    let held = hold_terminal("a test").await?;
    raise(&has, "");
    raised(&gives).await;
    drop(held);
    pending().await
}

#[hatchery::context]
async fn holds_in_a_context(cx: Context<Starts<()>>, signs: [String; 3]) -> Result<()> {
    let _started = cx.started(()).await?;
    has_it_for_a_while(signs).await?;
    pending().await
}

/// Starts an actor that does it; fails once it is told to.
#[hatchery::endpoint]
async fn below(signs: [String; 3], pid: String, fails: String) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let leaf = nursery.run_in_actor("leaf", holds_and_stays(signs)).await?;
        raise(&pid, &leaf.id().pid.to_string());
        raised(&fails).await;
        Err(Error::message("the middle fails"))
    })
    .await
}

#[hatchery::endpoint]
async fn breaks_its_link(signs: [String; 3]) -> Result<()> {
    let [has, _, gone] = signs;
    let held = hold_terminal("a test").await?;
    raise(&has, "");
    let me = pidfd_open(getpid(), PidfdFlags::empty()).map_err(Error::new)?;
    for (number, _) in descriptors().iter().filter(|(_, target)| target.starts_with("socket:")) {
        let same = pidfd_getfd(&me, *number, PidfdGetfdFlags::empty()).map_err(Error::new)?;
        shutdown(same, Shutdown::Both).map_err(Error::new)?;
    }
    held.lost().await;
    raise(&gone, "");
    Ok(())
}

/// What asking for the terminal comes to.
#[hatchery::endpoint]
async fn asks() -> Result<()> {
    hold_terminal("a test").await.map(drop)
}

/// The same one level down, in debug mode.
#[hatchery::endpoint]
async fn asks_below() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let leaf = nursery.actor("leaf").debug(true).start().await?;
        let asked = leaf.run(asks()).await;
        leaf.cancel().await?;
        asked
    })
    .await
}

/// Waits for longer than a teardown may take.
async fn past_the_budget() {
    Timer::after(BUDGET + BUDGET / 3).await;
}

/// It has the terminal, and gives it back; nobody wants it then.
async fn has_its_turn(signs: &Signs) {
    signs.has.raised().await;
    signs.gives.raise();
    terminal_is_idle().await;
}

/// Has the call run beside everything else.
fn aside(nursery: &Nursery, worker: &Portal, signs: &Signs) {
    let (worker, call) = (worker.clone(), holds(signs.paths()));
    nursery.spawn(async move { worker.run(call).await });
}

#[hatchery::test(options = debugged())]
async fn dbg_01_the_terminal_goes_round_in_turn_over_the_whole_tree() -> Result<()> {
    let all = [(); 5].map(|()| Signs::new());
    let [one, two, three, leaf, own] = &all;
    let (pid, fails) = (Sign::new("pid"), Sign::new("fails"));
    let ended: Result<()> = open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("one").await?;
        aside(&nursery, &worker, one);
        terminal_is_wanted_by(1).await;
        let call = below(leaf.paths(), pid.path(), fails.path());
        nursery.run_in_actor("middle", call).await?;
        terminal_is_wanted_by(2).await;
        for (name, signs, count) in [("two", two, 3), ("three", three, 4)] {
            aside(&nursery, &nursery.start_actor(name).await?, signs);
            terminal_is_wanted_by(count).await;
        }
        let paths = own.paths();
        nursery.spawn(has_it_for_a_while(paths));
        terminal_is_wanted_by(5).await;
        let turns = [one, leaf, two, three, own];
        for (index, signs) in turns.iter().enumerate() {
            signs.has.raised().await;
            assert!(turns[index + 1..].iter().all(|later| !later.has.is_raised()));
            assert!(terminal_is_busy());
            signs.gives.raise();
        }
        terminal_is_idle().await;
        Err(Error::message("enough"))
    })
    .await;
    assert!(ended.unwrap_err().to_string().contains("enough"));
    Ok(())
}

#[hatchery::test(options = debugged())]
async fn dbg_02_a_waiter_whose_task_is_cancelled_leaves_the_queue() -> Result<()> {
    let [one, two, three] = [(); 3].map(|()| Signs::new());
    open_nursery(async |nursery: Nursery| {
        let workers = [
            nursery.start_actor("one").await?,
            nursery.start_actor("two").await?,
            nursery.start_actor("three").await?,
        ];
        aside(&nursery, &workers[0], &one);
        terminal_is_wanted_by(1).await;
        let cancelled = cancel_scope(async |scope| {
            let run = workers[1].run(holds(two.paths()));
            let leaves = async {
                terminal_is_wanted_by(2).await;
                aside(&nursery, &workers[2], &three);
                terminal_is_wanted_by(3).await;
                scope.cancel();
                pending().await
            };
            future::or(run, leaves).await
        });
        assert!(cancelled.await?.is_none());
        terminal_is_wanted_by(2).await;
        two.gone.raised().await;
        one.gives.raise();
        has_its_turn(&three).await;
        assert!(!two.has.is_raised());
        nursery.cancel();
        Ok(())
    })
    .await
}

/// A child of a nursery of its own ends as `end` has it while something in it has the terminal; another
/// child is next.
async fn next_is_served(end: impl AsyncFnOnce(&Portal, &Sign)) -> Result<()> {
    let [leaf, next] = [(); 2].map(|()| Signs::new());
    let (pid, fails) = (Sign::new("pid"), Sign::new("fails"));
    open_nursery(async |outer: Nursery| {
        let other = outer.start_actor("other").await?;
        let ended: Result<()> = open_nursery(async |inner: Nursery| {
            let call = below(leaf.paths(), pid.path(), fails.path());
            let middle = inner.run_in_actor("middle", call).await?;
            leaf.has.raised().await;
            aside(&outer, &other, &next);
            terminal_is_wanted_by(2).await;
            end(&middle, &pid).await;
            pending().await
        })
        .await;
        let error = ended.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Died(_)), "{error:?}");
        has_its_turn(&next).await;
        other.cancel().await
    })
    .await
}

#[hatchery::test(options = debugged())]
async fn f_24_a_holder_that_is_killed_makes_way_for_the_next() -> Result<()> {
    next_is_served(async |_, pid| {
        let pid = pid.raised().await.parse().unwrap();
        Process::of(pid).unwrap().signal(Signal::KILL);
    })
    .await
}

#[hatchery::test(options = debugged())]
async fn f_24_a_holder_whose_parent_is_killed_makes_way_for_the_next() -> Result<()> {
    next_is_served(async |middle, _| {
        Process::of(middle.id().pid.cast_signed()).unwrap().signal(Signal::KILL);
    })
    .await
}

#[hatchery::test(options = debugged())]
async fn p_t2_a_holder_whose_link_breaks_is_told_and_makes_way_for_the_next() -> Result<()> {
    let [broken, next] = [(); 2].map(|()| Signs::new());
    open_nursery(async |outer: Nursery| {
        let other = outer.start_actor("other").await?;
        let ended: Result<()> = open_nursery(async |inner: Nursery| {
            inner.run_in_actor("broken", breaks_its_link(broken.paths())).await?;
            pending().await
        })
        .await;
        ended.unwrap_err();
        broken.gone.raised().await;
        aside(&outer, &other, &next);
        has_its_turn(&next).await;
        other.cancel().await
    })
    .await
}

#[hatchery::test(options = debugged())]
async fn dbg_11_a_nursery_that_fails_asks_its_children_once_the_terminal_is_idle() -> Result<()> {
    let [one, two] = [(); 2].map(|()| Signs::new());
    let mut workers = Vec::new();
    let ended: Result<()> = open_nursery(async |nursery: Nursery| {
        for (name, signs) in [("one", &one), ("two", &two)] {
            workers.push(nursery.run_in_actor(name, holds_and_stays(signs.paths())).await?);
            terminal_is_wanted_by(workers.len()).await;
        }
        let (one, two) = (one.paths(), two.paths());
        nursery.spawn(async move {
            drop((one, two));
            Err::<(), _>(Error::message("a failure"))
        });
        pending().await
    })
    .or_while(async {
        one.has.raised().await;
        past_the_budget().await;
        assert!(!one.gone.is_raised() && !two.gone.is_raised());
        one.gives.raise();
        // Who waits is served, before anybody is asked.
        two.has.raised().await;
        past_the_budget().await;
        assert!(!one.gone.is_raised() && !two.gone.is_raised());
        two.gives.raise();
    })
    .await;
    let error = ended.unwrap_err();
    assert!(error.to_string().contains("a failure") && error.others().is_empty(), "{error:?}");
    for worker in workers {
        assert_eq!(worker.ended().await.rung, Rung::Asked);
    }
    assert!(one.gone.is_raised() && two.gone.is_raised());
    Ok(())
}

/// A future that runs beside another, whose value counts, and which may not end before that.
trait While: Future + Sized {
    async fn or_while(self, beside: impl Future<Output = ()>) -> Self::Output {
        let mut done = false;
        let never = async {
            beside.await;
            done = true;
            pending().await
        };
        let value = soon(future::or(self, never)).await;
        assert!(done, "it has not waited");
        value
    }
}

impl<F: Future> While for F {}

#[hatchery::test(options = debugged())]
async fn dbg_11_a_middle_nursery_that_fails_leaves_its_child_at_the_terminal() -> Result<()> {
    let leaf = Signs::new();
    let (pid, fails) = (Sign::new("pid"), Sign::new("fails"));
    let ended: Result<()> = open_nursery(async |nursery: Nursery| {
        let call = below(leaf.paths(), pid.path(), fails.path());
        nursery.run_in_actor("middle", call).await?;
        pending().await
    })
    .or_while(async {
        leaf.has.raised().await;
        fails.raise();
        past_the_budget().await;
        assert!(!leaf.gone.is_raised() && terminal_is_busy());
        leaf.gives.raise();
        leaf.gone.raised().await;
    })
    .await;
    let error = ended.unwrap_err();
    assert!(error.to_string().contains("the middle fails"), "{error:?}");
    assert!(error.others().is_empty(), "{error:?}");
    assert!(!terminal_is_busy());
    Ok(())
}

#[hatchery::test(options = debugged())]
async fn dbg_11_a_cancel_waits_for_who_has_the_terminal_and_is_in_time_then() -> Result<()> {
    let [leaf, block, own] = [(); 3].map(|()| Signs::new());
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let call = holds_in_a_context(leaf.paths());
        let (context, ()) = worker.open_context(call).await?;
        leaf.has.raised().await;
        // The task has no time of its own left, nor who waits for it: neither runs.
        let cancelled = context.cancel().or_while(async {
            past_the_budget().await;
            assert!(!leaf.gone.is_raised());
            leaf.gives.raise();
        });
        assert_eq!(cancelled.await, CancelStatus::Done);
        assert!(leaf.gone.is_raised());
        terminal_is_idle().await;
        // Who waits for the end of a block with it has less, all of which is its own share.
        let ended: Result<Option<()>> = cancel_scope(async |scope| {
            let call = holds_in_a_context(block.paths());
            let runs = worker.with_context(call, async |cx, ()| cx.result().await);
            let ends = async {
                block.has.raised().await;
                scope.cancel();
                pending().await
            };
            future::or(runs, ends).await
        })
        .or_while(async {
            block.has.raised().await;
            past_the_budget().await;
            block.gives.raise();
        })
        .await;
        assert!(ended?.is_none() && block.gone.is_raised());
        terminal_is_idle().await;
        // Of this actor's own tasks it is the same.
        let ended: Result<Option<()>> = cancel_scope(async |scope| {
            let holds = has_it_for_a_while(own.paths());
            let ends = async {
                own.has.raised().await;
                scope.cancel();
                pending().await
            };
            future::or(holds, ends).await
        })
        .or_while(async {
            own.has.raised().await;
            past_the_budget().await;
            assert!(!own.gone.is_raised());
            own.gives.raise();
        })
        .await;
        assert!(ended?.is_none() && own.gone.is_raised() && !terminal_is_busy());
        worker.cancel().await
    })
    .await
}

#[hatchery::test(options = debugged())]
async fn dbg_11_force_is_force() -> Result<()> {
    let leaf = Signs::new();
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        aside(&nursery, &worker, &leaf);
        leaf.has.raised().await;
        let ended: Result<()> = open_nursery(async |inner: Nursery| {
            let holder = inner.run_in_actor("holder", holds(Signs::new().paths())).await?;
            terminal_is_wanted_by(2).await;
            assert_eq!(holder.kill().await, CancelStatus::Done);
            Ok(())
        })
        .await;
        ended?;
        terminal_is_wanted_by(1).await;
        leaf.gives.raise();
        terminal_is_idle().await;
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn dbg_13_the_terminal_is_for_actors_in_debug_mode_whose_parents_say_so() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let error = worker.run(asks()).await.unwrap_err();
        assert!(error.to_string().contains("debug mode is off"), "{error}");
        // It was made one by an actor that is none itself.
        let error = worker.run(asks_below()).await.unwrap_err();
        assert!(error.to_string().contains("was not started in debug mode"), "{error}");
        worker.cancel().await?;
        let debugged = nursery.actor("debugged").debug(true).start().await?;
        debugged.run(asks()).await?;
        debugged.run(asks_below()).await?;
        debugged.cancel().await
    })
    .await
}

#[hatchery::test(options = debugged())]
async fn dbg_01_nobody_asks_but_a_child_over_its_own_link() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let name = "hatchery::terminal::acquire";
        let error = worker.call_named::<()>(name, ("a parent",)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Refused(..)), "{error:?}");
        assert!(error.to_string().contains("the link that it has inherited"), "{error}");
        worker.cancel().await
    })
    .await
}

/// Wants the terminal once it is cancelled.
#[hatchery::endpoint]
async fn wants_it_when_it_is_asked(up: String, signs: [String; 3]) -> Result<()> {
    let waited = cancel_scope(async |_scope| {
        raise(&up, "");
        pending::<Result<()>>().await
    })
    .await;
    shield(has_it_for_a_while(signs)).await?;
    waited.map(drop)
}

/// Starts an actor that does, and waits.
#[hatchery::endpoint]
async fn below_wants_it(up: String, signs: [String; 3]) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        nursery.run_in_actor("leaf", wants_it_when_it_is_asked(up, signs)).await?;
        pending().await
    })
    .await
}

#[hatchery::test(options = debugged())]
async fn p_c7_an_actor_that_is_ending_passes_on_what_its_children_ask_for() -> Result<()> {
    let signs = Signs::new();
    let up = Sign::new("up");
    open_nursery(async |nursery: Nursery| {
        let call = below_wants_it(up.path(), signs.paths());
        let middle = nursery.run_in_actor("middle", call).await?;
        up.raised().await;
        let cancelled = middle.cancel_actor().or_while(async {
            signs.has.raised().await;
            past_the_budget().await;
            assert!(!signs.gone.is_raised() && terminal_is_busy());
            signs.gives.raise();
        });
        assert_eq!(cancelled.await?, CancelStatus::Done);
        assert_eq!(middle.ended().await.rung, Rung::Asked);
        assert!(signs.gone.is_raised() && !terminal_is_busy());
        Ok(())
    })
    .await
}

#[hatchery::test(options = debugged())]
async fn p_t2_a_bound_in_time_stands_while_what_is_below_has_the_terminal() -> Result<()> {
    let signs = Signs::new();
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        aside(&nursery, &worker, &signs);
        signs.has.raised().await;
        let bounded: Result<()> = timeout(BUDGET, pending())
            .or_while(async {
                past_the_budget().await;
                signs.gives.raise();
            })
            .await;
        let error = bounded.unwrap_err();
        assert!(error.cancelled().is_some_and(|by| by.cause == Cause::Deadline), "{error:?}");
        worker.cancel().await
    })
    .await
}
