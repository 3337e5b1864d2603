//! The root actor's own end, in this process: exit hooks, cancels from synchronous code, a second
//! root after the first. Plain tests that take turns, since a process is one actor at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use futures_lite::future;
use hatchery::{
    Cause, Containment, Error, ErrorKind, Nursery, Options, Result, containment, on_exit,
    open_nursery, open_root_actor, run,
};

use hatchery_tests::build::{Kind, built};

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What hooks have said, in order.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<&'static str>>>);

impl Said {
    fn at_exit(&self, word: &'static str) {
        let said = self.clone();
        on_exit(move || said.0.lock().unwrap().push(word));
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn can_18_hooks_may_come_before_the_root_and_from_any_thread_and_are_called_once() {
    let _turn = turn();
    let said = Said::default();
    said.at_exit("before the root");
    let there = said.clone();
    let root = async {
        said.at_exit("in it");
        std::thread::spawn(move || there.at_exit("from a thread")).join().unwrap();
        assert_eq!(said.take(), [""; 0], "not before its end");
        Ok::<_, Error>(1)
    };
    assert_eq!(run(root).unwrap(), 1);
    assert_eq!(said.take(), ["from a thread", "in it", "before the root"]);
    run(async { Ok::<_, Error>(()) }).unwrap();
    assert_eq!(said.take(), [""; 0], "the stack is empty for a second root");
}

#[test]
fn can_18_a_hook_that_a_hook_registers_comes_next() {
    let _turn = turn();
    let said = Said::default();
    said.at_exit("older");
    let inner = said.clone();
    on_exit(move || inner.at_exit("by a hook"));
    run(async { Ok::<_, Error>(()) }).unwrap();
    assert_eq!(said.take(), ["by a hook", "older"]);
}

#[test]
fn can_18_hooks_run_after_a_failure_a_panic_and_a_drop() {
    let _turn = turn();
    let said = Said::default();
    said.at_exit("failed");
    run(async { Err::<(), _>(Error::message("the cause")) }).unwrap_err();
    assert_eq!(said.take(), ["failed"]);
    said.at_exit("panicked");
    let panics = async { panic!("on purpose") };
    let panicked = catch_unwind(AssertUnwindSafe(|| run::<(), Error>(panics)));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_eq!(said.take(), ["panicked"]);
    said.at_exit("dropped");
    {
        let root =
            open_root_actor(Options::new(), async |_root| future::pending::<Result<()>>().await);
        let mut root = pin!(root);
        assert!(root.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(said.take(), ["dropped"]);
}

#[test]
fn can_18_a_failing_hook_fails_a_root_that_was_fine_and_keeps_company_to_its_error() {
    let _turn = turn();
    let said = Said::default();
    let hooks = |said: &Said| {
        said.at_exit("the others run");
        on_exit(|| Err::<(), _>(Error::message("the hook failed")));
        on_exit(|| panic!("the hook panicked"));
    };
    hooks(&said);
    let error = run(async { Ok::<_, Error>(()) }).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Panicked);
    assert_eq!(error.report().message, "the hook panicked");
    assert_eq!(error.also()[0].message, "the hook failed");
    assert_eq!(said.take(), ["the others run"]);
    hooks(&said);
    let error = run(async { Err::<(), _>(Error::message("the cause")) }).unwrap_err();
    assert_eq!(error.report().message, "the cause");
    let also: Vec<_> = error.also().iter().map(|also| also.message.as_str()).collect();
    assert_eq!(also, ["the hook panicked", "the hook failed"]);
}

#[test]
fn can_19_a_root_cancelled_from_another_thread_ends_with_an_error_that_says_so() {
    let _turn = turn();
    let said = Said::default();
    said.at_exit("cancelled");
    let error = run(async {
        std::thread::spawn(hatchery::cancel_soon).join().unwrap()?;
        future::pending::<Result<()>>().await
    })
    .unwrap_err();
    assert_eq!(error.cancelled().map(|by| &by.cause), Some(&Cause::Asked), "{error:?}");
    assert_eq!(said.take(), ["cancelled"]);
    let misuse = hatchery::cancel_soon().unwrap_err();
    assert_eq!(misuse.kind(), &ErrorKind::Misuse);
}

#[test]
fn spn_19_20_a_process_may_be_a_root_again_and_keeps_nothing_of_the_last_one() {
    let _turn = turn();
    let stranger = built(Kind::Bin, "stranger");
    let mut seen = Vec::new();
    for name in ["first", "second"] {
        let options = Options::new().name(name).debug(name == "first");
        let opened = future::block_on(open_root_actor(options, async |root| {
            open_nursery(async |nursery: Nursery| {
                nursery.actor("worker").program(&stranger).start().await?.cancel().await?;
                Ok::<_, Error>(root.id().clone())
            })
            .await
        }));
        seen.push(opened.unwrap());
    }
    assert_eq!((seen[0].name.as_str(), seen[1].name.as_str()), ("first", "second"));
    assert_ne!(seen[0].uuid, seen[1].uuid);
    // And by itself, with the first nursery.
    let implicit = future::block_on(async {
        open_nursery(async |nursery: Nursery| {
            nursery.actor("worker").program(&stranger).start().await?.cancel().await
        })
        .await
    });
    assert!(implicit.is_ok(), "{implicit:?}");
}

#[test]
fn a_process_has_a_containment_while_it_is_a_root() {
    let _turn = turn();
    assert!(matches!(containment().unwrap_err().kind(), ErrorKind::Misuse));
    let inside = async_io::block_on(open_root_actor(Options::new(), async |_root| containment()));
    assert_eq!(inside.unwrap(), Containment::KernelChain);
    assert!(containment().is_err());
}
